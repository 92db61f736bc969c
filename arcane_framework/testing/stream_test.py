"""A whole stream in a test: the real host and graph, with time, storage and the outside in the test's hands."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypedDict, Unpack

import pyarrow as pa

from arcane_framework._core.graph import StreamGraphBuilder
from arcane_framework._core.position import Position
from arcane_framework._core.services import Services
from arcane_framework._core.storage import Storage
from arcane_framework.commits.manifest import Manifest
from arcane_framework.hosting.environment import (
    BACKFILL,
    BACKFILL_ID,
    LOG_FORMAT,
    LOG_LEVELS,
    SPEC,
    STREAM_ID,
    STREAM_KIND,
    read_environment,
)
from arcane_framework.hosting.host import ExceptionHandler, StreamHost
from arcane_framework.testing.captures import CapturedLog, CapturedMetrics, CapturedStatus, ScriptedLifetime
from arcane_framework.testing.clock_runner import ClockRunner
from arcane_framework.testing.memory_lake import MemoryLake
from arcane_framework.testing.scripted_http import ScriptedHttp
from arcane_framework.testing.stream_output import StreamOutput
from arcane_framework.testing.virtual_clock import DEFAULT_START, VirtualClock

Builder = type[StreamGraphBuilder[Any]]


class HostOptions(TypedDict, total=False):
    """Arguments of `StreamTest` that go to the `StreamHost`; see there."""

    exception_handler: ExceptionHandler
    handle_unknown_exception: Callable[[Exception], int | None]
    fenced_pause: tuple[float, float]


class StreamTestOptions(HostOptions, total=False):
    """The keyword arguments of `StreamTest`."""

    backfilling: bool
    backfill_id: str | None
    stream_id: str
    stream_kind: str | None
    secrets: Mapping[str, str]
    http: ScriptedHttp | None
    start: datetime
    clock: VirtualClock | None
    storage: MemoryLake | None
    real_folders: bool
    services: Callable[[Services], Services]
    status: CapturedStatus | None


@dataclass
class _Run:
    """One run of the stream: from `start` or `restart` to its exit code."""

    log: CapturedLog
    status: CapturedStatus
    metrics: CapturedMetrics = field(default_factory=CapturedMetrics)
    lifetime: ScriptedLifetime = field(default_factory=ScriptedLifetime)
    started: bool = False
    exit_code: int | None = None
    defect: BaseException | None = None

    @property
    def ended(self) -> bool:
        return self.exit_code is not None or self.defect is not None


class StreamTest:
    """Runs a plugin's builder through the real `StreamHost`, under virtual time and without a network.

        with StreamTest(OrdersBuilder, {"sinkLocation": "/lake"}).start() as test:
            test.advance(timedelta(hours=1))
            assert test.rows() == [...]
            test.stop()
            assert test.exit_code == 0

    Every location that the stream opens is in memory, whatever its kind, and is kept over restarts. All methods
    are for the test's thread; they return when the stream's threads are at rest, so that what they show is settled.
    Logs, metrics and status are those of the newest run. Leaving the `with` block, or `close`, stops what still
    runs and fails on what it leaves behind.

    Args:
        builder: The plugin's builder class.
        spec: The stream definition's spec, as the operator would pass it: camelCase keys. Paths are allowed.
        backfilling: Run a backfill.
        backfill_id: The backfill's identity; see `Position.resumes`.
        stream_id: Names the stream and its folder.
        stream_kind: By default the builder's name.
        secrets: Secrets and other environment variables, by name: `ARCANE__AUTHHEADERS`.
        http: The replies that `services.http` clients get; by default none, so that each request is an error.
        start: The wall time at the beginning.
        clock: A clock of the test's, for several streams at once; excludes `start`.
        storage: Another test's storage: `storage=first.storage`, for two runners of one stream or a chain of streams.
        real_folders: Paths and file URLs lead to the disk, for a spec with pytest's `tmp_path`.
        services: As for `StreamHost`; it gets services whose storage and HTTP are the test's.
        status: A status service to look at, for instance one that fails.
        **host_options: See `StreamHost`. The pause of a fenced runner is 0 unless given.

    Attributes:
        clock: The virtual clock.
        http: The script of HTTP replies.
        storage: Opens locations as the stream does: to lay out input files before the start.
    """

    def __init__(  # noqa: PLR0913 - each has a default, and a test names the two that it is about
        self,
        builder: Builder,
        spec: Mapping[str, Any] | None = None,
        *,
        backfilling: bool = False,
        backfill_id: str | None = None,
        stream_id: str = "test",
        stream_kind: str | None = None,
        secrets: Mapping[str, str] = MappingProxyType({}),
        http: ScriptedHttp | None = None,
        start: datetime = DEFAULT_START,
        clock: VirtualClock | None = None,
        storage: MemoryLake | None = None,
        real_folders: bool = False,
        services: Callable[[Services], Services] = lambda base: base,
        status: CapturedStatus | None = None,
        **host_options: Unpack[HostOptions],
    ) -> None:
        self.clock = clock or VirtualClock(start)
        self.storage = storage or MemoryLake(self.clock.now, real_folders=real_folders)
        self.http = http or ScriptedHttp()
        self.http.attach(self.clock)
        self._own_clock = clock is None
        self._builder = builder
        self._spec = spec or {}
        self._backfilling = backfilling
        self._backfill_id = backfill_id
        self._stream_id = stream_id
        self._stream_kind = stream_kind
        self._secrets = secrets
        self._services = services
        self._given_status = status
        self._host_options: HostOptions = {"fenced_pause": (0.0, 0.0), **host_options}
        self._output = StreamOutput(self.storage, stream_id)
        self._run = self._new_run()

    # Running.

    def start(self) -> Self:
        """Start the stream; returns this object. A `stop` before it is a signal that comes during the start.

        Raises:
            ConfigurationError: The arguments of this test are no settings of a stream, such as a wrong stream id.
            AssertionError: It was started before; use `restart`.
        """
        if self._run.started:
            raise AssertionError(f"stream {self._stream_id!r} was started before: use restart() after its end")
        variables = self._variables()
        settings = read_environment(variables)
        run = self._run
        host = StreamHost(
            self._builder,
            runner=ClockRunner(self.clock),
            lifetime=run.lifetime,
            status=run.status,
            services=self._make_services,
            clock=self.clock,
            metrics=run.metrics,
            log_stream=run.log,
            **self._host_options,
        )

        def main() -> None:
            try:
                run.exit_code = host.run(settings, variables)
            except BaseException as error:
                run.defect = error

        run.started = True
        self.clock.spawn(main, "arcane-host")
        self.clock.advance(0)
        return self

    def advance(self, seconds: float | timedelta) -> None:
        """Let time pass, also when the stream has ended. See `VirtualClock.advance`.

        Raises:
            AssertionError: It was never started, a thread does not come to rest, a request was not scripted, or a
                socket was opened.
        """
        self._check_started()
        self.clock.advance(seconds)

    def stop(self) -> None:
        """What SIGTERM does. A stream that only waits has ended when this returns."""
        self._run.lifetime.signal()
        self.clock.advance(0)

    def restart(
        self,
        *,
        builder: Builder | None = None,
        spec: Mapping[str, Any] | None = None,
        backfilling: bool | None = None,
        backfill_id: str | None = None,
    ) -> Self:
        """Start the stream again after its end, on the same storage and clock; what is not given stays as it was.

        Raises:
            AssertionError: It is still running.
        """
        if not self._run.started or self.running:
            raise AssertionError(self._describe("has to end before a restart"))
        self._builder = builder or self._builder
        self._spec = self._spec if spec is None else spec
        self._backfilling = self._backfilling if backfilling is None else backfilling
        self._backfill_id = backfill_id or self._backfill_id
        self._run = self._new_run()
        return self.start()

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._run.started and not self._run.ended

    @property
    def exit_code(self) -> int:
        """The exit code, when it has ended.

        Raises:
            AssertionError: It is still running, or was never started; shows its log.
        """
        self.clock.advance(0)
        if self._run.defect is not None:
            raise AssertionError("the host itself has failed") from self._run.defect
        self._check_started()
        if self._run.exit_code is None:
            raise AssertionError(self._describe("is still running: let time pass with advance(...), or stop() it"))
        return self._run.exit_code

    def close(self) -> None:
        """Stop what still runs. Called by the `with` statement and the fixture; allowed twice.

        Raises:
            AssertionError: It does not stop, or leaves threads behind.
        """
        if self.running:
            self.stop()
        if self.running:
            raise AssertionError(self._describe("did not stop when it was told to"))
        self.clock.raise_failures()
        if self._own_clock:
            self.clock.check_no_threads()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except AssertionError as second:
            if error is None:
                raise
            # The first error says more; the second is often its consequence.
            error.add_note(f"and then: {second}")

    def __repr__(self) -> str:
        """What a failed assertion shows: whether it runs, how it has ended, and the newest error."""
        parts = [repr(self._stream_id), self._state()]
        if self.error is not None:
            parts.append(f"error: {self.error}")
        return f"<{type(self).__name__} {', '.join(parts)}>"

    # What it has said.

    @property
    def logs(self) -> list[dict[str, Any]]:
        """The log lines, from level debug on; `timestamp` is virtual time."""
        return self._run.log.lines

    @property
    def metrics(self) -> CapturedMetrics:
        """What was counted and measured."""
        return self._run.metrics

    @property
    def status(self) -> CapturedStatus:
        """What was reported to the cluster."""
        return self._run.status

    @property
    def error(self) -> str | None:
        """The text of the newest error in the log; None when there is none."""
        errors = [line for line in self.logs if line.get("level") == "error"]
        return str(errors[-1].get("error", errors[-1]["event"])) if errors else None

    # What it has written, once it was started. `location` is only needed when the stream has folders in several ones.

    def rows(self, folder: str = "data", *, location: str | None = None) -> list[dict[str, Any]]:
        """The rows of all committed parts in `folder` (`data`, `backfill`, `_arcane/quarantine`), in order of commit.

        Rows of Parquet parts have Python's types, those of JSON lines JSON's. Parts that a newer backfill has
        replaced are left out. A folder of another name, such as a segment of the sink's settings, has to exist.

        Raises:
            AssertionError: There is no such folder, or the stream was never started.
        """
        return self._written.rows(folder, location)

    def table(self, folder: str = "data", *, location: str | None = None) -> pa.Table:
        """The rows as one Arrow table; for JSON lines its types are guessed from the values.

        Raises:
            AssertionError: There are no parts, or the stream was never started.
        """
        return self._written.table(folder, location)

    def quarantined(self, *, location: str | None = None) -> list[dict[str, Any]]:
        """The rows set aside, as `reason`, `location` and `raw`, in order."""
        return self._written.rows("_arcane/quarantine", location)

    def files(self, *, location: str | None = None) -> Sequence[str]:
        """The names of all visible objects in the stream's folder but those of `_arcane/`, sorted."""
        return self._written.files(location)

    def position(self, *, location: str | None = None) -> Position:
        """The stored position."""
        return self._written.position(location)

    def commits(self, *, location: str | None = None) -> list[Manifest]:
        """All entries of the commit log, oldest first, claims (entries without parts) included."""
        return self._written.commits(location)

    def open(self, location: str) -> Storage:
        """The folder at `location`, as the stream sees it, for the test's own files."""
        return self.storage.peek(location)

    # The parts.

    @property
    def _written(self) -> StreamOutput:
        self._check_started()
        return self._output

    def _check_started(self) -> None:
        if not self._run.started:
            raise AssertionError(f"stream {self._stream_id!r} was never started: call start()")

    def _state(self) -> str:
        if not self._run.started:
            return "never started"
        if self._run.defect is not None:
            return f"the host itself has failed with {self._run.defect!r}"
        return "running" if self._run.exit_code is None else f"exit code {self._run.exit_code}"

    def _new_run(self) -> _Run:
        return _Run(CapturedLog(self.clock.now), self._given_status or CapturedStatus())

    def _variables(self) -> dict[str, str]:
        variables = {
            SPEC: json.dumps(self._spec, default=os.fspath),
            STREAM_ID: self._stream_id,
            STREAM_KIND: self._stream_kind or self._builder.__name__,
            BACKFILL: str(self._backfilling),
            LOG_FORMAT: "json",
            LOG_LEVELS[0]: "debug",
        }
        if self._backfill_id is not None:
            variables[BACKFILL_ID] = self._backfill_id
        return {**variables, **self._secrets}

    def _make_services(self, base: Services) -> Services:
        return self._services(replace(base, storage=self.storage, http=self.http.client))

    def _describe(self, what: str) -> str:
        threads = ", ".join(self.clock.threads) or "none"
        lines = [f"  {_line(line)}" for line in self.logs] or ["  nothing"]
        return "\n".join([f"stream {self._stream_id!r} {what}", f"threads: {threads}", "log:", *lines])


_COMMON_FIELDS = frozenset({"timestamp", "level", "event", "streamId", "streamKind", "backfillId", "Application"})


def _line(line: Mapping[str, Any]) -> str:
    fields = " ".join(f"{key}={value}" for key, value in line.items() if key not in _COMMON_FIELDS)
    return f"{line.get('timestamp')} {line.get('level')} {line.get('event')} {fields}".rstrip()

"""What a graph gets from outside: one frozen record, replaced as a whole in tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, Self

from arcane_framework._core.clock import Clock
from arcane_framework._core.kill_switch import KillSwitch
from arcane_framework._core.storage import Storage

if TYPE_CHECKING:
    import httpx2

    from arcane_framework._core.sink import CommitReport


class Mode(StrEnum):
    """What a run does; the values are those of the metrics' `mode` tag."""

    BACKFILL = "backfill"
    STREAM = "stream"


@dataclass(frozen=True, slots=True)
class StreamIdentity:
    """Who is running.

    Attributes:
        stream_id: Names the stream, its folder below the sink's location and its Job.
        stream_kind: The custom resource's kind.
        backfilling: Whether this run reloads the stream in full.
        backfill_id: The same id after a restart resumes the backfill; None: see `Position.resumes`.
    """

    stream_id: str
    stream_kind: str
    backfilling: bool = False
    backfill_id: str | None = None

    @property
    def mode(self) -> Mode:
        """The run's mode."""
        return Mode.BACKFILL if self.backfilling else Mode.STREAM


class Logger(Protocol):
    """Structured logging, as structlog's bound loggers do it: an event and named fields."""

    def bind(self, **fields: Any) -> Self: ...
    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...


class Metrics(Protocol):
    """Counters and gauges, named below `arcane.stream`. Never blocks, never raises, from any thread."""

    def with_tags(self, tags: Mapping[str, str]) -> Self:
        """The same metrics with more tags on every value."""
        ...

    def increment(self, name: str, value: float = 1) -> None:
        """Add to a counter."""
        ...

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge."""
        ...


class Progress(Protocol):
    """Watches a run for a person. Called on the graph's threads; must be quick and must not raise."""

    def started(self, position: str | None) -> None:
        """The sink is open; the source goes on from `position`, in its own words, if there is one."""
        ...

    def rows_incoming(self, rows: int) -> None:
        """The source has emitted `rows` rows."""
        ...

    def committed(self, report: "CommitReport") -> None:
        """The sink has committed."""
        ...


class NoMetrics:
    """Metrics that go nowhere."""

    def with_tags(self, tags: Mapping[str, str]) -> Self:
        return self

    def increment(self, name: str, value: float = 1) -> None:
        pass

    def gauge(self, name: str, value: float) -> None:
        pass


class NoProgress:
    """Nobody is watching."""

    def started(self, position: str | None) -> None:
        pass

    def rows_incoming(self, rows: int) -> None:
        pass

    def committed(self, report: "CommitReport") -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class Services:
    """The services of one run. A plugin may subclass it to add its own.

    Attributes:
        stream: Whose run this is.
        clock: The only source of time.
        kill_switch: Stops the run; `kill_switch.wait` is how a source waits inside a call.
        storage: Opens a location (`file:///lake`, `/lake`, `memory://lake`) as a folder.
        http: Makes an HTTP client; the caller closes it.
        log: Where events go. Never payloads, never secrets.
        metrics: Where numbers go.
        progress: Who watches.
    """

    stream: StreamIdentity
    clock: Clock
    kill_switch: KillSwitch
    storage: Callable[[str], Storage]
    http: "Callable[[], httpx2.Client]"
    log: Logger
    metrics: Metrics = field(default_factory=NoMetrics)
    progress: Progress = field(default_factory=NoProgress)

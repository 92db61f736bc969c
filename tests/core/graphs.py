"""What the tests of the core build graphs from: a scripted source, a recording sink, virtual time."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import pyarrow as pa

from arcane_framework import (
    Batch,
    Committed,
    Grouping,
    KillSwitch,
    Mode,
    Operator,
    Position,
    QuarantinedRow,
    RunSummary,
    Services,
    Sink,
    SinkRun,
    Source,
    StreamContext,
    StreamGraphBuilder,
    StreamIdentity,
    Wait,
    Watermark,
    to_sink,
)
from arcane_framework.hosting.logging import make_logger
from arcane_framework.storage import StorageOpener
from arcane_framework.testing.virtual_clock import VirtualClock

NUMBERS = pa.schema([("n", pa.int64())])


def numbers(start: int, stop: int, watermark: int | None = None, quarantined: Sequence[QuarantinedRow] = ()) -> Batch:
    """A batch of `start` to `stop`, exclusive."""
    data = pa.RecordBatch.from_arrays([pa.array(range(start, stop), pa.int64())], schema=NUMBERS)
    return Batch(data, None if watermark is None else {"n": watermark}, tuple(quarantined))


class Script(Source):
    """Plays its steps: batches, waits and errors."""

    schema = NUMBERS

    def __init__(self, steps: Iterable[Batch | Wait | BaseException], begin: Watermark | None = None) -> None:
        self.steps = steps
        self.begin = begin
        self.started_with: list[Watermark | None] = []
        self.closed = 0
        self.pulled = 0

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        self.started_with.append(watermark)
        try:
            for step in self.steps:
                self.pulled += 1
                if isinstance(step, BaseException):
                    raise step
                yield step
        finally:
            self.closed += 1

    def backfill(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        return self.stream(watermark)

    def begin_backfill(self) -> Watermark | None:
        return self.begin


class Recorder(Sink):
    """Remembers every call; `commits` holds, for each commit, the groups and the position."""

    def __init__(self, grouping: Grouping | None = None, stored: Position | None = None) -> None:
        self.grouping = grouping or Grouping(rows=10, within=5, idle=300)
        self.stored = stored or Position()
        self.run: SinkRun | None = None
        self.pending: list[list[Any]] = []
        self.set_aside: list[QuarantinedRow] = []
        self.commits: list[tuple[list[list[Any]], Position]] = []
        self.times: list[float] = []
        self.begun: list[Position] = []
        self.discarded = 0
        self.closed = 0
        self.fail_on: str | None = None

    def _maybe_fail(self, call: str) -> None:
        if self.fail_on == call:
            raise OSError(f"{call} failed")

    def open(self, run: SinkRun) -> Position:
        self.run = run
        self._maybe_fail("open")
        return self.stored

    def write(self, group: pa.Table) -> None:
        self._maybe_fail("write")
        assert group.num_rows
        self.pending.append(group.column(0).to_pylist())

    def quarantine(self, rows: Sequence[QuarantinedRow]) -> None:
        self.set_aside.extend(rows)

    def commit(self, position: Position) -> Committed | None:
        self._maybe_fail("commit")
        assert self.run is not None
        self.commits.append((self.pending, position))
        self.times.append(self.run.clock.monotonic())
        self.pending = []
        self.stored = position
        return Committed(parts=len(self.commits[-1][0]), nbytes=8)

    def begin_backfill(self, position: Position) -> None:
        self.begun.append(position)
        self.stored = position

    def discard(self) -> None:
        self.discarded += 1
        self.pending = []

    def close(self) -> None:
        self.closed += 1

    @property
    def groups(self) -> list[list[list[Any]]]:
        """The groups of each commit."""
        return [groups for groups, _ in self.commits]

    @property
    def watermarks(self) -> list[Any]:
        """The stream's watermark of each commit."""
        return [position.stream and position.stream["n"] for _, position in self.commits]


class Run:
    """A graph of a script and a recorder, running under virtual time."""

    def __init__(
        self,
        source: Source,
        sink: Sink,
        *operators: Operator,
        backfilling: bool = False,
        backfill_id: str | None = None,
        stopped: bool = False,
        begin: bool = True,
    ) -> None:
        self.clock = VirtualClock()
        self.kill_switch = KillSwitch(self.clock)
        self.services = Services(
            stream=StreamIdentity("s", "Numbers", backfilling, backfill_id),
            clock=self.clock,
            kill_switch=self.kill_switch,
            storage=StorageOpener(self.clock.now),
            http=_no_http,
            log=make_logger(level="critical"),
        )

        class Builder(StreamGraphBuilder[StreamContext]):
            def build_graph(self, context: StreamContext) -> Any:
                return self.start(source).pipe(*operators).pipe(to_sink(sink))

        self.graph = Builder(self.services).build_graph(StreamContext())
        if stopped:
            self.kill_switch.stop()
        if begin:
            self.begin()

    def begin(self) -> None:
        self.result: Future[RunSummary] = self.graph.run()[1]
        self.clock.advance(0)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def stop(self) -> RunSummary:
        self.kill_switch.stop()
        self.clock.advance(0)
        return self.end()

    def end(self) -> RunSummary:
        return self.result.result(timeout=10)

    @property
    def mode(self) -> Mode:
        return self.services.stream.mode


def _no_http() -> Any:
    raise AssertionError("no HTTP in these tests")

"""Sources, sinks and services that the benchmarks share."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from arcane_framework import (
    Batch,
    Grouping,
    KillSwitch,
    Position,
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
from arcane_framework._core.clock import SystemClock
from arcane_framework._core.graph import NamedOperator, RunnableGraph
from arcane_framework.hosting.logging import make_logger
from arcane_framework.storage import StorageOpener

if TYPE_CHECKING:
    import httpx2


class NullStream:
    """Where log lines go that are made, as in a real run, and not kept."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


class RepeatedBatch(Source):
    """The same batch again and again, each time with a watermark."""

    def __init__(self, data: pa.RecordBatch, times: int) -> None:
        self.schema = data.schema
        self._data = data
        self._times = times

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        for number in range(self._times):
            yield Batch(self._data, {"batch": number})

    def backfill(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        return self.stream(watermark)


class CountingSink(Sink):
    """Counts rows and commits, and does nothing else."""

    def __init__(self, grouping: Grouping) -> None:
        self.grouping = grouping
        self.rows = 0
        self.commits = 0

    def open(self, run: SinkRun) -> Position:
        return Position()

    def write(self, group: pa.Table) -> None:
        self.rows += group.num_rows

    def commit(self, position: Position) -> None:
        self.commits += 1

    def discard(self) -> None:
        self.rows = 0


def services(*, backfilling: bool = False) -> Services:
    """The services of a run, real ones but for the place where log lines go."""
    clock = SystemClock()
    return Services(
        stream=StreamIdentity("bench", "Bench", backfilling),
        clock=clock,
        kill_switch=KillSwitch(clock),
        storage=StorageOpener(clock.now),
        http=_no_http,
        log=make_logger(log_format="json", stream=NullStream()),
    )


def run_graph(services: Services, source: Source, operators: list[NamedOperator], sink: Sink) -> RunSummary:
    """Run a graph to its end."""

    class Builder(StreamGraphBuilder[StreamContext]):
        def build_graph(self, context: StreamContext) -> RunnableGraph:
            return self.start(source).pipe(*operators).pipe(to_sink(sink))

    _, result = Builder(services).build_graph(StreamContext()).run()
    return result.result()


def _no_http() -> "httpx2.Client":
    raise NotImplementedError("no benchmark asks for HTTP")

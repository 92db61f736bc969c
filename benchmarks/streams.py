"""Streams that the benchmarks run as processes, through the real runner."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from arcane_framework import (
    Batch,
    RunnableGraph,
    SinkContext,
    Source,
    StreamGraphBuilder,
    Wait,
    Watermark,
    to_sink,
)
from arcane_framework.sinks import ParquetSink

ROWS = pa.record_batch({"id": pa.array(range(200_000), pa.int64())})


class BenchContext(SinkContext):
    """`marker` is created when the stream is where it shall be stopped."""

    marker: Path


class Nothing(Source):
    """Ends at once."""

    schema = ROWS.schema

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        yield from ()

    def backfill(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        return self.stream(watermark)


class OnceThenWaiting(Source):
    """One batch, then a wait of a day."""

    schema = ROWS.schema

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        yield Batch(ROWS.slice(0, 1), {"batch": 0})
        self._marker.touch()
        yield Wait(86_400)


class WithoutEnd(Source):
    """One batch after the other, so that the stream is always in a write."""

    schema = ROWS.schema

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        number = 0
        while True:
            if number == 3:
                self._marker.touch()
            yield Batch(ROWS, {"batch": number})
            number += 1


class _Builder(StreamGraphBuilder[BenchContext]):
    def build_graph(self, context: BenchContext) -> RunnableGraph:
        sink = ParquetSink(self.services.storage(context.sink_location), grouping=context.grouping)
        return self.start(self.source(context)).pipe(to_sink(sink))

    def source(self, context: BenchContext) -> Source:
        return Nothing()


class EndsAtOnce(_Builder):
    """A stream with nothing to do."""


class Waits(_Builder):
    """A stream that is idle."""

    def source(self, context: BenchContext) -> Source:
        return OnceThenWaiting(context.marker)


class Writes(_Builder):
    """A stream that always writes."""

    def source(self, context: BenchContext) -> Source:
        return WithoutEnd(context.marker)

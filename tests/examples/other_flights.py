"""Flights that do not come to an end, for the demo."""

from collections.abc import Iterator

from arcane_framework import (
    Batch,
    RunnableGraph,
    StreamGraphBuilder,
    TransientStreamError,
    Wait,
    Watermark,
    to_sink,
)
from arcane_framework.sinks import ParquetSink
from examples.flights_plugin import FlightsContext, FlightsSource


class LateSource(FlightsSource):
    def backfill(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:  # type: ignore[override]
        yield from list(super().backfill(watermark))[:2]
        yield Wait(None)


class BrokenSource(FlightsSource):
    def backfill(self, watermark: Watermark | None) -> Iterator[Batch]:
        raise TransientStreamError("the line is cut")


class LateFlights(StreamGraphBuilder[FlightsContext]):
    source_type = LateSource

    def build_graph(self, context: FlightsContext) -> RunnableGraph:
        sink = ParquetSink(self.services.storage(context.sink_location), grouping=context.grouping)
        return self.start(self.source_type(context)).pipe(to_sink(sink))


class BrokenFlights(LateFlights):
    source_type = BrokenSource  # type: ignore[assignment]

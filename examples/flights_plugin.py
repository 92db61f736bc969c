"""New York's flights of 2013: those up to a day are the backfill, the others arrive some days at a time."""

from collections.abc import Iterator
from datetime import date, timedelta

from arcane_framework import Batch, RunnableGraph, SinkContext, Source, StreamGraphBuilder, Wait, Watermark, to_sink
from arcane_framework.sinks import ParquetSink
from examples.flights_data import LAST_DAY, NEW_YEARS_EVE, flights_between, of_days, read_blocks


class FlightsContext(SinkContext):
    history_until: date
    days_per_poll: int = 1
    poll_seconds: float = 1.0


class FlightsSource(Source):
    def __init__(self, context: FlightsContext) -> None:
        self.context = context
        self.schema = next(read_blocks()).schema

    def backfill(self, watermark: Watermark | None) -> Iterator[Batch]:
        for number, block in enumerate(read_blocks()):
            if watermark is None or number > watermark["block"]:
                yield Batch(of_days(block, NEW_YEARS_EVE, self.context.history_until), {"block": number})

    def end_backfill(self, begun: Watermark | None, watermark: Watermark | None) -> Watermark:
        return {"day": self.context.history_until.isoformat()}

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        day = date.fromisoformat(str(watermark["day"])) if watermark else NEW_YEARS_EVE
        while day < LAST_DAY:
            after, day = day, min(day + timedelta(days=self.context.days_per_poll), LAST_DAY)
            yield Batch(flights_between(after, day), {"day": day.isoformat()})
            yield Wait(self.context.poll_seconds)


class Flights(StreamGraphBuilder[FlightsContext]):
    def build_graph(self, context: FlightsContext) -> RunnableGraph:
        sink = ParquetSink(self.services.storage(context.sink_location), grouping=context.grouping)
        return self.start(FlightsSource(context)).pipe(to_sink(sink))

"""Flights that do not come to an end, and few of them, for the demo."""

from collections.abc import Iterator
from datetime import date
from itertools import islice

import pyarrow as pa

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
from examples.flights_data import LAST_DAY, NEW_YEARS_EVE, flights_between, of_days, read_blocks
from examples.flights_plugin import FlightsContext, FlightsSource

HISTORY, FEW_UNTIL = date(2013, 11, 30), date(2013, 12, 2)
FEW_BLOCKS = 2


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


class FewSource(FlightsSource):
    """As `few_flights` has them; says that the year is over."""

    def backfill(self, watermark: Watermark | None) -> Iterator[Batch]:
        yield from islice(super().backfill(watermark), FEW_BLOCKS)

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        yield Batch(flights_between(self.context.history_until, FEW_UNTIL), {"day": LAST_DAY.isoformat()})


class FewFlights(LateFlights):
    source_type = FewSource  # type: ignore[assignment]


def few_flights() -> pa.Table:
    """The flights of `FewFlights`, read from the data set."""
    history = [of_days(block, NEW_YEARS_EVE, HISTORY) for block in islice(read_blocks(), FEW_BLOCKS)]
    return pa.Table.from_batches([*history, flights_between(HISTORY, FEW_UNTIL)])

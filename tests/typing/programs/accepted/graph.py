"""A plugin as its author writes it, and a longer chain with plain reactivex operators."""

from collections.abc import Iterable

import pyarrow as pa
from reactivex import operators as ops

from arcane_framework import (
    Batch,
    PollingSource,
    RunnableGraph,
    SinkContext,
    StreamGraphBuilder,
    Watermark,
    to_sink,
)
from arcane_framework.operators import filter_rows, map_batches, named, prefetch, rebatch, select
from arcane_framework.sinks import ParquetSink


class Orders(PollingSource):
    schema = pa.schema([("id", pa.int64())])

    def poll(self, watermark: Watermark | None) -> Iterable[Batch]:
        yield self.batch([{"id": 1}], {"id": 1})


class OrdersContext(SinkContext):
    region: str


class OrdersStream(StreamGraphBuilder[OrdersContext]):
    def build_graph(self, context: OrdersContext) -> RunnableGraph:
        sink = ParquetSink(self.services.storage(context.sink_location), grouping=context.grouping)
        return self.start(Orders()).pipe(rebatch(rows=context.rows_per_group), to_sink(sink))


def first_rows(batch: Batch) -> Batch:
    return batch.with_data(batch.data.slice(0, 10))


class LongChain(StreamGraphBuilder[OrdersContext]):
    def build_graph(self, context: OrdersContext) -> RunnableGraph:
        sink = ParquetSink(self.services.storage(context.sink_location))
        stream = self.start(Orders()).pipe(
            prefetch(1 << 20),
            ops.map(first_rows),
            map_batches(lambda rows: rows),
            named("clean", filter_rows(lambda rows: rows.column(0)), select("id")),
        )
        return stream.pipe(to_sink(sink))

from collections.abc import Iterator

import pyarrow as pa

from arcane_framework import Batch, PollingSource, RunnableGraph, SinkContext, StreamGraphBuilder, Watermark, to_sink
from arcane_framework.sinks import ParquetSink


class Greetings(PollingSource):
    schema = pa.schema([("greeting", pa.string())])

    def poll(self, watermark: Watermark | None) -> Iterator[Batch]:
        yield self.batch([{"greeting": "hello, world"}], {"greeted": True})


class Hello(StreamGraphBuilder[SinkContext]):
    def build_graph(self, context: SinkContext) -> RunnableGraph:
        sink = ParquetSink(self.services.storage(context.sink_location), grouping=context.grouping)
        return self.start(Greetings()).pipe(to_sink(sink))

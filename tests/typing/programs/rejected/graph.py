"""Mistakes that the type checkers find before anything runs."""

import pyarrow as pa

from arcane_framework import Batch, RunnableGraph, SinkContext, Source, StreamGraphBuilder, to_sink
from arcane_framework.operators import rebatch
from arcane_framework.sinks import ParquetSink


class WithoutSink(StreamGraphBuilder[SinkContext]):
    source: Source

    def build_graph(self, context: SinkContext) -> RunnableGraph:
        return self.start(self.source).pipe(rebatch(rows=10))  # error: return-value | reportReturnType


class SinkInTheMiddle(StreamGraphBuilder[SinkContext]):
    source: Source

    def build_graph(self, context: SinkContext) -> RunnableGraph:
        sink = to_sink(ParquetSink(self.services.storage(context.sink_location)))
        return self.start(self.source).pipe(sink, rebatch(rows=10))  # error: call-overload | reportCallIssue


class NoSuchField(StreamGraphBuilder[SinkContext]):
    def build_graph(self, context: SinkContext) -> RunnableGraph:
        raise NotImplementedError(context.sink_place)  # error: attr-defined | reportAttributeAccessIssue


def rows_without_a_batch(data: pa.RecordBatch) -> Batch:
    return Batch(data, watermark=17)  # error: arg-type | reportArgumentType

"""A stream that only says where Arrow takes its memory from."""

import pyarrow as pa

from arcane_framework import ConfigurationError, RunnableGraph, StreamContext, StreamGraphBuilder


class TellsItsPool(StreamGraphBuilder[StreamContext]):
    def build_graph(self, context: StreamContext) -> RunnableGraph:
        raise ConfigurationError(f"memory comes from {pa.default_memory_pool().backend_name}")

"""Builders that do not get as far as a graph."""

import sys

from arcane_framework import ConfigurationError, RunnableGraph, Services, Source, StreamGraphBuilder, to_sink
from tests.runner.plugins.numbers_stream import Numbers, NumbersContext, NumbersSource, SlowSink


class FailsInInit(Numbers):
    def __init__(self, services: Services) -> None:
        super().__init__(services)
        raise LookupError("no licence in __init__")


class FailsInBuild(StreamGraphBuilder[NumbersContext]):
    def build_graph(self, context: NumbersContext) -> RunnableGraph:
        raise LookupError("no licence in build_graph")


class Refuses(StreamGraphBuilder[NumbersContext]):
    def build_graph(self, context: NumbersContext) -> RunnableGraph:
        raise ConfigurationError("total: must be even for this plugin; change it in the spec")


class ExitsInBuild(StreamGraphBuilder[NumbersContext]):
    def build_graph(self, context: NumbersContext) -> RunnableGraph:
        sys.exit(0)


class ReturnsNothing(StreamGraphBuilder[NumbersContext]):
    def build_graph(self, context: NumbersContext) -> RunnableGraph:
        return None  # type: ignore[return-value]  # what a plugin without types may do


class ForgetsTheSink(StreamGraphBuilder[NumbersContext]):
    def build_graph(self, context: NumbersContext) -> RunnableGraph:
        return self.start(NumbersSource(context, self.services))  # type: ignore[return-value]  # as above


class NamesNoContext(StreamGraphBuilder):  # type: ignore[type-arg]  # as above
    def build_graph(self, context: NumbersContext) -> RunnableGraph:
        raise AssertionError("there is no context to build with")


class StreamOnlySource(NumbersSource):
    backfill = Source.backfill


class StreamOnly(StreamGraphBuilder[NumbersContext]):
    def build_graph(self, context: NumbersContext) -> RunnableGraph:
        return self.start(StreamOnlySource(context, self.services)).pipe(to_sink(SlowSink(context, self.services)))

"""Composing a stream: source, operators, sink; and running it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar, get_args, get_origin, overload

import pyarrow as pa
from reactivex import Observable

from arcane_framework._core import mermaid, source_loop
from arcane_framework._core.batch import Batch
from arcane_framework._core.context import StreamContext
from arcane_framework._core.delivery import Delivery, RunSummary
from arcane_framework._core.errors import ConfigurationError, FatalStreamError
from arcane_framework._core.graph_run import GraphRun
from arcane_framework._core.kill_switch import KillSwitch
from arcane_framework._core.segment import Segment
from arcane_framework._core.services import Metrics, Services
from arcane_framework._core.sink import Sink
from arcane_framework._core.source import Source

Context = TypeVar("Context", bound=StreamContext)

CHAIN_SECONDS = 1.0
"""How long operators may take to pass on that the source has been stopped."""

Operator = Callable[[Observable[Batch]], Observable[Batch]]
"""A step of a chain: ours, reactivex's own, or a function from observable to observable."""


class NamedOperator:
    """An operator that knows what to call itself in a picture of the graph."""

    def __init__(self, name: str, operator: Operator, **settings: object) -> None:
        self.name = name
        self.settings = {key: value for key, value in settings.items() if value is not None}
        self._operator = operator

    def __call__(self, source: Observable[Batch]) -> Observable[Batch]:
        return self._operator(source)


@dataclass(frozen=True, slots=True)
class SinkStep:
    """The last step of a chain; made by `to_sink`."""

    sink: Sink


def to_sink(sink: Sink) -> SinkStep:
    """End a chain in `sink`, which makes it a graph that can run."""
    return SinkStep(sink)


@dataclass(frozen=True)
class Stream:
    """A chain that has a source and no sink yet. Made by `StreamGraphBuilder.start`.

    Attributes:
        source: Where the rows come from.
        services: Those of the run.
        metrics: With the source's tags.
        run: What the ends of the chain tell each other.
        chain: The source and the operators so far.
        steps: The operators so far.
    """

    source: Source
    services: Services
    metrics: Metrics
    run: GraphRun
    chain: Observable[Batch]
    steps: tuple[Operator, ...] = ()

    @overload
    def pipe(self, *operators: Operator) -> "Stream": ...
    @overload
    def pipe(self, sink: SinkStep, /) -> "RunnableGraph": ...
    @overload
    def pipe(self, op1: Operator, sink: SinkStep, /) -> "RunnableGraph": ...
    @overload
    def pipe(self, op1: Operator, op2: Operator, sink: SinkStep, /) -> "RunnableGraph": ...
    @overload
    def pipe(self, op1: Operator, op2: Operator, op3: Operator, sink: SinkStep, /) -> "RunnableGraph": ...
    @overload
    def pipe(
        self, op1: Operator, op2: Operator, op3: Operator, op4: Operator, sink: SinkStep, /
    ) -> "RunnableGraph": ...
    @overload
    def pipe(
        self, op1: Operator, op2: Operator, op3: Operator, op4: Operator, op5: Operator, sink: SinkStep, /
    ) -> "RunnableGraph": ...
    @overload
    def pipe(
        self,
        op1: Operator,
        op2: Operator,
        op3: Operator,
        op4: Operator,
        op5: Operator,
        op6: Operator,
        sink: SinkStep,
        /,
    ) -> "RunnableGraph": ...
    def pipe(self, *operators: Any) -> "Stream | RunnableGraph":
        """Append operators; with `to_sink(...)` as the last one the result is a graph that can run.

        A longer chain is written as several `pipe` calls.
        """
        sink = operators[-1].sink if operators and isinstance(operators[-1], SinkStep) else None
        steps = operators if sink is None else operators[:-1]
        chain = self.chain
        for step in steps:
            if isinstance(step, Sink):
                name = type(step).__name__
                raise ConfigurationError(f"pipe: {name} is a sink; end the chain with to_sink({name}(...))")
            if not callable(step):
                raise ConfigurationError(f"pipe: a {type(step).__name__} is no operator; to_sink(...) comes last")
            chain = step(chain)
        stream = replace(self, chain=chain, steps=(*self.steps, *steps))
        return stream if sink is None else RunnableGraph(stream, sink)


class RunnableGraph:
    """A whole graph, from source to sink. It runs once."""

    def __init__(self, stream: Stream, sink: Sink) -> None:
        self._stream = stream
        self._sink = sink
        self._started = False

    @property
    def source(self) -> Source:
        """Where the rows come from."""
        return self._stream.source

    def to_mermaid(self) -> str:
        """The graph as a Mermaid flowchart."""
        return mermaid.flowchart(self._stream.source, self._stream.steps, self._sink)

    def run(self) -> tuple[KillSwitch, "Future[RunSummary]"]:
        """Start the graph on a thread of its own.

        Returns:
            The kill switch, and a future that ends with a summary, or with the error that ended the run,
            after sink and source have been closed.

        Raises:
            ConfigurationError: The graph was started before; build a new one.
        """
        if self._started:
            raise ConfigurationError("a graph runs once; build a new one to run it again")
        self._started = True
        result: Future[RunSummary] = Future()
        result.set_running_or_notify_cancel()
        services = self._stream.services
        services.clock.spawn(lambda: self._main(result), "arcane-graph")
        return services.kill_switch, result

    def _main(self, result: "Future[RunSummary]") -> None:
        try:
            outcome = self._run_to_the_end()
        except BaseException as error:
            result.set_exception(error)
        else:
            if isinstance(outcome, RunSummary):
                result.set_result(outcome)
            else:
                result.set_exception(outcome)

    def _run_to_the_end(self) -> RunSummary | Exception:
        stream = self._stream
        segment = Segment(stream.services.clock, stream.services.kill_switch)
        stream.run.delivery_segment = segment
        delivery = Delivery(stream.source, self._sink, stream.services, stream.metrics, stream.run, segment)
        try:
            delivery.subscription = stream.chain.subscribe(
                delivery.on_next, delivery.on_error, delivery.on_completed, scheduler=segment
            )
            self._drive(segment, delivery)
        except BaseException as error:
            # Of an operator that is called on this thread behind a prefetch, or no Exception at all.
            delivery.on_error(
                error if isinstance(error, Exception) else FatalStreamError(f"the graph ended: {error!r}")
            )
        assert delivery.outcome is not None
        return delivery.outcome

    def _drive(self, segment: Segment, delivery: Delivery) -> None:
        run, kill_switch = self._stream.run, segment.kill_switch
        segment.wait(lambda: delivery.outcome is not None or run.failure is not None or kill_switch.stopped)
        if delivery.outcome is None and run.failure is None:
            # Told to stop: the source completes the chain. An operator may keep the end to itself (a merge
            # with a stream that never ends), and a chain may never have asked for the source.
            segment.wait(lambda: delivery.outcome is not None or not run.reading)
            until = segment.clock.monotonic() + CHAIN_SECONDS
            segment.wait(lambda: delivery.outcome is not None, until)
            delivery.on_completed()
        elif run.failure is not None:
            delivery.on_error(run.failure)


class StreamGraphBuilder(ABC, Generic[Context]):
    """What a plugin author subclasses: turns a stream's context into a graph.

    The type argument is the context class that the spec is read into. A builder for several kinds
    overrides `context_type`.
    """

    _context_type: ClassVar[type[StreamContext] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            origin = get_origin(base)
            argument = next(iter(get_args(base)), None)
            if isinstance(origin, type) and issubclass(origin, StreamGraphBuilder) and isinstance(argument, type):
                cls._context_type = argument

    def __init__(self, services: Services) -> None:
        self.services = services

    @classmethod
    def context_type(cls, kind: str) -> type[StreamContext]:
        """The context class of a stream of `kind`.

        Raises:
            ConfigurationError: The class names no context class.
        """
        if cls._context_type is None:
            raise ConfigurationError(
                f"{cls.__name__} does not say which context it takes: "
                f"write class {cls.__name__}(StreamGraphBuilder[YourContext])"
            )
        return cls._context_type

    @abstractmethod
    def build_graph(self, context: Context) -> RunnableGraph:
        """Compose the graph of one run. Called once, on the main thread, before anything runs."""

    def start(self, source: Source) -> Stream:
        """Begin a chain: the source behind the kill switch, its rows counted as `rows.incoming`."""
        if not isinstance(getattr(source, "schema", None), pa.Schema):
            raise ConfigurationError(
                f"{type(source).__name__} has no schema: set its attribute `schema` to a pyarrow.Schema"
            )
        run = GraphRun(self.services.clock)
        metrics = self.services.metrics.with_tags(source.tags.metric_tags)
        chain = source_loop.observable(source, run, metrics, self.services)
        return Stream(source, self.services, metrics, run, chain)

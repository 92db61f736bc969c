"""A host with parts of the plugin's own, in this process: what it calls, closes, and turns into an exit code."""

import io
import json
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from arcane_framework import (
    ConfigurationError,
    RunnableGraph,
    Services,
    StreamContext,
    StreamGraphBuilder,
    TransientStreamError,
    to_sink,
)
from arcane_framework.hosting import GraphRunner, RunSettings, StreamHost, read_environment
from arcane_framework.testing import CapturedMetrics
from tests.runner.plugins.numbers_stream import Numbers, NumbersContext, NumbersSource, SlowSink

ENDED_THE_PROCESS = "the plugin ended the process (SystemExit(0)): raise an error instead"


class Labelled(StreamGraphBuilder[NumbersContext]):
    def build_graph(self, context: NumbersContext) -> RunnableGraph:
        return self.start(NumbersSource(context, self.services)).pipe(to_sink(SlowSink(context, self.services)))


@dataclass
class Lifetime:
    """Never tells the stream to stop.

    Attributes:
        fails: What each call of the method named raises.
    """

    fails: dict[str, BaseException] = field(default_factory=dict)

    def start(self, stop: Callable[[], None]) -> None:
        self._called("start")

    def close(self) -> None:
        self._called("close")

    def _called(self, name: str) -> None:
        if name in self.fails:
            raise self.fails[name]


class Cancelled(BaseException):
    """As other libraries have it."""


class Closing(CapturedMetrics):
    """Metrics that count how often they were closed."""

    closed = 0

    def with_tags(self, tags: Mapping[str, str]) -> Self:
        return self

    def close(self) -> None:
        self.closed += 1
        raise OSError("the agent has gone")


class Run:
    """One run: its exit code and log."""

    def __init__(self, folder: Path, spec: dict[str, Any] | None = None, **variables: str) -> None:
        full = {"sinkLocation": str(folder / "lake"), **(spec or {})}
        self.environ = {
            "STREAMCONTEXT__SPEC": json.dumps(full),
            "STREAMCONTEXT__STREAM_ID": "numbers",
            "STREAMCONTEXT__STREAM_KIND": "Numbers",
            "METRICS_ENABLED": "false",
            **variables,
        }
        self._stream = io.StringIO()

    @property
    def settings(self) -> RunSettings:
        return read_environment(self.environ)

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]

    @property
    def said(self) -> list[tuple[str, str]]:
        """The warnings and errors."""
        return [(line["event"], line.get("error", "")) for line in self.log if line["level"] in ("warning", "error")]

    def of(self, builder: type[StreamGraphBuilder[Any]] = Numbers, **parts: Any) -> int:
        host = StreamHost(builder, **{"lifetime": Lifetime(), "log_stream": self._stream, **parts})
        return host.run(self.settings, self.environ)


def test_the_specs_own_tags_are_on_the_metrics_of_the_run(tmp_path: Path) -> None:
    metrics = CapturedMetrics()
    spec = {"observability": {"metricTags": {"team": "a", "kind": "mine"}}}
    assert Run(tmp_path, spec).of(Labelled, metrics=metrics) == 0
    tags = metrics.tags("rows.committed")
    assert (tags["team"], tags["kind"]) == ("a", "numbers")


def test_metrics_that_can_be_closed_are_closed_once_and_their_failure_is_a_warning(tmp_path: Path) -> None:
    metrics, run = Closing(), Run(tmp_path)
    assert run.of(metrics=metrics) == 0
    assert metrics.closed == 1
    assert run.said == [("Closing was not closed cleanly", "OSError: the agent has gone")]


def test_who_holds_the_runner_can_stop_the_stream(tmp_path: Path) -> None:
    runner, run = GraphRunner(), Run(tmp_path, {"ends": "wait"})

    class Observed(SlowSink):
        def commit(self, *arguments: Any) -> Any:
            committed = super().commit(*arguments)
            reached.set()
            return committed

    class Waiting(StreamGraphBuilder[NumbersContext]):
        def build_graph(self, context: NumbersContext) -> RunnableGraph:
            return self.start(NumbersSource(context, self.services)).pipe(to_sink(Observed(context, self.services)))

    def stop() -> None:
        assert reached.wait(20)
        assert runner.kill_switch is not None
        runner.kill_switch.stop()

    assert runner.kill_switch is None
    reached = threading.Event()
    stopper = threading.Thread(target=stop)
    stopper.start()
    assert run.of(Waiting, runner=runner) == 0
    stopper.join()
    assert run.log[-1]["completed"] is False


class ExitsInBuild(StreamGraphBuilder[NumbersContext]):
    def build_graph(self, context: NumbersContext) -> RunnableGraph:
        sys.exit(0)


class CancelsInBuild(StreamGraphBuilder[NumbersContext]):
    def build_graph(self, context: NumbersContext) -> RunnableGraph:
        raise Cancelled("now")


class InterruptsInBuild(StreamGraphBuilder[NumbersContext]):
    def build_graph(self, context: NumbersContext) -> RunnableGraph:
        raise KeyboardInterrupt


def exits(*_: Any) -> Any:
    sys.exit(0)


class ExitingHandler:
    handle = exits


class ExitingStatus:
    report_schema_mismatch = exits


@pytest.mark.parametrize(
    ("builder", "parts", "message"),
    [
        (ExitsInBuild, {}, ENDED_THE_PROCESS),
        (CancelsInBuild, {}, "the plugin ended the process (Cancelled('now')): raise an error instead"),
        (Numbers, {"services": exits}, ENDED_THE_PROCESS),
        (Numbers, {"lifetime": Lifetime({"start": SystemExit(0)})}, ENDED_THE_PROCESS),
    ],
)
def test_a_part_that_ends_the_process_is_a_failure_of_the_stream(
    tmp_path: Path, builder: type[StreamGraphBuilder[Any]], parts: dict[str, Any], message: str
) -> None:
    run = Run(tmp_path)
    assert run.of(builder, **parts) == 1
    assert run.said == [("the stream has failed", f"FatalStreamError: {message}")]


def test_a_lifetime_that_cannot_start_is_a_failure_of_the_stream(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.of(lifetime=Lifetime({"start": RuntimeError("started already")})) == 1
    assert run.said == [("unexpected error", "RuntimeError: started already")]
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("error", [OSError("x"), SystemExit(5), Cancelled()])
def test_a_lifetime_that_cannot_close_does_not_change_the_exit_code(tmp_path: Path, error: BaseException) -> None:
    run = Run(tmp_path)
    assert run.of(lifetime=Lifetime({"close": error})) == 0
    assert [event for event, _ in run.said] == ["Lifetime was not closed cleanly"]


def test_a_handler_that_ends_the_process_leaves_the_error_to_the_framework(tmp_path: Path) -> None:
    run = Run(tmp_path, {"failAt": 0})
    assert run.of(exception_handler=ExitingHandler()) == 2
    assert run.said[0] == ("the plugin's exception handler failed itself", f"FatalStreamError: {ENDED_THE_PROCESS}")
    unknown = Run(tmp_path, {"failAt": 0, "failure": "defect"})
    assert unknown.of(handle_unknown_exception=exits) == 1
    assert [event for event, _ in unknown.said] == ["the plugin's exception handler failed itself", "unexpected error"]


def test_a_status_service_that_ends_the_process_has_not_reported(tmp_path: Path) -> None:
    run = Run(tmp_path, {"failAt": 0, "failure": "mismatch"})
    assert run.of(status=ExitingStatus()) == 2
    assert run.said[-1] == ("the schema mismatch could not be reported", ENDED_THE_PROCESS)


def test_an_interrupt_that_the_lifetime_leaves_to_python_passes(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path).of(InterruptsInBuild)


def test_a_backfill_that_was_stopped_before_it_began_is_not_taken_for_a_complete_one(tmp_path: Path) -> None:
    def stopped(base: Services) -> Services:
        base.kill_switch.stop()
        return base

    assert Run(tmp_path, STREAMCONTEXT__BACKFILL="true").of(services=stopped) == 2
    assert Run(tmp_path).of(services=stopped) == 0


# The picture.


def test_a_picture_is_drawn_with_the_services_of_a_run_and_nothing_is_opened(tmp_path: Path) -> None:
    seen: list[Services] = []

    def watched(base: Services) -> Services:
        seen.append(base)
        return base

    host = StreamHost(Numbers, services=watched)
    assert host.draw(Run(tmp_path).settings).splitlines() == [
        "flowchart LR",
        '    source(["NumbersSource"])',
        f'    sink[("SlowSink<br/>{tmp_path}/lake")]',
        "    source --> sink",
    ]
    assert [services.stream.stream_id for services in seen] == ["numbers"]
    assert not (tmp_path / "lake").exists()


class Refuses(StreamGraphBuilder[StreamContext]):
    def build_graph(self, context: StreamContext) -> RunnableGraph:
        raise TransientStreamError("the catalogue does not answer")


class ReturnsNothing(StreamGraphBuilder[StreamContext]):
    def build_graph(self, context: StreamContext) -> RunnableGraph:
        return None  # type: ignore[return-value]  # what a plugin without types may do


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (
            Refuses,
            "Refuses cannot build its graph: TransientStreamError: the catalogue does not answer",
        ),
        (
            ReturnsNothing,
            "ReturnsNothing.build_graph returned a NoneType, not a graph: "
            "end the chain with to_sink(...) and return it",
        ),
        (ExitsInBuild, f"ExitsInBuild cannot build its graph: FatalStreamError: {ENDED_THE_PROCESS}"),
    ],
)
def test_a_graph_that_cannot_be_built_is_explained(
    tmp_path: Path, builder: type[StreamGraphBuilder[Any]], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        StreamHost(builder).draw(Run(tmp_path).settings)
    assert str(caught.value) == message
    assert caught.value.__context__ is None

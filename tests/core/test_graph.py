"""Composing and running: the picture, the kill switch, plain reactivex operators in between."""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from reactivex import operators as ops

from arcane_framework import (
    Batch,
    ConfigurationError,
    FatalStreamError,
    Grouping,
    PollingSource,
    SourceTags,
    StreamContext,
    StreamGraphBuilder,
    Wait,
    Watermark,
    to_sink,
)
from arcane_framework.operators import filter_rows, gather, map_batches, named, prefetch, rebatch, select
from tests.core.graphs import NUMBERS, Recorder, Run, Script, numbers

FOREVER = Wait(None)


def has_rows(batch: Batch) -> bool:
    return batch.num_rows > 0


def test_plain_reactivex_operators_stand_between_ours() -> None:
    sink = Recorder(Grouping(rows=100))

    def doubled(batch: Batch) -> Batch:
        return batch.with_data(pa.record_batch({"n": pa.compute.multiply(batch.data.column(0), 2)}))

    Run(Script([numbers(0, 3, 3), FOREVER]), sink, ops.map(doubled), ops.do_action(lambda _: None)).stop()
    assert sink.groups == [[[0, 2, 4]]]


def test_operators_of_reactivex_with_a_time_use_the_graphs_clock_and_thread() -> None:
    sink = Recorder(Grouping(rows=100, within=1))
    run = Run(Script([numbers(0, 1, 1), Wait(60), FOREVER]), sink, ops.debounce(10))
    run.advance(19)
    assert sink.commits == []
    run.advance(2)
    assert sink.groups == [[[0]]]
    run.stop()


def test_an_operator_that_drops_the_first_batch_is_named_as_the_error() -> None:
    run = Run(Script([numbers(0, 3, 3)]), Recorder(), ops.filter(has_rows))
    with pytest.raises(FatalStreamError) as caught:
        run.end()
    assert str(caught.value) == (
        "the first batch, which has no rows and tells the sink the schema, did not arrive at the sink: "
        "operators must let batches without rows pass, they carry watermarks, too"
    )


def test_the_same_behind_a_prefetch_is_an_error_after_a_minute() -> None:
    run = Run(Script([numbers(0, 3, 3)]), Recorder(), prefetch(1 << 20), ops.filter(has_rows))
    run.advance(60)
    with pytest.raises(FatalStreamError, match="did not arrive at the sink"):
        run.end()


def test_an_operator_that_subscribes_again_is_refused() -> None:
    run = Run(Script([numbers(0, 3, 3), ValueError("broken")]), Recorder(), ops.retry(3))
    with pytest.raises(ConfigurationError, match="a source is subscribed once"):
        run.end()


def test_an_operator_that_ends_a_stream_early_closes_the_source() -> None:
    source, sink = Script([numbers(n, n + 1, n + 1) for n in range(100)]), Recorder(Grouping(rows=100))
    assert not Run(source, sink, ops.take(4)).end().completed
    assert sink.groups == [[[0, 1, 2]]]
    assert source.closed == 1
    assert source.pulled <= 4


def test_an_operator_that_ends_a_backfill_early_is_an_error() -> None:
    run = Run(Script([numbers(n, n + 1, n + 1) for n in range(100)]), Recorder(), ops.take(4), backfilling=True)
    with pytest.raises(FatalStreamError, match="an operator ended the backfill before its source did"):
        run.end()


def test_an_error_in_a_users_operator_ends_the_run_with_it() -> None:
    def broken(data: pa.RecordBatch) -> pa.RecordBatch:
        if data.num_rows:
            raise ZeroDivisionError("no")
        return data

    source = Script([numbers(0, 3, 3), FOREVER])
    run = Run(source, Recorder(), map_batches(broken))
    with pytest.raises(ZeroDivisionError):
        run.end()
    assert source.closed == 1


def test_the_kill_switch_ends_a_wait_and_closes_the_generator() -> None:
    source = Script([numbers(0, 3, 3), Wait(86400)])
    run = Run(source, Recorder())
    assert source.closed == 0
    assert not run.stop().completed
    assert source.closed == 1


def test_the_source_is_pulled_lazily() -> None:
    source = Script([numbers(0, 3, 3), FOREVER, numbers(3, 4, 4)])
    run = Run(source, Recorder())
    assert source.pulled == 2
    run.stop()
    assert source.pulled == 2


def test_a_stop_before_the_start_reads_nothing() -> None:
    source, sink = Script([numbers(0, 3, 3)]), Recorder()
    assert not Run(source, sink, stopped=True).end().completed
    assert (source.started_with, sink.commits, sink.closed) == ([], [], 1)


def test_a_generator_that_yields_something_else_is_named() -> None:
    run = Run(Script(["rows"]), Recorder())  # type: ignore[list-item]
    with pytest.raises(FatalStreamError, match="Script yielded a str; a source yields Batch and Wait"):
        run.end()


def test_a_graph_runs_once() -> None:
    run = Run(Script([]), Recorder())
    run.end()
    with pytest.raises(ConfigurationError, match="a graph runs once"):
        run.graph.run()


def test_a_graph_draws_itself() -> None:
    source = Script([])
    source.tags = SourceTags("db", 'or"ders')
    clean = named("clean", select("n"), filter_rows(lambda data: pa.compute.greater(data.column(0), 1)))
    run = Run(source, Recorder(), clean, rebatch(rows=5, within=2), ops.map(lambda batch: batch))
    run.end()
    assert run.graph.to_mermaid() == (
        "flowchart LR\n"
        '    source(["Script<br/>db / or#quot;ders"])\n'
        '    step1["clean"]\n'
        '    step2["rebatch<br/>rows=5<br/>within=2"]\n'
        '    step3["map"]\n'
        '    sink[("Recorder")]\n'
        "    source --> step1 --> step2 --> step3 --> sink\n"
    )


def test_a_builder_that_names_no_context_is_told_how() -> None:
    class Bare(StreamGraphBuilder):  # type: ignore[type-arg]
        def build_graph(self, context: StreamContext) -> None:  # type: ignore[override]
            return None

    with pytest.raises(ConfigurationError, match=r"write class Bare\(StreamGraphBuilder\[YourContext\]\)"):
        Bare.context_type("Bare")


def test_a_builder_names_its_context_by_its_type_argument_also_through_a_subclass() -> None:
    class Context(StreamContext):
        pass

    class Builder(StreamGraphBuilder[Context]):
        def build_graph(self, context: Context) -> None:  # type: ignore[override]
            return None

    class Special(Builder):
        pass

    assert Builder.context_type("any") is Context
    assert Special.context_type("any") is Context


def test_a_source_without_a_schema_is_told_so() -> None:
    source = Script([])
    source.schema = None
    with pytest.raises(ConfigurationError) as caught:
        Run(source, Recorder())
    assert str(caught.value) == "Script has no schema: set its attribute `schema` to a pyarrow.Schema"


def test_the_interval_of_a_polling_source_may_be_a_timedelta() -> None:
    class Polled(PollingSource):
        schema = NUMBERS
        interval = timedelta(minutes=5)
        polls = 0

        def poll(self, watermark: Watermark | None) -> list[Batch]:
            self.polls += 1
            return []

    source = Polled()
    run = Run(source, Recorder())
    run.advance(15 * 60)
    run.stop()
    assert source.polls == 4


def test_a_poll_without_a_watermark_is_committed_at_its_end() -> None:
    class Whole(PollingSource):
        schema = NUMBERS
        interval = 60

        def poll(self, watermark: Watermark | None) -> list[Batch]:
            return [numbers(0, 3), numbers(3, 5)]

    sink = Recorder(Grouping(rows=3))
    run = Run(Whole(), sink)
    run.advance(60)
    run.stop()
    assert sink.groups == [[[0, 1, 2], [3, 4]], [[0, 1, 2], [3, 4]]]
    assert [position.stream for _, position in sink.commits] == [{}, {}]


def test_a_poll_with_rows_after_its_last_watermark_is_an_error() -> None:
    class Half(PollingSource):
        schema = NUMBERS

        def poll(self, watermark: Watermark | None) -> list[Batch]:
            return [numbers(0, 3, 3), numbers(3, 5)]

    sink = Recorder(Grouping(rows=3))
    with pytest.raises(FatalStreamError) as caught:
        Run(Half(), sink).end()
    assert str(caught.value) == (
        "Half.poll gave rows after its last watermark, which would be read again: "
        "give the last batch a watermark, or none at all"
    )
    assert sink.groups == [[[0, 1, 2]]]


def test_what_a_source_made_of_others_reads_is_drawn() -> None:
    run = Run(gather({"a": Script([]), "b": Script([])}, 1000), Recorder())
    run.end()
    assert '    part1(["a: Script"]) --> source\n    part2(["b: Script"]) --> source\n' in run.graph.to_mermaid()


def test_beginners_mistakes_are_named() -> None:
    class Polled(PollingSource):
        schema = NUMBERS

        def __init__(self, found: Any) -> None:
            self.found = found

        def poll(self, watermark: Watermark | None) -> Any:
            return self.found

    mistakes: list[tuple[Any, str]] = [
        (numbers(0, 3, 3), "Polled.poll returned a Batch; it yields batches, or returns a list"),
        (None, "Polled.poll returned a NoneType; it yields batches, or returns a list"),
        ([{"n": 1}], "Polled yielded a dict; a source yields Batch and Wait"),
        (
            [Batch(numbers(0, 1).data, "page 2")],  # type: ignore[arg-type]
            "a watermark must be a JSON object, a dict, not a str",
        ),
    ]
    for found, message in mistakes:
        run = Run(Polled(found), Recorder())
        run.kill_switch.stop()
        run.advance(0)
        with pytest.raises(FatalStreamError) as caught:
            run.end()
        assert str(caught.value) == message


def test_a_sink_that_is_not_wrapped_and_what_is_no_operator_are_named() -> None:
    sink: Any = Recorder()
    with pytest.raises(ConfigurationError) as caught:
        Run(Script([]), Recorder(), sink)
    assert str(caught.value) == "pipe: Recorder is a sink; end the chain with to_sink(Recorder(...))"
    middle: Any = to_sink(sink)
    with pytest.raises(ConfigurationError) as caught:
        Run(Script([]), Recorder(), middle, select("n"))
    assert str(caught.value) == "pipe: a SinkStep is no operator; to_sink(...) comes last"

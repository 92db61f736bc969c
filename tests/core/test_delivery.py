"""When rows are cut, committed, dropped or read again: the rules of the sink contract."""

import pyarrow as pa
import pytest

from arcane_framework import (
    BackfillState,
    Batch,
    ConfigurationError,
    FatalStreamError,
    Grouping,
    Position,
    QuarantinedRow,
    SchemaInconsistentError,
    SinkRun,
    TransientStreamError,
    Wait,
)
from arcane_framework.operators import map_batches, prefetch
from tests.core.graphs import Recorder, Run, Script, numbers

FOREVER = Wait(None)


def span(start: int, stop: int) -> list[int]:
    return list(range(start, stop))


def test_groups_are_cut_at_exactly_the_rows_and_committed_at_the_watermark_that_follows() -> None:
    sink = Recorder(Grouping(rows=10))
    Run(Script([numbers(0, 7, 7), numbers(7, 14, 14), FOREVER]), sink).stop()
    assert sink.groups == [[span(0, 10), span(10, 14)]]
    assert sink.watermarks == [14]


def test_rows_covered_by_a_watermark_are_held_no_longer_than_the_grouping_interval() -> None:
    sink = Recorder(Grouping(rows=10, within=5))
    run = Run(Script([numbers(0, 3, 3), FOREVER]), sink)
    run.advance(4.9)
    assert sink.commits == []
    run.advance(0.1)
    assert sink.groups == [[span(0, 3)]]
    assert sink.times == [5.0]
    run.stop()


def test_rows_beyond_the_last_watermark_are_not_in_the_commit_of_the_interval() -> None:
    sink = Recorder(Grouping(rows=10, within=5))
    run = Run(Script([numbers(0, 3, 3), numbers(3, 5), Wait(100), numbers(5, 6, 6), FOREVER]), sink)
    run.advance(5)
    assert (sink.groups, sink.watermarks) == ([[span(0, 3)]], [3])
    run.advance(95)
    assert (sink.groups, sink.watermarks) == ([[span(0, 3)], [span(3, 6)]], [3, 6])
    run.stop()
    assert len(sink.commits) == 2


def test_a_stop_commits_up_to_the_last_watermark_and_drops_what_follows() -> None:
    sink = Recorder(Grouping(rows=100))
    summary = Run(Script([numbers(0, 3, 3), numbers(3, 9), FOREVER]), sink).stop()
    assert (sink.groups, sink.watermarks) == ([[span(0, 3)]], [3])
    assert (summary.completed, summary.rows) == (False, 3)


def test_a_stop_takes_back_parts_that_straddle_the_last_watermark() -> None:
    sink = Recorder(Grouping(rows=10))
    run = Run(Script([numbers(0, 3, 3), numbers(3, 25), FOREVER]), sink)
    assert sink.pending == [span(0, 10), span(10, 20)]
    run.stop()
    assert sink.discarded == 1
    assert (sink.groups, sink.watermarks) == ([[span(0, 3)]], [3])


def test_an_error_of_the_source_commits_up_to_the_last_watermark_first() -> None:
    sink = Recorder(Grouping(rows=100))
    run = Run(Script([numbers(0, 3, 3), numbers(3, 9), TransientStreamError("gone")]), sink)
    with pytest.raises(TransientStreamError, match="gone"):
        run.end()
    assert (sink.groups, sink.watermarks, sink.closed) == ([[span(0, 3)]], [3], 1)


def test_a_long_change_set_without_inner_watermarks_is_committed_as_a_whole() -> None:
    sink = Recorder(Grouping(rows=10, within=5))
    steps: list[Batch | Wait | BaseException] = []
    for start in range(0, 50, 5):
        steps += [numbers(start, start + 5), Wait(3)]
    run = Run(Script([*steps, numbers(50, 50, 50), FOREVER]), sink)
    run.advance(29)
    assert sink.commits == []
    run.advance(1)
    assert (len(sink.groups[0]), sink.watermarks) == (5, [50])
    run.stop()


def test_a_watermark_without_rows_is_committed_at_most_every_idle_interval_and_on_stop() -> None:
    sink = Recorder(Grouping(idle=300))
    steps = [step for n in range(1, 100) for step in (numbers(0, 0, n), Wait(10))]
    run = Run(Script(steps), sink)
    run.advance(650)
    assert sink.times == [300.0, 600.0]
    run.stop()
    assert sink.watermarks[-1] == 66
    assert sink.groups == [[], [], []]


def test_a_stop_without_news_commits_nothing() -> None:
    sink = Recorder(stored=Position(stream={"n": 5}))
    run = Run(Script([numbers(0, 0, 5), FOREVER]), sink)
    run.stop()
    assert sink.commits == []


def test_the_source_goes_on_from_the_stored_watermark() -> None:
    source = Script([FOREVER])
    Run(source, Recorder(stored=Position(stream={"n": 41}))).stop()
    assert source.started_with == [{"n": 41}]


def test_a_stream_that_ends_by_itself_at_a_watermark_is_complete() -> None:
    sink = Recorder()
    assert Run(Script([numbers(0, 3, 3)]), sink).end().completed
    assert sink.watermarks == [3]


def test_a_stream_that_ends_with_rows_that_no_watermark_covers_is_an_error() -> None:
    sink = Recorder()
    run = Run(Script([numbers(0, 3, 3), numbers(3, 5)]), sink)
    with pytest.raises(FatalStreamError) as caught:
        run.end()
    assert str(caught.value) == (
        "Script ended with 2 rows after its last watermark, which can never be committed: "
        "give the last batch a watermark"
    )
    assert sink.watermarks == [3]


def test_a_batch_of_another_schema_fails_and_what_came_before_is_committed() -> None:
    sink = Recorder()
    other = Batch(pa.record_batch({"n": pa.array(["x"])}), {"n": 4})
    run = Run(Script([numbers(0, 3, 3), other]), sink)
    with pytest.raises(SchemaInconsistentError) as caught:
        run.end()
    assert str(caught.value) == (
        "Script emitted a batch that does not have its schema: column 'n' is string instead of int64"
    )
    assert (sink.groups, sink.watermarks) == ([[span(0, 3)]], [3])


def test_a_source_may_let_a_changed_schema_begin_a_new_group() -> None:
    sink = Recorder(Grouping(rows=100))
    source = Script([numbers(0, 3, 3), Batch(pa.record_batch({"n": pa.array(["x"])}), {"n": 4}), FOREVER])
    source.schema_changes = "new_part"
    Run(source, sink).stop()
    assert sink.groups == [[span(0, 3), ["x"]]]


def test_quarantined_rows_are_committed_with_the_watermark_that_covers_them() -> None:
    sink = Recorder(Grouping(rows=100, within=5))
    bad, later = QuarantinedRow("too long", "row 1", "{}"), QuarantinedRow("too short", "row 9", "{}")
    run = Run(Script([numbers(0, 0, 1, [bad]), numbers(0, 0, None, [later]), FOREVER]), sink)
    run.advance(5)
    assert (sink.set_aside, sink.watermarks) == ([bad], [1])
    run.stop()
    assert sink.set_aside == [bad]


@pytest.mark.parametrize("call", ["open", "write", "commit"])
def test_an_error_of_the_sink_ends_the_run_and_closes_source_and_sink(call: str) -> None:
    sink, source = Recorder(Grouping(rows=3)), Script([numbers(0, 3, 3), FOREVER])
    sink.fail_on = call
    run = Run(source, sink)
    with pytest.raises(OSError, match=f"{call} failed"):
        run.end()
    assert sink.closed == 1
    assert source.closed == len(source.started_with)
    assert sink.commits == []


# Backfills.


def test_a_backfill_commits_everything_at_its_end_and_tells_where_streaming_goes_on() -> None:
    sink = Recorder()
    source = Script([numbers(0, 3), numbers(3, 5)], begin={"n": 100})
    summary = Run(source, sink, backfilling=True).end()
    (_, position) = sink.commits[-1]
    assert summary.completed
    assert sink.groups == [[span(0, 5)]]
    assert position.backfill is not None
    assert (position.backfill.state, position.stream) == (BackfillState.COMPLETED, {"n": 100})


def test_a_backfill_keeps_the_streams_position_until_it_completes() -> None:
    sink = Recorder(Grouping(rows=3), stored=Position(stream={"n": 7}))
    Run(Script([numbers(0, 3, 3), FOREVER], begin={"n": 100}), sink, backfilling=True).stop()
    (_, position) = sink.commits[-1]
    assert position.stream == {"n": 7}
    assert position.backfill is not None
    assert (position.backfill.watermark, position.backfill.stream) == ({"n": 3}, {"n": 100})
    assert position.backfill.state is BackfillState.RUNNING


def test_an_interrupted_backfill_with_the_same_id_resumes_at_its_watermark() -> None:
    sink = Recorder(Grouping(rows=3))
    Run(Script([numbers(0, 3, 3), FOREVER]), sink, backfilling=True, backfill_id="b1").stop()
    source = Script([numbers(3, 6, 6)])
    again = Recorder(stored=sink.stored)
    assert Run(source, again, backfilling=True, backfill_id="b1").end().completed
    assert source.started_with == [{"n": 3}]
    assert again.begun == []


@pytest.mark.parametrize(
    ("first", "second", "resumes"),
    [("a", "a", True), ("a", "b", False), (None, None, True), ("a", None, True), (None, "b", False)],
)
def test_which_unfinished_backfill_resumes(first: str | None, second: str | None, resumes: bool) -> None:
    sink = Recorder(Grouping(rows=3))
    Run(Script([numbers(0, 3, 3), FOREVER]), sink, backfilling=True, backfill_id=first).stop()
    again = Recorder(stored=sink.stored)
    source = Script([])
    Run(source, again, backfilling=True, backfill_id=second).end()
    assert source.started_with == ([{"n": 3}] if resumes else [None])
    assert len(again.begun) == (0 if resumes else 1)


def test_a_completed_backfill_with_the_same_id_has_nothing_left_to_do() -> None:
    sink = Recorder()
    Run(Script([numbers(0, 3)]), sink, backfilling=True, backfill_id="b").end()
    source, again = Script([numbers(0, 3)]), Recorder(stored=sink.stored)
    assert Run(source, again, backfilling=True, backfill_id="b").end().completed
    assert (source.started_with, again.commits, again.begun) == ([], [], [])


def test_a_finished_backfill_without_an_id_starts_anew() -> None:
    sink = Recorder()
    Run(Script([numbers(0, 3)]), sink, backfilling=True).end()
    source = Script([numbers(0, 3)])
    Run(source, Recorder(stored=sink.stored), backfilling=True).end()
    assert source.started_with == [None]


def test_an_unfinished_backfill_of_another_schema_starts_anew() -> None:
    sink = Recorder(Grouping(rows=3))
    Run(Script([numbers(0, 3, 3), FOREVER]), sink, backfilling=True, backfill_id="b").stop()
    source = Script([])
    source.schema = pa.schema([("n", pa.string())])
    again = Recorder(stored=sink.stored)
    Run(source, again, backfilling=True, backfill_id="b").end()
    assert source.started_with == [None]
    assert len(again.begun) == 1


def test_a_source_without_a_backfill_says_so() -> None:
    class StreamOnly(Script):
        def backfill(self, watermark: object) -> object:  # type: ignore[override]
            return super(Script, self).backfill(None)

    with pytest.raises(ConfigurationError, match=r"^StreamOnly has no backfill: give it a method backfill, or run "):
        Run(StreamOnly([]), Recorder(), backfilling=True).end()


class Panic(BaseException):
    """As a library's Rust code raises it: no Exception."""


@pytest.mark.parametrize("call", ["open", "write", "commit"])
def test_a_panic_in_the_sink_commits_nothing_more_and_is_not_the_sources_error(call: str) -> None:
    class Panicking(Recorder):
        def _maybe_fail(self, step: str) -> None:
            if step == call:
                raise Panic("unwrap on None")

    sink = Panicking(Grouping(rows=3))
    run = Run(Script([numbers(0, 2, 2), numbers(2, 9, 9), FOREVER]), sink)
    with pytest.raises(FatalStreamError) as caught:
        run.end()
    assert str(caught.value) == "the sink ended its thread: Panic('unwrap on None')"
    assert sink.commits == []


def test_a_sink_that_was_never_opened_is_not_closed() -> None:
    def broken(data: pa.RecordBatch) -> pa.RecordBatch:
        raise ValueError("no")

    sink = Recorder()
    with pytest.raises(ValueError, match="no"):
        Run(Script([]), sink, map_batches(broken)).end()
    assert sink.closed == 0


def test_a_sink_may_take_long_to_open_also_behind_a_prefetch() -> None:
    class SlowToOpen(Recorder):
        def open(self, run: SinkRun) -> Position:
            run.clock.wait_for(lambda: False, run.clock.monotonic() + 600)
            return super().open(run)

    sink = SlowToOpen(Grouping(rows=3))
    run = Run(Script([numbers(0, 3, 3)]), sink, prefetch(1000))
    run.advance(600)
    assert run.end().completed
    assert sink.groups == [[span(0, 3)]]


def test_many_quarantined_rows_are_committed_like_many_rows() -> None:
    sink = Recorder(Grouping(rows=10, within=1000))
    bad = [QuarantinedRow("x", str(n), "y") for n in range(10)]
    run = Run(Script([numbers(0, 0, 1, bad), FOREVER]), sink)
    assert (len(sink.set_aside), sink.watermarks) == (10, [1])
    run.stop()

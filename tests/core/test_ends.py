"""How a run ends when operators, sources or the sink do not play along."""

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
import reactivex as rx
from reactivex import operators as ops

from arcane_framework import (
    BackfillState,
    Batch,
    ConfigurationError,
    FatalStreamError,
    Grouping,
    KillSwitch,
    Operator,
    QuarantinedRow,
    Source,
    TransientStreamError,
    Wait,
    Watermark,
)
from arcane_framework.operators import gather, map_batches, prefetch, rebatch
from tests.core.graphs import NUMBERS, Recorder, Run, Script, numbers

FOREVER = Wait(None)


def no_more(batch: Batch) -> Batch:
    if batch.num_rows and batch.data.column(0)[0].as_py() >= 20:
        raise ValueError("no more")
    return batch


EARLY_ENDS: dict[str, list[Operator]] = {
    "take behind a prefetch": [prefetch(1 << 20), ops.take(3)],
    "an error caught behind a prefetch": [prefetch(1 << 20), ops.map(no_more), ops.catch(rx.empty())],
    "a rebatch in between": [rebatch(rows=7), prefetch(1 << 20), ops.take(2)],
}


@pytest.mark.parametrize("operators", EARLY_ENDS.values(), ids=EARLY_ENDS)
def test_a_backfill_that_an_operator_cuts_short_is_never_complete(operators: list[Operator]) -> None:
    sink = Recorder(Grouping(rows=10))
    source = Script([numbers(n, n + 10, n + 10) for n in range(0, 50, 10)])
    with pytest.raises(FatalStreamError, match="an operator ended the backfill before its source did"):
        Run(source, sink, *operators, backfilling=True).end()
    assert all(position.backfill.state is BackfillState.RUNNING for _, position in sink.commits if position.backfill)


@pytest.mark.parametrize("operators", [[], [prefetch(1000)], [rebatch(rows=7)], [map_batches(lambda rows: rows)]])
def test_a_backfill_that_is_read_to_its_end_is_complete(operators: list[Operator]) -> None:
    source = Script([numbers(n, n + 10) for n in range(0, 50, 10)])
    assert Run(source, Recorder(), *operators, backfilling=True).end().completed


class LooksItself(Source):
    """Ends its generator when it sees that it is told to stop."""

    schema = NUMBERS

    def __init__(self, kill_switch: Callable[[], KillSwitch]) -> None:
        self.kill_switch = kill_switch

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        for n in range(0, 50, 10):
            yield numbers(n, n + 10, n + 10)
            yield Wait(1)
            if self.kill_switch().stopped:
                return

    backfill = stream


@pytest.mark.parametrize("gathered", [False, True])
def test_a_source_that_ends_because_it_was_told_to_stop_has_not_come_to_its_end(gathered: bool) -> None:
    runs: list[Run] = []
    source: Source = LooksItself(lambda: runs[0].kill_switch)
    sink = Recorder(Grouping(rows=10))
    runs.append(Run(gather([source], 1000) if gathered else source, sink, backfilling=True, begin=False))
    runs[0].begin()
    runs[0].advance(2)
    assert not runs[0].stop().completed
    assert sink.stored.backfill is not None
    assert sink.stored.backfill.state is BackfillState.RUNNING


def test_a_watermark_that_its_source_goes_on_changing_is_the_one_that_was_emitted() -> None:
    position = {"n": 0}

    def steps() -> Iterator[Batch | Wait]:
        for n in range(0, 12, 4):
            position["n"] = n + 4
            yield Batch(numbers(n, n + 4).data, position)
            position["n"] = 999
            yield Wait(3)

    for source in (Script(steps()), gather([Script(steps())], 1000)):
        sink = Recorder(Grouping(rows=100))
        run = Run(source, sink)
        run.advance(4)
        run.stop()
        assert "999" not in str(sink.stored)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_a_watermark_that_would_not_come_back_as_it_is_is_refused(value: Any) -> None:
    with pytest.raises(FatalStreamError, match="'n' is not"):
        Run(Script([Batch(numbers(0, 1).data, {"n": value})]), Recorder()).end()


NEVER_ENDING: dict[str, Operator] = {
    "merge": ops.merge(rx.never()),
    "concat": ops.concat(rx.never()),
    "publish": ops.publish(),
    "delay": ops.delay(3600),
}


@pytest.mark.parametrize("operator", NEVER_ENDING.values(), ids=NEVER_ENDING)
def test_a_stop_ends_a_chain_that_keeps_its_end_to_itself(operator: Operator) -> None:
    sink = Recorder(Grouping(rows=3))
    run = Run(Script([numbers(0, 3, 3), FOREVER]), sink, operator)
    run.kill_switch.stop()
    run.advance(1)
    assert not run.end().completed


def test_an_endless_retry_is_refused_and_does_not_spin() -> None:
    run = Run(Script([numbers(0, 3, 3), ValueError("broken")]), Recorder(), ops.retry())
    with pytest.raises(ConfigurationError, match="a source is subscribed once"):
        run.end()


def test_a_stop_does_not_write_what_a_prefetch_holds() -> None:
    class Slow(Recorder):
        def write(self, group: pa.Table) -> None:
            assert self.run is not None
            self.run.clock.wait_for(lambda: False, self.run.clock.monotonic() + 10)
            super().write(group)

    sink = Slow(Grouping(rows=10))
    run = Run(Script([*[numbers(n, n + 10, n + 10) for n in range(0, 1000, 10)], FOREVER]), sink, prefetch(1 << 20))
    run.advance(15)
    run.kill_switch.stop()
    run.advance(10)
    assert not run.end().completed
    assert sink.watermarks == [10, 20]


@pytest.mark.parametrize("error", [OSError("aborted"), TransientStreamError("aborted")])
def test_an_error_of_a_source_that_is_told_to_stop_is_its_stop(error: Exception) -> None:
    runs: list[Run] = []

    def steps() -> Iterator[Batch]:
        yield numbers(0, 3, 3)
        runs[0].clock.wait_for(lambda: runs[0].kill_switch.stopped)
        raise error

    sink = Recorder(Grouping(rows=100))
    runs.append(Run(Script(steps()), sink, begin=False))
    runs[0].begin()
    assert not runs[0].stop().completed
    assert sink.watermarks == [3]


def test_an_operator_that_raises_behind_a_prefetch_closes_the_sink() -> None:
    def raising(source: rx.Observable[Batch]) -> rx.Observable[Batch]:
        def subscribe(observer: Any, scheduler: Any = None) -> Any:
            def on_next(batch: Batch) -> None:
                if batch.num_rows > 3:
                    raise KeyError("broken")
                observer.on_next(batch)

            return source.subscribe(on_next, observer.on_error, observer.on_completed, scheduler=scheduler)

        return rx.Observable(subscribe)

    sink, source = Recorder(Grouping(rows=100)), Script([numbers(0, 3, 3), numbers(3, 9, 9), FOREVER])
    with pytest.raises(KeyError):
        Run(source, sink, prefetch(1000), raising).end()
    assert (sink.watermarks, sink.closed, source.closed) == ([3], 1, 1)


def test_rows_set_aside_are_kept_on_a_stop_also_when_the_watermark_does_not_move() -> None:
    bad = QuarantinedRow("x", "row 1", "{}")
    sink = Recorder()
    run = Run(Script([numbers(0, 0, 1), FOREVER]), sink)
    run.stop()
    again = Recorder(stored=sink.stored)
    Run(Script([numbers(0, 0, 1, [bad]), FOREVER]), again).stop()
    assert again.set_aside == [bad]


def test_more_rows_than_can_be_held_are_not_set_aside() -> None:
    bad = QuarantinedRow("x", "row 1", "y" * (1 << 20))
    with pytest.raises(FatalStreamError, match="more than 64 MiB of rows were set aside since the last commit"):
        Run(Script([numbers(0, 0, None, [bad])] * 70), Recorder(), backfilling=True).end()


def test_covered_rows_of_two_schemas_are_written_again_one_by_one() -> None:
    sink = Recorder(Grouping(rows=10))
    text = Batch(pa.record_batch({"n": pa.array(["x"])}), {"n": 4})
    more = Batch(pa.record_batch({"n": pa.array(["y"] * 30)}))
    source = Script([numbers(0, 3, 3), text, more, FOREVER])
    source.schema_changes = "new_part"
    Run(source, sink).stop()
    assert (sink.groups, sink.watermarks) == ([[[0, 1, 2], ["x"]]], [4])


def test_an_interval_without_end_is_no_error() -> None:
    sink = Recorder(Grouping(rows=10, idle=float("inf"), within=1e12))
    Run(Script([numbers(0, 3, 3), Wait(1e12), FOREVER]), sink).stop()
    assert sink.watermarks == [3]


def test_operators_that_look_again_and_again_use_the_graphs_clock() -> None:
    sink = Recorder(Grouping(rows=1))
    steps = [step for n in range(6) for step in (numbers(n, n + 1, n + 1), Wait(1))]
    run = Run(Script([*steps, FOREVER]), sink, ops.sample(2.5))
    run.advance(20)
    run.kill_switch.stop()
    run.advance(1)
    run.end()
    assert [value for groups in sink.groups for group in groups for value in group] != []


def test_a_few_rows_of_a_large_batch_do_not_hold_it() -> None:
    from arcane_framework._core.group_buffer import GroupBuffer

    buffer = GroupBuffer(1000, 1 << 30)
    large = numbers(0, 1_000_000).data
    assert list(buffer.fill(large.slice(5, 2), 16)) == []
    (held,) = buffer.slices
    assert held.column(0).to_pylist() == [5, 6]
    assert held.get_total_buffer_size() < 100


def test_a_deadline_that_is_moved_a_thousand_times_is_one_entry() -> None:
    from arcane_framework._core.segment import Segment
    from arcane_framework.testing import VirtualClock

    clock, fired = VirtualClock(), list[float]()
    segment = Segment(clock, KillSwitch(clock))
    timer = segment.timer(lambda: fired.append(clock.monotonic()))
    for n in range(1000):
        timer.set(3600 + n)
    assert len(segment._deadlines) == 1
    timer.set(10)
    timer.set(20)
    timer.clear()
    timer.set(30)
    clock.advance(25)
    segment.run_due()
    assert fired == []
    clock.advance(5)
    segment.run_due()
    assert fired == [30]
    clock.advance(5000)
    segment.run_due()
    assert (fired, segment.idle) == ([30], True)

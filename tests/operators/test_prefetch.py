from collections.abc import Iterator

import pyarrow as pa
import pytest
from reactivex import operators as ops

from arcane_framework import (
    Batch,
    ConfigurationError,
    Grouping,
    QuarantinedRow,
    TransientStreamError,
    Wait,
    Watermark,
)
from arcane_framework.operators import prefetch, rebatch
from tests.core.graphs import Recorder, Run, Script, numbers

FOREVER = Wait(None)


def test_rows_arrive_in_order_with_their_watermarks() -> None:
    sink = Recorder(Grouping(rows=5))
    steps = [numbers(n, n + 5, n + 5) for n in range(0, 500, 5)]
    Run(Script([*steps, FOREVER]), sink, prefetch(1000)).stop()
    assert [value for groups in sink.groups for group in groups for value in group] == list(range(500))
    assert sink.watermarks[-1] == 500


def test_an_error_arrives_behind_the_batches_before_it() -> None:
    sink = Recorder(Grouping(rows=100))
    run = Run(Script([numbers(0, 3, 3), TransientStreamError("gone")]), sink, prefetch(1000))
    with pytest.raises(TransientStreamError, match="gone"):
        run.end()
    assert sink.groups == [[[0, 1, 2]]]


def test_a_source_is_held_back_at_the_bytes() -> None:
    pulled: list[int] = []
    blocked: list[int] = []

    class Counting(Script):
        def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
            for n in range(100):
                pulled.append(n)
                yield numbers(n * 100, n * 100 + 100, n)

    class Slow(Recorder):
        def write(self, group: pa.Table) -> None:
            assert self.run is not None
            self.run.clock.wait_for(lambda: False, self.run.clock.monotonic() + 10)
            blocked.append(len(pulled))
            super().write(group)

    # A batch has 800 bytes: 3 are held, one waits for room, one is with the sink.
    run = Run(Counting([]), Slow(Grouping(rows=100)), prefetch(2400))
    run.advance(2000)
    assert run.end().completed
    assert all(ahead <= index + 6 for index, ahead in enumerate(blocked))
    assert len(blocked) == 100


def test_a_batch_larger_than_the_bytes_passes_alone() -> None:
    sink = Recorder(Grouping(rows=1000))
    Run(Script([numbers(0, 1000, 1000), numbers(1000, 1001, 1001)]), sink, prefetch(8)).end()
    assert sink.watermarks == [1000, 1001]


def test_disposal_reaches_a_source_that_waits_for_room_and_one_that_waits() -> None:
    for last in ([numbers(n, n + 9, n + 9) for n in range(100)], [Wait(None)]):
        source, sink = Script([numbers(0, 3, 3), *last]), Recorder(Grouping(rows=3))
        sink.fail_on = "write"
        run = Run(source, sink, prefetch(16))
        with pytest.raises(OSError, match="write failed"):
            run.end()
        assert source.closed == 1


def test_a_stop_delivers_what_is_on_its_way() -> None:
    sink = Recorder(Grouping(rows=100))
    run = Run(Script([numbers(0, 3, 3), FOREVER]), sink, prefetch(1000), prefetch(1000))
    run.stop()
    assert sink.groups == [[[0, 1, 2]]]


def test_deadlines_on_both_sides_are_kept_by_their_own_threads() -> None:
    sink = Recorder(Grouping(rows=100, within=3))
    run = Run(Script([numbers(0, 3, 3), FOREVER]), sink, rebatch(rows=50, within=2), prefetch(1000))
    run.advance(2.9)
    assert sink.commits == []
    run.advance(0.1)
    assert sink.times == [3.0]
    run.stop()


def test_an_error_of_an_operator_upstream_is_the_runs_error() -> None:
    def broken(batch: Batch) -> Batch:
        raise KeyError("missing")

    source = Script([numbers(0, 3, 3)])
    with pytest.raises(KeyError):
        Run(source, Recorder(), ops.map(broken), prefetch(1000)).end()


def test_bytes_must_be_positive() -> None:
    with pytest.raises(ConfigurationError, match="prefetch: nbytes must be greater than zero, not 0"):
        prefetch(0)


def test_batches_without_rows_and_quarantined_texts_are_held_back_too() -> None:
    text = QuarantinedRow("too long", "row 1", "x" * 1000)
    for batch in (numbers(0, 0, 1), numbers(0, 0, 1, [text])):
        source, runs = Script([batch] * 1000), list[Run]()

        def slowly(_: Batch, runs: list[Run] = runs) -> None:
            runs[0].clock.wait_for(lambda: False, runs[0].clock.monotonic() + 10)

        runs.append(Run(source, Recorder(), prefetch(2000), ops.do_action(slowly), begin=False))
        runs[0].begin()
        runs[0].advance(50)
        assert source.pulled < 50
        runs[0].kill_switch.stop()
        runs[0].advance(1000)
        runs[0].end()

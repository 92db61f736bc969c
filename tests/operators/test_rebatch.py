from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import operators as ops

from arcane_framework import Batch, ConfigurationError, Grouping, QuarantinedRow, Wait
from arcane_framework.operators import rebatch
from tests.core.graphs import Recorder, Run, Script, numbers

FOREVER = Wait(None)


class Seen:
    """An operator that notes what passes: rows and watermark of each batch."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.operator: Any = ops.do_action(self.batches.append)

    @property
    def summary(self) -> list[tuple[list[int], int | None]]:
        """Rows and watermark of each batch but the first, which tells the schema."""
        return [
            (batch.data.column(0).to_pylist(), None if batch.watermark is None else batch.watermark["n"])
            for batch in self.batches[1:]
        ]


def test_small_batches_are_merged_and_large_ones_split_at_exactly_the_rows() -> None:
    seen = Seen()
    steps: list[Batch | Wait] = [numbers(0, 7, 7), numbers(7, 14, 14), FOREVER]
    Run(Script(steps), Recorder(), rebatch(rows=10), seen.operator).stop()
    assert seen.summary == [(list(range(10)), None), (list(range(10, 14)), 14)]


def test_rows_are_held_no_longer_than_within() -> None:
    seen = Seen()
    run = Run(Script([numbers(0, 3, 3), FOREVER]), Recorder(), rebatch(rows=10, within=2), seen.operator)
    run.advance(1.9)
    assert seen.summary == []
    run.advance(0.1)
    assert seen.summary == [([0, 1, 2], 3)]
    run.stop()


def test_rows_beyond_the_last_watermark_are_passed_on_behind_it_without_one() -> None:
    seen = Seen()
    steps: list[Batch | Wait] = [numbers(0, 3, 3), numbers(3, 5), FOREVER]
    run = Run(Script(steps), Recorder(), rebatch(rows=10, within=timedelta(seconds=2)), seen.operator)
    run.advance(2)
    assert seen.summary == [([0, 1, 2], 3), ([3, 4], None)]
    run.stop()


def test_a_watermark_without_rows_is_passed_on_when_nothing_is_held() -> None:
    seen = Seen()
    Run(Script([numbers(0, 0, 3), FOREVER]), Recorder(), rebatch(rows=10), seen.operator).stop()
    assert seen.summary == [([], 3)]


def test_what_is_held_is_passed_on_when_the_stream_ends_or_fails() -> None:
    for end in (FOREVER, ValueError("broken")):
        sink = Recorder(Grouping(rows=100))
        run = Run(Script([numbers(0, 3, 3), numbers(3, 5), end]), sink, rebatch(rows=10))
        run.kill_switch.stop()
        run.advance(0)
        assert run.result.exception(10) is None or isinstance(end, ValueError)
        assert sink.groups == [[[0, 1, 2]]]


def test_batches_are_cut_by_their_bytes() -> None:
    seen = Seen()
    Run(Script([numbers(0, 10, 10), FOREVER]), Recorder(), rebatch(nbytes=32), seen.operator).stop()
    assert [len(rows) for rows, _ in seen.summary] == [4, 4, 2]
    assert seen.summary[-1][1] == 10


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"rows": 0}, "rebatch: rows must be greater than zero, not 0"),
        ({"rows": 5, "within": -1}, "rebatch: within must be greater than zero, not -1"),
        ({"nbytes": -5}, "rebatch: nbytes must be greater than zero, not -5"),
        ({"within": 5}, "rebatch needs rows or nbytes, or it would hold everything"),
    ],
)
def test_bounds_that_bound_nothing_are_refused(bounds: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        rebatch(**bounds)
    assert str(caught.value) == message


steps = st.lists(st.tuples(st.integers(0, 12), st.booleans(), st.booleans(), st.booleans()), max_size=25)


@given(steps=steps, rows=st.integers(1, 12), within=st.sampled_from([None, 2]))
def test_nothing_is_lost_doubled_or_moved_and_no_watermark_passes_a_row(
    steps: list[tuple[int, bool, bool, bool]], rows: int, within: float | None
) -> None:
    script: list[Batch | Wait] = []
    at = bad = 0
    for count, marked, wait, misfit in steps:
        at += count
        quarantined = [QuarantinedRow("bad", str(bad), "")] if misfit else []
        bad += len(quarantined)
        script.append(numbers(at - count, at, at if marked else None, quarantined))
        if wait:
            script.append(Wait(1))
    seen = Seen()
    run = Run(Script([*script, FOREVER]), Recorder(), rebatch(rows=rows, within=within), seen.operator)
    run.advance(100)
    run.stop()
    values = [value for batch, _ in seen.summary for value in batch]
    assert values == list(range(at))
    assert all(len(batch) <= rows for batch, _ in seen.summary)
    marks = [mark for _, mark in seen.summary if mark is not None]
    assert marks == sorted(marks)
    position = 0
    for batch, mark in seen.summary:
        position += len(batch)
        assert mark is None or mark == position
    assert [row.location for batch in seen.batches for row in batch.quarantined] == [str(n) for n in range(bad)]

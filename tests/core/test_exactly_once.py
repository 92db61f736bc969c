"""Random streams, stopped anywhere and started again: every row once, in order, groups as they must be."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from arcane_framework import Batch, Grouping, Operator, Position, Source, Wait, Watermark
from arcane_framework.operators import prefetch, rebatch
from tests.core.graphs import NUMBERS, Recorder, Run, numbers

Step = tuple[int, bool, int]
"""Rows, whether a watermark follows them, seconds to wait afterwards."""


class Replayed(Source):
    """Emits its steps; goes on behind the watermark's step."""

    schema = NUMBERS

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        first = 0 if watermark is None else watermark["n"]
        at = sum(rows for rows, _, _ in self.steps[:first])
        for index, (rows, mark, seconds) in enumerate(self.steps[first:], start=first + 1):
            yield numbers(at, at + rows, index if mark else None)
            at += rows
            if seconds:
                yield Wait(seconds)
        yield numbers(at, at, len(self.steps))
        yield Wait(None)


STEPS = st.lists(st.tuples(st.integers(0, 15), st.booleans(), st.integers(0, 4)), max_size=20)
OPERATORS: list[list[Operator]] = [[], [prefetch(100)], [rebatch(rows=4, within=1)], [prefetch(64), rebatch(rows=7)]]


@given(
    steps=STEPS,
    stops=st.lists(st.integers(0, 20), max_size=4),
    rows=st.integers(1, 20),
    within=st.integers(1, 6),
    operators=st.sampled_from(OPERATORS),
)
def test_every_row_is_committed_once_and_in_order_wherever_the_stream_is_stopped(
    steps: list[Step], stops: list[int], rows: int, within: int, operators: list[Operator]
) -> None:
    committed: list[int] = []
    stored = Position()
    for stop in [*stops, 1000]:
        sink = Recorder(Grouping(rows=rows, within=within), stored=stored)
        run = Run(Replayed(steps), sink, *operators)
        run.advance(stop)
        run.stop()
        for groups, position in sink.commits:
            committed += [value for group in groups for value in group]
            assert position.stream is not None
            covered = sum(count for count, _, _ in steps[: position.stream["n"]])
            assert committed == list(range(covered)), "what is visible is what the watermark covers"
            assert all(len(group) <= rows for group in groups)
        stored = sink.stored
    assert len(committed) == sum(count for count, _, _ in steps)


@given(steps=STEPS, rows=st.integers(1, 20), within=st.integers(1, 6))
def test_no_row_that_a_watermark_covers_waits_longer_than_the_interval(
    steps: list[Step], rows: int, within: int
) -> None:
    sink = Recorder(Grouping(rows=rows, within=within))
    run = Run(Replayed(steps), sink)
    arrived, clock, at = [], 0, 0
    for count, mark, seconds in steps:
        at += count
        if mark and count:
            arrived.append((clock, at))
        clock += seconds
    run.advance(clock + 100)
    run.stop()
    for moment, covered in arrived:
        visible, when = 0, None
        for (groups, _), time in zip(sink.commits, sink.times, strict=True):
            visible += sum(len(group) for group in groups)
            if visible >= covered:
                when = time
                break
        assert when is not None
        straddled = any(not mark for _, mark, _ in steps)
        assert straddled or when - moment <= within

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcane_framework import (
    Batch,
    ConfigurationError,
    FatalStreamError,
    Grouping,
    Source,
    SourceTags,
    TransientStreamError,
    Wait,
    Watermark,
)
from arcane_framework.operators import gather
from tests.core.graphs import NUMBERS, Recorder, Run, Script, numbers

FOREVER = Wait(None)


class Range(Source):
    """Rows from `start` to `stop`, `size` a batch, a watermark every `every` batches; resumes after one."""

    schema = NUMBERS

    def __init__(self, start: int, stop: int, size: int = 3, every: int = 1) -> None:
        self.start, self.stop, self.size, self.every = start, stop, size, every
        self.tags = SourceTags("range", str(start))
        self.started_with: list[Watermark | None] = []

    def backfill(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        self.started_with.append(watermark)
        at = self.start if watermark is None else watermark["at"]
        count = 0
        while at < self.stop:
            end = min(at + self.size, self.stop)
            count += 1
            batch = numbers(at, end)
            yield Batch(batch.data, {"at": end} if count % self.every == 0 else None)
            at = end

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        yield from self.backfill(watermark)
        yield FOREVER

    def begin_backfill(self) -> Watermark:
        return {"at": self.stop}


def flat(sink: Recorder) -> list[int]:
    return [value for groups in sink.groups for group in groups for value in group]


def test_every_row_of_every_part_arrives_once_and_each_part_in_order() -> None:
    sink = Recorder(Grouping(rows=7))
    parts = [Range(0, 100), Range(1000, 1100, size=5), Range(2000, 2010, every=99)]
    assert Run(gather(parts, 1 << 20), sink, backfilling=True).end().completed
    values = flat(sink)
    assert sorted(values) == [*range(100), *range(1000, 1100), *range(2000, 2010)]
    for low in (0, 1000, 2000):
        part = [value for value in values if low <= value < low + 1000]
        assert part == sorted(part)


def test_the_streams_position_after_a_backfill_holds_every_parts() -> None:
    sink = Recorder()
    source = gather({"a": Range(0, 10), "b": Range(50, 60)}, 1 << 20)
    Run(source, sink, backfilling=True).end()
    position = sink.commits[-1][1]
    assert position.stream == {"a": {"watermark": {"at": 10}}, "b": {"watermark": {"at": 60}}}


def test_a_stream_of_several_goes_on_from_the_vector() -> None:
    sink = Recorder(Grouping(rows=100))
    Run(gather({"a": Range(0, 10), "b": Range(50, 60)}, 1 << 20), sink, backfilling=True).end()
    parts = {"a": Range(0, 12), "b": Range(50, 60)}
    again = Recorder(Grouping(rows=100), stored=sink.stored)
    Run(gather(parts, 1 << 20), again).stop()
    assert flat(again) == [10, 11]
    assert parts["b"].started_with == [{"at": 60}]


def test_a_resumed_backfill_leaves_out_the_parts_that_are_done() -> None:
    sink = Recorder(Grouping(rows=1))
    stuck = Script([numbers(50, 53, 53), FOREVER])
    Run(gather({"a": Range(0, 3), "b": stuck}, 1 << 20), sink, backfilling=True, backfill_id="x").stop()
    parts: Mapping[str, Source] = {"a": Range(0, 3), "b": Script([numbers(53, 55, 55)])}
    again = Recorder(stored=sink.stored)
    assert Run(gather(parts, 1 << 20), again, backfilling=True, backfill_id="x").end().completed
    assert isinstance(parts["a"], Range)
    assert isinstance(parts["b"], Script)
    assert parts["a"].started_with == []
    assert parts["b"].started_with == [{"n": 53}]
    assert flat(sink) + flat(again) == [0, 1, 2, 50, 51, 52, 53, 54] or sorted(flat(sink) + flat(again)) == [
        0,
        1,
        2,
        *range(50, 55),
    ]


def test_while_a_part_is_between_two_watermarks_the_others_wait() -> None:
    sink = Recorder(Grouping(rows=1))
    long = Script([numbers(0, 3), Wait(60), numbers(3, 6, 6), FOREVER])
    other = Script([Wait(10), numbers(50, 53, 53), FOREVER])
    run = Run(gather({"long": long, "other": other}, 1 << 20), sink)
    run.advance(59)
    assert sink.commits == []
    run.advance(1)
    assert flat(sink) == [0, 1, 2, 3, 4, 5, 50, 51, 52]
    run.stop()


def test_an_error_of_one_part_ends_all() -> None:
    other = Script([numbers(50, 53, 53), FOREVER])
    run = Run(gather({"a": Script([Wait(1), TransientStreamError("gone")]), "b": other}, 1 << 20), Recorder())
    run.advance(1)
    with pytest.raises(TransientStreamError, match="gone"):
        run.end()
    assert other.closed == 1


def test_a_stream_part_that_ends_between_watermarks_is_an_error() -> None:
    run = Run(gather({"a": Script([numbers(0, 3)]), "b": Script([FOREVER])}, 1 << 20), Recorder())
    with pytest.raises(FatalStreamError, match="gather: source 'a' ended with rows after its last watermark"):
        run.end()


def test_each_part_is_held_back_at_its_share_of_the_bytes() -> None:
    class Slow(Recorder):
        def write(self, group: pa.Table) -> None:
            assert self.run is not None
            self.run.clock.wait_for(lambda: False, self.run.clock.monotonic() + 10)
            super().write(group)

    parts = [Script([numbers(n, n + 100, n) for n in range(50)]) for _ in range(4)]
    run = Run(gather(parts, 4 * 1600), Slow(Grouping(rows=100)), backfilling=True)
    # A batch has 800 bytes: of each part two are held and one waits for room; one is with the sink.
    assert sum(part.pulled for part in parts) <= 4 * 3 + 1
    run.advance(10 * 250)
    assert run.end().completed


@pytest.mark.parametrize(
    ("sources", "nbytes", "message"),
    [
        ([], 1, "gather needs at least one source"),
        ([Script([])], 0, "gather: nbytes must be greater than zero, not 0"),
    ],
)
def test_what_cannot_be_gathered_is_refused(sources: list[Source], nbytes: int, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        gather(sources, nbytes)
    assert str(caught.value) == message


def test_parts_of_different_schemas_are_refused() -> None:
    other = Script([])
    other.schema = pa.schema([("n", pa.string())])
    with pytest.raises(ConfigurationError, match="gather: source '1' has another schema than the first: column 'n'"):
        gather([Script([]), other], 1)


def test_positions_are_described_part_by_part() -> None:
    source = gather({"a": Range(0, 1), "b": Range(0, 1)}, 1)
    assert source.describe({"a": {"watermark": {"at": 3}}, "b": {"watermark": {"at": 1}, "done": True}}) == (
        "a: at=3; b: done"
    )


@given(
    sizes=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9), st.integers(1, 5)), min_size=1, max_size=5),
    kills=st.lists(st.integers(1, 30), max_size=4),
    rows=st.integers(1, 20),
)
def test_a_backfill_stopped_anywhere_and_resumed_delivers_every_row_once(
    sizes: list[tuple[int, int, int]], kills: list[int], rows: int
) -> None:
    def parts() -> list[Source]:
        return [Range(n * 1000, n * 1000 + count, size, every) for n, (count, size, every) in enumerate(sizes)]

    values: list[int] = []
    stored = None
    for kill in [*kills, None]:
        sink = Recorder(Grouping(rows=rows), stored=stored)
        run = _Stopping(gather(parts(), 1 << 20), sink, kill)
        summary = run.end()
        values += flat(sink)
        stored = sink.stored
        if summary.completed:
            break
    assert sorted(values) == [n * 1000 + i for n, (count, _, _) in enumerate(sizes) for i in range(count)]


class _Stopping(Run):
    """A backfill that is told to stop when `after` batches have passed."""

    def __init__(self, source: Source, sink: Recorder, after: int | None) -> None:
        seen = 0

        def count(batch: Batch) -> None:
            nonlocal seen
            seen += 1
            if after is not None and seen > after:
                self.kill_switch.stop()

        from reactivex import operators as ops

        super().__init__(source, sink, ops.do_action(count), backfilling=True, backfill_id="b")


def test_a_part_that_yields_something_else_is_named() -> None:
    run = Run(gather([Script(["rows"])], 1000), Recorder())  # type: ignore[list-item]
    with pytest.raises(FatalStreamError, match="Script yielded a str; a source yields Batch and Wait"):
        run.end()


def test_parts_that_treat_a_changed_schema_differently_are_refused() -> None:
    other = Script([])
    other.schema_changes = "new_part"
    with pytest.raises(ConfigurationError, match="gather: the sources must agree on schema_changes"):
        gather([Script([]), other], 1)


def test_the_moment_of_a_vector_is_its_oldest_parts() -> None:
    class Timed(Script):
        def moment(self, watermark: Watermark) -> datetime:
            return datetime(2026, 1, watermark["day"], tzinfo=UTC)

    source = gather({"a": Timed([]), "b": Timed([])}, 1)
    assert source.moment({"a": {"watermark": {"day": 3}}, "b": {"watermark": {"day": 2}}}) == datetime(
        2026, 1, 2, tzinfo=UTC
    )
    assert source.moment({"a": {"watermark": {"day": 3}}}) is None

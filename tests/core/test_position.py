from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcane_framework import BackfillState, FatalStreamError, Position, StreamIdentity

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
WATERMARKS = st.dictionaries(st.text(max_size=10), JSON, max_size=4)
IDENTITY = StreamIdentity("s", "K", backfilling=True, backfill_id="b")


@given(stream=st.none() | WATERMARKS, backfill=WATERMARKS, after=st.none() | WATERMARKS)
def test_a_position_survives_being_stored_as_text(stream: object, backfill: object, after: object) -> None:
    position = Position(stream=stream).begun(IDENTITY, "abcdefg", after)  # type: ignore[arg-type]
    position = position.moved(backfill, backfilling=True)  # type: ignore[arg-type]
    assert Position.model_validate_json(position.model_dump_json()) == position


def test_the_streams_position_is_replaced_only_when_the_backfill_completes() -> None:
    position = Position(stream={"n": 1}).begun(IDENTITY, "h", {"n": 50}).moved({"k": 3}, backfilling=True)
    assert position.stream == {"n": 1}
    done = position.completed({"n": 50})
    assert done.stream == {"n": 50}
    assert done.backfill is not None
    assert (done.backfill.state, done.backfill.watermark) == (BackfillState.COMPLETED, {"k": 3})


def test_each_beginning_has_a_generation_of_its_own() -> None:
    first, second = Position().begun(IDENTITY, "h", None), Position().begun(IDENTITY, "h", None)
    assert first.backfill is not None
    assert second.backfill is not None
    assert first.backfill.id == second.backfill.id == "b"
    assert first.backfill.generation != second.backfill.generation


def test_streaming_moves_only_the_streams_position() -> None:
    position = Position().begun(IDENTITY, "h", None).moved({"n": 9}, backfilling=False)
    assert position.stream == {"n": 9}
    assert position.backfill is not None
    assert position.backfill.watermark is None


@pytest.mark.parametrize("value", [{1, 2}, b"x", datetime(2026, 1, 1, tzinfo=UTC), {"a": object()}])
def test_a_watermark_that_is_no_json_is_refused_without_showing_it(value: object) -> None:
    with pytest.raises(FatalStreamError) as caught:
        Position().moved({"at": value}, backfilling=False)
    assert str(caught.value) == (
        "a watermark must be a JSON object of texts, numbers, booleans, nulls, lists and objects; 'at' is not"
    )


def test_a_watermark_is_copied_whole() -> None:
    inner: list[int] = [1]
    moved = Position().moved({"a": {"b": inner}}, backfilling=False)
    inner.append(2)
    assert moved.stream == {"a": {"b": [1]}}

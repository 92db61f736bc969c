"""Instants and days: as columns they are what they are one by one."""

from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcane_framework.schema.json_times import TIMESTAMP, day, days, instant, instants

DATES = st.builds("{:04}-{:02}-{:02}".format, st.integers(0, 9999), st.integers(1, 12), st.integers(1, 28))
CLOCKS = st.builds("{:02}:{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
FRACTIONS = st.just("") | st.text("0123456789", min_size=1, max_size=9).map(".{}".format)
OFFSETS = st.sampled_from(["", "Z", "+02:00", "-0330", "+02", "-23:59"])
INSTANTS = st.builds("{}{}{}{}{}".format, DATES, st.sampled_from("T "), CLOCKS, FRACTIONS, OFFSETS)
SHORTER = st.builds("{}T{}{}".format, DATES, CLOCKS.map(lambda clock: clock[:5]), OFFSETS) | DATES
WRONG = st.sampled_from(
    [
        "",
        "soon",
        "2024-02-30",
        "2024-05-01Z",
        "20240501T120000Z",
        "+024-05-01",
        "2024-05-01t12:00:00z",
        "2024-05-01T12:00\n",
        "2024-05-01T24:00:00Z",
        "2024-05-01T12:00:00+24:00",
        "2024-05-01T12:00:00.Z",
        "2024-05-01T12:00:00.1234567890Z",
        "2024-05-01T12:00:00.123456é9Z",
        "2024-05-01T12:00:00.12345678xZ",
        "2024-05-01T12:00:00.123456+01Z",
    ]
)


def one_by_one(read: Callable[[str], int], texts: list[str | None]) -> list[int | None] | None:
    try:
        return [None if text is None else read(text) for text in texts]
    except ValueError:
        return None


@given(
    st.lists(st.none() | INSTANTS, max_size=4) | st.lists(st.none() | INSTANTS | SHORTER, max_size=4),
    st.integers(0, 20),
    st.none() | WRONG,
)
def test_a_column_of_instants_is_what_its_texts_are(texts: list[str | None], before: int, wrong: str | None) -> None:
    texts = ["2024-05-01T12:00:00Z"] * before + texts + ([] if wrong is None else [wrong])
    right = one_by_one(instant, texts)
    column = pa.array(texts, pa.string())
    if right is None:
        with pytest.raises(pa.ArrowInvalid):
            instants(column)
    else:
        assert instants(column).type == TIMESTAMP
        assert instants(column).cast(pa.int64()).to_pylist() == right


@given(st.lists(st.none() | DATES | WRONG | st.dates().map(str), max_size=3))
def test_a_column_of_days_is_what_its_texts_are(texts: list[str | None]) -> None:
    right = one_by_one(day, texts)
    column = pa.array(texts, pa.string())
    if right is None:
        with pytest.raises(pa.ArrowInvalid):
            days(column)
    else:
        assert days(column).cast(pa.int32()).to_pylist() == right

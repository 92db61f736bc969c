"""Which Parquet columns get a dictionary."""

from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arcane_framework.sinks import ParquetSettings
from arcane_framework.sinks.dictionary_columns import LOOKED_AT_ROWS, dictionary_columns
from arcane_framework.sinks.parquet import parquet_writer

ROWS = 1000
MAP = pa.map_(pa.string(), pa.int64())


def table() -> pa.Table:
    return pa.table(
        {
            "id": range(ROWS),
            "country": ["DK", "DE", "US", None] * (ROWS // 4),
            "halves": [number // 2 for number in range(ROWS)],
            "thirds": [number * 2 // 3 for number in range(ROWS)],
            "active": [True, False] * (ROWS // 2),
            "nothing": pa.nulls(ROWS),
            "empty": pa.nulls(ROWS, pa.string()),
            "place": [{"city": "abc"[number % 3], "number": number} for number in range(ROWS)],
            "tags": [["x", "y"] if number % 2 else None for number in range(ROWS)],
            "numbers": [[number] for number in range(ROWS)],
            "lists": pa.array([[{"kind": "k"}]] * ROWS, pa.large_list(pa.struct([("kind", pa.string())]))),
            "map": pa.array([[("key", number)] for number in range(ROWS)], MAP),
            "a.dot": ["d"] * ROWS,
        }
    )


REPEATING = [
    "country",
    "halves",
    "place.city",
    "tags.list.element",
    "lists.list.element.kind",
    "a.dot",
]


def test_columns_that_repeat_their_values_are_chosen_nested_ones_by_their_path() -> None:
    assert dictionary_columns(table()) == REPEATING


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("auto", REPEATING),
        (("country", "id"), ["id", "country"]),
        (False, []),
        ((), []),
    ],
)
def test_a_file_has_dictionaries_where_the_setting_says(
    tmp_path: Path, setting: bool | tuple[str, ...] | Literal["auto"], expected: list[str]
) -> None:
    rows = table()
    with parquet_writer(tmp_path / "f", rows.schema, rows, ParquetSettings(dictionary=setting)) as writer:
        writer.write_table(rows)
    group = pq.read_metadata(tmp_path / "f").row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    assert [column.path_in_schema for column in columns if "RLE_DICTIONARY" in column.encodings] == expected
    assert pq.read_table(tmp_path / "f").equals(rows)


def test_the_first_rows_decide() -> None:
    late: list[Any] = ["same"] * LOOKED_AT_ROWS + [str(number) for number in range(LOOKED_AT_ROWS)]
    assert dictionary_columns(pa.table({"late": late, "early": late[::-1]})) == ["late"]


def test_a_single_row_needs_no_dictionary() -> None:
    assert dictionary_columns(table().slice(0, 1)) == []

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from arcane_framework.testing import Golden


@pytest.fixture
def writing(tmp_path: Path) -> Golden:
    return Golden(tmp_path, "test_it[a/b c]", update=True)


def test_a_file_is_named_by_its_test_with_characters_that_every_disk_takes(writing: Golden, tmp_path: Path) -> None:
    writing("text")
    assert [path.name for path in (tmp_path / "golden").iterdir()] == ["test_it-a-b-c.txt"]


def test_a_table_is_kept_with_its_schema(writing: Golden, tmp_path: Path) -> None:
    schema = pa.schema(
        [pa.field("id", pa.int32(), nullable=False), ("at", pa.timestamp("us", "UTC")), ("b", pa.binary())]
    )
    row = {"id": 1, "at": datetime(2026, 1, 1, tzinfo=UTC), "b": b"\x00\xff"}
    writing(pa.Table.from_pylist([row], schema=schema), "table.txt")
    assert (tmp_path / "golden" / "table.txt").read_text() == (
        "id: int32 not null\nat: timestamp[us, tz=UTC]\nb: binary\n\n"
        '{"id": 1, "at": "2026-01-01 00:00:00+00:00", "b": "00ff"}\n'
    )
    wider = pa.Table.from_pylist([row], schema=schema.set(0, pa.field("id", pa.int64(), nullable=False)))
    with pytest.raises(AssertionError, match=r"-id: int32 not null\n\+id: int64 not null"):
        Golden(tmp_path, "test_it")(wider, "table.txt")


def test_rows_are_kept_with_plain_texts_for_what_json_has_not(writing: Golden, tmp_path: Path) -> None:
    writing([{"amount": Decimal("1.10")}], "rows.jsonl")
    assert (tmp_path / "golden" / "rows.jsonl").read_text() == '{"amount": "1.10"}\n'
    Golden(tmp_path, "test_it")([{"amount": Decimal("1.10")}], "rows.jsonl")


def test_one_file_is_compared_once_in_a_test(writing: Golden) -> None:
    writing("first")
    with pytest.raises(AssertionError) as caught:
        writing("second")
    assert str(caught.value) == (
        "test_it-a-b-c.txt was compared before in this test: give each golden file its own name"
    )


def test_line_ends_alone_are_a_difference(writing: Golden, tmp_path: Path) -> None:
    writing("one\r\ntwo\r\n", "text.txt")
    Golden(tmp_path, "test_it")("one\r\ntwo\r\n", "text.txt")
    with pytest.raises(AssertionError, match=r"\(only the line ends differ\)$"):
        Golden(tmp_path, "test_it")("one\ntwo\n", "text.txt")

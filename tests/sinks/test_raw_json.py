"""Rows as raw JSON text: JSON lines sinks write them as they are, Parquet sinks refuse them."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arcane_framework import Batch, ConfigurationError, Grouping, Wait
from arcane_framework._core.raw_json import declared_schema, raw_json_schema
from arcane_framework._core.schema_hash import schema_hash
from arcane_framework.operators import rebatch
from arcane_framework.sinks import JsonLinesSink, ParquetSink
from arcane_framework.storage import LocalStorage
from tests.core.graphs import Run, Script

DECLARED = pa.schema([("id", pa.int64()), ("names", pa.list_(pa.string()))])
RAW = raw_json_schema(DECLARED)
ROWS = [f'{{"id": {number}, "unknown": "é\\n", "names":[ ]}}' for number in range(20)]


def source(*batches: list[str]) -> Script:
    script = Script(
        [
            Batch(pa.RecordBatch.from_arrays([pa.array(rows, pa.large_string())], schema=RAW), {"n": number})
            for number, rows in enumerate(batches)
        ]
        + [Wait(None)]
    )
    script.schema = RAW
    return script


def lines(folder: Path) -> list[str]:
    paths = sorted((folder / "s/data").iterdir())
    return [line for path in paths for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


@pytest.mark.parametrize("rows", [3, 7, 100])
def test_rows_are_written_byte_for_byte_however_they_are_cut(tmp_path: Path, rows: int) -> None:
    Run(source(ROWS[:9], [], ROWS[9:]), JsonLinesSink(LocalStorage(tmp_path), grouping=Grouping(rows=rows))).stop()
    assert lines(tmp_path) == ROWS
    assert json.loads(lines(tmp_path)[3]) == {"id": 3, "unknown": "é\n", "names": []}


def test_an_operator_that_regroups_leaves_rows_as_they_are(tmp_path: Path) -> None:
    sink = JsonLinesSink(LocalStorage(tmp_path), grouping=Grouping(rows=8))
    Run(source(ROWS[:9], ROWS[9:]), sink, rebatch(rows=4)).stop()
    assert lines(tmp_path) == ROWS


def test_names_and_schema_file_are_those_of_the_declared_schema(tmp_path: Path) -> None:
    Run(source(ROWS), JsonLinesSink(LocalStorage(tmp_path))).stop()
    short_name = schema_hash(DECLARED)
    assert schema_hash(RAW) == short_name
    (part,) = (tmp_path / "s/data").iterdir()
    assert part.name.endswith(f"-{short_name}.json")
    assert pq.read_schema(tmp_path / f"s/schema/schema-v0-{short_name}.parquet").equals(DECLARED)


def test_a_parquet_sink_refuses_raw_text_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        Run(source(ROWS), ParquetSink(LocalStorage(tmp_path))).end()
    assert str(error.value) == (
        "the source gives rows as raw JSON text, which a Parquet file cannot hold as columns: "
        "let the source read them by its schema, or write them with JsonLinesSink"
    )
    assert not (tmp_path / "s").exists()


def test_only_a_schema_that_was_made_for_it_holds_raw_text() -> None:
    assert declared_schema(pa.schema([("json", pa.large_string())])) is None
    assert declared_schema(pa.schema([])) is None
    found = declared_schema(RAW)
    assert found is not None
    assert found.equals(DECLARED)

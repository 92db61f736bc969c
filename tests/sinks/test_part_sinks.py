"""The layout on storage, read back with other tools."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from arcane_framework import Batch, ConfigurationError, Grouping, QuarantinedRow, SchemaInconsistentError, Sink, Wait
from arcane_framework._core.schema_hash import schema_hash
from arcane_framework.commits import StreamState
from arcane_framework.operators import rebatch
from arcane_framework.sinks import JsonLinesSink, ParquetSettings, ParquetSink, PartitionField, PartLayout, Segments
from arcane_framework.sinks.part_sink import PartSink
from arcane_framework.storage import LocalStorage
from tests.core.graphs import NUMBERS, Run, Script, numbers

FOREVER = Wait(None)
HASH = schema_hash(NUMBERS)
SINKS: list[type[PartSink]] = [ParquetSink, JsonLinesSink]


def run(sink: Sink, *steps: Any, backfilling: bool = False, backfill_id: str | None = None) -> None:
    Run(Script([*steps, FOREVER]), sink, backfilling=backfilling, backfill_id=backfill_id).stop()


def backfill(sink: Sink, *steps: Any, backfill_id: str | None = None) -> None:
    Run(Script(steps), sink, backfilling=True, backfill_id=backfill_id).end()


def visible(folder: Path) -> list[str]:
    """All files but the log, with what is unique in part names left out."""
    paths = sorted(path.relative_to(folder / "s").as_posix() for path in (folder / "s").rglob("*") if path.is_file())
    return [_plain(path) for path in paths if not path.startswith("_arcane/log/")]


def _plain(path: str) -> str:
    folder, _, name = path.rpartition("/")
    pieces = name.split("-")
    return f"{folder}/" + ("-".join([*pieces[:3], "*", *pieces[4:]]) if name.startswith("part-") else name)


def values(folder: Path) -> list[int]:
    rows: list[int] = []
    for path in sorted(folder.rglob("part-*")):
        if path.suffix == ".parquet":
            rows += pq.read_table(path).column("n").to_pylist()
        else:
            rows += [json.loads(line)["n"] for line in path.read_text().splitlines()]
    return rows


@pytest.mark.parametrize("sink_type", SINKS)
def test_streaming_writes_parts_and_a_schema_file(tmp_path: Path, sink_type: type[PartSink]) -> None:
    sink = sink_type(LocalStorage(tmp_path), grouping=Grouping(rows=10))
    run(sink, numbers(0, 7, 7), numbers(7, 14, 14), numbers(14, 30, 30))
    suffix = "-chunk.parquet" if sink_type is ParquetSink else ".json"
    assert visible(tmp_path) == [
        f"data/part-00000000000000000002-000000-*-{HASH}{suffix}",
        f"data/part-00000000000000000002-000001-*-{HASH}{suffix}",
        f"data/part-00000000000000000002-000002-*-{HASH}{suffix}",
        f"data/part-00000000000000000002-000003-*-{HASH}{suffix}",
        f"schema/schema-v0-{HASH}.parquet",
    ]
    assert values(tmp_path / "s/data") == list(range(30))
    assert list(StreamState(LocalStorage(tmp_path / "s")).verify()) == []


@pytest.mark.parametrize("sink_type", SINKS)
def test_a_backfill_ends_with_its_completion_token(tmp_path: Path, sink_type: type[PartSink]) -> None:
    backfill(sink_type(LocalStorage(tmp_path)), numbers(0, 5))
    token = tmp_path / f"s/backfill/{HASH}.COMPLETED"
    assert token.read_bytes() == b"\x00"
    assert values(tmp_path / "s/backfill") == list(range(5))


def test_an_interrupted_backfill_has_no_token(tmp_path: Path) -> None:
    run(ParquetSink(LocalStorage(tmp_path)), numbers(0, 5, 5), backfilling=True)
    assert values(tmp_path / "s/backfill") == list(range(5))
    assert list((tmp_path / "s/backfill").glob("*.COMPLETED")) == []


def test_a_backfill_without_rows_completes_without_a_part(tmp_path: Path) -> None:
    backfill(ParquetSink(LocalStorage(tmp_path)))
    assert visible(tmp_path) == [f"backfill/{HASH}.COMPLETED", f"schema/schema-v0-{HASH}.parquet"]


def test_a_new_backfill_first_removes_the_token_and_parts_of_its_predecessor(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    backfill(ParquetSink(storage), numbers(0, 5), backfill_id="one")
    run(ParquetSink(storage, grouping=Grouping(rows=2)), numbers(50, 52, 52), backfilling=True, backfill_id="two")
    assert values(tmp_path / "s/backfill") == [50, 51]
    assert list((tmp_path / "s/backfill").glob("*.COMPLETED")) == []
    assert list(StreamState(LocalStorage(tmp_path / "s")).verify()) == []


def test_a_resumed_backfill_keeps_what_it_has(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    run(ParquetSink(storage, grouping=Grouping(rows=2)), numbers(0, 2, 2), backfilling=True, backfill_id="one")
    backfill(ParquetSink(storage), numbers(2, 4), backfill_id="one")
    assert values(tmp_path / "s/backfill") == [0, 1, 2, 3]


def test_parts_hold_several_row_groups(tmp_path: Path) -> None:
    sink = ParquetSink(LocalStorage(tmp_path), grouping=Grouping(rows=10, groups_per_file=3))
    run(sink, numbers(0, 45, 45))
    files = [pq.ParquetFile(path) for path in sorted((tmp_path / "s/data").iterdir())]
    assert [[file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)] for file in files] == [
        [10, 10, 10],
        [10, 5],
    ]


def test_partitioned_output_is_read_by_pyarrow_and_duckdb(tmp_path: Path) -> None:
    sink = ParquetSink(LocalStorage(tmp_path), part_layout=PartLayout(partition_by_date=True))
    run(sink, numbers(0, 5, 5))
    folder = tmp_path / "s/data"
    assert [path.name for path in folder.iterdir()] == ["_batch_date=2026-01-01"]
    assert ds.dataset(folder, format="parquet").count_rows() == 0, "pyarrow skips names that begin with _"
    table = ds.dataset(folder, format="parquet", partitioning="hive", ignore_prefixes=["."]).to_table()
    assert table.column("n").to_pylist() == list(range(5))
    query = f"select count(*), min(_batch_date) from read_parquet('{folder}/**/*.parquet', hive_partitioning = true)"
    assert duckdb.execute(query).fetchall() == [(5, date(2026, 1, 1))]


def test_segments_are_settings_and_partitions_are_described(tmp_path: Path) -> None:
    layout = PartLayout(
        segments=Segments(data="rows", schema="types", metadata="about"),
        merge_key="ARCANE_MERGE_KEY",
        partitions=(PartitionField("by month", "month", "yyyyMM", "format(x)", is_date_partition=True),),
    )
    run(ParquetSink(LocalStorage(tmp_path), part_layout=layout), numbers(0, 5, 5))
    assert visible(tmp_path) == [
        "about/v0/partitions.json",
        f"rows/part-00000000000000000002-000000-*-{HASH}-chunk.parquet",
        f"types/schema-v0-{HASH}.parquet",
    ]
    assert json.loads((tmp_path / "s/about/v0/partitions.json").read_text()) == [
        {
            "description": "by month",
            "field_name": "month",
            "field_format": "yyyyMM",
            "field_expression": "format(x)",
            "is_date_partition": True,
        }
    ]
    schema = pq.read_schema(tmp_path / f"s/types/schema-v0-{HASH}.parquet")
    assert schema.metadata == {b"ARCANE_MERGE_KEY_NAME": b"ARCANE_MERGE_KEY"}
    assert pq.read_table(tmp_path / f"s/types/schema-v0-{HASH}.parquet").num_rows == 0


def test_the_partitions_file_is_removed_when_no_partition_is_configured_any_more(tmp_path: Path) -> None:
    layout = PartLayout(partitions=(PartitionField("d", "f", "x"),))
    run(ParquetSink(LocalStorage(tmp_path), part_layout=layout))
    run(ParquetSink(LocalStorage(tmp_path)))
    assert not (tmp_path / "s/metadata/v0/partitions.json").exists()


def test_the_schema_file_is_written_once_per_schema_and_not_once_per_start(tmp_path: Path) -> None:
    run(ParquetSink(LocalStorage(tmp_path)))
    written = (tmp_path / f"s/schema/schema-v0-{HASH}.parquet").stat()
    run(ParquetSink(LocalStorage(tmp_path)))
    again = (tmp_path / f"s/schema/schema-v0-{HASH}.parquet").stat()
    assert (written.st_ino, written.st_mtime_ns) == (again.st_ino, again.st_mtime_ns)


def test_a_changed_schema_begins_a_new_part_and_a_new_schema_file(tmp_path: Path) -> None:
    text = Batch(pa.record_batch({"n": pa.array(["x"])}), {"n": 9})
    source = Script([numbers(0, 5, 5), text, FOREVER])
    source.schema_changes = "new_part"
    Run(source, ParquetSink(LocalStorage(tmp_path), grouping=Grouping(groups_per_file=9))).stop()
    other = schema_hash(text.data.schema)
    assert visible(tmp_path) == [
        f"data/part-00000000000000000002-000000-*-{HASH}-chunk.parquet",
        f"data/part-00000000000000000002-000001-*-{other}-chunk.parquet",
        *sorted([f"schema/schema-v0-{HASH}.parquet", f"schema/schema-v0-{other}.parquet"]),
    ]


def test_quarantined_rows_are_json_lines_of_their_own_in_the_same_commit(tmp_path: Path) -> None:
    bad = [QuarantinedRow("not a number", "page 3, row 1", '{"n": "é\\n"}'), QuarantinedRow("x", "y", "z")]
    run(ParquetSink(LocalStorage(tmp_path)), numbers(0, 5, 5, bad))
    (path,) = (tmp_path / "s/_arcane/quarantine").iterdir()
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == [
        {"reason": "not a number", "location": "page 3, row 1", "raw": '{"n": "é\\n"}'},
        {"reason": "x", "location": "y", "raw": "z"},
    ]
    newest = StreamState(LocalStorage(tmp_path / "s")).newest()
    assert newest is not None
    assert [(part.kind, part.rows) for part in newest.parts] == [("data", 5), ("quarantine", 2)]
    assert newest.rows_in == 7


def test_the_log_names_size_and_hash_of_each_part(tmp_path: Path) -> None:
    import hashlib

    run(JsonLinesSink(LocalStorage(tmp_path)), numbers(0, 5, 5))
    newest = StreamState(LocalStorage(tmp_path / "s")).newest()
    assert newest is not None
    (part,) = newest.parts
    content = (tmp_path / "s" / part.path).read_bytes()
    assert (part.bytes, part.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_rows_with_a_null_in_a_column_without_nulls_do_not_fit(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("n", pa.int64(), nullable=False)])
    source = Script([Batch(pa.RecordBatch.from_arrays([pa.array([None], pa.int64())], schema=schema), {"n": 1})])
    source.schema = schema
    with pytest.raises(
        SchemaInconsistentError, match="rows do not fit their schema: column 'n' has 1 nulls and allows none"
    ):
        Run(source, ParquetSink(LocalStorage(tmp_path))).end()
    assert values(tmp_path / "s") == []


def test_settings_reach_the_parquet_file(tmp_path: Path) -> None:
    settings = ParquetSettings(compression="zstd", compression_level=3, dictionary=("n",), statistics=False)
    run(ParquetSink(LocalStorage(tmp_path), parquet=settings), numbers(0, 5, 5))
    (path,) = (tmp_path / "s/data").iterdir()
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    assert (column.compression, column.is_stats_set, column.has_dictionary_page) == ("ZSTD", False, True)


def test_every_type_is_written_as_json_that_other_tools_read(tmp_path: Path) -> None:
    moment = datetime(2020, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    columns: dict[str, tuple[pa.DataType, Any, Any]] = {
        "int64": (pa.int64(), 2**62, 2**62),
        "uint64": (pa.uint64(), 2**64 - 1, 2**64 - 1),
        "float": (pa.float64(), 1.5, 1.5),
        "nan": (pa.float64(), float("nan"), None),
        "decimal": (pa.decimal128(20, 2), Decimal("12345678901234567.10"), Decimal("12345678901234567.10")),
        "text": (pa.string(), 'é"\\\n\u2028', 'é"\\\n\u2028'),
        "empty": (pa.string(), "", ""),
        "null": (pa.string(), None, None),
        "bool": (pa.bool_(), False, False),
        "moment": (pa.timestamp("us", tz="UTC"), moment, "2020-01-02T03:04:05.678901Z"),
        "date": (pa.date32(), date(1, 1, 1), "0001-01-01"),
        "binary": (pa.binary(), b"\x00\xff", "00ff"),
        "list": (pa.list_(pa.int64()), [1, None], [1, None]),
        "struct": (pa.struct([("a", pa.int64()), ("b", pa.string())]), {"a": 1, "b": None}, {"a": 1, "b": None}),
        "map": (pa.map_(pa.string(), pa.int64()), [("k", 1)], {"k": 1}),
    }
    schema = pa.schema([(name, column[0]) for name, column in columns.items()])
    row = {name: column[1] for name, column in columns.items()}
    source = Script([Batch(pa.RecordBatch.from_pylist([row], schema=schema), {"n": 1}), FOREVER])
    source.schema = schema
    Run(source, JsonLinesSink(LocalStorage(tmp_path))).stop()
    (path,) = (tmp_path / "s/data").iterdir()
    found = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    assert found == {name: column[2] for name, column in columns.items()}
    assert list(found) == list(columns)
    assert duckdb.execute(f"select text, list from read_json('{path}')").fetchall() == [('é"\\\n\u2028', [1, None])]


def test_a_stream_id_that_is_no_folder_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        LocalStorage(tmp_path).folder("../elsewhere")


def test_the_schema_hash_depends_on_names_types_order_and_nullability_and_on_nothing_else() -> None:
    base = pa.schema([("a", pa.int64()), ("b", pa.list_(pa.struct([("c", pa.string())])))])
    assert schema_hash(base) == "z4v550y"
    assert schema_hash(base.with_metadata({"x": "y"})) == schema_hash(base)
    others = [
        pa.schema([base.field(1), base.field(0)]),
        pa.schema([pa.field("a", pa.int32()), base.field(1)]),
        pa.schema([pa.field("a", pa.int64(), nullable=False), base.field(1)]),
        pa.schema([base.field(0), ("b", pa.list_(pa.struct([("d", pa.string())])))]),
        pa.schema([base.field(0), ("b", pa.large_list(pa.struct([("c", pa.string())])))]),
        pa.schema([("x", pa.int64()), base.field(1)]),
    ]
    assert len({schema_hash(schema) for schema in [base, *others]}) == 7


@pytest.mark.parametrize(
    ("segments", "bad"),
    [({"data": "backfill"}, "backfill, schema, metadata"), ({"schema": "data"}, "data, data, metadata")],
)
def test_segments_that_would_mix_are_refused(segments: dict[str, str], bad: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Segments(**segments)
    assert str(caught.value) == f"the segments {bad} must be different folders, and neither 'backfill' nor '_arcane'"


@pytest.mark.parametrize("name", ["..", "../lake", "/data", "a//b", "a\\b", "a\nb", "", "x" * 1025])
@pytest.mark.parametrize("segment", ["data", "schema", "metadata"])
def test_a_segment_that_leads_elsewhere_is_refused(segment: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used as a storage path: no absolute path"):
        Segments(**{segment: name})


def test_a_run_that_fails_before_its_commit_leaves_nothing_staged(tmp_path: Path) -> None:
    other = Batch(pa.record_batch({"n": pa.array(["x"])}))
    sink = ParquetSink(LocalStorage(tmp_path), grouping=Grouping(rows=2, groups_per_file=2))
    with pytest.raises(SchemaInconsistentError):
        Run(Script([numbers(0, 11), other]), sink).end()
    assert list((tmp_path / "s/_arcane/stage").iterdir()) == []
    assert values(tmp_path / "s") == []


@pytest.mark.parametrize("sink_type", SINKS)
@pytest.mark.parametrize("merged", [False, True])
def test_dictionary_columns_with_many_values_can_be_read_back(
    tmp_path: Path, sink_type: type[PartSink], merged: bool
) -> None:
    kind = pa.dictionary(pa.int8(), pa.string())
    batches = [
        Batch(pa.record_batch({"n": pa.array([str(n) for n in range(low, low + 100)]).cast(kind)}), {"n": low})
        for low in (0, 100, 200)
    ]
    source = Script([*batches, FOREVER])
    source.schema = pa.schema([("n", kind)])
    operators = [rebatch(rows=250)] if merged else []
    Run(source, sink_type(LocalStorage(tmp_path)), *operators).stop()
    assert [int(value) for value in values(tmp_path / "s/data")] == list(range(300))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (pa.schema([]), "the schema has no columns: a file could not even hold the number of rows"),
        (
            pa.schema([("a", pa.int64()), ("a", pa.string())]),
            "the schema has several columns named 'a': give each its own name",
        ),
        (
            pa.schema([("a", pa.month_day_nano_interval())]),
            "column 'a' of type month_day_nano_interval cannot be stored: convert it with map_batches",
        ),
    ],
)
@pytest.mark.parametrize("sink_type", SINKS)
def test_a_schema_that_no_file_can_hold_is_refused_before_anything_is_written(
    tmp_path: Path, sink_type: type[PartSink], schema: pa.Schema, message: str
) -> None:
    source = Script([])
    source.schema = schema
    with pytest.raises(ConfigurationError) as caught:
        Run(source, sink_type(LocalStorage(tmp_path))).end()
    assert str(caught.value).startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_what_is_quarantined_may_be_half_a_character(tmp_path: Path) -> None:
    run(JsonLinesSink(LocalStorage(tmp_path)), numbers(0, 1, 1, [QuarantinedRow("bad", "row 1", "\ud800")]))
    (path,) = (tmp_path / "s/_arcane/quarantine").iterdir()
    assert json.loads(path.read_text())["raw"] == "\ud800"

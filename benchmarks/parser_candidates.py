"""The parsers that are compared: each makes a batch of the rows at `result.rows` of a body."""

import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.types as pat

from arcane_framework._core.rows import no_rows
from arcane_framework.schema.json_document import KeyChains
from arcane_framework.schema.json_rows import JsonRows

CHAIN = ("result", "rows")

Parser = Callable[[bytes], pa.RecordBatch]
"""A body to its rows."""


def ours(schema: pa.Schema) -> Parser:
    """As the REST source does it."""
    chains, rows = KeyChains(CHAIN), JsonRows(schema)

    def parse(body: bytes) -> pa.RecordBatch:
        (array,) = chains.read(body)
        return no_rows(schema) if array is None or array == b"null" else rows.parse(array, "page")[0]

    return parse


def pyarrow_page(schema: pa.Schema) -> Parser:
    """The whole page as one record of pyarrow.json."""
    from pyarrow import json as reader

    wanted = _as_record(_with_texts(schema))

    def parse(body: bytes) -> pa.RecordBatch:
        table = reader.read_json(
            pa.py_buffer(body),
            read_options=reader.ReadOptions(use_threads=False, block_size=len(body) + 1),
            parse_options=reader.ParseOptions(
                explicit_schema=wanted, unexpected_field_behavior="ignore", newlines_in_values=True
            ),
        )
        return _rows_of(table, schema)

    return parse


def arro3_page(schema: pa.Schema) -> Parser:
    """The whole page as one record of arro3."""
    import arro3.io

    wanted = _as_record(schema)
    return lambda body: _rows_of(pa.table(arro3.io.read_json(io.BytesIO(body), wanted)), schema)


def arro3_lines(schema: pa.Schema) -> Parser:
    """The rows cut out by msgspec, as JSON lines to arro3."""
    import arro3.io
    import msgspec

    inner = msgspec.defstruct("Inner", [("rows", list[msgspec.Raw] | None, None)])
    outer = msgspec.json.Decoder(msgspec.defstruct("Outer", [("result", inner | None, None)]))

    def parse(body: bytes) -> pa.RecordBatch:
        page: Any = outer.decode(body)
        lines = b"\n".join((page.result and page.result.rows) or ()).replace(b"\r", b" ")
        return _one_batch(pa.table(arro3.io.read_json(io.BytesIO(lines), schema)), schema)

    return parse


def orjson_rows(schema: pa.Schema) -> Parser:
    """Rows as dicts made by orjson."""
    import orjson

    return _from_rows(orjson.loads, schema)


def json_rows(schema: pa.Schema) -> Parser:
    """Rows as dicts made by Python's json."""
    return _from_rows(json.loads, schema)


CANDIDATES: dict[str, Callable[[pa.Schema], Parser]] = {
    "ours": ours,
    "pyarrow.json, whole page": pyarrow_page,
    "arro3, whole page": arro3_page,
    "arro3, lines by msgspec": arro3_lines,
    "orjson + from_pylist": orjson_rows,
    "json + from_pylist": json_rows,
}


def _from_rows(load: Callable[[bytes], Any], schema: pa.Schema) -> Parser:
    wanted = _with_texts(schema)

    def parse(body: bytes) -> pa.RecordBatch:
        value = load(body)
        for step in CHAIN:
            value = value.get(step) if value is not None else None
        if not isinstance(value, list | None):
            raise TypeError("no array of rows")
        return pa.RecordBatch.from_pylist(value or [], wanted).cast(schema)

    return parse


def _with_texts(schema: pa.Schema) -> pa.Schema:
    """Columns of times as texts, which Arrow's cast reads and these parsers do not."""
    return pa.schema([field.with_type(pa.string()) if pat.is_temporal(field.type) else field for field in schema])


def _as_record(schema: pa.Schema) -> pa.Schema:
    return pa.schema([("result", pa.struct([("rows", pa.list_(pa.struct(list(schema))))]))])


def _rows_of(table: pa.Table, schema: pa.Schema) -> pa.RecordBatch:
    result = table.column(0).combine_chunks()
    rows = result.flatten()[0].flatten()
    return pa.RecordBatch.from_struct_array(rows).cast(schema) if len(rows) else no_rows(schema)


def _one_batch(table: pa.Table, schema: pa.Schema) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0].cast(schema) if batches else no_rows(schema)

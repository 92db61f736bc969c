"""Rows as mappings to Arrow, strictly: the edge where row-wise convenience lives."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.types as pat

from arcane_framework._core.batch import QuarantinedRow
from arcane_framework._core.errors import SchemaInconsistentError

Row = Mapping[str, Any]
Arrow = TypeVar("Arrow", pa.RecordBatch, pa.Table)


def no_rows(schema: pa.Schema) -> pa.RecordBatch:
    """A record batch of `schema` without rows."""
    # Not from an empty list: for that pyarrow imports pandas where it is installed, which takes long.
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)


def batch_from_rows(
    rows: Sequence[Row], schema: pa.Schema, *, quarantine: bool = False, location: str = ""
) -> tuple[pa.RecordBatch, tuple[QuarantinedRow, ...]]:
    """Convert rows column-wise; only when something does not fit are rows looked at one by one.

    Returns:
        The rows that fit, and the ones that do not (none unless `quarantine`).

    Raises:
        SchemaInconsistentError: A row does not fit and `quarantine` is false.
    """
    try:
        return _convert(rows, schema), ()
    except (pa.ArrowException, TypeError, ValueError, OverflowError, AttributeError):
        good, bad = _sort_out(rows, schema, location)
    if bad and not quarantine:
        first = bad[0]
        raise SchemaInconsistentError(
            f"{first.location}: {first.reason}. Correct the schema, or set quarantine: true to set such rows aside"
        )
    return _convert(good, schema), tuple(bad)


def _convert(rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
    names = set(schema.names)
    if any(row.keys() - names for row in rows):
        raise ValueError("unknown column")
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
    for field, column in zip(schema, columns, strict=True):
        if column.null_count and not field.nullable:
            raise ValueError("null")
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _sort_out(rows: Sequence[Row], schema: pa.Schema, location: str) -> tuple[list[Row], list[QuarantinedRow]]:
    good: list[Row] = []
    bad: list[QuarantinedRow] = []
    for number, row in enumerate(rows):
        reason = _misfit(row, schema)
        if reason is None:
            good.append(row)
        else:
            place = f"{location}, row {number}" if location else f"row {number}"
            bad.append(QuarantinedRow(reason, place, _text(row)))
    return good, bad


def _text(row: Row) -> str:
    try:
        return json.dumps(row, default=str)
    except (TypeError, ValueError, RecursionError):  # what is set aside is what fits nowhere
        return repr(row)


def _misfit(row: Row, schema: pa.Schema) -> str | None:
    if not isinstance(row, Mapping):
        return f"a {type(row).__name__} is no row; a row maps column names to values"
    unknown = [name for name in row if name not in schema.names]
    if unknown:
        return f"column {unknown[0]!r} is not in the schema"
    for field in schema:
        value = row.get(field.name)
        if value is None and not field.nullable:
            return f"column {field.name!r} is null, which {field.type} not null does not allow"
        try:
            pa.array([value], field.type)
        except (pa.ArrowException, TypeError, ValueError, OverflowError, AttributeError):
            return f"column {field.name!r} holds a {type(value).__name__} that does not fit {field.type}"
    return None


def without_dictionaries(data: Arrow) -> Arrow:
    """The same rows with dictionary columns as plain ones.

    Joined or read back, a dictionary type would have to hold the values of all batches together, which a
    small index (int8) cannot; Parquet makes dictionaries of its own.
    """
    if not any(map(pat.is_dictionary, data.schema.types)):
        return data
    fields = [
        field.with_type(field.type.value_type) if pat.is_dictionary(field.type) else field for field in data.schema
    ]
    return data.cast(pa.schema(fields, metadata=data.schema.metadata))

"""The exact way from an array of JSON objects to a record batch, row by row: it names what does not fit."""

from typing import Any

import pyarrow as pa

from arcane_framework._core.batch import QuarantinedRow
from arcane_framework._core.errors import FatalStreamError, SchemaInconsistentError
from arcane_framework.schema.json_document import kind_of, properties_of
from arcane_framework.schema.json_elements import elements
from arcane_framework.schema.json_limits import row_excess
from arcane_framework.schema.json_values import MisfitError, field_readers

MAX_ASIDE_BYTES = 64 * 2**20
"""Of the rows of one page that are set aside, with `ASIDE_BYTES` for each of them besides its text."""

ASIDE_BYTES = 600
"""What a row that is set aside takes besides its text: its reason, its place, the objects."""

_REMEDY = "Correct apiSchemaEncoded, or set quarantine: true to set such rows aside"

_TOO_MUCH_ASIDE = (
    f"more than {MAX_ASIDE_BYTES // 2**20} MiB of rows were set aside, which is too much for one page:"
    " correct the schema in apiSchemaEncoded"
)


class _RowMisfitError(Exception):
    """Why a row does not fit."""


class RowwiseReader:
    """Reads arrays one row after the other, in Python.

    Raises:
        ValueError: A column has a type that is not read from JSON.
    """

    def __init__(self, schema: pa.Schema, *, quarantine: bool) -> None:
        self._schema = schema
        self._quarantine = quarantine
        self._properties = properties_of(schema.names)
        self._readers = [reader for _, reader in field_readers(schema)]

    def read(self, array: bytes, location: str) -> tuple[pa.RecordBatch, tuple[QuarantinedRow, ...]]:
        """As `JsonRows.parse`."""
        columns: list[list[Any]] = [[] for _ in self._readers]
        aside: list[QuarantinedRow] = []
        aside_bytes = 0
        for number, raw in enumerate(map(bytes, elements(array))):
            try:
                values = self._read_row(raw)
            except _RowMisfitError as misfit:
                place = f"{location}, row {number}"
                if not self._quarantine:
                    raise SchemaInconsistentError(f"{place}: {misfit}. {_REMEDY}") from None
                aside_bytes += len(raw) + ASIDE_BYTES
                if aside_bytes > MAX_ASIDE_BYTES:
                    raise FatalStreamError(f"{place}: {_TOO_MUCH_ASIDE}") from None
                aside.append(QuarantinedRow(str(misfit), place, raw.decode()))
                continue
            for column, value in zip(columns, values, strict=True):
                column.append(value)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema), tuple(aside)

    def _read_row(self, raw: bytes) -> list[Any]:
        excess = row_excess(raw)
        if excess is not None:
            raise _RowMisfitError(excess)
        if not raw.startswith(b"{"):
            raise _RowMisfitError(f"it is {kind_of(raw)}; a row is an object")
        values = []
        for field, read, value in zip(self._schema, self._readers, self._properties(raw), strict=True):
            try:
                values.append(read(value))
            except MisfitError as misfit:
                where = misfit.path.removeprefix(f".{field.name}").removeprefix(".")
                place = f"column {field.name!r}" + (f" at {where!r}" if where else "")
                raise _RowMisfitError(f"{place} holds {misfit.found}, which does not fit {field.type}") from None
        return values

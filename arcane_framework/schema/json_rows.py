"""An array of JSON objects to an Arrow record batch: columnar as long as everything fits, row by row when not."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from arcane_framework._core.batch import QuarantinedRow
from arcane_framework._core.errors import SchemaInconsistentError
from arcane_framework.schema.json_columns import ColumnarReader, NotColumnar
from arcane_framework.schema.json_document import WHITESPACE, check_utf8, kind_of, properties_of
from arcane_framework.schema.json_limits import first_excess, row_excess
from arcane_framework.schema.json_values import Misfit, field_readers

_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")


class JsonRows:
    """Makes record batches of one schema from arrays of row objects.

    Types: bool, integers, float32, float64, decimal128, string, `timestamp[us, UTC]`, date32, and structs and lists
    of them; string fields marked by `json_text_field` take any value. A value either fits exactly, or the row is
    refused:

    * A missing property is null. A property that the schema does not have is ignored. Of a property that occurs
      twice the last one counts.
    * bool takes `true` and `false`. Integers take numbers without a fraction, `12.0` and `1.2e1` too. Floats take
      numbers that stay finite, rounded to the nearest. decimal128 takes numbers and texts that hold one, whose digits
      all fit. Nothing else takes a number for a text or a text for a number.
    * Instants and days are texts as `json_times` describes them.
    * A column of JSON text keeps a text as it is and everything else as its JSON text, exactly as received.
    * A text has up to 16 MiB, a row up to 64 MiB and 64 levels, a number in an integer or decimal column up to 4300
      digits.

    An instance may be used by several threads at once; most of the work is done without the interpreter's lock.

    Args:
        schema: The columns of the batches.
        quarantine: Set rows that do not fit aside instead of failing.

    Raises:
        ValueError: The schema has no columns, or a column whose type is not read from JSON.
    """

    def __init__(self, schema: pa.Schema, *, quarantine: bool = False) -> None:
        if not len(schema):
            raise ValueError("the schema has no columns")
        self._schema = schema
        self._quarantine = quarantine
        self._columnar = ColumnarReader(schema) if ColumnarReader.can_read(schema) else None
        self._properties = properties_of(schema.names)
        self._readers = [reader for _, reader in field_readers(schema)]

    def parse(self, array: bytes, location: str) -> tuple[pa.RecordBatch, tuple[QuarantinedRow, ...]]:
        """Read all rows of an array.

        Args:
            array: The raw text of one well-formed JSON array, as `KeyChains.read` gives it.
            location: Where it is from, for messages.

        Returns:
            The rows that fit, and those that do not (none unless `quarantine`).

        Raises:
            SchemaInconsistentError: A row does not fit and `quarantine` is false.
            ValueError: The text is not that of an array.
        """
        _check_array(array)
        if self._columnar is not None:
            try:
                return self._columnar.read(array), ()
            except NotColumnar:
                pass
        return self._read_rows(array, location)

    def _read_rows(self, array: bytes, location: str) -> tuple[pa.RecordBatch, tuple[QuarantinedRow, ...]]:
        columns: list[list[Any]] = [[] for _ in self._readers]
        aside: list[QuarantinedRow] = []
        for number, raw in enumerate(_split(array)):
            try:
                values = self._read_row(raw)
            except _RowMisfit as misfit:
                place = f"{location}, row {number}"
                if not self._quarantine:
                    raise SchemaInconsistentError(f"{place}: {misfit}. {_REMEDY}") from None
                aside.append(QuarantinedRow(str(misfit), place, raw.decode()))
                continue
            for column, value in zip(columns, values, strict=True):
                column.append(value)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema), tuple(aside)

    def _read_row(self, raw: bytes) -> list[Any]:
        excess = row_excess(raw)
        if excess is not None:
            raise _RowMisfit(excess)
        if not raw.startswith(b"{"):
            raise _RowMisfit(f"it is {kind_of(raw)}; a row is an object")
        values = []
        for field, read, value in zip(self._schema, self._readers, self._properties(raw), strict=True):
            try:
                values.append(read(value))
            except Misfit as misfit:
                where = misfit.path.removeprefix(f".{field.name}")
                inside = f" at {where.removeprefix('.')!r}" if where else ""
                raise _RowMisfit(f"column {field.name!r} ({field.type}) is {misfit.found}{inside}") from None
        return values


_REMEDY = "Correct apiSchemaEncoded, or set quarantine: true to set such rows aside"


class _RowMisfit(Exception):
    """Why a row does not fit."""


def raw_rows(array: bytes, schema: pa.Schema, location: str) -> pa.RecordBatch:
    """The rows as they are: one column with each element's JSON text.

    Line ends between the tokens of a row become spaces, so that a row is one line.

    Args:
        array: The raw text of one well-formed JSON array, as `KeyChains.read` gives it.
        schema: One `large_string` field, not null.
        location: Where the array is from, for messages.

    Raises:
        SchemaInconsistentError: A row has more than 64 MiB or more than 64 levels.
        JsonError: The text is not UTF-8.
        ValueError: The text is not that of an array.
    """
    _check_array(array)
    check_utf8(array)
    if b"\n" in array or b"\r" in array:  # within a text they would be an error of the document
        array = array.translate(_LINE_ENDS)
    rows = pa.array(_split(array), pa.large_string())
    excess = first_excess(rows)
    if excess is not None:
        raise SchemaInconsistentError(f"{location}, row {excess[0]}: {excess[1]}")
    return pa.RecordBatch.from_arrays([rows], schema=schema)


def _check_array(array: bytes) -> None:
    if not array.lstrip(WHITESPACE[:]).startswith(b"["):
        raise ValueError(f"expected the text of an array, found {kind_of(array)}")


def _split(array: bytes) -> Sequence[bytes]:
    import msgspec

    return list(map(bytes, msgspec.json.decode(array, type=list[msgspec.Raw])))

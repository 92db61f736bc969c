"""An array of JSON objects to an Arrow record batch: columnar as long as everything fits, row by row when not."""

import pyarrow as pa

from arcane_framework._core.batch import QuarantinedRow
from arcane_framework._core.errors import FatalStreamError
from arcane_framework.schema.json_columns import ColumnarReader, NotColumnarError
from arcane_framework.schema.json_document import WHITESPACE, check_utf8, kind_of
from arcane_framework.schema.json_elements import as_column, as_lines, elements
from arcane_framework.schema.json_limits import first_excess
from arcane_framework.schema.json_page import check_elements, check_page
from arcane_framework.schema.json_rowwise import RowwiseReader


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
        ValueError: The schema has no columns, two of one name, or a column whose type is not read from JSON.
    """

    def __init__(self, schema: pa.Schema, *, quarantine: bool = False) -> None:
        if not len(schema):
            raise ValueError("the schema has no columns")
        if len(set(schema.names)) < len(schema):
            raise ValueError("two columns of the schema have the same name")
        self._schema = schema
        self._rowwise = RowwiseReader(schema, quarantine=quarantine)
        self._columnar = ColumnarReader(schema) if ColumnarReader.can_read(schema) else None

    def parse(self, array: bytes, location: str) -> tuple[pa.RecordBatch, tuple[QuarantinedRow, ...]]:
        """Read all rows of an array.

        Args:
            array: The raw text of one well-formed JSON array, as `KeyChains.read` gives it.
            location: Where it is from, for messages.

        Returns:
            The rows that fit, and those that do not (none unless `quarantine`).

        Raises:
            SchemaInconsistentError: A row does not fit and `quarantine` is false.
            FatalStreamError: The page is too large for memory: more than a million elements of less than 32 bytes on
                average, columns of more than 512 MiB and 8 times the array, or more than 64 MiB of rows set aside.
            JsonError: The text is not well formed, or nested too deep for the calling thread.
            ValueError: The text is not that of an array.
        """
        _check_array(array)
        openers = array.count(b"{")
        check_page(array, self._schema, location, openers)
        if self._columnar is not None:
            try:
                return self._columnar.read(array, openers), ()
            except NotColumnarError:
                pass
        check_elements(array, location)
        return self._rowwise.read(array, location)


_RAW_REMEDY = "No setting accepts such rows: ask the API for smaller ones"


def raw_rows(array: bytes, schema: pa.Schema, location: str) -> pa.RecordBatch:
    """The rows as they are: one column with each element's JSON text.

    Line ends between the tokens of a row become spaces, so that a row is one line.

    Args:
        array: The raw text of one well-formed JSON array, as `KeyChains.read` gives it.
        schema: One `large_string` field, not null.
        location: Where the array is from, for messages.

    Raises:
        FatalStreamError: A row has more than 64 MiB or more than 64 levels, or the array more than a million elements
            of less than 32 bytes on average.
        JsonError: The text is not well formed, not UTF-8, or nested too deep for the calling thread.
        ValueError: The text is not that of an array.
    """
    _check_array(array)
    check_elements(array, location)
    check_utf8(array)
    rows = elements(array)
    lines = as_lines(rows, array)
    excess = first_excess(rows, lines)
    if excess is not None:
        raise FatalStreamError(f"{location}, row {excess[0]}: {excess[1]}. {_RAW_REMEDY}")
    return pa.RecordBatch.from_arrays([as_column(lines, "\n", len(rows))], schema=schema)


def _check_array(array: bytes) -> None:
    if not array.lstrip(WHITESPACE).startswith(b"["):
        raise ValueError(f"expected the text of an array, found {kind_of(array)}")

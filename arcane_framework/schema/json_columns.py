"""The columnar way from an array of JSON objects to a record batch: it gives the right batch, or none."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from arcane_framework.schema.json_document import matchable, row_of
from arcane_framework.schema.json_elements import as_lines, elements, raw_column
from arcane_framework.schema.json_limits import MAX_TEXT_BYTES, first_excess, surely_within, texts_within
from arcane_framework.schema.json_text import is_json_text
from arcane_framework.schema.json_times import days, instants
from arcane_framework.schema.json_values import MisfitError, plain_decimal, text_of

if TYPE_CHECKING:
    import msgspec

_MAX_BLOCK = 2**31 - 1


class NotColumnarError(Exception):
    """The columnar way does not take this page: something does not fit, or only one by one."""


class ColumnarReader:
    """Reads a whole array as one record of pyarrow.json whose only property is a list of structs.

    What pyarrow.json takes for a value of a type and what `json_values` does differ in these points, which are
    therefore read as texts and converted here: instants, days, decimals, JSON texts. What it refuses although it fits
    (`1.0` as an integer, a property that occurs twice) becomes `NotColumnarError`.
    """

    def __init__(self, schema: pa.Schema) -> None:
        import msgspec

        self._schema = schema
        self._raw = [field for field in schema if _is_read_raw(field)]
        self._parsed = [field for field in schema if not _is_read_raw(field)]
        row = pa.struct([pa.field(field.name, _parsed_type(field.type)) for field in self._parsed])
        self._record = pa.schema([pa.field("rows", pa.list_(row))])
        shapes = dict.fromkeys((field.name for field in self._raw), msgspec.Raw)
        self._raw_rows = msgspec.json.Decoder(list[row_of(shapes)])  # type: ignore[misc]

    @staticmethod
    def can_read(schema: pa.Schema) -> bool:
        """Whether pages of this schema can be read in columns at all."""
        raw = [field.name for field in schema if _is_read_raw(field)]
        return matchable(raw) and all(_is_read_raw(field) or _is_parsed(field.type) for field in schema)

    def read(self, array: bytes, openers: int) -> pa.RecordBatch:
        """Read the raw text of a well-formed array.

        Args:
            array: The text.
            openers: How many `{` there are in it.

        Raises:
            NotColumnarError: The rows have to be read one by one.
        """
        import msgspec

        try:
            return self._read(array, openers)
        except (pa.ArrowException, msgspec.DecodeError, MisfitError, OverflowError, RecursionError):
            raise NotColumnarError from None

    def _read(self, array: bytes, openers: int) -> pa.RecordBatch:
        columns = self._parse(array) if self._parsed else {}
        columns |= self._read_raw(array) if self._raw else {}
        ordered = [columns[field.name] for field in self._schema]
        if not surely_within(array, len(ordered[0]), openers):
            rows = elements(array)
            if first_excess(rows, as_lines(rows, array)) is not None:
                raise NotColumnarError
        if len(array) > MAX_TEXT_BYTES and not texts_within(ordered):
            raise NotColumnarError
        if any(column.null_count and not field.nullable for field, column in zip(self._schema, ordered, strict=True)):
            raise NotColumnarError
        return pa.RecordBatch.from_arrays(ordered, schema=self._schema)

    def _parse(self, array: bytes) -> dict[str, pa.Array]:
        from pyarrow import json

        document = b"".join((b'{"rows":', array, b"}"))
        if len(document) >= _MAX_BLOCK:
            raise NotColumnarError
        table = json.read_json(
            pa.py_buffer(document),
            read_options=json.ReadOptions(use_threads=False, block_size=len(document) + 1),
            parse_options=json.ParseOptions(
                explicit_schema=self._record, unexpected_field_behavior="ignore", newlines_in_values=True
            ),
        )
        if table.num_rows != 1:
            raise NotColumnarError
        rows = table.column(0).chunk(0).values
        if rows.null_count:
            raise NotColumnarError
        return {field.name: _converted(rows.field(i), field.type) for i, field in enumerate(self._parsed)}

    def _read_raw(self, array: bytes) -> dict[str, pa.Array]:
        rows = self._raw_rows.decode(array)
        return {
            field.name: _raw_column(field, [getattr(row, f"f{i}") for row in rows]) for i, field in enumerate(self._raw)
        }


def _is_read_raw(field: pa.Field) -> bool:
    return is_json_text(field) or pat.is_decimal(field.type)


def _is_parsed(type_: pa.DataType) -> bool:
    if pat.is_struct(type_):
        inner = type_.fields
    elif pat.is_list(type_):
        inner = [type_.value_field]
    else:
        return True
    return all(field.nullable and not _is_read_raw(field) and _is_parsed(field.type) for field in inner)


def _parsed_type(type_: pa.DataType) -> pa.DataType:
    """What pyarrow.json is asked for instead of a type."""
    if pat.is_temporal(type_):
        return pa.string()
    if pat.is_struct(type_):
        return pa.struct([pa.field(field.name, _parsed_type(field.type)) for field in type_.fields])
    if pat.is_list(type_):
        return pa.list_(type_.value_field.with_type(_parsed_type(type_.value_type)))
    return type_


def _converted(column: pa.Array, type_: pa.DataType) -> pa.Array:
    if pat.is_timestamp(type_):
        return instants(column)
    if pat.is_date(type_):
        return days(column)
    if pat.is_float32(type_) and not pc.all(pc.is_finite(column), min_count=0).as_py():
        raise NotColumnarError
    if pat.is_struct(type_):
        inner = [_converted(column.field(number), field.type) for number, field in enumerate(type_.fields)]
        return pa.Array.from_buffers(type_, len(column), column.buffers()[:1], children=inner)
    if pat.is_list(type_):
        inner = [_converted(column.values, type_.value_type)]
        return pa.Array.from_buffers(type_, len(column), column.buffers()[:2], children=inner)
    return column


def _raw_column(field: pa.Field, values: "Sequence[msgspec.Raw | None]") -> pa.Array:
    texts = raw_column(values)
    return _json_texts(texts, field.type) if is_json_text(field) else _decimals(texts, field.type)


def _json_texts(raw: pa.Array, type_: pa.DataType) -> pa.Array:
    is_text = pc.starts_with(raw, '"')
    bare = pc.binary_slice(raw.view(pa.large_binary()), 1, -1).view(pa.large_string())
    texts = pc.if_else(is_text, bare, raw)
    escaped = pc.and_(is_text, pc.match_substring(raw, "\\"))
    return pc.cast(_one_by_one(texts, raw, escaped, text_of), type_)


def _decimals(raw: pa.Array, type_: pa.DataType) -> pa.Array:
    """Decimals written plainly are cast as a column; the few that are not are made plain before."""
    digits = f"[0-9]{{1,{max(type_.precision - type_.scale, 1)}}}"
    fraction = rf"(\.[0-9]{{1,{type_.scale}}})?" if type_.scale else ""
    other = pc.invert(pc.match_substring_regex(raw, f'^"?-?{digits}{fraction}"?$'))
    literals = _one_by_one(pc.ascii_trim(raw, '"'), raw, other, lambda text: format(plain_decimal(text, type_), "f"))
    return pc.cast(literals, type_)


def _one_by_one(texts: pa.Array, raw: pa.Array, which: pa.Array, convert: Callable[[bytes], str]) -> pa.Array:
    """The texts, where `which` holds replaced by what `convert` makes of the raw ones."""
    chosen = raw.filter(which)
    if not len(chosen):
        return texts
    converted = pa.array([convert(text.as_buffer().to_pybytes()) for text in chosen], texts.type)
    return pc.replace_with_mask(texts, which, converted)

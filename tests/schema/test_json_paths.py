"""The columnar and the row-wise way agree, and Python's json agrees with both."""

import json
import math
import struct
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pyarrow.types as pat
from hypothesis import given, settings
from hypothesis import strategies as st

from arcane_framework._core.errors import SchemaInconsistentError
from arcane_framework.schema.json_columns import ColumnarReader, NotColumnarError
from arcane_framework.schema.json_document import KeyChains
from arcane_framework.schema.json_rows import JsonRows
from arcane_framework.schema.json_rowwise import RowwiseReader
from arcane_framework.schema.json_text import is_json_text, json_text_field

TIMESTAMP = pa.timestamp("us", "UTC")
DECIMAL = pa.decimal128(38, 18)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["a", "a.b", "", "__class__", '"', "\\"]
)

digits = st.text("0123456789", min_size=1, max_size=24)
integers = st.integers(-(2**70), 2**70).map(str) | st.sampled_from(
    [
        "0",
        "-0",
        "2147483647",
        "2147483648",
        "-2147483649",
        "9223372036854775807",
        "9223372036854775808",
        "12.0",
        "1e2",
        "1.5e1",
        "0.00",
        "-0.0",
        "1e-1",
        "15e-1",
        "1E+2",
        "1e400",
        "0e400",
        "10e-1",
    ]
)
fractions = st.builds(
    lambda minus, whole, fraction, exponent: f"{minus}{int(whole)}{fraction}{exponent}",
    st.sampled_from(["", "-"]),
    digits,
    st.just("") | digits.map(".{}".format),
    st.just("") | st.integers(-60, 60).map("e{}".format) | st.sampled_from(["e400", "e-400", "E+5", "e00"]),
)
numbers = integers | fractions | st.floats(allow_nan=False, allow_infinity=False).map(repr)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
text_literals = st.builds(json.dumps, texts, ensure_ascii=st.booleans())
numeric_texts = (numbers | st.sampled_from(["", "+5", ".5", "5.", "1_0", " 1", "NaN", "-", "1e", "0x1", "\u0661"])).map(
    json.dumps
)
moments = st.builds(
    "{:04}-{:02}-{:02}{}{}{}".format,
    st.integers(0, 9999) | st.integers(1990, 2030),
    st.integers(0, 13),
    st.integers(0, 32),
    st.sampled_from(
        [
            "",
            " 12",
            "T23:59",
            "T23:59:59",
            " 00:00:00",
            "T24:00:00",
            "T12:60:00",
            "T12:30:60",
            "T1:2:3",
            "t12:00:00",
            "T120000",
        ]
    ),
    st.just("") | st.text("0123456789", max_size=11).map(".{}".format),
    st.sampled_from(["", "Z", "z", "+02:00", "-0330", "+02", "+24:00", "-23:59", "+01:60", " Z", "\n"]),
).map(json.dumps)
anything = st.recursive(
    st.sampled_from(["null", "true", "false"]) | numbers | text_literals,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + " ,".join(items) + "]")
        | st.lists(st.tuples(text_literals, inner), max_size=3).map(
            lambda items: "{" + ",\n".join(f"{key}: {value}" for key, value in items) + "}"
        )
    ),
    max_leaves=6,
)

LEAVES: dict[pa.DataType, st.SearchStrategy[str]] = {
    pa.bool_(): st.sampled_from(["true", "false"]),
    pa.int32(): st.integers(-(2**31), 2**31 - 1).map(str) | integers,
    pa.int64(): st.integers(-(2**63), 2**63 - 1).map(str) | integers,
    pa.float32(): numbers,
    pa.float64(): numbers,
    DECIMAL: numbers | numeric_texts,
    pa.decimal128(5, 0): numbers | numeric_texts,
    pa.decimal128(4, 4): numbers | numeric_texts,
    pa.string(): text_literals,
    TIMESTAMP: moments,
    pa.date32(): moments | st.dates().map(str).map(json.dumps),
}
types = st.recursive(
    st.sampled_from(list(LEAVES)),
    lambda inner: (
        inner.map(pa.list_)
        | st.lists(st.tuples(NAMES, inner), min_size=1, max_size=3, unique_by=lambda field: field[0]).map(pa.struct)
    ),
    max_leaves=4,
)


def literal(type_: pa.DataType) -> st.SearchStrategy[str]:
    """Texts of values that fit, mostly."""
    if pat.is_list(type_):
        fitting = st.lists(literal(type_.value_type), max_size=3).map(lambda items: "[" + ",".join(items) + "]")
    elif pat.is_struct(type_):
        fitting = row(type_.fields)
    else:
        fitting = LEAVES[type_]
    return st.one_of(fitting, fitting, fitting, fitting, fitting, fitting, st.just("null"), anything)


def row(fields: Any) -> st.SearchStrategy[str]:
    """Objects with most of the fields, sometimes others, sometimes one twice."""
    one = st.one_of(
        *(
            st.tuples(st.just(json.dumps(field.name)), anything if is_json_text(field) else literal(field.type))
            for field in fields
        )
    )
    every = st.tuples(
        *(
            st.tuples(st.just(json.dumps(field.name)), anything if is_json_text(field) else literal(field.type))
            for field in fields
        )
    ).map(list)
    extra = st.lists(st.tuples(text_literals, anything) | one, max_size=1)
    return st.builds(
        lambda items, more, missing: "{" + ", ".join(f"{key}:{value}" for key, value in (items + more)[missing:]) + "}",
        every,
        extra,
        st.sampled_from([0, 0, 0, 1]),
    )


@st.composite
def pages(draw: st.DrawFn) -> tuple[pa.Schema, bytes]:
    fields = draw(st.lists(st.tuples(NAMES, types), min_size=1, max_size=3, unique_by=lambda field: field[0]))
    schema = pa.schema(
        [json_text_field(name) if draw(st.sampled_from([0, 0, 1])) else pa.field(name, type_) for name, type_ in fields]
    )
    rows = draw(st.lists(row(list(schema)), max_size=3))
    return schema, f"[{', '.join(rows)}]".encode()


@given(pages())
@settings(max_examples=80, deadline=None)
def test_what_the_columnar_way_accepts_the_row_wise_way_reads_alike(page: tuple[pa.Schema, bytes]) -> None:
    schema, text = page
    (array,) = KeyChains(()).read(text)
    assert array == text
    if not ColumnarReader.can_read(schema):
        return
    try:
        columnar = ColumnarReader(schema).read(text, text.count(b"{"))
    except NotColumnarError:
        return
    rowwise, _ = RowwiseReader(schema, quarantine=False).read(text, "here")
    columnar.validate(full=True)
    assert columnar.schema.equals(rowwise.schema, check_metadata=True)
    assert columnar.equals(rowwise)
    assert repr(columnar.to_pydict()) == repr(rowwise.to_pydict())  # tells -0.0 from 0.0


@given(pages())
@settings(max_examples=80, deadline=None)
def test_what_is_accepted_is_what_pythons_json_says(page: tuple[pa.Schema, bytes]) -> None:
    schema, text = page
    try:
        batch, _ = JsonRows(schema).parse(text, "here")
    except SchemaInconsistentError:
        return
    batch.validate(full=True)
    rows = json.loads(text, parse_int=Number, parse_float=Number)
    assert batch.num_rows == len(rows)
    for field, column in zip(schema, batch.columns, strict=True):
        if not is_json_text(field):
            assert column.to_pylist() == [expected(row.get(field.name), field.type) for row in rows]


class Number(str):
    """A number's literal."""

    __slots__ = ()


def expected(value: Any, type_: pa.DataType) -> Any:
    """What `to_pylist` has to give for a value that was accepted."""
    if value is None:
        return None
    if pat.is_list(type_):
        return [expected(item, type_.value_type) for item in value]
    if pat.is_struct(type_):
        return {field.name: expected(value.get(field.name), field.type) for field in type_.fields}
    if type_ == TIMESTAMP:
        return instant_of(value)
    if pat.is_date(type_):
        return datetime.fromisoformat(value).date()
    if pat.is_decimal(type_):
        return Decimal(value)
    if pat.is_string(type_):
        assert not isinstance(value, Number)
        return value
    if pat.is_boolean(type_):
        assert isinstance(value, bool)
        return value
    assert isinstance(value, Number)
    return int(Decimal(value)) if pat.is_integer(type_) else floating(value, type_)


def floating(value: Number, type_: pa.DataType) -> float:
    number = float(value)
    assert math.isfinite(number)
    if pat.is_float64(type_):
        return number
    return nearest_single(Fraction(value), number)


def nearest_single(exact: Fraction, near: float) -> float:
    """Rounded once: a double rounded again may be the wrong neighbour."""
    (bits,) = struct.unpack("<I", struct.pack("<f", near))
    found = [struct.unpack("<f", struct.pack("<I", max(bits + step, 0)))[0] for step in (0, -1, 1)]
    return min((single for single in found if math.isfinite(single)), key=lambda single: abs(Fraction(single) - exact))


def instant_of(text: str) -> datetime:
    whole, _, fraction = text.partition(".")
    number = "".join(character for character in fraction[:9] if character.isdigit()) if fraction else ""
    count = next((index for index, character in enumerate(fraction) if not character.isdigit()), len(fraction))
    moment = datetime.fromisoformat(whole + fraction[count:])
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware + timedelta(microseconds=int(number[: min(count, 6)].ljust(6, "0") or 0))).astimezone(UTC)

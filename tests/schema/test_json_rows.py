"""Rows to record batches: what fits, what does not and how it is named."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcane_framework._core.errors import FatalStreamError, SchemaInconsistentError
from arcane_framework.schema.json_columns import ColumnarReader, NotColumnarError
from arcane_framework.schema.json_document import JsonError
from arcane_framework.schema.json_rows import JsonRows, raw_rows
from arcane_framework.schema.json_text import json_text_field

UTC_TIME = pa.timestamp("us", "UTC")
DECIMAL = pa.decimal128(38, 18)
RAW = pa.schema([pa.field("row", pa.large_string(), nullable=False)])
MIB = 2**20

FITTING: list[tuple[pa.DataType, str, Any]] = [
    (pa.bool_(), "true", True),
    (pa.bool_(), "false", False),
    (pa.int32(), "2147483647", 2**31 - 1),
    (pa.int64(), "-9223372036854775808", -(2**63)),
    (pa.int64(), "9007199254740993", 2**53 + 1),
    (pa.int64(), "12.0", 12),
    (pa.int64(), "1.2e1", 12),
    (pa.int64(), "120e-1", 12),
    (pa.int64(), "9223372036854775807.000", 2**63 - 1),
    (pa.int64(), "-0", 0),
    (pa.int64(), "0e99999", 0),
    (pa.float64(), "12", 12.0),
    (pa.float64(), "9007199254740993", 2.0**53),
    (pa.float64(), "1.7976931348623157e308", 1.7976931348623157e308),
    (pa.float64(), "5e-324", 5e-324),
    (pa.float64(), "1e-400", 0.0),
    (pa.float32(), "0.1", 0.10000000149011612),
    (pa.float32(), "16777217", 16777216.0),
    (DECIMAL, "1", Decimal(1)),
    (DECIMAL, '"1.50"', Decimal("1.5")),
    (DECIMAL, "-0.000000000000000001", Decimal("-1e-18")),
    (DECIMAL, "99999999999999999999.999999999999999999", Decimal("99999999999999999999.999999999999999999")),
    (DECIMAL, "1.10000000000000000000000", Decimal("1.1")),
    (DECIMAL, "1e-7", Decimal("1e-7")),
    (DECIMAL, '"1E+19"', Decimal("1e19")),
    (DECIMAL, '"\\u0031"', Decimal(1)),
    (pa.string(), '""', ""),
    (pa.string(), '"\\u0000"', "\0"),
    (pa.string(), '"\\ud83d\\ude00 é"', "😀 é"),
    (pa.string(), '"12"', "12"),
    (pa.string(), '"null"', "null"),
    (UTC_TIME, '"2024-05-01T12:30:15Z"', datetime(2024, 5, 1, 12, 30, 15, tzinfo=UTC)),
    (UTC_TIME, '"2024-05-01T12:30:15+02:00"', datetime(2024, 5, 1, 10, 30, 15, tzinfo=UTC)),
    (UTC_TIME, '"2024-05-01T12:30:15-0230"', datetime(2024, 5, 1, 15, 0, 15, tzinfo=UTC)),
    (UTC_TIME, '"2024-05-01T12:30:15"', datetime(2024, 5, 1, 12, 30, 15, tzinfo=UTC)),
    (UTC_TIME, '"2024-05-01 12:30:15.1"', datetime(2024, 5, 1, 12, 30, 15, 100_000, tzinfo=UTC)),
    (UTC_TIME, '"2024-05-01T12:30:15.1234567Z"', datetime(2024, 5, 1, 12, 30, 15, 123_456, tzinfo=UTC)),
    (UTC_TIME, '"2024-05-01T12:30:15.999999999+01:00"', datetime(2024, 5, 1, 11, 30, 15, 999_999, tzinfo=UTC)),
    (UTC_TIME, '"2024-05-01"', datetime(2024, 5, 1, tzinfo=UTC)),
    (UTC_TIME, '"0000-12-31T23:00:00-02:00"', datetime(1, 1, 1, 1, tzinfo=UTC)),
    (pa.date32(), '"2024-02-29"', date(2024, 2, 29)),
    (pa.list_(pa.int64()), "[1, null]", [1, None]),
    (pa.list_(pa.int64()), "[]", []),
    (pa.struct([("a", pa.list_(UTC_TIME))]), '{"a":["2024-05-01"],"b":1}', {"a": [datetime(2024, 5, 1, tzinfo=UTC)]}),
    (pa.struct([("a", pa.int64())]), "{}", {"a": None}),
]

MISFITS: list[tuple[pa.DataType, str, str]] = [
    (pa.bool_(), "1", "a number"),
    (pa.bool_(), '"true"', "a text"),
    (pa.int64(), "1.5", "a number with a fraction"),
    (pa.int64(), '"12"', "a text"),
    (pa.int64(), "true", "a boolean"),
    (pa.int32(), "2147483648", "a number outside of int32"),
    (pa.int64(), "9223372036854775808", "a number outside of int64"),
    (pa.int64(), "1e400", "a number outside of int64"),
    (pa.int64(), "1e999999999", "a number outside of int64"),
    (pa.int64(), "1e-999999999", "a number with a fraction"),
    (pa.int64(), "1" * 4301, "a number of more than 4300 digits"),
    (pa.float64(), "1e400", "a number outside of double"),
    (pa.float64(), '"1"', "a text"),
    (pa.float32(), "1e39", "a number outside of float"),
    (DECIMAL, "1e-19", "a number with more digits than decimal128(38, 18) has"),
    (DECIMAL, "1e-100", "a number with more digits than decimal128(38, 18) has"),
    (DECIMAL, "1e20", "a number with more digits than decimal128(38, 18) has"),
    (DECIMAL, "4e20", "a number with more digits than decimal128(38, 18) has"),
    (DECIMAL, '"100000000000000000000"', "a text with more digits than decimal128(38, 18) has"),
    (DECIMAL, '"1.5 "', "a text that is no decimal number"),
    (DECIMAL, '"NaN"', "a text that is no decimal number"),
    (DECIMAL, '"1_0"', "a text that is no decimal number"),
    (DECIMAL, "1e99999999999999999999", "a number with more digits than decimal128(38, 18) has"),
    (DECIMAL, "true", "a boolean"),
    (pa.string(), "1", "a number"),
    (pa.string(), '{"a":1}', "an object"),
    (UTC_TIME, '"2024-02-30"', "a text that is no date and time"),
    (UTC_TIME, '"2024-05-01T24:00:00Z"', "a text that is no date and time"),
    (UTC_TIME, '"2024-05-01T12:00:00.1234567890Z"', "a text that is no date and time"),
    (UTC_TIME, '"0001-01-01T00:00:00+01:00"', "a text that is no date and time"),
    (UTC_TIME, '"9999-12-31T23:59:59-01:00"', "a text that is no date and time"),
    (UTC_TIME, '"2024-05-01T12:00:00Z\\n"', "a text that is no date and time"),
    (UTC_TIME, '""', "a text that is no date and time"),
    (UTC_TIME, "1714565415", "a number"),
    (pa.date32(), '"2024-05-01T00:00:00Z"', "a text that is no date"),
    (pa.date32(), '"0000-05-01"', "a text that is no date"),
    (pa.list_(pa.int64()), "{}", "an object"),
    (pa.list_(pa.int64()), "1", "a number"),
    (pa.struct([("a", pa.int64())]), "[]", "an array"),
]


def page_of(*values: str) -> bytes:
    return ("[" + ", ".join('{"v": ' + value + "}" for value in values) + "]").encode()


def column(type_: pa.DataType | pa.Field, page: bytes) -> list[Any]:
    field = type_ if isinstance(type_, pa.Field) else pa.field("v", type_)
    schema = pa.schema([field])
    batch, aside = JsonRows(schema).parse(page, "page 1")
    assert aside == ()
    assert batch.schema.equals(schema, check_metadata=True)
    batch.validate(full=True)
    return batch.column(0).to_pylist()


@pytest.mark.parametrize(("type_", "literal", "value"), FITTING, ids=str)
def test_what_fits_gets_its_exact_value(type_: pa.DataType, literal: str, value: Any) -> None:
    assert column(type_, page_of(literal, "null", literal)) == [value, None, value]


@pytest.mark.parametrize(("type_", "literal", "value"), FITTING, ids=str)
def test_a_neighbour_that_needs_the_row_wise_way_changes_no_value(type_: pa.DataType, literal: str, value: Any) -> None:
    schema = pa.schema([("v", type_), ("w", pa.int64())])
    page = page_of(literal, "null").replace(b'{"v": null}', b'{"w": 1.0}')
    with pytest.raises(NotColumnarError):
        ColumnarReader(schema).read(page, page.count(b"{"))
    assert JsonRows(schema).parse(page, "here")[0].to_pylist() == [{"v": value, "w": None}, {"v": None, "w": 1}]


@pytest.mark.parametrize(("type_", "literal", "found"), MISFITS, ids=lambda part: str(part)[:40])
def test_what_does_not_fit_names_the_row_and_the_column_and_never_the_value(
    type_: pa.DataType, literal: str, found: str
) -> None:
    with pytest.raises(SchemaInconsistentError) as error:
        JsonRows(pa.schema([("v", type_)])).parse(page_of("null", literal), "page 7 of /orders")
    assert str(error.value) == (
        f"page 7 of /orders, row 1: column 'v' holds {found}, which does not fit {type_}."
        " Correct apiSchemaEncoded, or set quarantine: true to set such rows aside"
    )


@pytest.mark.parametrize(
    ("value", "place", "found"),
    [
        ('{"items": [{"price": "x"}]}', "'items[].price'", "a text"),
        ('{"items": [null, 5]}', "'items[]'", "a number"),
        ('{"items": {}}', "'items'", "an object"),
    ],
)
def test_a_nested_misfit_is_named_with_the_way_to_it(value: str, place: str, found: str) -> None:
    type_ = pa.struct([("items", pa.list_(pa.struct([("price", pa.int64())])))])
    with pytest.raises(SchemaInconsistentError) as error:
        JsonRows(pa.schema([("v", type_)])).parse(page_of(value), "here")
    assert f"here, row 0: column 'v' at {place} holds {found}, which does not fit struct<" in str(error.value)


@pytest.mark.parametrize(
    ("element", "kind"),
    [("null", "null"), ("1", "a number"), ("[]", "an array"), ('"x"', "a text"), ("true", "a boolean")],
)
def test_a_row_that_is_no_object_does_not_fit(element: str, kind: str) -> None:
    for schema in (pa.schema([("v", pa.int64())]), pa.schema([json_text_field("v")]), pa.schema([("v", DECIMAL)])):
        with pytest.raises(SchemaInconsistentError) as error:
            JsonRows(schema).parse(f'[{{"v": 1}}, {element}]'.encode(), "here")
        assert str(error.value) == (
            f"here, row 1: it is {kind}; a row is an object."
            " Correct apiSchemaEncoded, or set quarantine: true to set such rows aside"
        )


def test_rows_that_do_not_fit_are_set_aside_when_asked() -> None:
    rows = JsonRows(pa.schema([("v", pa.int64())]), quarantine=True)
    batch, aside = rows.parse(b'[{"v":1},\n {"v" : "secret"}, null,{"v":2}]', "page 1")
    assert batch.to_pydict() == {"v": [1, 2]}
    assert [(row.reason, row.location, row.raw) for row in aside] == [
        ("column 'v' holds a text, which does not fit int64", "page 1, row 1", '{"v" : "secret"}'),
        ("it is null; a row is an object", "page 1, row 2", "null"),
    ]


def test_missing_and_null_properties_are_null_and_others_are_ignored() -> None:
    schema = pa.schema([("a", pa.int64()), ("b", pa.string())])
    batch, _ = JsonRows(schema).parse(b'[{}, {"a":null,"c":[{"a":5}]}, {"b":"x","a":1,"d":{}}]', "here")
    assert batch.to_pylist() == [{"a": None, "b": None}, {"a": None, "b": None}, {"a": 1, "b": "x"}]


def test_a_column_that_must_not_be_null_refuses_rows_without_it() -> None:
    schema = pa.schema([pa.field("v", pa.int64(), nullable=False)])
    assert JsonRows(schema).parse(b'[{"v":1}]', "here")[0].num_rows == 1
    for text, found in ((b"[{}]", "nothing"), (b'[{"v":null}]', "null")):
        with pytest.raises(SchemaInconsistentError, match=f"column 'v' holds {found}, which does not fit int64"):
            JsonRows(schema).parse(text, "here")


@pytest.mark.parametrize("type_", [pa.int64(), pa.string(), DECIMAL])
def test_of_a_property_that_occurs_twice_the_last_one_counts(type_: pa.DataType) -> None:
    literal, value = ('"2"', "2") if type_ == pa.string() else ("2", 2)
    assert column(type_, page_of(f'null, "v": {literal}')) == [value]
    assert column(json_text_field("v"), page_of('1, "v": 2')) == ["2"]


@pytest.mark.parametrize("name", ["", "a.b", "é😀", "__class__", "f0", 'a"b', "a\\b", "a\nb", "\0", " "])
@pytest.mark.parametrize("kind", ["plain", "text", "nested"])
def test_columns_may_have_any_name(name: str, kind: str) -> None:
    field, value, read = {
        "plain": (pa.field(name, pa.int64()), 1, 1),
        "text": (json_text_field(name), [1], "[1]"),
        "nested": (pa.field(name, pa.struct([(name, pa.date32())])), {name: "2024-05-01"}, {name: date(2024, 5, 1)}),
    }[kind]
    text = json.dumps([{"other": 0, name: value}, {}]).encode()
    assert column(field, text) == [read, None]


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ('"a\\n\\u00e9"', "a\né"),
        ('""', ""),
        ("1.50e0", "1.50e0"),
        ("true", "true"),
        ("null", None),
        ('"null"', "null"),
        ('{"a" : [1,\n2]}', '{"a" : [1,\n2]}'),
        ('["\\u0000", "é"]', '["\\u0000", "é"]'),
        ('"\\\\"', "\\"),
    ],
)
def test_json_text_keeps_texts_and_everything_else_as_received(literal: str, text: str | None) -> None:
    assert column(json_text_field("v"), page_of(literal, '"x"', literal)) == [text, "x", text]
    nested = pa.field("v", pa.list_(json_text_field("item")))
    assert column(nested, page_of(f"[{literal}]")) == [[text]]


def test_an_empty_array_is_a_batch_without_rows() -> None:
    schema = pa.schema([("a", UTC_TIME), ("b", DECIMAL), json_text_field("c"), ("d", pa.list_(pa.date32()))])
    for text in (b"[]", b" [ \n] "):
        batch, aside = JsonRows(schema).parse(text, "here")
        assert (batch.num_rows, batch.schema, aside) == (0, schema, ())
        assert raw_rows(text, RAW, "here").num_rows == 0


@pytest.mark.parametrize("text", [b"{}", b"null", b'"[]"', b"1"])
def test_the_text_must_be_that_of_an_array(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"^expected the text of an array, found "):
        JsonRows(pa.schema([("v", pa.int64())])).parse(text, "here")
    with pytest.raises(ValueError, match=r"^expected the text of an array, found "):
        raw_rows(text, RAW, "here")


@pytest.mark.parametrize(
    "type_", [pa.binary(), pa.time64("us"), pa.timestamp("ns"), pa.decimal256(50, 2), pa.list_(pa.null())]
)
def test_types_that_json_has_no_rule_for_are_refused_at_once(type_: pa.DataType) -> None:
    with pytest.raises(ValueError, match=r"^values of the type .* are not read from JSON$"):
        JsonRows(pa.schema([("v", type_)]))
    with pytest.raises(ValueError, match=r"^the schema has no columns$"):
        JsonRows(pa.schema([]))


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize("before", [0, 500])
def test_a_row_has_up_to_64_levels(before: int) -> None:
    rows = JsonRows(pa.schema([("v", pa.int64())]))
    others = ['{"v":1,"x":"[[{{"}'] * before
    fits, does_not = (f'{{"v":1,"x":{nested(levels)}}}' for levels in (63, 64))
    assert rows.parse(f"[{','.join([*others, fits])}]".encode(), "here")[0].num_rows == before + 1
    assert raw_rows(f"[{','.join([*others, fits])}]".encode(), RAW, "here").num_rows == before + 1
    page = f"[{','.join([*others, does_not])}]".encode()
    with pytest.raises(
        SchemaInconsistentError, match=f"^here, row {before}: it is nested deeper than 64 objects and arrays"
    ):
        rows.parse(page, "here")
    with pytest.raises(FatalStreamError) as error:
        raw_rows(page, RAW, "here")
    assert str(error.value) == (
        f"here, row {before}: it is nested deeper than 64 objects and arrays."
        " No setting accepts such rows: ask the API for smaller ones"
    )


def test_brackets_within_texts_do_not_count_as_levels() -> None:
    row = json.dumps({"v": 1, "x": '[{"\\' * 500, '[\\"': [0]})
    page = f"[{row}]".encode()
    assert JsonRows(pa.schema([("v", pa.int64())])).parse(page, "here")[0].num_rows == 1
    assert raw_rows(page, RAW, "here").to_pydict() == {"row": [row]}


@pytest.mark.parametrize(
    "field", [pa.field("v", pa.string()), json_text_field("v"), pa.field("v", pa.list_(pa.string()))], ids=str
)
def test_a_text_has_up_to_16_mib(field: pa.Field) -> None:
    around = ("[", "]") if pa.types.is_list(field.type) else ("", "")
    fits, does_not = (around[0] + '"' + "x" * size + '"' + around[1] for size in (16 * MIB, 16 * MIB + 1))
    schema = pa.schema([field])
    assert JsonRows(schema).parse(page_of(fits), "here")[0].num_rows == 1
    with pytest.raises(SchemaInconsistentError, match="holds a text of more than 16 MiB, which does not fit"):
        JsonRows(schema).parse(page_of(does_not), "here")


def test_a_row_has_up_to_64_mib() -> None:
    padding = " " * (64 * MIB)
    for schema_rows, error in (
        (JsonRows(pa.schema([("v", pa.int64())])).parse, SchemaInconsistentError),
        (lambda page, at: raw_rows(page, RAW, at), FatalStreamError),
    ):
        schema_rows(b"[" + page_of("1").strip(b"[]") + padding.encode() + b"]", "here")
        with pytest.raises(error, match=r"^here, row 0: it has more than 64 MiB\."):
            schema_rows(page_of("1" + padding), "here")


def test_raw_rows_are_one_line_each_and_otherwise_as_received() -> None:
    page = b'[ {"a" :\r\n\t1},\n["x\\n"],null , "\xc3\xa9", 1.50]'
    batch = raw_rows(page, RAW, "here")
    assert batch.schema == RAW
    assert batch.column(0).to_pylist() == ['{"a" :  \t1}', '["x\\n"]', "null", '"é"', "1.50"]
    batch.validate(full=True)


def test_raw_rows_must_be_utf8_and_well_formed() -> None:
    with pytest.raises(JsonError, match=r"^the text is not UTF-8 \(byte 2\)$"):
        raw_rows(b'["\xff"]', RAW, "here")
    with pytest.raises(JsonError, match=r"^invalid character \(byte 3\)$"):
        raw_rows(b'["a\nb"]', RAW, "here")


@given(
    st.lists(
        st.recursive(
            st.none() | st.integers() | st.text('[]{}"\\\n\0é'), lambda inner: st.lists(inner, max_size=3), max_leaves=5
        )
    ),
    st.booleans(),
)
def test_raw_rows_hold_what_pythons_json_finds(rows: list[Any], pretty: bool) -> None:
    page = json.dumps(rows, indent=1 if pretty else None).encode()
    found = raw_rows(page, RAW, "here").column(0).to_pylist()
    assert [json.loads(text) for text in found] == rows
    assert not any("\n" in text or "\r" in text for text in found)


def test_threads_share_an_instance() -> None:
    rows = JsonRows(pa.schema([("v", pa.int64()), ("d", DECIMAL), json_text_field("t")]))
    pages = [json.dumps([{"v": n + 0.0 if n % 2 else n, "d": n, "t": [n]}] * 50).encode() for n in range(40)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda page: rows.parse(page, "here")[0].to_pylist()[-1], pages))
    assert found == [{"v": n, "d": Decimal(n), "t": f"[{n}]"} for n in range(40)]

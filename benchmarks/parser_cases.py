"""Bodies that parsers get wrong, each with what is right; pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

Rows = list[dict[str, Any]]

DECIMAL = pa.decimal128(38, 18)
INSTANT = pa.timestamp("us", "UTC")


@dataclass(frozen=True, slots=True)
class Case:
    """A body, and what a parser shall make of it.

    Attributes:
        name: Says what is special.
        body: The whole response; its rows are at `result.rows`.
        schema: Of a row.
        rows: The rows that are right; None when only a refusal is.
        refusable: Whether a refusal is right, too.
    """

    name: str
    body: bytes
    schema: pa.Schema
    rows: Rows | None
    refusable: bool = False


def cases() -> list[Case]:
    """All cases, in the order of the table."""
    return [*_values(), *_lenient_values(), *_refused_values(), *_rows(), *_chains(), *_documents()]


def _page(rows: str | bytes) -> bytes:
    return b'{"result": {"rows": %b}}' % (rows if isinstance(rows, bytes) else rows.encode())


def _values() -> Iterator[Case]:
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    deep = pa.struct([("a", pa.list_(pa.struct([("b", pa.int64())])))])
    table: list[tuple[str, pa.DataType, str, Any]] = [
        ("null", pa.int64(), "null", None),
        ("int64, its largest", pa.int64(), str(2**63 - 1), 2**63 - 1),
        ("int64, beyond the doubles' exact ones", pa.int64(), str(2**53 + 1), 2**53 + 1),
        ("uint64 beyond int64", pa.uint64(), str(2**64 - 1), 2**64 - 1),
        ("1.0 as an integer", pa.int64(), "1.0", 1),
        ("1e2 as an integer", pa.int64(), "1e2", 100),
        ("an integer as a double", pa.float64(), "12", 12.0),
        ("2^53 + 1 as a double", pa.float64(), str(2**53 + 1), 2.0**53),
        ("1E+2 as a double", pa.float64(), "1E+2", 100.0),
        ("17 digits as a double", pa.float64(), "0.30000000000000004", 0.30000000000000004),
        ("the smallest double", pa.float64(), "5e-324", 5e-324),
        ("-0.0", pa.float64(), "-0.0", -0.0),
        ("a decimal number", DECIMAL, "1.1", Decimal("1.1")),
        ("a decimal with 38 digits", DECIMAL, "9" * 20 + "." + "9" * 18, Decimal("9" * 20 + "." + "9" * 18)),
        ("a decimal as text", DECIMAL, '"1.10"', Decimal("1.1")),
        ("a decimal with an exponent", DECIMAL, "1e-7", Decimal("1e-7")),
        ("zeros beyond a decimal's scale", DECIMAL, "1.5" + "0" * 30, Decimal("1.5")),
        ("an instant with Z", INSTANT, '"2024-05-01T12:00:00Z"', noon),
        ("an instant with an offset", INSTANT, '"2024-05-01T14:00:00+02:00"', noon),
        ("an instant with +0200", INSTANT, '"2024-05-01T14:00:00+0200"', noon),
        ("an instant without an offset", INSTANT, '"2024-05-01T12:00:00"', noon),
        ("an instant with a space", INSTANT, '"2024-05-01 12:00:00Z"', noon),
        ("a day as an instant", INSTANT, '"2024-05-01"', noon.replace(hour=0)),
        ("7 digits in a fraction", INSTANT, '"2024-05-01T12:00:00.1234567Z"', noon.replace(microsecond=123456)),
        ("9 digits in a fraction", INSTANT, '"2024-05-01T12:00:00.999999999Z"', noon.replace(microsecond=999999)),
        ("the year 1", INSTANT, '"0001-01-01T00:00:00Z"', datetime(1, 1, 1, tzinfo=UTC)),
        ("the year 9999", INSTANT, '"9999-12-31T23:59:59Z"', datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("a day", pa.date32(), '"2024-02-29"', date(2024, 2, 29)),
        ("an empty text", pa.string(), '""', ""),
        ("\\u0000", pa.string(), '"a\\u0000b"', "a\0b"),
        ("a surrogate pair", pa.string(), '"\\ud83d\\ude00"', "😀"),
        ("digits as a text", pa.string(), '"12"', "12"),
        ("an empty list", pa.list_(pa.int64()), "[]", []),
        ("null in a list", pa.list_(pa.int64()), "[1, null]", [1, None]),
        ("an object in a list in an object", deep, '{"a": [{"b": 1}, null, {}]}', {"a": [{"b": 1}, None, {"b": None}]}),
    ]
    for name, type_, literal, value in table:
        yield Case(name, _page(f'[{{"v": {literal}}}]'), pa.schema([("v", type_)]), [{"v": value}])


def _lenient_values() -> Iterator[Case]:
    for name, type_, literal, value in (
        ('"12" as an integer', pa.int64(), '"12"', 12),
        ('"1.5" as a double', pa.float64(), '"1.5"', 1.5),
    ):
        yield Case(name, _page(f'[{{"v": {literal}}}]'), pa.schema([("v", type_)]), [{"v": value}], refusable=True)


def _refused_values() -> Iterator[Case]:
    table: list[tuple[str, pa.DataType, str]] = [
        ("1.5 as an integer", pa.int64(), "1.5"),
        ("true as an integer", pa.int64(), "true"),
        ("2^63 as int64", pa.int64(), str(2**63)),
        ("2^64 + 1 as int64", pa.int64(), str(2**64 + 1)),
        ("2^31 as int32", pa.int32(), str(2**31)),
        ("5,000 digits as int64", pa.int64(), "1" * 5000),
        ("1e400 as a double", pa.float64(), "1e400"),
        ("1e39 as a float", pa.float32(), "1e39"),
        ("1 as a bool", pa.bool_(), "1"),
        ('"true" as a bool', pa.bool_(), '"true"'),
        ("a number as a text", pa.string(), "12"),
        ("an object as a text", pa.string(), '{"a": 1}'),
        ("19 digits after a decimal's point", DECIMAL, "0." + "1" * 19),
        ("1.239 as a decimal(18, 2)", pa.decimal128(18, 2), "1.239"),
        ("21 digits before a decimal's point", DECIMAL, "1" * 21),
        ("1e20 as a decimal(38, 18)", DECIMAL, "1e20"),
        ("4e20 as a decimal(38, 18)", DECIMAL, "4e20"),
        ("1e-100 as a decimal(38, 18)", DECIMAL, "1e-100"),
        ("60 digits as a decimal", DECIMAL, "1" * 60),
        ("30 February", INSTANT, '"2024-02-30T00:00:00Z"'),
        ("a number as an instant", INSTANT, "1714564800"),
        ("a number as a day", pa.date32(), "19844"),
        ("a text as a day", pa.date32(), '"soon"'),
        ("an object as a list", pa.list_(pa.int64()), "{}"),
        ("a list as an object", pa.struct([("a", pa.int64())]), "[]"),
        ("half of a surrogate pair", pa.string(), '"\\ud83d"'),
        ("NaN", pa.float64(), "NaN"),
        ("-Infinity", pa.float64(), "-Infinity"),
        ("01", pa.int64(), "01"),
        ("a line end within a text", pa.string(), '"a\nb"'),
    ]
    for name, type_, literal in table:
        yield Case(name, _page(f'[{{"v": {literal}}}]'), pa.schema([("v", type_)]), None)


def _rows() -> Iterator[Case]:
    schema = pa.schema([("a", pa.int64()), ("b", pa.string())])
    empty = {"a": None, "b": None}
    table: list[tuple[str, str, Rows | None, bool]] = [
        (
            "missing properties",
            '[{"a": 1}, {}, {"b": "x"}]',
            [{"a": 1, "b": None}, empty, {"a": None, "b": "x"}],
            False,
        ),
        ("other properties", '[{"c": {"a": [{}]}, "a": 1, "d": 1e400}]', [{"a": 1, "b": None}], False),
        ("a property twice", '[{"a": 1, "a": 2}]', [{"a": 2, "b": None}], True),
        ("an escaped name", '[{"\\u0061": 1}]', [{"a": 1, "b": None}], False),
        ("a pretty-printed page", json.dumps([{"a": 1, "b": "x"}], indent=4), [{"a": 1, "b": "x"}], False),
        ("null for a row", '[{"a": 1}, null]', None, False),
        ("a number for a row", '[{"a": 1}, 2]', None, False),
        ("a list for a row", '[{"a": 1}, [2]]', None, False),
        ("10^5 nested arrays in another property", '[{"x": %s}]' % ("[" * 10**5 + "]" * 10**5), [empty], True),
        (
            "10^5 nested objects in another property",
            '[{"x": %s}]' % ('{"x":' * 10**5 + "1" + "}" * 10**5),
            [empty],
            True,
        ),
    ]
    for name, rows, right, refusable in table:
        yield Case(name, _page(rows), schema, right, refusable)


def _chains() -> Iterator[Case]:
    schema = pa.schema([("a", pa.int64())])
    table: list[tuple[str, bytes, Rows | None]] = [
        ("an empty array of rows", b'{"result": {"rows": []}}', []),
        ("null for the rows", b'{"result": {"rows": null}}', []),
        ("no rows property", b'{"result": {}}', []),
        ("null for the step before", b'{"result": null}', []),
        ("no step before", b'{"error": {"code": 17}}', []),
        ("null for the document", b"null", []),
        ("an object for the rows", b'{"result": {"rows": {"a": 1}}}', None),
        ("a text for the rows", b'{"result": {"rows": "later"}}', None),
        ("a list for the step before", b'{"result": [{"rows": [{"a": 1}]}]}', None),
        ("a list for the document", b'[{"result": {"rows": [{"a": 1}]}}]', None),
    ]
    for name, body, right in table:
        yield Case(name, body, schema, right)
    twice = b'{"result": {"rows": [{"a": 1}]}, "result": {"rows": [{"a": 2}]}}'
    yield Case("a step twice", twice, schema, [{"a": 2}], refusable=True)


def _documents() -> Iterator[Case]:
    schema = pa.schema([("a", pa.int64()), ("b", pa.string())])
    page = _page('[{"a": 1, "b": "x"}]')
    rows: Rows = [{"a": 1, "b": "x"}]
    table: list[tuple[str, bytes, Rows | None]] = [
        ("a byte order mark", b"\xef\xbb\xbf" + page, rows),
        ("white space around", b" \r\n" + page + b"\n\t ", rows),
        ("two documents", page + page, None),
        ("two documents on two lines", page + b"\n" + page, None),
        ("text behind the document", page + b"<!-- cached -->", None),
        ("an empty body", b"", None),
        ("a body that ends early", page[:-10], None),
        ("a web page", b"<html><body>Log in</body></html>", None),
        ("no UTF-8 in a column", _page(b'[{"a": 1, "b": "\xff"}]'), None),
        ("no UTF-8 in another property", _page(b'[{"a": 1, "b": "x", "c": "\xc0\x80"}]'), None),
        ("a comma too many", _page('[{"a": 1, "b": "x"},]'), None),
        ("10^5 nested arrays", b"[" * 10**5 + b"]" * 10**5, None),
    ]
    for name, body, right in table:
        yield Case(name, body, schema, right)
    yield Case("UTF-16", page.decode().encode("utf-16"), schema, rows, refusable=True)

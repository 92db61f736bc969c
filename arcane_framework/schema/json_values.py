"""The exact rules by which one JSON value fits an Arrow type; the columnar path agrees with them."""

import math
import re
from collections.abc import Callable
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

import pyarrow as pa
import pyarrow.types as pat

from arcane_framework.schema.json_document import kind_of, properties_of
from arcane_framework.schema.json_limits import MAX_INTEGER_DIGITS, MAX_TEXT_BYTES
from arcane_framework.schema.json_times import TIMESTAMP, day, instant

Reader = Callable[[bytes], Any]
"""Makes of a value's raw text what `pa.array` takes for the type; never called with `null`.

Raises:
    MisfitError: The value does not fit.
"""

_DECIMAL_TEXT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


class MisfitError(Exception):
    """A value does not fit its column.

    Attributes:
        found: What it is instead, without the value itself: "a text", "a number with a fraction".
        path: Where in the column it stands, from the outside: `.street`, `[]`.
    """

    def __init__(self, found: str, path: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.path = path


def reader_of(type_: pa.DataType) -> Reader:
    """The reader of a type's values.

    Raises:
        ValueError: Values of this type are not read from JSON.
    """
    if pat.is_integer(type_):
        return _integer_reader(type_)
    if pat.is_decimal128(type_) and 0 <= type_.scale <= type_.precision:
        return _decimal_reader(type_)
    if pat.is_struct(type_):
        return _struct_reader(type_)
    if pat.is_list(type_):
        return _list_reader(type_)
    plain: dict[pa.DataType, Reader] = {
        pa.bool_(): _boolean,
        pa.float32(): _single,
        pa.float64(): _double,
        pa.string(): text_of,
        TIMESTAMP: _instant,
        pa.date32(): _day,
    }
    if type_ not in plain:
        raise ValueError(f"values of the type {type_} are not read from JSON")
    return plain[type_]


def nullable(field: pa.Field, reader: Reader) -> Callable[[bytes | None], Any]:
    """The field's reader for a value that may be missing (None) or null."""

    def read(raw: bytes | None) -> Any:
        if raw is None or raw == b"null":
            if not field.nullable:
                raise MisfitError("nothing" if raw is None else "null")
            return None
        return reader(raw)

    return read


def text_of(raw: bytes) -> str:
    """A text value."""
    import msgspec

    if not raw.startswith(b'"'):
        raise MisfitError(kind_of(raw))
    text = msgspec.json.decode(raw, type=str)
    # A character has 4 bytes at most, and its JSON text is never shorter than its UTF-8.
    if len(raw) - 2 > MAX_TEXT_BYTES and len(text.encode()) > MAX_TEXT_BYTES:
        raise MisfitError(f"a text of more than {MAX_TEXT_BYTES // 2**20} MiB")
    return text


def json_text_of(raw: bytes) -> str:
    """Any value as text: a text is itself, everything else its JSON text as received."""
    if raw.startswith(b'"'):
        return text_of(raw)
    if len(raw) > MAX_TEXT_BYTES:
        raise MisfitError(f"{kind_of(raw)} of more than {MAX_TEXT_BYTES // 2**20} MiB")
    return raw.decode()


def plain_decimal(raw: bytes, type_: pa.DataType) -> Decimal:
    """A number, or a text that holds one, with exactly the scale's digits.

    Arrow reads such a decimal right. It does not read every other: 26.0 wraps around on `4e20` and looks beyond its
    table of powers on `1e-100` (apache/arrow 49817, 50964).
    """
    literal, kind = (text_of(raw), "a text") if raw.startswith(b'"') else (_number(raw), "a number")
    if _DECIMAL_TEXT.fullmatch(literal) is None:
        raise MisfitError("a text that is no decimal number")
    if len(literal) > MAX_INTEGER_DIGITS:
        raise MisfitError(f"{kind} of more than {MAX_INTEGER_DIGITS} digits")
    try:
        value = Decimal(literal)
        context = Context(prec=type_.precision, traps=[Inexact, InvalidOperation])
        return value.quantize(Decimal((0, (1,), -type_.scale)), context=context)
    except (Inexact, InvalidOperation):
        raise MisfitError(f"{kind} with more digits than {type_} has") from None


def _number(raw: bytes) -> str:
    if raw[:1] not in b"-0123456789":
        raise MisfitError(kind_of(raw))
    return raw.decode()


def _boolean(raw: bytes) -> bool:
    if raw not in {b"true", b"false"}:
        raise MisfitError(kind_of(raw))
    return raw == b"true"


def _integer_reader(type_: pa.DataType) -> Reader:
    low, high = _bounds(type_)

    def read(raw: bytes) -> int:
        literal = _number(raw)
        if len(literal) > MAX_INTEGER_DIGITS:
            raise MisfitError(f"a number of more than {MAX_INTEGER_DIGITS} digits")
        value = _whole(literal)
        if value is None or not low <= value <= high:
            raise MisfitError(f"a number outside of {type_}")
        return value

    return read


def _whole(literal: str) -> int | None:
    """The literal as an integer; None when it is far outside of 64 bits."""
    try:
        return int(literal)
    except ValueError:
        number = Decimal(literal)
    if not number:
        return 0
    if number.adjusted() >= 20:
        return None
    if number != number.to_integral_value():
        raise MisfitError("a number with a fraction")
    return int(number)


def _bounds(type_: pa.DataType) -> tuple[int, int]:
    bits = type_.bit_width
    if pat.is_signed_integer(type_):
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


def _double(raw: bytes) -> float:
    value = float(_number(raw))
    if not math.isfinite(value):
        raise MisfitError("a number outside of double")
    return value


def _single(raw: bytes) -> float:
    # From the text at once: rounded to a double first, some numbers would be rounded twice.
    value: float = pa.scalar(_number(raw), pa.string()).cast(pa.float32()).as_py()
    if not math.isfinite(value):
        raise MisfitError("a number outside of float")
    return value


def _instant(raw: bytes) -> int:
    try:
        return instant(text_of(raw))
    except ValueError:
        raise MisfitError("a text that is no date and time") from None


def _day(raw: bytes) -> int:
    try:
        return day(text_of(raw))
    except ValueError:
        raise MisfitError("a text that is no date") from None


def _decimal_reader(type_: pa.DataType) -> Reader:
    return lambda raw: plain_decimal(raw, type_)


def _struct_reader(type_: pa.DataType) -> Reader:
    properties = properties_of([field.name for field in type_.fields])
    readers = field_readers(type_.fields)

    def read(raw: bytes) -> dict[str, Any]:
        if not raw.startswith(b"{"):
            raise MisfitError(kind_of(raw))
        return {name: one(value) for (name, one), value in zip(readers, properties(raw), strict=True)}

    return read


def field_readers(fields: Any) -> list[tuple[str, Callable[[bytes | None], Any]]]:
    """Names and readers of fields; what a reader raises says where in the row the value stands."""
    return [(field.name, _placed(f".{field.name}", nullable(field, _field_reader(field)))) for field in fields]


def _field_reader(field: pa.Field) -> Reader:
    from arcane_framework.schema.json_text import is_json_text

    return json_text_of if is_json_text(field) else reader_of(field.type)


def _list_reader(type_: pa.DataType) -> Reader:
    import msgspec

    items = msgspec.json.Decoder(list[msgspec.Raw])
    one = _placed("[]", nullable(type_.value_field, _field_reader(type_.value_field)))

    def read(raw: bytes) -> list[Any]:
        if not raw.startswith(b"["):
            raise MisfitError(kind_of(raw))
        return [one(bytes(item)) for item in items.decode(raw)]

    return read


def _placed(step: str, read: Callable[[bytes | None], Any]) -> Callable[[bytes | None], Any]:
    def placed(raw: bytes | None) -> Any:
        try:
            return read(raw)
        except MisfitError as misfit:
            raise MisfitError(misfit.found, step + misfit.path) from None

    return placed

"""How large rows and their values may be, and how deep they may be nested."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import msgspec

MAX_DEPTH = 64
"""Objects and arrays inside one another, the row's own object included."""

MAX_TEXT_BYTES = 16 * 2**20
"""Of one text value, as UTF-8."""

MAX_ROW_BYTES = 64 * 2**20
"""Of one row's JSON text."""

MAX_INTEGER_DIGITS = 4300
"""Of an integer's literal; reading more would take Python a time that grows with the square of the digits."""

_NO_OPENERS_OR_LINE_ENDS = bytes(byte for byte in range(256) if byte not in b"{[\n")
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]')


def depth_of(raw: bytes) -> int:
    """How many objects and arrays are inside one another in the raw text of a well-formed value."""
    depth = deepest = 0
    for token in _TOKENS.finditer(raw):
        first = raw[token.start()]
        if first in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in b"]}":
            depth -= 1
    return deepest


def row_excess(raw: bytes) -> str | None:
    """Why the raw text of a row is beyond the limits; None when it is not."""
    if len(raw) > MAX_ROW_BYTES:
        return f"it has more than {MAX_ROW_BYTES // 2**20} MiB"
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and depth_of(raw) > MAX_DEPTH:
        return f"it is nested deeper than {MAX_DEPTH} objects and arrays"
    return None


def first_excess(rows: "Sequence[msgspec.Raw]", lines: bytes) -> tuple[int, str] | None:
    """The first of many rows' raw texts that is beyond the limits, and why.

    Args:
        rows: The texts.
        lines: The same as lines.
    """
    openers = lines.translate(None, _NO_OPENERS_OR_LINE_ENDS).split(b"\n")
    if len(lines) <= MAX_ROW_BYTES and len(max(openers, key=len)) <= MAX_DEPTH:
        return None
    for number, row in enumerate(rows):
        reason = row_excess(bytes(row))
        if reason is not None:
            return number, reason
    return None


def surely_within(array: bytes, rows: int, openers: int) -> bool:
    """Whether a look at an array of `rows` objects as a whole is enough to see that every row is within the limits.

    `openers` is the number of `{` in it.

    Each row opens one object at least, so what more is opened bounds the depth of the deepest.
    """
    spare = openers - rows
    if spare <= MAX_DEPTH:
        spare += array.count(b"[")
    return len(array) <= MAX_ROW_BYTES and spare <= MAX_DEPTH


def texts_within(columns: Sequence[pa.Array]) -> bool:
    """Whether all values of all text columns, nested ones included, are within the limit."""
    return all(_texts_within(column) for column in columns)


def _texts_within(column: pa.Array) -> bool:
    if pa.types.is_struct(column.type):
        return texts_within([column.field(number) for number in range(column.type.num_fields)])
    if pa.types.is_list(column.type):
        return _texts_within(column.values)
    if not pa.types.is_string(column.type):
        return True
    longest = pc.max(pc.binary_length(column)).as_py()
    return longest is None or longest <= MAX_TEXT_BYTES

"""Whether a page is too large for memory, found out before a Python object is made for each of its rows.

A byte of JSON may become a hundred in memory: `[{},{},...]` has a row for every three bytes, and each of them costs
an object in Python or the width of all columns in Arrow.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import pyarrow.types as pat

from arcane_framework._core.errors import FatalStreamError

MAX_ELEMENTS = 1_000_000
"""Of an array, unless its elements have `MIN_MEAN_BYTES` on average."""

MIN_MEAN_BYTES = 32
"""How long the elements of an array with more than `MAX_ELEMENTS` are at least, on average."""

MAX_ARROW_BYTES = 512 * 2**20
"""Of the columns that a page becomes, unless it is large itself."""

MAX_GROWTH = 8
"""How many times its own size the columns of a page may have when they have more than `MAX_ARROW_BYTES`."""

_REMEDY = "Ask the API for smaller pages"
_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_BYTES_PER_COMMA = 8
_COMMA = ord(",")
_FIRST = re.compile(rb"[ \t\n\r]*+\[[ \t\n\r]*+([{[])")
_TOKENS = re.compile(rb'[\[{](?:[^][{}"]++|' + _TEXT + rb")*+[\]}]|" + _TEXT + rb"|[][{},]", re.DOTALL)


class _TooManyError(Exception):
    """There are more elements than were to be counted."""


def check_elements(array: bytes, location: str) -> None:
    """Check that an array has not too many elements.

    Costs nothing for less than 2 MB and otherwise half a millisecond for 1 MiB, or up to 10 when there is a comma for
    every eight bytes; takes up to 24 bytes of memory for each element that is allowed. Where scalars stand behind
    a first object, so few commas pass without a count: such an array may have an element for every eight bytes.

    Args:
        array: The raw text of an array; if it is not well formed, the result is any.
        location: Where it is from, for messages.

    Raises:
        FatalStreamError: It has more than a million elements of less than 32 bytes on average.
    """
    limit = _limit(array)
    # An element has two bytes at least, its comma included.
    if len(array) <= 2 * limit:
        return
    commas = array.count(b",")
    if commas >= limit and not _looks_ordinary(array, commas, limit):
        _count(array, limit, location)


def check_page(array: bytes, schema: pa.Schema, location: str, openers: int) -> None:
    """Check that an array has not too many elements, and that the columns it becomes are not too large.

    As `check_elements`, but for a reader that takes nothing but objects and null for a row.

    Args:
        array: As there.
        schema: Of the columns.
        location: As there.
        openers: How many `{` there are in the array.

    Raises:
        FatalStreamError: It has, or the columns have more than 512 MiB and 8 times the size of the array.
    """
    limit = _limit(array)
    most = max(MAX_ARROW_BYTES, MAX_GROWTH * len(array))
    row, items = widths(schema)
    objects = openers
    # A null has four bytes and a comma; counting them takes longer than the rest of this together.
    rows = objects + max(0, len(array) - 2 * objects) // 5
    if rows > limit or rows * row + objects * items > most:
        rows = objects + array.count(b"null")
    if rows > limit or rows * row + objects * items > most:
        rows = _count(array, limit, location)
    if rows * row + objects * items > most:
        raise FatalStreamError(
            f"{location}: its {rows:,} rows of {len(schema)} columns would take more than {most // 2**20} MiB"
            f" of memory, for {len(array) / 2**20:.0f} MiB of JSON. {_REMEDY}, or take columns out of apiSchemaEncoded"
        )


def widths(fields: Iterable[pa.Field]) -> tuple[int, int]:
    """How many bytes a row takes in Arrow, and how many more an object that is an item of any of its lists may take."""
    pairs = [_widths(field.type) for field in fields]
    return sum(row for row, _ in pairs), sum(items for _, items in pairs)


def _widths(type_: pa.DataType) -> tuple[int, int]:
    if pat.is_struct(type_):
        row, items = widths(type_.fields)
        return row + 1, items
    if pat.is_list(type_):
        item, items = _widths(type_.value_type)
        return 8, items + (item if pat.is_struct(type_.value_type) else 0)
    return (8 if pat.is_string(type_) else max(type_.bit_width // 8, 1)), 0


def _limit(array: bytes) -> int:
    return max(MAX_ELEMENTS, len(array) // MIN_MEAN_BYTES)


def _looks_ordinary(array: bytes, commas: int, limit: int) -> bool:
    first = _FIRST.match(array)
    few_commas = commas <= len(array) // _BYTES_PER_COMMA
    return first is not None and first[1] == b"{" and few_commas and array.count(b"{") <= limit


def _count(array: bytes, limit: int, location: str) -> int:
    """The number of elements, exactly.

    Raises:
        FatalStreamError: It is above the limit.
    """
    try:
        count = _count_of_one_kind(array, limit)
        return _count_of_any(array, limit) if count is None else count
    except _TooManyError:
        raise FatalStreamError(
            f"{location}: more than {limit:,} elements in {len(array) / 2**20:.0f} MiB of JSON,"
            f" which is too many for one page. {_REMEDY}"
        ) from None


def _count_of_one_kind(array: bytes, limit: int) -> int | None:
    """The number of elements when all are objects or all are arrays; None at the first other one."""
    import msgspec

    opener = _FIRST.match(array)
    if opener is None:
        return None
    hooks = {} if array.count(opener[1]) <= limit else {"__post_init__": _counter(limit)}
    shape: Any = msgspec.defstruct("Element", [], namespace=hooks, array_like=opener[1] == b"[", gc=False)
    try:
        return len(msgspec.json.decode(array, type=list[shape]))
    except (msgspec.DecodeError, RecursionError):
        return None


def _counter(limit: int) -> Callable[[object], None]:
    count = 0

    def one_more(_: object) -> None:
        nonlocal count
        count += 1
        if count > limit:
            raise _TooManyError

    return one_more


def _count_of_any(array: bytes, limit: int) -> int:
    """The number of elements, token by token: at 20 to 300 MB/s."""
    depth, count = 1, 1
    for token in _TOKENS.finditer(array, array.index(b"[") + 1):
        if token.end() - token.start() > 1:
            continue
        first = array[token.start()]
        if first == _COMMA:
            count += depth == 1
            if count > limit:
                raise _TooManyError
        else:
            depth += 1 if first in b"[{" else -1
    return count

"""The elements of a JSON array as raw texts: one by one, as lines, and as an Arrow column."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from arcane_framework.schema.json_document import refuse

if TYPE_CHECKING:
    import msgspec

_LINE_ENDS = bytes.maketrans(b"\r\n\0", b"  \n")


def elements(array: bytes) -> "list[msgspec.Raw]":
    """The raw texts of an array's elements, which refer to the array's memory.

    Raises:
        JsonError: The text is not well formed, or nested too deep for the calling thread.
    """
    import msgspec

    try:
        return msgspec.json.decode(array, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        refuse(array, error)


def as_lines(texts: "Sequence[msgspec.Raw]", array: bytes) -> bytes:
    """One line for each raw text; line ends within one stand between its tokens only and become spaces.

    Args:
        texts: The texts.
        array: The array whose elements they are.
    """
    lines = b"\n".join(texts)
    if b"\n" not in array and b"\r" not in array:
        return lines
    if lines.count(b"\n") < max(len(texts), 1) and b"\r" not in lines:
        return lines
    # Nothing well-formed holds the byte 0.
    return b"\0".join(texts).translate(_LINE_ENDS)


def as_column(joined: bytes, separator: str, count: int) -> pa.Array:
    """A column (`large_string`) of `count` texts that are joined in UTF-8 by a character that none of them holds."""
    if count == 0:
        return pa.nulls(0, pa.large_string())
    offsets = bytes(8) + len(joined).to_bytes(8, sys.byteorder)
    whole = pa.Array.from_buffers(pa.large_string(), 1, [None, pa.py_buffer(offsets), pa.py_buffer(joined)])
    column = pc.split_pattern(whole, separator).values
    assert len(column) == count
    return column


def raw_column(texts: "Sequence[msgspec.Raw | bytes | None]") -> pa.Array:
    """A column (`large_string`) of raw texts; null where one is missing or is JSON's null."""
    joined = b"\0".join([b"null" if text is None else text for text in texts])
    column = as_column(joined, "\0", len(texts))
    return pc.if_else(pc.equal(column, "null"), pa.scalar(None, column.type), column)

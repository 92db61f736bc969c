"""A seekable reader of one object, by ranges."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

Fetch = Callable[[int, int], bytes]


class RangedReader(io.RawIOBase):
    """Reads ranges with a window that doubles while reading goes on where it ended. Used by one thread.

    Args:
        fetch: Gives the bytes of an offset and a length; blocks. All of one version of the object.
        size: The object's size.
        first: Asked for at the beginning and after a jump: a small object whole, or the end of a Parquet file.
        most: Asked for at a time at most, in bytes.
        start: The object's first bytes, as far as they are known.
    """

    def __init__(self, fetch: Fetch, size: int, *, first: int, most: int, start: bytes = b"") -> None:
        super().__init__()
        self._fetch = fetch
        self._size = size
        self._first = first
        self._most = most
        self._position = 0
        self._window_at = 0
        self._window = start
        self._ahead = first

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; makes no request."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: "Buffer") -> int:
        """Fill `buffer` as far as one request reaches; blocks when the window has nothing for it."""
        target = memoryview(buffer).cast("B")
        wanted = min(len(target), self._size - self._position)
        if wanted <= 0:
            return 0
        skip = self._position - self._window_at
        if not 0 <= skip < len(self._window):
            self._move(wanted)
            skip = 0
        piece = memoryview(self._window)[skip : skip + wanted]
        target[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def _move(self, wanted: int) -> None:
        goes_on = bool(self._window) and self._position == self._window_at + len(self._window)
        self._ahead = min(self._ahead * 2, self._most) if goes_on else self._first
        length = min(max(min(wanted, self._most), self._ahead), self._size - self._position)
        self._window, self._window_at = b"", self._position
        self._window = self._fetch(self._position, length)

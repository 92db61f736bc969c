"""Reading an object of S3 in ranges."""

import io
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from arcane_framework._core.clock import Clock
from arcane_framework._core.errors import TransientStreamError
from arcane_framework.storage.s3_errors import plain_errors
from arcane_framework.storage.s3_pauses import pause

SMALLEST_READ: Final = 1 << 20
LARGEST_READ: Final = 16 << 20
"""What is asked for at a time: doubled while somebody reads on, begun anew after a jump."""

BODY_ATTEMPTS: Final = 4

_T = TypeVar("_T")


def body_again(read: Callable[[], _T], location: str, action: str, clock: Clock) -> _T:
    """Run `read`, which gets an answer and reads its body, again when the body breaks off: the SDK does not."""
    for attempt in range(1, BODY_ATTEMPTS):
        try:
            with plain_errors(location, action):
                return read()
        except TransientStreamError:
            pause(clock, attempt)
    with plain_errors(location, action):
        return read()


def body_of(answer: Mapping[str, Any]) -> bytes:
    """The whole body of an answer; one that breaks off is one of the SDK's errors."""
    body = answer["Body"]
    try:
        # Not by `with`: that gives the connection itself, which does not check the length.
        content: bytes = body.read()
    finally:
        body.close()
    return content


class S3Reader(io.RawIOBase):
    """A seekable reader that asks for ranges of one version of an object. Used by one thread at a time.

    Errors are the package's own. An object that is replaced meanwhile is a `TransientStreamError`.
    """

    def __init__(self, client: Any, target: dict[str, str], size: int, location: str, name: str, clock: Clock) -> None:
        super().__init__()
        self._client = client
        self._target = target
        self._size = size
        self._location = location
        self._name = name
        self._clock = clock
        self._position = 0
        self._block = b""
        self._block_start = 0
        self._ahead = SMALLEST_READ

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("a position before the beginning")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer).cast("B")
        if self._position >= self._size or not target.nbytes:
            return 0
        at = self._position - self._block_start
        if not 0 <= at < len(self._block):
            self._fetch(target.nbytes)
            at = 0
        taken = min(target.nbytes, len(self._block) - at)
        target[:taken] = memoryview(self._block)[at : at + taken]
        self._position += taken
        return taken

    def _fetch(self, wanted: int) -> None:
        reads_on = bool(self._block) and self._position == self._block_start + len(self._block)
        self._ahead = min(self._ahead * 2, LARGEST_READ) if reads_on else SMALLEST_READ
        first = self._position
        last = min(first + max(min(wanted, LARGEST_READ), self._ahead), self._size) - 1
        self._block = b""
        self._block = body_again(lambda: self._range(first, last), self._location, f"read {self._name}", self._clock)
        self._block_start = first

    def _range(self, first: int, last: int) -> bytes:
        answer = self._client.get_object(**self._target, Range=f"bytes={first}-{last}")
        content = body_of(answer)
        if len(content) != last - first + 1:
            raise TransientStreamError(
                f"{self._location}: cannot read {self._name}: the answer is not the range asked for"
            )
        return content

"""A response's body, decoded in bounded memory."""

import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from arcane_framework._core.errors import FatalStreamError
from arcane_framework.http.errors import TryAgainError

ACCEPT_ENCODING: Final = "gzip, deflate"
MAX_RATIO: Final = 250
"""Decoded bytes for each byte received. JSON rows compress 5 to 30 times; a bomb a thousand times."""
RATIO_FROM: Final = 16 * 1024 * 1024
"""Decoded bytes up to which the ratio does not matter: small answers may well be one thing repeated."""

_STEP = 1024 * 1024


def read_body(
    chunks: Iterable[bytes], encoding: str, *, max_bytes: int, what: str, check: Callable[[], None] = lambda: None
) -> bytes:
    """Decode a body while it arrives. Holds the decoded bytes once, and one step of 1 MiB.

    Args:
        chunks: The body as received.
        encoding: The value of `Content-Encoding`; empty for none.
        max_bytes: What the decoded body may have.
        what: Names the request in messages.
        check: Called after each step; raises when the time is over.

    Raises:
        TryAgainError: The compressed data ends early or is damaged.
        FatalStreamError: The encoding is not one of those asked for, or the body is too large.
    """
    body = io.BytesIO()
    decoder = make_decoder(encoding, what)
    received = 0
    for chunk in chunks:
        received += len(chunk)
        for piece in decoder.feed(chunk):
            body.write(piece)
            _check_size(body.tell(), received - decoder.waiting, max_bytes, what)
            check()
        check()
    decoder.finish()
    return body.getvalue()


def _check_size(decoded: int, received: int, max_bytes: int, what: str) -> None:
    if decoded > max_bytes:
        raise too_large(what, max_bytes)
    if decoded > RATIO_FROM and decoded > MAX_RATIO * received:
        raise FatalStreamError(
            f"{what}: the response unpacks to more than {MAX_RATIO} times its size and "
            f"{RATIO_FROM} bytes: ask the API for smaller pages (such a response stays refused whatever "
            "maxResponseBytes is)"
        )


def too_large(what: str, max_bytes: int) -> FatalStreamError:
    """The error for a body above the limit."""
    return FatalStreamError(
        f"{what}: the response has more than {max_bytes} bytes: ask the API for smaller pages, "
        "or raise maxResponseBytes"
    )


class Decoder:
    """Takes bytes as received, gives bytes as meant; this one changes nothing."""

    @property
    def waiting(self) -> int:
        """Bytes that were fed and are not decoded yet."""
        return 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Decode in steps; to be read to its end before the next call."""
        yield chunk

    def finish(self) -> None:
        """Check that nothing is missing at the end."""


class _Inflater(Decoder):
    """gzip, of one or several members, and deflate."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._stream: zlib._Decompress | None = None
        self._pending = b""
        self._members = 0

    @property
    def waiting(self) -> int:
        return len(self._pending)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        self._pending = self._pending + chunk if self._pending else chunk
        while self._pending and (self._stream is not None or self._start()):
            yield from self._inflate()

    def finish(self) -> None:
        if self._stream is not None or self._pending:
            raise TryAgainError(f"the {self._coding} data of the response ends early")

    def _start(self) -> bool:
        """Begin a member; False when more bytes are needed to tell what it is."""
        if self._coding == "gzip":
            if self._members:
                self._pending = self._pending.lstrip(b"\0")  # padding
            bits = 31
        else:
            if len(self._pending) < 2:
                return False
            bits = 15 if _is_zlib(self._pending) else -15
        if self._pending:
            self._stream = zlib.decompressobj(bits)
        return bool(self._pending)

    def _inflate(self) -> Iterator[bytes]:
        stream = self._stream
        assert stream is not None
        while True:
            try:
                piece = stream.decompress(self._pending, _STEP)
            except zlib.error:
                raise TryAgainError(f"the {self._coding} data of the response is damaged") from None
            self._pending = stream.unconsumed_tail
            if piece:
                yield piece
            if stream.eof:
                self._pending, self._stream = stream.unused_data, None
                self._members += 1
                return
            if len(piece) < _STEP and not self._pending:
                return


def make_decoder(encoding: str, what: str) -> Decoder:
    """The decoder for a `Content-Encoding`.

    Raises:
        FatalStreamError: It is none of those asked for.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return Decoder()
        case "gzip" | "x-gzip":
            return _Inflater("gzip")
        case "deflate":
            return _Inflater("deflate")
    shown = "".join(c for c in encoding if c.isprintable())[:60]
    raise FatalStreamError(
        f"{what}: the response is encoded as {shown!r}, although only {ACCEPT_ENCODING} was asked for: "
        "switch that encoding off at the server"
    )


def _is_zlib(data: bytes) -> bool:
    """Whether data begins with the header of RFC 1950; some servers send deflate without it."""
    return data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0

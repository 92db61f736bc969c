"""Windows and pages: from a request's parameters to the document of the answer."""

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from urllib.parse import urlencode

from tests.rest_api.data import Row, Rows, read_instant
from tests.rest_api.script import Script

Parameters: TypeAlias = Mapping[str, str]
_WINDOW_STEP = 1_000_000
_TOKEN_START = "t+&%/"


class RefusedError(Exception):
    """The request cannot be served."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Page:
    """An answer. `number` counts from 1 for every pager."""

    number: int
    rows: Sequence[Row]
    document: Any


def find_page(script: Script, rows: Rows, now: datetime, url: str, parameters: Parameters) -> Page:
    """The page that is asked for.

    Args:
        script: The settings.
        rows: What there is.
        now: The server's clock.
        url: Of the request, without its query.
        parameters: Of its query and its body.

    Raises:
        RefusedError: There is no such path, or a parameter is wrong.
    """
    window = _Window(script, rows, now, url, parameters)
    match url.rpartition("/")[2]:
        case "unpaged":
            return window.whole(lambda items: items)
        case "nested":
            return window.whole(lambda items: {"result": {"rows": items}})
        case "counter":
            return window.by_counter()
        case "offset":
            return window.by_offset()
        case "token":
            return window.by_token()
    raise RefusedError(404, "there is no such path")


class _Window:
    def __init__(self, script: Script, rows: Rows, now: datetime, url: str, parameters: Parameters) -> None:
        self._script, self._rows, self._url, self._parameters = script, rows, url, parameters
        self._bounds = self._instant("from"), self._instant("to")
        self._numbers = rows.window(*self._bounds, now)

    def whole(self, wrap: Callable[[list[Row]], Any]) -> Page:
        items = [self._rows.row(number) for number in self._numbers]
        return Page(1, items, wrap(items))

    def by_counter(self) -> Page:
        number = self._integer("page", 1)
        items = self._items((number - 1) * self._script.page_size)
        pages = -(-len(self._numbers) // self._script.page_size)
        return Page(number, items, {"TotalPages": pages, "data": {"items": items}})

    def by_offset(self) -> Page:
        size = self._script.page_size
        by_number = "page" in self._parameters
        offset = (self._integer("page", 1) - 1) * size if by_number else self._integer("offset", 0)
        items = self._items(offset)
        return Page(offset // size + 1, items, {"items": items})

    def by_token(self) -> Page:
        token = self._parameters.get("page", "")
        offset = self._offset_of(token) if token else 0
        items = self._items(offset)
        number, following = offset // self._script.page_size + 1, offset + self._script.page_size
        document: dict[str, Any] = {"items": items}
        if following < len(self._numbers):
            document["next"] = self._next(following)
        elif self._script.last_page != "missing":
            document["next"] = None if self._script.last_page == "null" else ""
        return Page(number, items, document)

    def _items(self, offset: int) -> list[Row]:
        return [self._rows.row(number) for number in self._numbers[offset : offset + self._script.page_size]]

    def _next(self, offset: int) -> str | int:
        token = self._token(offset)
        if self._script.next_page != "link":
            return token
        return f"{self._url}?{urlencode({**self._parameters, 'page': token})}"

    def _token(self, offset: int) -> str | int:
        """Good for this window only; a text has characters that a query has to escape."""
        bounds = repr(self._bounds).encode()
        if self._script.next_page == "number":
            return zlib.crc32(bounds) * _WINDOW_STEP + offset
        seal = hashlib.sha256(b"%d %b" % (offset, bounds)).digest()[:12]
        return _TOKEN_START + base64.b64encode(b"%d|%b" % (offset, seal)).decode()

    def _offset_of(self, token: str) -> int:
        try:
            if self._script.next_page == "number":
                offset = int(token) % _WINDOW_STEP
            else:
                offset = int(base64.b64decode(token.removeprefix(_TOKEN_START)).partition(b"|")[0])
        except ValueError:
            raise RefusedError(400, "page is no token of this API") from None
        if str(self._token(offset)) != token:
            raise RefusedError(400, "page is a token of another window")
        return offset

    def _integer(self, name: str, least: int) -> int:
        text = self._parameters.get(name, "")
        if not text.isdecimal() or int(text) < least:
            raise RefusedError(400, f"{name} is no number from {least}")
        return int(text)

    def _instant(self, name: str) -> datetime | None:
        text = self._parameters.get(name)
        try:
            return None if text is None else read_instant(text)
        except ValueError:
            raise RefusedError(400, f"{name} is no instant") from None

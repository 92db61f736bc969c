"""Mistakes of a source that reads an API, which the proof must notice; a test process makes them to itself."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from arcane_framework._core.batch import Batch, Wait, Watermark
from arcane_framework._core.errors import TransientStreamError
from arcane_framework.sources.rest.api_client import ApiClient
from arcane_framework.sources.rest.page_reader import PageReader, _Fetching
from arcane_framework.sources.rest.responses import PageText
from arcane_framework.sources.rest.source import RestApiSource
from arcane_framework.sources.rest.window_position import WindowPosition

ANEW = "window-anew"
SKIPPED = "page-skipped"
ASKED_AGAIN = "pages-asked-again"

_stored = RestApiSource._stored
_read = PageReader.read
_fetch: Callable[..., PageText] = _Fetching._fetch


def apply(name: str) -> None:
    """Make the mistake `name` in this process; nothing for other names."""
    patch = {
        ANEW: (RestApiSource, "_stored", _stored_window_only),
        SKIPPED: (_Fetching, "_fetch", _fetch_or_skip),
        ASKED_AGAIN: (PageReader, "read", _read_all_and_drop),
    }.get(name)
    if patch is not None:
        setattr(*patch)


def _stored_window_only(self: RestApiSource, watermark: Watermark) -> WindowPosition:
    """A restart begins its window anew, although pages of it are committed."""
    position = _stored(self, watermark)
    return position if position.complete else WindowPosition(position.window)


def _fetch_or_skip(self: _Fetching, *arguments: Any) -> PageText:
    """A page that fails counts as read: the pointer has moved on already."""
    known: Any = self
    try:
        known.last = _fetch(self, *arguments)
    except TransientStreamError:
        last: PageText | None = getattr(self, "last", None)
        return PageText("", None, None if last is None else last.page_info, has_rows=False)
    return known.last


def _read_all_and_drop(self: PageReader, position: WindowPosition, client: ApiClient) -> Iterator[Batch | Wait]:
    """The rows are right, but committed pages are asked for again and thrown away."""
    dropped = 0 if position.complete else position.pages
    for item in _read(self, WindowPosition(position.window), client):
        if isinstance(item, Batch) and dropped:
            dropped -= 1
            yield replace(item, data=item.data.slice(0, 0))
        else:
            yield item

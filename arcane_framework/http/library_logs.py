"""Keeps the HTTP libraries' own logs out while a request of ours is in progress.

They log URLs with queries at level info and response headers, `Set-Cookie` among them, at level debug, as finished
text. So the records are dropped where they are made, before any handler: on the libraries' own loggers, because a
logger's filters do not see what the loggers below it make. Other uses of the libraries are left alone.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

LOGGERS: Final = (
    "httpx2",
    "httpcore2.connection",
    "httpcore2.http11",
    "httpcore2.http2",
    "httpcore2.proxy",
    "httpcore2.socks",
)

_silent: ContextVar[bool] = ContextVar("arcane_framework_http_silent", default=False)


class _Silence(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not _silent.get()


_FILTER: Final = _Silence()


@contextmanager
def silent_libraries() -> Iterator[None]:
    """Drop what the HTTP libraries log on this thread."""
    for name in LOGGERS:
        # One and the same filter: adding it again changes nothing. It stays, and lets everything else through.
        logging.getLogger(name).addFilter(_FILTER)
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)

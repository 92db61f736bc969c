"""Faults around the requests to a store: the process kills or freezes itself at one of them.

Both clouds' SDKs send by urllib3, which a runner under test changes; sources that read an API use another library.
"""

import random
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3.connectionpool

from arcane_framework import Services, Storage
from arcane_framework._core.clock import SystemClock
from tests.proof.faults import Calls, When
from tests.storage.operations import OPERATIONS

_SPEED = 50
"""So much shorter are the pauses between attempts at a store."""


class RequestFaults:
    """A fault at one request.

    Args:
        kind: Of the store.
        calls: The requests; a fault is due `during` one when it is sent and no answer is read.
    """

    def __init__(self, kind: str, calls: Calls) -> None:
        self._operation = OPERATIONS[kind]
        self._calls = calls

    def install(self) -> None:
        """In this process, for all requests to come."""
        pool: Any = urllib3.connectionpool.HTTPConnectionPool
        send = pool._make_request

        def send_with_faults(self: Any, conn: Any, method: str, url: str, *arguments: Any, **options: Any) -> Any:
            due = faults._due(method, url)
            if due == "before":
                faults._calls.act()
            if due == "during":
                read = conn.getresponse
                conn.getresponse = lambda: faults._act_and(read)
            try:
                return send(self, conn, method, url, *arguments, **options)
            finally:
                # Also after one that has failed.
                if due == "during":
                    del conn.getresponse
                if due == "after":
                    faults._calls.act()

        faults = self
        pool._make_request = send_with_faults

    def _due(self, method: str, url: str) -> When | None:
        return self._calls.due(self._operation(method, url), unquote(urlsplit(url).path))

    def _act_and(self, go_on: Callable[[], Any]) -> Any:
        self._calls.act()
        return go_on()


class _ShortPauses(SystemClock):
    """Time for pauses only, which are over soon."""

    def wait_for(self, predicate: Any, until: float | None = None) -> bool:
        now = self.monotonic()
        return super().wait_for(predicate, None if until is None else now + (until - now) / _SPEED)


def hurried(services: Services, location: str) -> Storage:
    """The product's storage at `location`, whose pauses between attempts are short."""
    storage = services.storage(location)
    if hasattr(storage, "_clock"):
        storage._clock = _ShortPauses()
    return storage


def warm_up() -> None:
    """In the process that runners are forked from: loads the SDKs, and shortens the pauses that they make."""
    import azure.core.pipeline.transport._base as azure_transport
    import azure.storage.blob  # noqa: F401
    import botocore.endpoint
    import botocore.session

    import arcane_framework.storage.azure_location
    import arcane_framework.storage.s3  # noqa: F401

    sdks: list[Any] = [azure_transport, botocore.endpoint]
    for module in sdks:
        module.time = _HurriedTime(module.time)
    random.seed()


class _HurriedTime:
    """The module `time` with shorter sleeps."""

    def __init__(self, time: Any) -> None:
        self._time = time

    def sleep(self, seconds: float) -> None:
        self._time.sleep(seconds / _SPEED)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._time, name)

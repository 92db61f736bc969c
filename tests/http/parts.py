"""What the tests of requests share: requesters with scripted or real servers, and a log that remembers."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import httpx2

from arcane_framework._core.clock import SystemClock
from arcane_framework._core.kill_switch import KillSwitch
from arcane_framework.http import (
    Authorization,
    HttpRequest,
    HttpSettings,
    RateLimiter,
    Requester,
    make_client,
)
from arcane_framework.testing import CapturedMetrics, ScriptedHttp, VirtualClock

T = TypeVar("T")

URL = "https://shop.example/orders"


def as_it_is(body: bytes | None) -> bytes:
    """Takes a body as it is, which every answer has but those that say so."""
    assert body is not None
    return body


class RememberedLog:
    """Keeps events with their fields."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def bind(self, **fields: Any) -> Self:
        return self

    def debug(self, event: str, **fields: Any) -> None:
        raise AssertionError("nothing is logged below warning")

    info = error = debug

    def warning(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))


class Scripted:
    """A requester that talks to a script, under virtual time."""

    def __init__(
        self,
        clock: VirtualClock,
        http: ScriptedHttp,
        *,
        settings: HttpSettings | None = None,
        trusted: tuple[str, ...] = (URL,),
        authorization: Authorization | None = None,
        limiter: RateLimiter | None = None,
    ) -> None:
        http.attach(clock)
        self.clock = clock
        self.http = http
        self.log = RememberedLog()
        self.metrics = CapturedMetrics()
        self.kill_switch = KillSwitch(clock)
        self.client = http.client()
        self.requester = Requester(
            self.client,
            clock=clock,
            wait=self.kill_switch.wait,
            log=self.log,
            metrics=self.metrics,
            settings=settings or HttpSettings(timeout=30),
            trusted=trusted,
            limiter=limiter,
            authorization=authorization,
        )

    def fetch(
        self,
        url: str = URL,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        read: Callable[[bytes | None], Any] = as_it_is,
        within: float = 3_600,
    ) -> Any:
        """Fetch on a thread of the clock's, while up to `within` virtual seconds pass."""
        request = HttpRequest(method, url, headers or {}, body, "page 3")
        return finish(self.clock, lambda: self.requester.fetch(request, read), within)

    @property
    def times(self) -> list[float]:
        """When requests were made, in seconds."""
        start = VirtualClock().now()
        return [(request.time - start).total_seconds() for request in self.http.requests]

    @property
    def retries(self) -> list[float]:
        """The seconds that the log says were waited."""
        return [fields["seconds"] for _, fields in self.log.events]


def finish(clock: VirtualClock, action: Callable[[], T], within: float) -> T:
    """Let a thread of the graph do it, and return or raise what it does."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(action())
        except BaseException as error:
            errors.append(error)

    thread = clock.spawn(run, "fetch")
    clock.advance(within)
    if errors:
        raise errors[0]
    assert results, "it is still at it"
    thread.join(5)
    return results[0]


class Waits:
    """A wait that takes no time and remembers."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@contextmanager
def real_requester(
    *trusted: str,
    client: httpx2.Client | None = None,
    settings: HttpSettings | None = None,
    wait: Callable[[float], None] | None = None,
    authorization: Authorization | None = None,
) -> Iterator[Requester]:
    """A requester with real sockets, that gives up after its first attempt unless told otherwise."""
    requester = Requester(
        client or make_client(),
        clock=SystemClock(),
        wait=wait or Waits(),
        log=RememberedLog(),
        metrics=CapturedMetrics(),
        settings=settings or HttpSettings(timeout=10, retry_seconds=0),
        trusted=trusted,
        authorization=authorization,
    )
    try:
        yield requester
    finally:
        requester.close()


def get(requester: Requester, url: str) -> bytes:
    """Fetch the plain body."""
    return requester.fetch(HttpRequest("GET", url, what="page 3"), as_it_is)

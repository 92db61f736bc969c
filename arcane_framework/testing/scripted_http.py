"""An HTTP server that is a script: no socket, and delays in virtual time."""

import json as json_text
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx2

from arcane_framework.testing.virtual_clock import VirtualClock


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request that a stream has made.

    Attributes:
        method: In upper case.
        url: As sent, with its query.
        headers: By lower-case name.
        content: The body.
        time: When, in virtual time.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes
    time: datetime

    def json(self) -> Any:
        """The body, parsed."""
        return json_text.loads(self.content)


@dataclass
class _Route:
    method: str
    pattern: str
    outcome: httpx2.TransportError | Mapping[str, Any]
    delay: float
    left: int | None
    expression: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        self.expression = re.compile(".*".join(re.escape(piece) for piece in self.pattern.split("*")), re.DOTALL)

    def answers(self, method: str, url: str) -> bool:
        return self.left != 0 and self.method == method and self.expression.fullmatch(url) is not None

    def __str__(self) -> str:
        often = "any number of times" if self.left is None else "once" if self.left == 1 else f"{self.left} times"
        return f"{self.method} {self.pattern} ({often})"


class ScriptedHttp:
    """Replies to requests as a test has scripted them, through `httpx2.MockTransport`.

    A request gets the first reply, in the order of the script, whose method and URL pattern fit and that is
    not used up. A request that nothing fits is an error of the test, whatever the stream makes of it. In a URL
    pattern `*` stands for any text; everything else, the query included, has to be as it is sent.

    Give it to `StreamTest`, which ties it to its clock; `services.http` then makes clients of it.
    """

    def __init__(self) -> None:
        self._clock: VirtualClock | None = None
        self._routes: list[_Route] = []
        self._requests: list[SentRequest] = []

    # The script.

    def reply(
        self,
        method: str,
        url: str,
        *,
        status: int = 200,
        json: Any = None,
        text: str | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        delay: float = 0.0,
        times: int | None = 1,
    ) -> "ScriptedHttp":
        """Script a reply; returns this object, so that calls can be chained.

        Args:
            method: `GET`, in any letter case.
            url: The URL pattern.
            status: The status code.
            json: The body, as JSON; one of `json`, `text` and `content`, or none for no body.
            text: The body, as text.
            content: The body.
            headers: More headers.
            delay: Virtual seconds until it comes. One beyond the client's read timeout times out.
            times: How often; None is for ever.
        """
        if sum(body is not None for body in (json, text, content)) > 1:
            raise ValueError("a reply has one body: give json, text or content")
        outcome = {"status_code": status, "json": json, "text": text, "content": content, "headers": headers}
        given = {key: value for key, value in outcome.items() if value is not None}
        return self._add(_Route(method.upper(), url, given, delay, times))

    def fail(
        self, method: str, url: str, error: httpx2.TransportError | None = None, *, delay: float = 0.0, times: int = 1
    ) -> "ScriptedHttp":
        """Script an error of the connection, by default one that is refused. See `reply`."""
        error = httpx2.ConnectError("connection refused") if error is None else error
        return self._add(_Route(method.upper(), url, error, delay, times))

    def time_out(self, method: str, url: str, *, times: int = 1) -> "ScriptedHttp":
        """Script a server that takes the request and never replies: the client's read timeout passes. See `reply`."""
        return self._add(_Route(method.upper(), url, {}, float("inf"), times))

    def clear(self) -> "ScriptedHttp":
        """Forget the script, for the next run of a stream to get another one; what was asked is kept. See `reply`."""
        self._routes.clear()
        return self

    def _add(self, route: _Route) -> "ScriptedHttp":
        self._routes.append(route)
        return self

    # What came of it.

    @property
    def requests(self) -> list[SentRequest]:
        """All requests so far, in order, unscripted ones included."""
        return list(self._requests)

    @property
    def unused(self) -> list[str]:
        """What was scripted and not (or not often enough) asked for, one text each; what is for ever is left out."""
        return [str(route) for route in self._routes if route.left]

    # The server.

    def attach(self, clock: VirtualClock) -> None:
        """Take the time from `clock` and report unscripted requests to it; `StreamTest` calls it."""
        self._clock = clock

    def client(self) -> httpx2.Client:
        """A client that talks to the script; the caller closes it, which also ends a delay in progress.

        Raises:
            AssertionError: There is no clock yet.
        """
        if self._clock is None:
            raise AssertionError("the script has no clock yet: give it to StreamTest, or call attach(clock)")
        return httpx2.Client(transport=_ScriptedTransport(self, self._clock))

    def take(self, request: httpx2.Request, clock: VirtualClock) -> "_Route":
        """Record a request and choose its reply. Called by the transport, on the graph's threads."""
        url, content = str(request.url), request.read()
        with clock.changing():
            self._requests.append(SentRequest(request.method, url, dict(request.headers), content, clock.now()))
            route = next((each for each in self._routes if each.answers(request.method, url)), None)
            if route is not None:
                if route.left is not None:
                    route.left -= 1
                return route
        expected = [str(each) for each in self._routes if each.left != 0]
        message = f"unscripted request: {request.method} {url}\n" + (
            "\n".join(["still expected:", *(f"  {each}" for each in expected)])
            if expected
            else "nothing more was expected"
        )
        clock.fail(message)
        raise AssertionError(message)


class _ScriptedTransport(httpx2.MockTransport):
    def __init__(self, script: ScriptedHttp, clock: VirtualClock) -> None:
        super().__init__(self._handle)
        self._script = script
        self._clock = clock
        self._closed = False

    def close(self) -> None:
        with self._clock.changing():
            self._closed = True

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        route = self._script.take(request, self._clock)
        timeout = (request.extensions.get("timeout") or {}).get("read")
        self._delay(min(route.delay, float("inf") if timeout is None else timeout), request)
        if timeout is not None and route.delay > timeout:
            raise httpx2.ReadTimeout(f"no reply within {timeout:g} seconds", request=request)
        if isinstance(route.outcome, httpx2.TransportError):
            raise type(route.outcome)(str(route.outcome), request=request)
        return httpx2.Response(**route.outcome, request=request)

    def _delay(self, seconds: float, request: httpx2.Request) -> None:
        if seconds <= 0:
            return
        until = None if seconds == float("inf") else self._clock.monotonic() + seconds
        if self._clock.wait_for(lambda: self._closed, until):
            raise httpx2.ReadError("the client was closed", request=request)

"""One attempt: a request, the redirects that it meets, and the answer, all before one deadline."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import httpx2

from arcane_framework._core.clock import Clock
from arcane_framework._core.errors import FatalStreamError
from arcane_framework.http import decoding
from arcane_framework.http.connections import GUARD, Guard
from arcane_framework.http.errors import ForbiddenAddressError, HttpStatusError, TryAgainError
from arcane_framework.http.failures import failure_of, timed_out
from arcane_framework.http.headers import encoded
from arcane_framework.http.hosts import HostRules, forbidden
from arcane_framework.http.redirects import REDIRECTS, Hop, next_hop
from arcane_framework.http.request import HttpSettings

_WORTH_READING: Final = 64 * 1024
"""What says nothing is read up to this size, so that the connection can be used for the next request."""


@dataclass(frozen=True)
class Answer:
    """What the server has said in the end.

    Attributes:
        asked: Method and URL, without anything secret, of the request that was answered: the last of the way.
        status: The HTTP status code; no redirect that is followed.
        retry_after: The value of that header.
        body: Decoded, if the status is 2xx; else empty. None when the status says that there is none: 204, 205.
    """

    asked: str
    status: int
    retry_after: str | None
    body: bytes | None

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status <= 299


class Exchange:
    """Makes one attempt.

    Args:
        client: Sends; its cookies are thrown away.
        clock: For the deadline.
        settings: The bounds.
        rules: Which hosts redirects may lead to.
        what: The request, for messages.
    """

    def __init__(
        self, client: httpx2.Client, clock: Clock, settings: HttpSettings, rules: HostRules, what: str
    ) -> None:
        self._client = client
        self._settings = settings
        self._rules = rules
        self._what = what
        deadline = clock.monotonic() + settings.timeout
        self._remaining: Callable[[], float] = lambda: deadline - clock.monotonic()

    def run(self, first: Hop) -> Answer:
        """Send and follow. Blocks until the deadline at the most.

        Raises:
            TryAgainError: It failed, and may not the next time.
            FatalStreamError: It failed for good.
        """
        self._hop = first
        try:
            return self._follow(first)
        except httpx2.RequestError as error:
            failure: Exception = failure_of(error, self._what, self._hop.shown, self._settings.timeout)
        except ForbiddenAddressError as error:
            failure = FatalStreamError(forbidden(self._what, error.host, error.reason, only_public=error.only_public))
        # Outside of the except blocks: the libraries' errors quote headers and bodies, and would be chained.
        raise failure

    def _follow(self, first: Hop) -> Answer:
        followed = 0
        while True:
            outcome = self._send(self._hop, first, followed)
            if isinstance(outcome, Answer):
                return outcome
            self._hop = outcome
            followed += 1

    def _send(self, hop: Hop, first: Hop, followed: int) -> Answer | Hop:
        seconds = self._remaining()
        if seconds <= 0:
            raise timed_out(self._settings.timeout)
        request = httpx2.Request(
            hop.method,
            hop.url,
            headers=encoded(hop.headers),
            content=hop.body,
            extensions={
                "timeout": dict.fromkeys(("connect", "read", "write", "pool"), seconds),
                GUARD: Guard(hop.trust.only_public, self._remaining),
            },
        )
        response = self._client.send(request, stream=True, follow_redirects=False)
        try:
            # Also those of a client that was not made by `make_client`.
            self._client.cookies.clear()
            if response.status_code in REDIRECTS:
                if followed >= self._settings.max_redirects:
                    raise self._too_many_redirects(hop, response.status_code)
                locations = response.headers.get_list("location")
                self._use_up(response)
                return next_hop(hop, first, response.status_code, locations, self._rules, self._what)
            retry_after = response.headers.get("retry-after")
            body = self._body(hop, response)
            return Answer(f"{hop.method} {hop.shown}", response.status_code, retry_after, body)
        finally:
            response.close()

    def _body(self, hop: Hop, response: httpx2.Response) -> bytes | None:
        if response.status_code in (204, 205):
            return None
        if not 200 <= response.status_code <= 299 or hop.method == "HEAD":
            self._use_up(response)
            return b""
        encoding = response.headers.get("content-encoding", "")
        declared = _content_length(response)
        if declared is not None and declared > self._settings.max_body_bytes and not encoding:
            raise decoding.too_large(self._what, self._settings.max_body_bytes)
        return decoding.read_body(
            _all_of(response, declared),
            encoding,
            max_bytes=self._settings.max_body_bytes,
            what=self._what,
            check=self._check_time,
        )

    def _check_time(self) -> None:
        if self._remaining() <= 0:
            raise timed_out(self._settings.timeout)

    def _use_up(self, response: httpx2.Response) -> None:
        declared = _content_length(response)
        if declared is None or declared > _WORTH_READING:
            return
        with suppress(httpx2.RequestError):  # then the connection is not used again
            for _ in response.stream:  # type: ignore[union-attr]
                self._check_time()

    def _too_many_redirects(self, hop: Hop, status: int) -> HttpStatusError:
        return HttpStatusError(
            f"{self._what}: more than {self._settings.max_redirects} redirects, the last one from "
            f"{hop.shown}: correct the URL",
            status,
        )


def _content_length(response: httpx2.Response) -> int | None:
    text = response.headers.get("content-length", "")
    chunked = "transfer-encoding" in response.headers
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 and not chunked else None


def _all_of(response: httpx2.Response, declared: int | None) -> Iterator[bytes]:
    received = 0
    # Not iter_raw: a reply of a mock transport has been read already, and would refuse it.
    for chunk in response.stream:  # type: ignore[union-attr]
        received += len(chunk)
        yield chunk
    if declared is not None and received < declared:
        raise TryAgainError(f"a body that ended after {received} of {declared} bytes")

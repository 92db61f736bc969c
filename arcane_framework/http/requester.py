"""One request done right."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Generic, Self, TypeVar

import httpx2

from arcane_framework._core.clock import Clock
from arcane_framework._core.errors import ArcaneError, StreamStopped
from arcane_framework._core.services import Logger, Metrics, Services
from arcane_framework.http.decoding import ACCEPT_ENCODING
from arcane_framework.http.errors import HttpStatusError, TruncatedBodyError, TryAgainError
from arcane_framework.http.exchange import Answer, Exchange
from arcane_framework.http.headers import basic_authorization, merged
from arcane_framework.http.hosts import HostRules
from arcane_framework.http.library_logs import silent_libraries
from arcane_framework.http.rate_limit import RateLimiter
from arcane_framework.http.redirects import Hop
from arcane_framework.http.request import Authorization, HttpRequest, HttpSettings
from arcane_framework.http.retries import RetryPolicy, describe_status, is_retried, parse_retry_after
from arcane_framework.http.transport import user_agent

T = TypeVar("T")

_REMEDY = "check the request against the API's documentation"
_REMEDIES: Mapping[int, str] = MappingProxyType(
    {
        400: "check the URL and the body against the API's documentation",
        401: "check the credentials",
        403: "check the credentials and what they are allowed to read",
        404: "check the URL",
        405: "check httpMethod",
        410: "check the URL",
        422: "check the URL and the body against the API's documentation",
    }
)
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Requester:
    """Makes requests: to hosts that are trusted or allowed, at the rate limit, within time and size, with retries.

    `fetch` may be called on several threads; `close` on any.

    Args:
        client: Of `make_client`, or a scripted one; closed by `close`.
        clock: The only source of time.
        wait: Waits for so many seconds; raises what ends a wait early, such as `StreamStopped`.
        log: Gets a warning for each repetition.
        metrics: Counts them as `retries`.
        settings: The bounds.
        trusted: URLs of the spec, whose hosts are trusted.
        limiter: Every attempt takes a permit of it; redirects do not.
        authorization: Proves the rights of every request.

    Raises:
        ConfigurationError: A URL or an entry of `allowedHosts` cannot be read.
    """

    def __init__(
        self,
        client: httpx2.Client,
        *,
        clock: Clock,
        wait: Callable[[float], None],
        log: Logger,
        metrics: Metrics,
        settings: HttpSettings,
        trusted: Iterable[str],
        limiter: RateLimiter | None = None,
        authorization: Authorization | None = None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._wait = wait
        self._settings = settings
        self._rules = HostRules(trusted, settings.allowed_hosts)
        self._limiter = limiter
        self._authorization = authorization
        self._retries = RetryPolicy(clock, wait, log, metrics, settings.retry_seconds)
        self._user_agent = user_agent()
        self._closed = False
        self._on_close: Callable[[], None] = lambda: None

    @classmethod
    def of(
        cls,
        services: Services,
        settings: HttpSettings,
        trusted: Iterable[str],
        *,
        limiter: RateLimiter | None = None,
        authorization: Authorization | None = None,
    ) -> Self:
        """A requester for a source of a run: a stop ends what it is doing, and so does `close`.

        Args:
            services: Those of the run; the client is theirs.
            settings: The bounds.
            trusted: URLs of the spec, whose hosts are trusted.
            limiter: Every attempt takes a permit of it.
            authorization: Proves the rights of every request.
        """
        clock, kill_switch = services.clock, services.kill_switch

        def wait(seconds: float) -> None:
            if clock.wait_for(lambda: requester._closed or kill_switch.stopped, clock.monotonic() + seconds):
                raise StreamStopped

        requester = cls(
            services.http(),
            clock=clock,
            wait=wait,
            log=services.log,
            metrics=services.metrics,
            settings=settings,
            trusted=trusted,
            limiter=limiter,
            authorization=authorization,
        )
        requester._on_close = kill_switch.on_stop(requester.close)
        return requester

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fetch(self, request: HttpRequest, read: Callable[[bytes | None], T]) -> T:
        """Send a request, repeat it where that may help, and return what `read` makes of the body.

        Blocks. Messages name the request, its URL without user and query, the reason and the remedy.

        Args:
            request: What to ask for.
            read: Parses the decoded body, None for 204 and 205, which have none; called on this thread, once for
                each answer of 2xx. Raises `TruncatedBodyError` for a body that ends early; other errors pass through.

        Raises:
            HttpStatusError: The server refuses.
            FatalStreamError: A host, address, certificate, redirect, encoding or size is refused.
            ConfigurationError: A header cannot be sent.
            TransientStreamError: It did not work out within `retry_seconds`.
            StreamStopped: `close` was called, before or meanwhile; or `wait` raised it.
        """
        self._check_open()
        fetch = _Fetch(self, request, read)
        with silent_libraries():
            return self._retries.run(request, fetch.attempt, lambda: fetch.started)

    def check(self, request: HttpRequest) -> None:
        """Check that a request may go where it leads, by what can be said without resolving its host; pure.

        Raises:
            FatalStreamError: As `fetch` would.
        """
        self._rules.for_request(request.url, request.what, request.shown_as)

    def close(self) -> None:
        """Close the client, and end what is in progress at once. Any thread; does not block; again is nothing."""
        with self._clock.changing():
            self._closed = True
        self._on_close()
        self._client.close()

    @property
    def is_closed(self) -> bool:
        """Whether it, or its client, was closed."""
        return self._closed or self._client.is_closed

    def _check_open(self) -> None:
        if self.is_closed:
            raise StreamStopped


class _Fetch(Generic[T]):
    """One call of `fetch`: what its attempts share."""

    def __init__(self, requester: Requester, request: HttpRequest, read: Callable[[bytes | None], T]) -> None:
        self._requester = requester
        self._request = request
        self._read = read
        self._url, self._trust = requester._rules.for_request(request.url, request.what, request.shown_as)
        self._rejected = False
        self.started: float | None = None

    def attempt(self) -> T:
        """One attempt, and a second one at once when the server does not accept its credentials any more."""
        answer = self._answer()
        if answer.status == 401 and self._new_credentials_may_help():
            answer = self._answer()
        if not answer.ok:
            raise self._failure(answer)
        try:
            return self._read(answer.body)
        except TruncatedBodyError as error:
            reason = str(error) or "a body that ends early"
        raise TryAgainError(reason)

    def _answer(self) -> Answer:
        requester = self._requester
        if requester._limiter is not None:
            requester._limiter.acquire(requester._wait)
        hop = self._first_hop()
        if self.started is None:
            # Not before: a token of its own has had its own time.
            self.started = requester._clock.monotonic()
        exchange = Exchange(
            requester._client, requester._clock, requester._settings, requester._rules, self._request.what
        )
        requester._check_open()
        try:
            return exchange.run(hop)
        except (ArcaneError, TryAgainError, RuntimeError):  # of the last kind is a client that is closed
            if not requester.is_closed:
                raise
        raise StreamStopped

    def _first_hop(self) -> Hop:
        request, url, authorization = self._request, self._url, self._requester._authorization
        own = _NO_HEADERS if authorization is None else authorization.headers()
        basic = {"Authorization": basic_authorization(url.userinfo)} if url.userinfo else _NO_HEADERS
        headers = merged(
            {"Accept": "*/*", "User-Agent": self._requester._user_agent},
            basic,
            request.headers,
            own,
            {"Accept-Encoding": ACCEPT_ENCODING},
        )
        bare = url.copy_with(userinfo=b"", fragment=None)
        return Hop(
            request.method,
            bare,
            request.shown_as,
            headers,
            request.body,
            self._trust,
            frozenset(name.lower() for name in own),
        )

    def _new_credentials_may_help(self) -> bool:
        authorization = self._requester._authorization
        if authorization is None or self._rejected:
            return False
        self._rejected = True
        return authorization.rejected()

    def _failure(self, answer: Answer) -> TryAgainError | HttpStatusError:
        status = answer.status
        if is_retried(status):
            now = self._requester._clock.now()
            return TryAgainError(describe_status(status), parse_retry_after(answer.retry_after, now))
        request = self._request
        return HttpStatusError(
            f"{request.what}: {answer.asked} was answered with {describe_status(status)}: "
            f"{_REMEDIES.get(status, _REMEDY)}",
            status,
        )

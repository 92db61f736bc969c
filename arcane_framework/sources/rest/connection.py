"""A run's connection to an API: requests with their authorization, and their end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from arcane_framework._core.services import Services
from arcane_framework.http import Authorization, HttpRequest, HttpSettings, RateLimit, RateLimiter, Requester
from arcane_framework.sources.rest.authentication import FixedHeaders, TokenAuthorization, TokenSettings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Connection:
    """What data is requested through, and what tokens are.

    Attributes:
        data: For data requests.
        tokens: For token requests; None with fixed headers.
    """

    data: Requester
    tokens: Requester | None

    def fetch(self, request: HttpRequest, read: Callable[[bytes | None], T]) -> T:
        """See `Requester.fetch`; on the fetching thread."""
        return self.data.fetch(request, read)

    def check(self, request: HttpRequest) -> None:
        """See `Requester.check`."""
        self.data.check(request)

    def close(self) -> None:
        """Abort what is in progress and close; any thread, more than once."""
        self.data.close()
        if self.tokens is not None:
            self.tokens.close()


def connect(
    services: Services,
    api_url: str,
    authorization: FixedHeaders | TokenSettings,
    rate_limit: RateLimit | None,
    settings: HttpSettings,
) -> Connection:
    """Make the connection of a run; nothing is sent yet. The caller closes it."""

    def requester(url: str, limiter: RateLimiter | None, authorization: Authorization | None) -> Requester:
        return Requester(
            services.http(),
            clock=services.clock,
            wait=services.kill_switch.wait,
            log=services.log,
            metrics=services.metrics,
            settings=settings,
            trusted=[url],
            limiter=limiter,
            authorization=authorization,
        )

    limiter = None if rate_limit is None else RateLimiter(rate_limit, services.clock)
    if isinstance(authorization, FixedHeaders):
        return Connection(requester(api_url, limiter, authorization), None)
    tokens = requester(authorization.url, None, None)
    return Connection(requester(api_url, limiter, TokenAuthorization(authorization, tokens, services.clock)), tokens)

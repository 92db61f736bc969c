"""A run's client of an API: requests with their authorization, and their end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from arcane_framework._core.services import Services
from arcane_framework.http import Authorization, HttpRequest, HttpSettings, RateLimit, RateLimiter, Requester
from arcane_framework.sources.rest.authentication import TokenAuthorization, TokenSettings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ApiClient:
    """What data is requested through, and what tokens are.

    Attributes:
        data: For data requests.
        tokens: For token requests; None when the authorization needs none.
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
    authorization: Authorization | TokenSettings,
    rate_limit: RateLimit | None,
    settings: HttpSettings,
) -> ApiClient:
    """Make the client of a run; nothing is sent yet. The caller closes it."""
    tokens = None
    if isinstance(authorization, TokenSettings):
        tokens = Requester.of(services, settings, [authorization.url])
        authorization = TokenAuthorization(authorization, tokens, services.clock)
    limiter = None if rate_limit is None else RateLimiter(rate_limit, services.clock)
    data = Requester.of(services, settings, [api_url], limiter=limiter, authorization=authorization)
    return ApiClient(data, tokens)

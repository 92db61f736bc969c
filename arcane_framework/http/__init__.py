"""HTTP as a source needs it: one request done right, and the one importer of HTTP transports.

`Requester.fetch` keeps the rules: addresses, redirects, limits, deadlines, retries and the rate.
"""

from typing import TYPE_CHECKING

from arcane_framework._core.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from arcane_framework.http.errors import HttpStatusError, TruncatedBodyError
    from arcane_framework.http.headers import check_headers
    from arcane_framework.http.hosts import check_url
    from arcane_framework.http.rate_limit import RateLimit, RateLimiter
    from arcane_framework.http.request import Authorization, HttpRequest, HttpSettings, shown_url
    from arcane_framework.http.requester import Requester
    from arcane_framework.http.transport import make_client

__all__ = [
    "Authorization",
    "HttpRequest",
    "HttpSettings",
    "HttpStatusError",
    "RateLimit",
    "RateLimiter",
    "Requester",
    "TruncatedBodyError",
    "check_headers",
    "check_url",
    "make_client",
    "shown_url",
]

# Lazily: the HTTP library is loaded by the streams that need it.
__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "errors": ("HttpStatusError", "TruncatedBodyError"),
        "headers": ("check_headers",),
        "hosts": ("check_url",),
        "rate_limit": ("RateLimit", "RateLimiter"),
        "request": ("Authorization", "HttpRequest", "HttpSettings", "shown_url"),
        "requester": ("Requester",),
        "transport": ("make_client",),
    },
)

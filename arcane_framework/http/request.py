"""What is asked for, and within which bounds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit

from arcane_framework._core.errors import ConfigurationError

MAX_BODY_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True)
class HttpRequest:
    """One request. Its text form has neither headers nor body nor query.

    Attributes:
        method: `GET`, `POST`.
        url: Absolute, `http` or `https`. A user and password in it are sent as basic authentication.
        headers: Besides those of the authorization, which win.
        body: None for no body.
        what: Names it in messages: `page 3 of the window from ... to ...`, `the token request`.
        shown: How messages show the URL; by default without user, query and fragment. To be given when there is
            something in the path that must not be shown.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    what: str = "the request"
    shown: str | None = None

    @property
    def shown_as(self) -> str:
        """`shown`, or what stands for it."""
        return shown_url(self.url) if self.shown is None else self.shown

    def __repr__(self) -> str:
        return f"HttpRequest({self.what}: {self.method} {self.shown_as})"


class Authorization(Protocol):
    """What a request proves its rights with."""

    def headers(self) -> Mapping[str, str]:
        """The headers that carry it.

        Asked before each attempt, on the fetching thread, when the attempt has its permit of the rate limit;
        may itself make requests (with a `Requester` of its own) and raise their errors.
        """
        ...

    def rejected(self) -> bool:
        """The server has answered 401: whether a repetition with new headers may help.

        Asked at most once per `fetch`, on the fetching thread.
        """
        ...


@dataclass(frozen=True)
class HttpSettings:
    """The bounds of every request of a `Requester`.

    Attributes:
        timeout: Seconds for one attempt as a whole, from the first byte sent to the last one received.
        retry_seconds: Seconds, from the first attempt on, within which a failed request is repeated.
        max_body_bytes: Bytes of a response's body, decoded.
        allowed_hosts: Hosts beyond those of the spec that redirects and links may lead to: `host` (at the
            default port of the URL's scheme) or `host:port`.
        max_redirects: How many redirects one attempt follows.

    Raises:
        ConfigurationError: A number is out of range.
    """

    timeout: float
    retry_seconds: float = 300.0
    max_body_bytes: int = MAX_BODY_BYTES
    allowed_hosts: tuple[str, ...] = ()
    max_redirects: int = 5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.timeout) and self.timeout > 0):
            raise ConfigurationError(f"httpTimeout must be a number of seconds above 0, not {self.timeout:g}")
        if not (math.isfinite(self.retry_seconds) and self.retry_seconds >= 0):
            raise ConfigurationError(f"retrySeconds must be a number of seconds, 0 or more, not {self.retry_seconds:g}")
        if self.max_body_bytes <= 0:
            raise ConfigurationError(f"maxResponseBytes must be above 0, not {self.max_body_bytes}")
        if self.max_redirects < 0:
            raise ConfigurationError(f"the number of redirects must not be negative, as {self.max_redirects} is")


def shown_url(url: str) -> str:
    """A URL as messages may show it: without user, password, query and fragment, and on one line."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a URL that cannot be read"
    host = parts.netloc.rpartition("@")[2]
    text = f"{parts.scheme}://{host}{parts.path}" if host and parts.scheme else "a URL without a host"
    return "".join(character if character.isprintable() else "?" for character in text)

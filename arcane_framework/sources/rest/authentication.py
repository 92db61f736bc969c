"""Who we are to an API: fixed headers, or a token that is fetched and kept until shortly before it expires."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from arcane_framework._core.clock import Clock
from arcane_framework._core.errors import ConfigurationError, FatalStreamError
from arcane_framework.http import HttpRequest, Requester, check_headers, check_url

AUTHORIZATION = "Authorization"
MAX_SKEW_SECONDS = 60.0
MAX_DIGITS = 15
SKEW_SHARE = 0.1
"""A token is renewed this much of its life, but at most a minute, before its end."""

_METHOD = re.compile(r"[A-Za-z]+")
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class FixedHeaders:
    """The same headers on every request.

    Attributes:
        values: By name; secrets.

    Raises:
        ConfigurationError: One cannot be sent; names the header and does not show its value.
    """

    values: Mapping[str, str] = field(repr=False)

    def __post_init__(self) -> None:
        _check("ARCANE__AUTHHEADERS", lambda: check_headers(self.values))

    def headers(self) -> Mapping[str, str]:
        return self.values

    def rejected(self) -> bool:
        return False


@dataclass(frozen=True, kw_only=True)
class TokenSettings:
    """How tokens are asked for and used. All texts may be secrets.

    Attributes:
        url: The token endpoint, absolute.
        method: How it is asked.
        body: What is sent; with `content_type` form, a JSON object of texts.
        content_type: `application/json` (default) or `application/x-www-form-urlencoded`.
        token_property: The top-level property of the answer that holds the token.
        lifetime_property: The one that holds its validity in seconds; goes before `lifetime`.
        lifetime: A fixed validity, in seconds.
        header: The header of data requests that carries the token.
        scheme: What stands before the token there; None: `Bearer` in `Authorization`, nothing elsewhere.
        more_headers: Further headers of data requests.

    Raises:
        ConfigurationError: Something is missing or not known; names the variables.
    """

    url: str = field(repr=False)
    token_property: str = field(repr=False)
    method: str = "GET"
    body: str | None = field(default=None, repr=False)
    content_type: str | None = None
    lifetime_property: str | None = field(default=None, repr=False)
    lifetime: float | None = None
    header: str | None = None
    scheme: str | None = field(default=None, repr=False)
    more_headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.lifetime_property is None and self.lifetime is None:
            raise ConfigurationError(
                "one of ARCANE__EXPIRATIONPERIODPROPERTYNAME and ARCANE__EXPIRATIONPERIOD is required: "
                "how long a token is valid (a length of time is written as 01:00:00)"
            )
        if not _METHOD.fullmatch(self.method):
            raise ConfigurationError("ARCANE__TOKENHTTPMETHOD: must be a method of HTTP, such as GET or POST")
        _check("ARCANE__AUTHURL", lambda: check_url(self.url, trusted=[self.url], what="it"))
        _check("ARCANE__TOKENREQUESTADDITIONALHEADERS", lambda: check_headers(self.more_headers))
        _check(
            "ARCANE__TOKENREQUESTHEADERNAME and ARCANE__TOKENREQUESTTOKENSCHEME",
            lambda: check_headers(self.data_headers("token")),
        )
        self.encoded_body()

    def encoded_body(self) -> tuple[bytes | None, str | None]:
        """The body of a token request and its content type; None for no body."""
        content_type = (self.content_type or _JSON).strip().lower()
        if content_type not in (_JSON, _FORM):
            raise ConfigurationError(
                f"ARCANE__TOKENREQUESTCONTENTTYPE: Unsupported content type for authentication: give {_JSON} or {_FORM}"
            )
        if not self.body:
            return None, None
        return (self.body.encode() if content_type == _JSON else _form(self.body)), content_type

    def data_headers(self, token: str) -> dict[str, str]:
        """The headers of a data request."""
        header = self.header or AUTHORIZATION
        standard = header.lower() == AUTHORIZATION.lower()
        scheme = self.scheme or ("Bearer" if standard else None)
        return {**self.more_headers, header: token if scheme is None else f"{scheme} {token}"}


class TokenAuthorization:
    """Fetches a token when there is none, and again shortly before it expires or after the API has refused it.

    Used on the fetching thread only.

    Args:
        settings: How.
        requester: For token requests; without an authorization of its own.
        clock: The run's clock.
    """

    def __init__(self, settings: TokenSettings, requester: Requester, clock: Clock) -> None:
        self._settings = settings
        self._requester = requester
        self._clock = clock
        self._headers: dict[str, str] | None = None
        self._renew_at = 0.0

    def headers(self) -> Mapping[str, str]:
        if self._headers is None or self._clock.monotonic() >= self._renew_at:
            token, lifetime = self._fetch()
            self._headers = self._settings.data_headers(token)
            self._renew_at = self._clock.monotonic() + lifetime - min(MAX_SKEW_SECONDS, SKEW_SHARE * lifetime)
        return self._headers

    def rejected(self) -> bool:
        self._headers = None
        return True

    def _fetch(self) -> tuple[str, float]:
        settings = self._settings
        body, content_type = settings.encoded_body()
        headers = {} if content_type is None else {"Content-Type": content_type}
        request = HttpRequest(settings.method.upper(), settings.url, headers, body, "the token request")
        return self._requester.fetch(request, self._read)

    def _read(self, body: bytes | None) -> tuple[str, float]:
        try:
            answer = json.loads(body or b"")
        except (ValueError, RecursionError):  # also for a number of more digits than Python will read
            answer = None
        if not isinstance(answer, dict):
            raise FatalStreamError(
                "the token request: the answer is not a JSON object; correct ARCANE__AUTHURL or ARCANE__TOKENHTTPMETHOD"
            )
        return self._token(answer), self._lifetime(answer)

    def _token(self, answer: Mapping[str, object]) -> str:
        token = answer.get(self._settings.token_property)
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            raise FatalStreamError(
                "the token request: the answer has no usable text in the property that ARCANE__TOKENPROPERTYNAME names"
            )
        return token

    def _lifetime(self, answer: Mapping[str, object]) -> float:
        name = self._settings.lifetime_property
        if name is None:
            assert self._settings.lifetime is not None
            return self._settings.lifetime
        value = answer.get(name)
        # Some endpoints put the number in quotes.
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS:
            value = int(value)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 10**MAX_DIGITS:
            raise FatalStreamError(
                "the token request: the answer has no number of seconds in the property that "
                "ARCANE__EXPIRATIONPERIODPROPERTYNAME names"
            )
        return float(value)


def _check(variables: str, check: Callable[[], None]) -> None:
    try:
        check()
    except (ConfigurationError, FatalStreamError) as error:
        raise ConfigurationError(f"{variables}: {error}") from None


def _form(body: str) -> bytes:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise ConfigurationError(
            f"ARCANE__TOKENREQUESTBODY: must be a JSON object of texts when the content type is {_FORM}"
        )
    return urlencode(fields).encode()

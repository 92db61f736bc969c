"""Requests with placeholders: `@name` in a URL or a body, resolved once for each page of a window.

All functions are pure, never block and may be called on any thread.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from urllib.parse import quote, unquote, urlsplit

from arcane_framework._core.errors import ConfigurationError, FatalStreamError
from arcane_framework.sources.rest.date_format import check_date_format, format_date
from arcane_framework.sources.rest.json_body import in_json_string, is_json, json_value

MAX_URL_LENGTH = 65_536
"""In characters; httpx2 refuses longer ones with an error that shows the URL."""

_AUTHORITY = re.compile(r"[^/?#\\]*")
_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_METHOD = re.compile(r"[A-Z0-9!#$%&'*+.^_`|~-]+", re.IGNORECASE)
_NAME = re.compile(r"\w[\w.-]*")
_WORD = re.compile(r"@(\w+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NOT_IN_AUTHORITY = re.compile(r'[\x00-\x20\x7f-\xa0<>"{}|^`\\]')

# What no URL may hold. httpx2 leaves some of it as it is and encodes the rest, in the path and in the query
# differently. .NET encodes all of it, in templates, too (`filter=updatedAt>=<@from` goes out with %3E and %3C),
# so the APIs behind existing streams know it like that; everything else is sent as it stands, `%` included.
_NOT_IN_URL = re.compile(r'[^\x21-\x7e]|[<>"{}|\\^`]')

# A literal time may follow a date: `@dateT00:00:00Z`. Any other word character makes it another token.
_TOKEN_END = r"(?!(?!T\d)\w)"  # noqa: S105 - a token of a template

_SAMPLE_INSTANT = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
_SAMPLE_PAGE = "1"


class FieldType(StrEnum):
    """What a templated field is replaced by."""

    RESPONSE_PAGE = "RESPONSE_PAGE"
    FILTER_DATE_FROM = "FILTER_DATE_FROM"
    FILTER_DATE_BETWEEN_FROM = "FILTER_DATE_BETWEEN_FROM"
    FILTER_DATE_BETWEEN_TO = "FILTER_DATE_BETWEEN_TO"


class Placement(StrEnum):
    """Which template a field belongs to."""

    URL = "URL"
    BODY = "BODY"


_FROM = (FieldType.FILTER_DATE_FROM, FieldType.FILTER_DATE_BETWEEN_FROM)
_ROLES = (_FROM, (FieldType.FILTER_DATE_BETWEEN_TO,), (FieldType.RESPONSE_PAGE,))


@dataclass(frozen=True, slots=True)
class TemplatedField:
    """A placeholder.

    Attributes:
        name: As in the template, without `@`.
        type: What it is replaced by.
        format: The .NET date format of a date; a page has none.
        placement: The template that it belongs to; in the other one the same text is no placeholder.
    """

    name: str
    type: FieldType
    format: str = ""
    placement: Placement = Placement.URL


@dataclass(frozen=True, slots=True)
class ResolvedRequest:
    """A request as it is to be sent; its text form shows neither the URL nor the body.

    Attributes:
        method: In upper case.
        url: Absolute, of printable ASCII characters, ready for the wire.
        body: None if the request has none.
        content_type: The body's; None without a body and for an empty one.
    """

    method: str
    url: str = field(repr=False)
    body: bytes | None = field(repr=False)
    content_type: str | None


@dataclass(frozen=True)
class RequestTemplate:
    """A request whose URL and body hold placeholders.

    Attributes:
        url: An absolute http or https URL; white space around it is ignored.
        method: The HTTP method; becomes upper case.
        body: Empty for none.
        fields: The placeholders. One that does not occur in its template is allowed.

    Raises:
        ConfigurationError: Something is wrong with it; the message lists all problems by the spec's names.
    """

    url: str = field(repr=False)
    method: str = "GET"
    body: str = field(default="", repr=False)
    fields: tuple[TemplatedField, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", self.url.strip())
        object.__setattr__(self, "method", self.method.upper())
        problems = list(self._problems())
        if problems:
            raise ConfigurationError("The request template is not valid:", problems)

    @property
    def dates(self) -> tuple[str, ...]:
        """The formats of the dates that requests name."""
        return tuple(each.format for each in self.fields if each.type is not FieldType.RESPONSE_PAGE)

    @property
    def has_end(self) -> bool:
        """Whether requests name a window's end."""
        return any(each.type is FieldType.FILTER_DATE_BETWEEN_TO for each in self.fields)

    @property
    def page_field(self) -> TemplatedField | None:
        """The placeholder of the page; None for an API without pages."""
        return next((each for each in self.fields if each.type is FieldType.RESPONSE_PAGE), None)

    @property
    def host(self) -> str:
        """The URL's host, without user, password and port."""
        return urlsplit(self.url).hostname or ""

    @property
    def path(self) -> str:
        """The URL's path, with its placeholders and without the query."""
        return _encoded(urlsplit(self.url).path) or "/"

    @property
    def unknown_tokens(self) -> tuple[str, ...]:
        """Words like `dateTime` behind an `@` of which only the beginning is a field, so that they stay as they are."""
        texts = {Placement.URL: self.url, Placement.BODY: self.body}
        words: dict[str, None] = {}
        for placement, text in texts.items():
            names = tuple(self._fields_of(placement))
            literals = [text] if not names else self._pattern(placement).split(text)[::2]
            found = [word for literal in literals for word in _WORD.findall(literal) if word.startswith(names)]
            words.update(dict.fromkeys(found))
        return tuple(words)

    def resolve(self, start: datetime, end: datetime, page: str | None) -> ResolvedRequest:
        """The request for one page of a window.

        Args:
            start: The window's start, aware.
            end: The window's end, aware.
            page: The page's text; None for an API without pages.

        Raises:
            ConfigurationError: There is no page, and the template has a field for one.
            FatalStreamError: The page cannot be put into the URL; the message names the field, not the page.
        """
        paged = self.page_field
        if paged is not None and page is None:
            raise ConfigurationError(_unresolved([paged]))
        values = self._dates(start, end)
        if paged is None or page is None:
            return self._request(self._resolved_url(values, None), values, None)
        _check_encodable(paged, page)
        link = paged.placement is Placement.URL and _SCHEME.match(page) is not None
        url = _checked_link(paged, page) if link else self._paged_url(values, paged, page)
        if len(url) > MAX_URL_LENGTH:
            raise FatalStreamError(
                f"the URL with the value of the templated field {paged.name!r} is longer than {MAX_URL_LENGTH} "
                "characters: check resolverPropertyKeyChain"
            )
        return self._request(url, values, page)

    def _request(self, url: str, dates: Mapping[str, str], page: str | None) -> ResolvedRequest:
        text = self._resolved_body(dates, page)
        if not text:
            return ResolvedRequest(self.method, url, None if self.method in ("GET", "HEAD") else b"", None)
        content_type = "application/json" if is_json(text) else "text/plain; charset=utf-8"
        return ResolvedRequest(self.method, url, text.encode(), content_type)

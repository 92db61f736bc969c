"""Requests with placeholders: `@name` in a URL or a body, resolved for each page of a window.

Everything here is pure, never blocks and may be called on any thread.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from urllib.parse import urlsplit

from arcane_framework._core.errors import ConfigurationError, FatalStreamError
from arcane_framework._core.spec_problems import shortened
from arcane_framework._core.unicode_text import is_unicode
from arcane_framework.sources.rest.body_template import is_json, resolved_body
from arcane_framework.sources.rest.date_format import check_date_format, format_date
from arcane_framework.sources.rest.placeholders import look_alikes, split_at_placeholders
from arcane_framework.sources.rest.url_template import encoded, resolved_url, url_problems

_METHOD = re.compile(r"[A-Z0-9!#$%&'*+.^_`|~-]+")
_NAME = re.compile(r"\w[\w.-]*")


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


# The first field of each line is replaced; another one never would be.
_PARTS = (
    (FieldType.FILTER_DATE_FROM, FieldType.FILTER_DATE_BETWEEN_FROM),
    (FieldType.FILTER_DATE_BETWEEN_TO,),
    (FieldType.RESPONSE_PAGE,),
)


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
        url: Absolute, and behind the host of printable ASCII characters alone: to be sent as it is.
        body: None if the request has none.
        content_type: The body's; None if there is none, or an empty one.
    """

    method: str
    url: str = field(repr=False)
    body: bytes | None = field(repr=False)
    content_type: str | None


@dataclass(frozen=True)
class RequestTemplate:
    """A request whose URL and body have placeholders.

    Attributes:
        url: An absolute http or https URL; white space around it is dropped.
        method: The HTTP method; becomes upper case.
        body: Empty for none.
        fields: The placeholders. One that does not occur in its template is no error.

    Raises:
        ConfigurationError: It cannot work; the message lists all problems by the names of the stream definition.
    """

    url: str = field(repr=False)
    method: str = "GET"
    body: str = field(default="", repr=False)
    fields: tuple[TemplatedField, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", self.url.strip())
        object.__setattr__(self, "method", self.method.upper())
        problems = [*self._text_problems(), *self._field_problems()]
        if problems:
            raise ConfigurationError("the request cannot be made as it is configured:", problems)

    @cached_property
    def date_formats(self) -> tuple[str, ...]:
        """The formats of the dates that requests name."""
        return tuple(each.format for each in self._used if each.type is not FieldType.RESPONSE_PAGE)

    @cached_property
    def asks_for_pages(self) -> bool:
        """Whether requests name a page."""
        return any(each.type is FieldType.RESPONSE_PAGE for each in self._used)

    @cached_property
    def page_field(self) -> TemplatedField | None:
        """The placeholder of the page; None for an API without pages."""
        return next((each for each in self.fields if each.type is FieldType.RESPONSE_PAGE), None)

    @cached_property
    def host(self) -> str:
        """The URL's host, without user, password and port."""
        return urlsplit(self.url).hostname or ""

    @cached_property
    def path(self) -> str:
        """The URL's path with its placeholders, and without the query."""
        return encoded(urlsplit(self.url).path) or "/"

    @cached_property
    def unknown_tokens(self) -> tuple[str, ...]:
        """Words behind an `@` that only begin with a field's name, or are one of the other template: not replaced.

        Of each only the field's name is given: what follows may be a secret.
        """
        names = [each.name for each in self.fields]
        literals = [*self._url_pieces[::2], *self._body_pieces[::2]]
        return tuple(dict.fromkeys(word for literal in literals for word in look_alikes(literal, names)))

    def resolve(self, start: datetime, end: datetime, page: str | None) -> ResolvedRequest:
        """The request for one page of a window.

        Args:
            start: The window's start, aware.
            end: The window's end, aware.
            page: The page's text; None for an API without pages. A text that is an http or https URL stands for
                the whole URL.

        Raises:
            ConfigurationError: There is a page and no field for it, or a field and no page.
            FatalStreamError: The page cannot be put into the request; the message names the field, not the page.
        """
        paged = self.page_field
        if paged is None and page is not None:
            raise ConfigurationError(
                "templatedFields: a paged API needs a field of type RESPONSE_PAGE, which says where the page goes"
            )
        if paged is not None and page is None:
            raise ConfigurationError(_unresolved([paged]))
        if paged is not None and not is_unicode(page or ""):
            raise FatalStreamError(
                f"the value of the placeholder @{paged.name} has half of a surrogate pair, which cannot be sent: "
                "correct resolverPropertyKeyChain, or the API"
            )
        url = resolved_url(
            self._url_pieces, self._dates(Placement.URL, start, end), self._page_name(Placement.URL), page
        )
        body = resolved_body(
            self._body_pieces, self._dates(Placement.BODY, start, end), self._page_name(Placement.BODY), page
        )
        return self._request(url, body)

    def _request(self, url: str, body: str) -> ResolvedRequest:
        if not body:
            return ResolvedRequest(self.method, url, None if self.method in ("GET", "HEAD") else b"", None)
        content_type = "application/json" if is_json(body) else "text/plain; charset=utf-8"
        return ResolvedRequest(self.method, url, body.encode(), content_type)

    def _dates(self, placement: Placement, start: datetime, end: datetime) -> dict[str, str]:
        return {
            each.name: format_date(end if each.type is FieldType.FILTER_DATE_BETWEEN_TO else start, each.format)
            for each in self.fields
            if each.placement is placement and each.type is not FieldType.RESPONSE_PAGE
        }

    def _page_name(self, placement: Placement) -> str | None:
        paged = self.page_field
        return paged.name if paged is not None and paged.placement is placement else None

    @cached_property
    def _used(self) -> list[TemplatedField]:
        """The fields that stand in their template."""
        names = {Placement.URL: self._url_pieces[1::2], Placement.BODY: self._body_pieces[1::2]}
        return [each for each in self.fields if each.name in names[each.placement]]

    @cached_property
    def _url_pieces(self) -> tuple[str, ...]:
        return self._pieces(self.url, Placement.URL)

    @cached_property
    def _body_pieces(self) -> tuple[str, ...]:
        return self._pieces(self.body, Placement.BODY)

    def _pieces(self, text: str, placement: Placement) -> tuple[str, ...]:
        return split_at_placeholders(text, [each.name for each in self.fields if each.placement is placement])

    def _text_problems(self) -> Iterator[str]:
        for problem in url_problems(self._url_pieces):
            yield f"urlTemplate {problem}"
        if not is_unicode(self.body):
            yield "bodyTemplate has half of a surrogate pair, which cannot be sent"
        if not _METHOD.fullmatch(self.method):
            yield f"httpMethod must be a method of HTTP, such as GET or POST, not {shortened(self.method)}"

    def _field_problems(self) -> Iterator[str]:
        seen: set[tuple[str, Placement]] = set()
        for index, each in enumerate(self.fields):
            where = f"templatedFields[{index}]"
            if not _NAME.fullmatch(each.name):
                yield (
                    f"{where}.fieldName must be the name without @, of letters, digits, '_', '-' and '.', "
                    f"not {shortened(each.name)}"
                )
            if (each.name, each.placement) in seen:
                yield f"{where}.fieldName: another field with placement {each.placement} has the name {each.name!r}"
            seen.add((each.name, each.placement))
            if each.type is not FieldType.RESPONSE_PAGE:
                yield from _format_problems(where, each.format)
        parts = [[each for each in enumerate(self.fields) if each[1].type in types] for types in _PARTS]
        never = [each for _, each in sorted((one for fields in parts for one in fields[1:]), key=lambda one: one[0])]
        if never:
            yield f"templatedFields: {_unresolved(never)}"


def _format_problems(where: str, text: str) -> Iterator[str]:
    try:
        check_date_format(text)
    except ConfigurationError as error:
        yield f"{where}.formatString: {error}"
    if not is_unicode(text):
        yield f"{where}.formatString has half of a surrogate pair, which cannot be sent"


def _unresolved(fields: list[TemplatedField]) -> str:
    return f"Cannot return the resolved template as there are unresolved fields: {','.join(e.name for e in fields)}"

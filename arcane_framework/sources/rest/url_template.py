"""A URL with placeholders, and what may be put into it. Pure."""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, unquote, urlsplit

from arcane_framework._core.errors import FatalStreamError
from arcane_framework._core.unicode_text import is_unicode

MAX_URL_LENGTH = 65_536
"""In characters; httpx2 refuses longer ones with an error that shows the URL."""

_ORIGIN = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NOT_IN_ORIGIN = re.compile(r'[\x00-\x20\x7f-\xa0<>"{}|^`\\]')

# What no URL may hold is percent-encoded here, all else goes out as it stands: `+ & = : , % [ ]` and so on.
# httpx2 would encode some of it (blanks, quotes, < and >, what is not ASCII) and send the rest raw (in the query
# { } | \ ^ and the backtick), which strict servers refuse. .NET encodes all of it, in the template's own text,
# too: `filter=updatedAt>=<@from` goes out as `filter=updatedAt%3E=%3C...`, which reads back as it was written.
# httpx2 does not touch a URL that is encoded like this, but for `.` and `..` as path segments: see `_path`.
_NOT_IN_URL = re.compile(r'[^\x21-\x7e]|[<>"{}|\\^`]')

# A date's `#` would cut the URL off.
_NOT_IN_DATE = re.compile(rf"{_NOT_IN_URL.pattern}|#")

_SAMPLE_PAGE = "x"


def url_problems(pieces: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with a URL template, as ends of sentences that show nothing of it.

    Args:
        pieces: See `split_at_placeholders`.
    """
    url = _as_written(pieces)
    if not is_unicode(url) or _CONTROL.search(url):
        yield "must not have line breaks or other control characters"
        return
    origin = origin_of(url)
    if origin is None:
        yield (
            "must be an absolute URL as it stands, before anything is put into it: "
            "http:// or https://, a host, and a port if it needs one"
        )
    elif len(pieces[0]) < len(origin):
        yield f"has the placeholder @{pieces[1]} in the host: a host cannot change while the stream runs"
    if "#" in "".join(pieces[:-1:2]):
        yield "has a placeholder behind a #, where nothing is sent to the server: write %23 if the # is part of a value"


def origin_of(url: str) -> str | None:
    """Scheme, host and port as the URL writes them; None if it is no absolute http or https URL."""
    match = _ORIGIN.match(url)
    if match is None or _NOT_IN_ORIGIN.search(match[0]):
        return None
    try:
        parts = urlsplit(match[0])
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return match[0] if usable else None


def resolved_url(pieces: tuple[str, ...], dates: Mapping[str, str], page_name: str | None, page: str | None) -> str:
    """The URL, ready for the wire.

    Args:
        pieces: A URL template without problems.
        dates: What the placeholders of dates are replaced by.
        page_name: The placeholder of the page; None if the URL has none.
        page: What it is replaced by.

    Raises:
        FatalStreamError: The page cannot be put into the URL; the message names the placeholder, not the page.
    """
    if page_name is None or page is None:
        return _joined(pieces, dates)
    if is_link(page):
        return _checked_length(_link(page_name, page), page_name)
    url = _joined(pieces, {**dates, page_name: quote(page, safe="")})
    sample = _joined(pieces, {**dates, page_name: _SAMPLE_PAGE})
    if any(_steps(new) for new, old in zip(_path(url), _path(sample), strict=True) if new != old):
        raise FatalStreamError(
            f"the value of the placeholder @{page_name} has '.' or '..' as a step of a path: in the path "
            "of urlTemplate it would lead to another place. Put the placeholder into the query, or correct "
            "pageResolverConfiguration"
        )
    return _checked_length(url, page_name)


def is_link(page: str) -> bool:
    """Whether the page's value is a URL itself, which stands for the whole request URL."""
    return _ORIGIN.match(page.strip()) is not None


def encoded(text: str) -> str:
    """A piece of a URL with what no URL may hold percent-encoded; what is encoded already stays."""
    return _NOT_IN_URL.sub(_percent, text)


def _link(page_name: str, page: str) -> str:
    url = page.strip()
    origin = origin_of(url)
    if origin is None:
        raise FatalStreamError(
            f"the value of the placeholder @{page_name} begins like a URL and is none: correct "
            "resolverPropertyKeyChain, or the API"
        )
    return origin + encoded(url[len(origin) :])


def _joined(pieces: tuple[str, ...], values: Mapping[str, str]) -> str:
    origin = _ORIGIN.match(pieces[0])
    assert origin is not None
    # Not the host: what is not ASCII in it has an encoding of its own, which the HTTP client does.
    texts = [origin[0] + encoded(pieces[0][origin.end() :])]
    for name, literal in zip(pieces[1::2], pieces[2::2], strict=True):
        texts += [_NOT_IN_DATE.sub(_percent, values[name]), encoded(literal)]
    return "".join(texts)


def _path(url: str) -> list[str]:
    return urlsplit(url).path.split("/")


def _steps(segment: str) -> bool:
    """Whether a segment of the path moves in it: clients, proxies and servers drop such segments, or go up.

    Some proxies decode `%2F` first, so that `a%2F..%2Fb` moves, too.
    """
    return any(step in (".", "..") for step in re.split(r"[/\\]", unquote(segment)))


def _checked_length(url: str, page_name: str) -> str:
    if len(url) > MAX_URL_LENGTH:
        raise FatalStreamError(
            f"the URL with the value of the placeholder @{page_name} is longer than {MAX_URL_LENGTH} characters: "
            "correct resolverPropertyKeyChain, or the API"
        )
    return url


def _percent(match: re.Match[str]) -> str:
    return quote(match[0], safe="")


def _as_written(pieces: tuple[str, ...]) -> str:
    return "".join(f"@{piece}" if index % 2 else piece for index, piece in enumerate(pieces))

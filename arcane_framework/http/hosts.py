"""Which hosts a stream may talk to: those of its spec, and those that a setting allows; pure."""

import re
from collections.abc import Iterable
from enum import Enum
from typing import Final

import httpx2

from arcane_framework._core.errors import ConfigurationError, FatalStreamError
from arcane_framework.http.addresses import host_refusal, literal_address
from arcane_framework.http.request import shown_url

_DEFAULT_PORTS = {"http": 80, "https": 443}

# Others, and what is percent-encoded, some proxies and resolvers turn into another host than the one that is checked.
_HOST: Final = re.compile(rb"[0-9A-Za-z._:-]+")


class Trust(Enum):
    """Where a connection to a host may end."""

    OWN = "anywhere but at link-local and metadata addresses"
    PUBLIC = "at public addresses only"

    @property
    def only_public(self) -> bool:
        """Whether loopback and private addresses are refused."""
        return self is Trust.PUBLIC


def parse_url(url: str) -> httpx2.URL | None:
    """The URL as it would be sent to; None when it is no absolute http or https URL with a host.

    A host has ASCII letters, digits, `.`, `_` and `-`, or is an IPv6 address; other letters are encoded by IDNA first.
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        return None
    if parsed.scheme not in _DEFAULT_PORTS or not _HOST.fullmatch(parsed.raw_host) or not 0 < port_of(parsed) <= 0xFFFF:
        return None
    return parsed


def host_of(url: httpx2.URL) -> str:
    """In lower case and ASCII, without brackets."""
    return url.raw_host.decode("ascii")


def port_of(url: httpx2.URL) -> int:
    """The port, also where it is the scheme's default."""
    return _DEFAULT_PORTS[url.scheme] if url.port is None else url.port


def same_host(source: httpx2.URL, target: httpx2.URL) -> bool:
    """Whether `target` is at the same host and port, or its https side at the default ports; never a downgrade."""
    if host_of(source) != host_of(target) or (source.scheme, target.scheme) == ("https", "http"):
        return False
    upgraded = (source.scheme, port_of(source), target.scheme, port_of(target)) == ("http", 80, "https", 443)
    return upgraded or port_of(source) == port_of(target)


class HostRules:
    """Decides where requests, and the redirects of their answers, may go.

    Args:
        trusted: URLs of the spec; their hosts are trusted.
        allowed: Entries of the setting `allowedHosts`.

    Raises:
        ConfigurationError: A URL or an entry cannot be read, or can never be allowed.
    """

    def __init__(self, trusted: Iterable[str], allowed: Iterable[str]) -> None:
        self._trusted = [_trusted_url(url) for url in trusted]
        self._allowed = dict(_allowed_entry(entry) for entry in allowed)

    def for_request(self, url: str, what: str, shown: str) -> tuple[httpx2.URL, Trust]:
        """The URL of a request, which may be a link that the server has given, and where it may end.

        Args:
            url: The URL.
            what: The request, for messages.
            shown: The URL, for messages.

        Raises:
            FatalStreamError: It is no URL, its host is neither trusted nor allowed, or it would leave https.
        """
        target = parse_url(url)
        if target is None:
            raise FatalStreamError(f"{what}: {shown} is not an http or https URL: correct the URL")
        for own in self._trusted:
            if same_host(own, target):
                return target, _checked(target, Trust.OWN, what)
        if target.scheme == "http" and all(own.scheme == "https" for own in self._trusted):
            raise FatalStreamError(
                f"{what}: {shown} is not encrypted, and the stream's own URL is: "
                "a link never leads from https to http; correct the URL"
            )
        trust = self._allowance(target)
        if trust is None:
            _checked(target, Trust.OWN, what)
            own_hosts = ", ".join(dict.fromkeys(shown_origin(own) for own in self._trusted)) or "(none)"
            raise FatalStreamError(
                f"{what} would go to {shown_origin(target)}, which is not the stream's own host {own_hosts}: "
                f"if that is right, add {_entry(target)} to allowedHosts"
            )
        return target, _checked(target, trust, what)

    def for_redirect(
        self, origin: httpx2.URL, current: httpx2.URL, target: httpx2.URL, trust: Trust, what: str
    ) -> Trust:
        """Where a redirect from `current` to `target` may end.

        Args:
            origin: The request's own URL.
            current: The URL that was answered with the redirect.
            target: Where to.
            trust: That of `current`.
            what: The request, for messages.

        Raises:
            FatalStreamError: It is refused.
        """
        if target.scheme not in _DEFAULT_PORTS:
            raise FatalStreamError(
                f"{what}: {shown_origin(current)} redirects to a URL that is neither http nor https; correct the URL"
            )
        if (current.scheme, target.scheme) == ("https", "http"):
            raise FatalStreamError(
                f"{what}: {shown_origin(current)} redirects from https to http at {shown_origin(target)}, "
                "which is never followed; correct the URL"
            )
        if same_host(current, target):
            return _checked(target, trust, what)
        allowed = self._allowance(target)
        if allowed is None:
            _checked(target, Trust.OWN, what)
            raise FatalStreamError(
                f"{what}: {shown_origin(current)} redirects to another host, {shown_origin(target)}: "
                f"if that is right, add {_entry(target)} to allowedHosts"
            )
        return _checked(target, Trust.OWN if same_host(origin, target) else allowed, what)

    def _allowance(self, target: httpx2.URL) -> Trust | None:
        host, port = host_of(target), port_of(target)
        default = _DEFAULT_PORTS[target.scheme]
        return self._allowed.get((host, port)) or (self._allowed.get((host, None)) if port == default else None)


def check_url(
    url: str, *, trusted: Iterable[str], allowed_hosts: Iterable[str] = (), what: str = "the request"
) -> None:
    """Check that a request may go to `url`, by what can be said without resolving its host; pure.

    Args:
        url: Absolute.
        trusted: URLs of the spec, whose hosts are trusted.
        allowed_hosts: Entries of the setting `allowedHosts`.
        what: Names the request in messages.

    Raises:
        FatalStreamError: It may not; says why and names the remedy.
        ConfigurationError: `trusted` or `allowed_hosts` cannot be read.
    """
    HostRules(trusted, allowed_hosts).for_request(url, what, shown_url(url))


def _trusted_url(url: str) -> httpx2.URL:
    parsed = parse_url(url)
    if parsed is None:
        raise ConfigurationError(f"{shown_url(url)} is not an http or https URL: correct the URL")
    return parsed


def _allowed_entry(entry: str) -> tuple[tuple[str, int | None], Trust]:
    host = f"[{entry}]" if entry.count(":") > 1 and not entry.startswith("[") else entry
    url = parse_url(f"http://{host}/")
    if url is None or url.userinfo or url.raw_path != b"/" or url.fragment:
        raise ConfigurationError(
            f"allowedHosts: {shown_url(entry) if '@' in entry else repr(entry)} is no host: "
            "write `host` or `host:port`, without a scheme or a path"
        )
    reason = host_refusal(host_of(url), only_public=False)
    if reason is not None:
        raise ConfigurationError(f"allowedHosts: {entry} cannot be allowed: {reason}")
    # An address that is written out was meant: nobody can let a name server turn it into another one.
    trust = Trust.PUBLIC if literal_address(host_of(url)) is None else Trust.OWN
    has_port = host.rpartition("]")[2].rpartition(":")[1] != ""
    return (host_of(url), port_of(url) if has_port else None), trust


def _checked(target: httpx2.URL, trust: Trust, what: str) -> Trust:
    reason = host_refusal(host_of(target), only_public=trust.only_public)
    if reason is not None:
        raise FatalStreamError(forbidden(what, host_of(target), reason, only_public=False))
    return trust


def forbidden(what: str, host: str, reason: str, *, only_public: bool) -> str:
    """The message for a connection that is refused because of its address."""
    remedy = (
        "a host from allowedHosts must have public addresses; to allow an internal server, use its IP address "
        "in the URL and in allowedHosts"
        if only_public
        else "a stream never connects there; correct the URL"
    )
    return f"{what} would go to {host}, and {reason}: {remedy}"


def shown_origin(url: httpx2.URL) -> str:
    """Scheme, host and port, for messages."""
    host = host_of(url)
    bracketed = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{bracketed}" if url.port is None else f"{url.scheme}://{bracketed}:{url.port}"


def _entry(url: httpx2.URL) -> str:
    return repr(shown_origin(url).partition("://")[2])

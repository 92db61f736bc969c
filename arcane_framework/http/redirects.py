"""Where a redirect leads and what goes along; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import httpx2

from arcane_framework._core.errors import FatalStreamError
from arcane_framework.http.errors import HttpStatusError
from arcane_framework.http.headers import CREDENTIALS, without
from arcane_framework.http.hosts import HostRules, Trust, parse_url, same_host, shown_origin
from arcane_framework.http.request import shown_url

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Hop:
    """One request on the way to an answer.

    Attributes:
        method: To send.
        url: Without user and password.
        shown: How messages show the URL.
        headers: To send, without those that follow from others.
        body: To send.
        trust: Where its connection may end.
        credentials: Names of the headers that must not go to another host.
    """

    method: str
    url: httpx2.URL = field(repr=False)
    shown: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    trust: Trust
    credentials: frozenset[str]


def next_hop(hop: Hop, first: Hop, status: int, locations: list[str], rules: HostRules, what: str) -> Hop:
    """The request that a redirect asks for.

    Credentials are dropped on the way to another host and do not come back. A body, which may hold some, never goes
    to another host.

    Args:
        hop: What was answered with the redirect.
        first: The request itself, before any redirect.
        status: 301, 302, 303, 307 or 308.
        locations: The values of the `Location` headers.
        rules: Decides whether to follow.
        what: The request, for messages.

    Raises:
        HttpStatusError: There is no `Location`, or it cannot be read.
        FatalStreamError: It is not followed.
    """
    target = _target(hop.url, locations)
    if target is None:
        raise HttpStatusError(
            f"{what}: {hop.method} {hop.shown} was answered with the redirect {status} "
            f"{'without' if not locations else 'with an unreadable'} Location: correct the URL",
            status,
        )
    trust = rules.for_redirect(first.url, hop.url, target, hop.trust, what)
    moved = hop if same_host(hop.url, target) else _without_credentials(hop)
    if (status == 303 and hop.method != "HEAD") or (status in (301, 302) and hop.method == "POST"):
        content = [name for name in moved.headers if name.lower().startswith("content-")]
        moved = replace(moved, method="GET", body=None, headers=without(moved.headers, content))
    if moved.body and not same_host(hop.url, target):
        raise FatalStreamError(
            f"{what}: {shown_origin(hop.url)} redirects to another host, {shown_origin(target)}, with status {status}, "
            "which asks for the body again: a body is never sent on to another host; correct the URL"
        )
    return replace(moved, url=target, shown=_shown(target, first), trust=trust)


def _shown(target: httpx2.URL, first: Hop) -> str:
    # Who made the request knows what in its path is a secret; nobody does for a path that the server has made up.
    return first.shown if shown_url(str(target)) == shown_url(str(first.url)) else shown_origin(target)


def _target(base: httpx2.URL, locations: list[str]) -> httpx2.URL | None:
    if len(set(locations)) != 1 or not locations[0].strip():
        return None
    try:
        joined = base.join(locations[0].strip())
        target = joined.copy_with(userinfo=b"", fragment=None)
    except (httpx2.InvalidURL, ValueError):
        return None
    if target.scheme in ("http", "https") and parse_url(str(target)) is None:
        return None
    return target


def _without_credentials(hop: Hop) -> Hop:
    names = hop.credentials | CREDENTIALS | {"host"}
    return replace(hop, headers=without(hop.headers, names))

"""Header names and values from settings, checked before they can become a part of the wire's text."""

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Final

from arcane_framework._core.errors import ConfigurationError

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_COMPUTED = frozenset({"content-length", "transfer-encoding"})
CREDENTIALS: Final = frozenset({"authorization", "proxy-authorization", "cookie"})
"""Headers that never go to another host, whoever has given them."""

RawHeaders = list[tuple[bytes, bytes]]


def check_headers(headers: Mapping[str, str]) -> None:
    """Check that each header can be sent as it is; pure.

    Raises:
        ConfigurationError: One cannot; names the header and never shows the value.
    """
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"{name!r} is no name of an HTTP header")
        if name.lower() in _COMPUTED:
            raise ConfigurationError(f"the header {name} follows from the body and cannot be set: remove it")
        if not isinstance(value, str):
            raise ConfigurationError(f"the value of the header {name} must be a text, not a {type(value).__name__}")
        if _CONTROL.search(value):
            raise ConfigurationError(
                f"the value of the header {name} holds a line break or another control character: remove it "
                "(a secret that was made from a file often ends with a line break)"
            )
        if any(ord(character) > 0xFF for character in value):
            raise ConfigurationError(f"the value of the header {name} holds characters that HTTP headers cannot hold")


def merged(*layers: Mapping[str, str]) -> dict[str, str]:
    """All headers, checked; of those with the same name, in any letter case, the last layer's."""
    found: dict[str, tuple[str, str]] = {}
    for layer in layers:
        check_headers(layer)
        found.update({name.lower(): (name, value) for name, value in layer.items()})
    return dict(found.values())


def without(headers: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The other headers; `names` in any letter case."""
    dropped = {name.lower() for name in names}
    return {name: value for name, value in headers.items() if name.lower() not in dropped}


def encoded(headers: Mapping[str, str]) -> RawHeaders:
    """Checked headers as bytes. Blanks around a value mean nothing in HTTP and are left out."""
    return [(name.encode("ascii"), value.strip(" \t").encode("latin-1")) for name, value in headers.items()]


def basic_authorization(userinfo: bytes) -> str:
    """The value of an `Authorization` header for the user and password of a URL, percent-decoded."""
    from urllib.parse import unquote_to_bytes

    user, _, password = userinfo.partition(b":")
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return "Basic " + base64.b64encode(pair).decode("ascii")

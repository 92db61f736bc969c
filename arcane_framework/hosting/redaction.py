"""Takes secrets out of text before a person or a log collector sees it.

Two nets: shapes that credentials have in URLs, headers and connection strings, and the values
that the runner knows. Text that merely looks like a credential is hidden, too: a hidden word
costs a look at the configuration, a shown secret costs its rotation.
"""

import base64
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from collections.abc import Set as AbstractSet
from datetime import date, time
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

MASK = "***"
MIN_SECRET_LENGTH = 4
"""Shorter values are part of too many ordinary words to be hidden."""

_MAX_DEPTH = 8
_MIN_ENCODED_LENGTH = 6

_NAMES = (
    r"(?:passw(?:or)?d|passphrase|pwd|account[_-]?key|shared[_-]?access[_-]?(?:key|signature)|shared[_-]?secret"
    r"|secret[_-]?(?:access[_-]?)?key|access[_-]?key[_-]?secret|client[_-]?secret|client[_-]?assertion|api[_-]?key"
    r"|private[_-]?key|connection[_-]?string|subscription[_-]?key|secret|token|(?:(?<![a-z0-9])|(?<=%3F)|(?<=%26))sig|x-amz-[a-z0-9-]+)"
)
_QUOTED = r"(?P<q>\\*[\"'])(?:(?!(?P=q))(?:\\.|.))*"
_BRACED = r"\{(?:[^}\n]|\}\}){0,500}\}"


class _Shape(NamedTuple):
    """One shape of credentials; `sign` is in every lower-cased text that has it, and quick to look for."""

    sign: str
    pattern: re.Pattern[str]
    replacement: str


# What may repeat before a character that need not come is bounded: a log line must not cost quadratic time.
_SHAPES: tuple[_Shape, ...] = tuple(
    _Shape(sign, re.compile(pattern, re.IGNORECASE), replacement)
    for sign, pattern, replacement in (
        ("private", r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", MASK),
        # A container or file system before the @ of an Azure location is no credential.
        ("@", r"(\b(?:abfss?|wasbs?)://)[^\s/@?#:]*:[^\s/@]*@", rf"\g<1>{MASK}@"),
        ("@", r"(\b(?!abfss?:|wasbs?:)[a-z][a-z0-9+.-]{0,30}://)[^\s/?#\"'<>]*@", rf"\g<1>{MASK}@"),
        # A password with an unescaped slash or question mark, but not a path with @ after a port.
        (
            "@",
            r"(\b[a-z][a-z0-9+.-]{0,30}://)[^\s:/?#@]{1,200}:(?!\d+(?:[/?#]|$))[^\s@\"'<>]{1,500}@",
            rf"\g<1>{MASK}@",
        ),
        (
            "authorization",
            rf"((?:proxy-)?authorization\\*[\"']?\s*[:=,]\s*(?:b(?=[\"']))?)(?:{_QUOTED}|[^\r\n]+)",
            rf"\g<1>\g<q>{MASK}",
        ),
        (
            "cookie",
            rf"((?:set-)?cookie\\*[\"']?\s*[:=,]\s*(?:b(?=[\"']))?)(?:{_QUOTED}|[^\r\n]+)",
            rf"\g<1>\g<q>{MASK}",
        ),
        ("bearer", r"\b(bearer\s+)(?!token\b|authenti|authori)[\w.~+/=-]+", rf"\g<1>{MASK}"),
        ("basic", r"\b(basic\s+)(?-i:(?=[a-z]*[A-Z0-9+/=]))[a-z0-9+/=_-]{4,}", rf"\g<1>{MASK}"),
        ("eyj", r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*", MASK),
        # In a connection string a value ends at the next semicolon and may hold blanks and quotes.
        (
            ";",
            rf"(;\s*[\w -]{{0,30}}{_NAMES}\s*=\s*)(?:{_QUOTED}(?P=q)(?=\s*;)|{_BRACED}|[^;\r\n]+)",
            rf"\g<1>\g<q>{MASK}\g<q>",
        ),
        (";", rf"((?<![?&]){_NAMES}\s*=\s*)(?:{_BRACED}|[^;&\"'\r\n]{{1,500}}(?=;))", rf"\g<1>{MASK}"),
        ("=", rf"({_NAMES}\\*[\"']?\s*=\s*)(?:{_QUOTED}|{_BRACED}|[^\s;&\"']+)", rf"\g<1>\g<q>{MASK}"),
        ("%3d", rf"({_NAMES}%3D)(?:(?!%26)[^\s;&\"'])+", rf"\g<1>{MASK}"),
        ("=", r"([?&](?:code|key|auth|signature|awsaccesskeyid|credential|assertion)=)[^\s;&#\"']+", rf"\g<1>{MASK}"),
        ("'", rf"({_NAMES}\\*[\"']\s*[:,]\s*b?)(?:{_QUOTED})", rf"\g<1>\g<q>{MASK}"),
        ('"', rf"({_NAMES}\\*[\"']\s*[:,]\s*b?)(?:{_QUOTED})", rf"\g<1>\g<q>{MASK}"),
        # Not after an underscore: messages name settings such as ARCANE__PASSWORD before a colon.
        (
            ":",
            r"(?<!_)((?:passw(?:or)?d|pwd|api-key|subscription-key|x-amz-[a-z0-9-]+)\s*:\s*)(?![\s\"'\\])\S+",
            rf"\g<1>{MASK}",
        ),
    )
)

_SECRET_FIELD = re.compile(rf"(?:[\w.-]*{_NAMES}|(?:proxy-)?authorization|(?:set-)?cookie)", re.IGNORECASE)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` with everything that looks like a credential, or is one of `secrets`, replaced by `***`.

    Args:
        text: Any text: a message, a URL, a traceback.
        secrets: Known secret values; also found base64-encoded (alone or inside a longer value),
            percent-encoded and escaped. Values of fewer than four characters are ignored.
    """
    return make_redactor(secrets)(text)


def make_redactor(secrets: Iterable[str] = ()) -> Callable[[str], str]:
    """Prepare `redact` for many texts with the same secrets. The result may be called on any thread."""
    forms = {form for secret in secrets if len(secret) >= MIN_SECRET_LENGTH for form in _forms(secret)}
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    known = re.compile("|".join(re.escape(form) for form in longest_first)) if longest_first else None

    def redactor(text: str) -> str:
        if known is not None:
            text = known.sub(MASK, text)
        lowered = text.lower()
        for sign, pattern, replacement in _SHAPES:
            if sign in lowered:
                text = pattern.sub(replacement, text)
        return text

    return redactor


def is_secret_field(name: str) -> bool:
    """Whether a log field of this name holds a credential by its name alone: `password`, `apiKey`, `Authorization`."""
    return _SECRET_FIELD.fullmatch(name) is not None


def redact_value(value: object, redactor: Callable[[str], str]) -> Any:
    """Return `value` as plain JSON data in which every text, keys included, has gone through `redactor`.

    Never raises: an object whose text cannot be had becomes its type's name.
    """
    return _plain(value, redactor, 0)


def redact_event(redactor: Callable[[str], str]) -> Callable[[Any, str, MutableMapping[str, Any]], dict[str, Any]]:
    """Make the structlog processor that applies `redact_value` to a whole event."""

    def processor(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
        plain: dict[str, Any] = redact_value(event, redactor)
        return plain

    return processor


def describe_error(error: BaseException) -> str:
    """Type and message of an error and of what caused it, in one text; not redacted."""
    texts, seen = [], set[int]()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        message = _text(current, str)
        texts.append(f"{type(current).__name__}: {message}" if message else type(current).__name__)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return ", caused by ".join(texts)


def _forms(secret: str) -> set[str]:
    raw = secret.encode("utf-8", "surrogatepass")
    percent = quote(raw, safe="")
    forms = {
        secret,
        percent,
        re.sub("%[0-9A-F]{2}", lambda match: match.group().lower(), percent),
        quote(raw),
        quote_plus(raw),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
    }
    for text in (base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()):
        forms |= {text, text.rstrip("="), quote(text, safe="")}
    return forms | _base64_inside(raw)


def _base64_inside(raw: bytes) -> set[str]:
    """What stays the same of `raw` in the base64 of a longer value, for instance of `user:password`."""
    forms = set[str]()
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(b"\0" * offset + raw).decode().rstrip("=")
            # The first characters hold bits of the bytes before, the last one may hold bits of those after.
            inner = encoded[(0, 2, 3)[offset] : (len(raw) + offset) * 8 // 6]
            if len(inner) >= _MIN_ENCODED_LENGTH:
                forms.add(inner)
    return forms


def _plain(value: object, redactor: Callable[[str], str], depth: int) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return redactor(str(value))
    if depth >= _MAX_DEPTH:
        return "..."
    if isinstance(value, Mapping):
        return dict(_plain_item(key, item, redactor, depth) for key, item in list(value.items()))
    if isinstance(value, (list, tuple, AbstractSet)):
        return [_plain(item, redactor, depth + 1) for item in list(value)]
    if isinstance(value, BaseException):
        return redactor(describe_error(value))
    if isinstance(value, (date, time)):
        return value.isoformat()
    return redactor(_text(value, repr if isinstance(value, (bytes, bytearray)) else str))


def _plain_item(key: object, item: object, redactor: Callable[[str], str], depth: int) -> tuple[str, Any]:
    name = key if isinstance(key, str) else _text(key, str)
    if item is not None and not isinstance(item, bool) and is_secret_field(name):
        return redactor(name), MASK
    return redactor(name), _plain(item, redactor, depth + 1)


def _text(value: object, convert: Callable[[object], str]) -> str:
    try:
        return convert(value)
    except Exception:  # a foreign object's __str__ may do anything, and a log line must not end a stream
        return f"<{type(value).__name__}>"

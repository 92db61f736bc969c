"""The date formats of .NET, as stream definitions write them, in pure Python.

A format of one character is a standard format, a longer one is made of custom specifiers. Instants are
written in UTC and in the invariant culture, as .NET's `DateTimeOffset.ToString` writes them. `strftime` is
not used: what it does with years before 1000 and which words it knows depends on the platform.

All functions are pure, never block and may be called on any thread.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache

from arcane_framework._core.errors import ConfigurationError

_GENERAL = "MM/dd/yyyy HH:mm:ss zzz"

_STANDARD = {
    "d": "MM/dd/yyyy",
    "D": "dddd, dd MMMM yyyy",
    "f": "dddd, dd MMMM yyyy HH:mm",
    "F": "dddd, dd MMMM yyyy HH:mm:ss",
    "g": "MM/dd/yyyy HH:mm",
    "G": "MM/dd/yyyy HH:mm:ss",
    "m": "MMMM dd",
    "M": "MMMM dd",
    "o": "yyyy-MM-ddTHH:mm:ss.fffffffzzz",
    "O": "yyyy-MM-ddTHH:mm:ss.fffffffzzz",
    "r": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "R": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "s": "yyyy-MM-ddTHH:mm:ss",
    "t": "HH:mm",
    "T": "HH:mm:ss",
    "u": "yyyy-MM-dd HH:mm:ssZ",
    "y": "yyyy MMMM",
    "Y": "yyyy MMMM",
}

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip

_MAX_FRACTION_DIGITS = 7


class _Precision(IntEnum):
    """What a specifier shows, from coarse to fine; `SECOND + n` stands for n fraction digits."""

    YEAR = 0
    MONTH = 1
    DAY = 2
    HALF_DAY = 3
    HOUR = 4
    MINUTE = 5
    SECOND = 6


@dataclass(frozen=True, slots=True)
class _Piece:
    """One piece of a format: `render` writes it, `precision` is what it shows of the instant, if anything."""

    render: Callable[[datetime], str]
    precision: int | None = None
    drops_point: bool = False


def check_date_format(text: str) -> None:
    """Checks a format once, before any instant is written with it.

    Raises:
        ConfigurationError: .NET would refuse the format; the message shows it and says why.
    """
    _parsed(text)


def format_date(instant: datetime, text: str) -> str:
    """The instant as .NET writes it, in UTC.

    Args:
        instant: An aware datetime.
        text: A standard or custom format; empty for the general form `01/02/2023 03:04:05 +00:00`.

    Raises:
        ConfigurationError: .NET would refuse the format.
        ValueError: The instant is naive.
    """
    utc = _in_utc(instant)
    result = ""
    for piece in _parsed(text):
        written = piece.render(utc)
        if piece.drops_point and not written and result.endswith("."):
            result = result[:-1]
        result += written
    return result


def truncate(instant: datetime, formats: Iterable[str]) -> datetime:
    """The instant, cut in UTC to what all the formats can show, so that writing it with them loses nothing.

    The finest specifier of a format is its precision, and the coarsest of the formats decides. A format
    that shows nothing of the instant has no say.

    Args:
        instant: An aware datetime.
        formats: Standard or custom formats; none of them leaves the instant as it is.

    Returns:
        The cut instant in UTC, never later than the given one.

    Raises:
        ConfigurationError: .NET would refuse one of the formats.
        ValueError: The instant is naive.
    """
    utc = _in_utc(instant)
    shown = [[piece.precision for piece in _parsed(text) if piece.precision is not None] for text in formats]
    finest = [max(precisions) for precisions in shown if precisions]
    return _cut(utc, min(finest)) if finest else utc


def _in_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError("the instant must be aware: a naive one may mean any zone")
    return instant.astimezone(UTC)


def _cut(utc: datetime, precision: int) -> datetime:
    digits = max(0, precision - _Precision.SECOND)
    unit = 10 ** max(0, 6 - digits)
    hours = 24 if precision < _Precision.HALF_DAY else 12 if precision == _Precision.HALF_DAY else 1
    return utc.replace(
        month=utc.month if precision >= _Precision.MONTH else 1,
        day=utc.day if precision >= _Precision.DAY else 1,
        hour=utc.hour // hours * hours,
        minute=utc.minute if precision >= _Precision.MINUTE else 0,
        second=utc.second if precision >= _Precision.SECOND else 0,
        microsecond=utc.microsecond // unit * unit,
    )


@lru_cache(maxsize=256)
def _parsed(text: str) -> tuple[_Piece, ...]:
    if len(text) != 1:
        return tuple(_custom(text or _GENERAL, text))
    if text == "U":
        raise _refused(text, "it is not defined for an instant with an offset; use 'u' or 'F'")
    if text not in _STANDARD:
        raise _refused(
            text,
            f"a format of one character is a standard format, one of {' '.join(_STANDARD)}; "
            "a single custom specifier is written with a percent sign, as in '%H'",
        )
    return tuple(_custom(_STANDARD[text], text))


def _custom(text: str, shown: str, before: int = 0) -> Iterator[_Piece]:
    """The pieces of a custom format; errors show `shown`, in which the text begins after `before` characters."""
    position = 0
    while position < len(text):
        character = text[position]
        length = 1
        if character in "'\"":
            literal, length = _quoted(text, position)
            if not length:
                raise _refused(shown, f"the quote {character} at character {before + position + 1} is not closed")
            yield _literal(literal)
        elif character == "\\":
            if position + 1 == len(text):
                raise _refused(shown, r"the backslash at its end must be followed by a character; write \\ for one")
            length = 2
            yield _literal(text[position + 1])
        elif character == "%":
            following = text[position + 1 : position + 2]
            if following in ("", "%"):
                raise _refused(shown, f"the % at character {position + 1} must be followed by a specifier, as in '%d'")
            length = 2
            yield from _custom(following, shown, position + 1)
        elif character in _SPECIFIERS:
            length = _run(text, position)
            yield _specified(character, length, shown)
        else:
            yield _literal(character)
        position += length


def _run(text: str, position: int) -> int:
    """How often the specifier stands at the position; .NET reads `K` one by one."""
    character = text[position]
    rest = text[position:]
    return 1 if character == "K" else len(rest) - len(rest.lstrip(character))


def _quoted(text: str, position: int) -> tuple[str, int]:
    """The text of a quoted literal, and how many characters of the format it takes: none if it has no end."""
    quote = text[position]
    literal = ""
    index = position + 1
    while index < len(text) and text[index] != quote:
        # A backslash works inside of quotes, too.
        index += text[index] == "\\"
        literal += text[index : index + 1]
        index += 1
    return literal, index + 1 - position if index < len(text) else 0


def _refused(text: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"the date format {text!r} is not valid: {reason}")


def _literal(text: str) -> _Piece:
    return _Piece(lambda _: text)


def _specified(character: str, length: int, shown: str) -> _Piece:
    if character in "fF" and length > _MAX_FRACTION_DIGITS:
        raise _refused(shown, f"at most {_MAX_FRACTION_DIGITS} {character} may follow each other, not {length}")
    return _SPECIFIERS[character](length)


def _number(value: Callable[[datetime], int], precision: _Precision) -> Callable[[int], _Piece]:
    """A number of one or two digits; more letters mean the same as two."""
    return lambda length: _Piece(lambda utc: f"{value(utc):0{min(length, 2)}}", precision)


def _year(length: int) -> _Piece:
    if length <= 2:
        return _Piece(lambda utc: f"{utc.year % 100:0{length}}", _Precision.YEAR)
    return _Piece(lambda utc: f"{utc.year:0{length}}", _Precision.YEAR)


def _month(length: int) -> _Piece:
    if length <= 2:
        return _Piece(lambda utc: f"{utc.month:0{length}}", _Precision.MONTH)
    letters = 3 if length == 3 else None
    return _Piece(lambda utc: _MONTHS[utc.month - 1][:letters], _Precision.MONTH)


def _day(length: int) -> _Piece:
    if length <= 2:
        return _Piece(lambda utc: f"{utc.day:0{length}}", _Precision.DAY)
    letters = 3 if length == 3 else None
    return _Piece(lambda utc: _DAYS[utc.weekday()][:letters], _Precision.DAY)


def _half_day(length: int) -> _Piece:
    letters = 1 if length == 1 else None
    return _Piece(lambda utc: ("AM" if utc.hour < 12 else "PM")[:letters], _Precision.HALF_DAY)


def _fraction(length: int) -> _Piece:
    # Python has six digits, .NET seven.
    return _Piece(lambda utc: f"{utc.microsecond:06}0"[:length], _Precision.SECOND + length)


def _short_fraction(length: int) -> _Piece:
    return _Piece(
        lambda utc: f"{utc.microsecond:06}0"[:length].rstrip("0"), _Precision.SECOND + length, drops_point=True
    )


def _offset(length: int) -> _Piece:
    return _literal(("+0", "+00", "+00:00")[min(length, 3) - 1])


_SPECIFIERS: dict[str, Callable[[int], _Piece]] = {
    "y": _year,
    "M": _month,
    "d": _day,
    "H": _number(lambda utc: utc.hour, _Precision.HOUR),
    "h": _number(lambda utc: (utc.hour + 11) % 12 + 1, _Precision.HOUR),
    "m": _number(lambda utc: utc.minute, _Precision.MINUTE),
    "s": _number(lambda utc: utc.second, _Precision.SECOND),
    "f": _fraction,
    "F": _short_fraction,
    "t": _half_day,
    "K": lambda _: _literal("+00:00"),
    "z": _offset,
    "g": lambda _: _literal("A.D."),
}

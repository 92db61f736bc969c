"""Lengths of time and instants as stream definitions write them, and the field types that read them."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, TypeVar

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

T = TypeVar("T")

DURATION_HINT = "must be a whole number of seconds, or a text such as 'PT30S', '30 seconds', '5 minutes', '60s'"
INSTANT_HINT = "must be a whole number of milliseconds since 1970, or a text such as '2024-05-08T12:00:00Z'"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_SECONDS_BY_UNIT = {
    unit: seconds
    for seconds, units in (
        (0.001, ("ms", "milli", "millis", "millisecond", "milliseconds")),
        (1, ("s", "sec", "secs", "second", "seconds")),
        (60, ("m", "min", "mins", "minute", "minutes")),
        (3_600, ("h", "hr", "hrs", "hour", "hours")),
        (86_400, ("d", "day", "days")),
    )
    for unit in units
}

_AMOUNT_AND_UNIT = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([a-z]+)", re.ASCII | re.IGNORECASE)

# No years and months: they have no fixed length. A final `T` without a time is no ISO 8601.
_ISO_DURATION = re.compile(
    r"P(?=[\dT])(?:(?P<weeks>\d{1,9})W)?(?:(?P<days>\d{1,9})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,12})H)?(?:(?P<minutes>\d{1,12})M)?(?:(?P<seconds>\d{1,15}(?:\.\d{1,9})?)S)?)?",
    re.ASCII | re.IGNORECASE,
)


def parse_duration(value: object) -> timedelta:
    """A length of time, zero or longer.

    Args:
        value: A whole number of seconds; an ISO 8601 text in weeks, days and smaller units (`PT30S`);
            a number with a unit from milliseconds to days (`1 second`, `60s`, `2 days`); a timedelta.

    Raises:
        ValueError: It is none of these, negative, or longer than a timedelta can be.
    """
    duration = _duration(value)
    if duration < timedelta(0):
        raise ValueError("must not be negative")
    return duration


def parse_instant(value: object) -> datetime:
    """An instant, in UTC.

    Args:
        value: A whole number of milliseconds since 1970; an ISO 8601 text, in UTC unless it names a zone;
            a datetime, in UTC unless it is aware.

    Raises:
        ValueError: It is none of these, or outside the years 1 to 9999.
    """
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return _EPOCH + timedelta(milliseconds=value)
        if isinstance(value, str):
            value = datetime.fromisoformat(value.strip())
        if isinstance(value, datetime):
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be between the years 1 and 9999") from None
    except ValueError:
        raise ValueError(INSTANT_HINT) from None
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ValueError(INSTANT_HINT)


def describe_duration(duration: timedelta) -> str:
    """The length in plain words: `0 seconds`, `1 hour`, `90 seconds`."""
    seconds = duration.total_seconds()
    for size, unit in ((86_400, "day"), (3_600, "hour")):
        if seconds and seconds % size == 0:
            return f"{seconds / size:g} {unit}{'' if seconds == size else 's'}"
    return f"{seconds:.15g} second{'' if seconds == 1 else 's'}"


def _duration(value: object) -> timedelta:
    try:
        if isinstance(value, timedelta):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return timedelta(seconds=value)
        if isinstance(value, str):
            return _duration_text(value.strip())
    except OverflowError:
        raise ValueError("must be shorter than 999999999 days") from None
    raise ValueError(DURATION_HINT)


def _duration_text(text: str) -> timedelta:
    if iso := _ISO_DURATION.fullmatch(text):
        return timedelta(**{unit: float(amount) for unit, amount in iso.groupdict().items() if amount})
    if match := _AMOUNT_AND_UNIT.fullmatch(text):
        amount, unit = match.groups()
        if seconds := _SECONDS_BY_UNIT.get(unit.lower()):
            return timedelta(seconds=float(amount) * seconds)
    raise ValueError(DURATION_HINT)


def _field(parse: Callable[[object], T]) -> Callable[[object], T]:
    """The parser as a field's validator: its message gets the offending value, as those of plain types do."""

    def validate(value: object) -> T:
        try:
            return parse(value)
        except ValueError as error:
            raise PydanticCustomError("arcane_time", "{problem}", {"problem": str(error)}) from None

    return validate


Seconds = Annotated[timedelta, BeforeValidator(_field(parse_duration))]
"""A length of time in a context; see `parse_duration` for what a spec may hold."""

Instant = Annotated[datetime, BeforeValidator(_field(parse_instant))]
"""An instant in a context, aware and in UTC; see `parse_instant` for what a spec may hold."""

"""The rows that the API serves, as pure functions: a test computes with them what a stream must have written."""

import base64
import json
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeAlias

Row: TypeAlias = Mapping[str, Any]
_MICROSECOND = timedelta(microseconds=1)
_CITIES = ("Aarhus", "Łódź", "São Paulo", "東京", 'the "old" town', "C:\\Temp\tand\nmore")

ROW_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer", "format": "int64"},
        "updatedAt": {"type": "string", "format": "date-time"},
        "name": {"type": "string"},
        "amount": {"type": "number", "format": "double"},
        "count": {"type": "integer", "format": "int32"},
        "active": {"type": "boolean"},
        "note": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "address": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "number": {"type": "integer", "format": "int32"}},
        },
    },
}
"""The OpenAPI schema of a row of `Table`."""


def encoded_schema(schema: Mapping[str, Any] = ROW_SCHEMA) -> str:
    """A schema as `apiSchemaEncoded` holds it."""
    return base64.b64encode(json.dumps(schema).encode()).decode()


def read_instant(text: str) -> datetime:
    """An instant as a client sends it: ISO 8601 with or without a fraction, or `yyyyMMddHHmmss`; without a zone, UTC.

    Raises:
        ValueError: It is neither.
    """
    if re.fullmatch(r"\d{14}", text):
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def write_instant(instant: datetime) -> str:
    """`2023-01-02T03:04:05Z`, with six more digits where there is a fraction."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


class Rows(Protocol):
    """Numbered rows in the order of their instants."""

    def window(self, start: datetime | None, end: datetime | None, now: datetime) -> range:
        """The numbers of the rows from `start` until before `end` that are there at `now`."""
        ...

    def row(self, number: int) -> Row:
        """One row."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Made-up rows. Every third has no note, every fifth a null; names and cities need escapes and more than ASCII.

    Attributes:
        rows: How many there will be in the end.
        start: The instant of row 0.
        step_seconds: From one instant to the next, whole microseconds.
        tied: So many rows share an instant.
        padding: Characters that make each row larger.
    """

    rows: int = 100
    start: str = "2023-01-01T00:00:00Z"
    step_seconds: float = 60.0
    tied: int = 1
    padding: int = 0

    def instant(self, number: int) -> datetime:
        """When a row appears; it is in the windows that contain this."""
        return read_instant(self.start) + (number // self.tied) * timedelta(seconds=self.step_seconds)

    def window(self, start: datetime | None, end: datetime | None, now: datetime) -> range:
        first = 0 if start is None else self._first_at(start)
        appeared = self._first_at(now + _MICROSECOND)
        return range(first, max(first, appeared if end is None else min(appeared, self._first_at(end))))

    def row(self, number: int) -> Row:
        return {
            "id": number,
            "updatedAt": write_instant(self.instant(number)),
            "name": f"Order {number} <&'ø>" + "x" * self.padding,
            "amount": round(number * 12.34, 2),
            "count": number % 1000,
            "active": number % 2 == 0,
            **({} if number % 3 == 0 else {"note": None if number % 5 == 0 else f"note\r\n{number}"}),
            "tags": [f"t{tag}" for tag in range(number % 4)],
            "address": None if number % 7 == 6 else {"city": _CITIES[number % len(_CITIES)], "number": number % 100},
        }

    def between(self, start: datetime | None = None, end: datetime | None = None) -> list[Row]:
        """The rows of a window that has passed."""
        return [self.row(number) for number in self.window(start, end, datetime.max.replace(tzinfo=UTC) - _MICROSECOND)]

    def _first_at(self, instant: datetime) -> int:
        step = timedelta(seconds=self.step_seconds)
        return min(self.rows, max(0, -((read_instant(self.start) - instant) // step)) * self.tied)


@dataclass(frozen=True)
class ListedRows:
    """Rows of one's own.

    Attributes:
        listed: The rows, in the order of their instants.
        time_field: Holds the instant of a row.
    """

    listed: Sequence[Row]
    time_field: str
    _instants: list[datetime] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_instants", [read_instant(row[self.time_field]) for row in self.listed])

    @classmethod
    def read(cls, file: Path, time_field: str) -> "ListedRows":
        """JSON lines, in any order."""
        rows = [json.loads(line) for line in file.read_text("utf-8").split("\n") if line]
        return cls(sorted(rows, key=lambda row: read_instant(row[time_field])), time_field)

    def window(self, start: datetime | None, end: datetime | None, now: datetime) -> range:
        first = 0 if start is None else bisect_left(self._instants, start)
        last = now + _MICROSECOND if end is None else min(end, now + _MICROSECOND)
        return range(first, max(first, bisect_left(self._instants, last)))

    def row(self, number: int) -> Row:
        return self.listed[number]

"""The windows that the proof's API streams read, and the rows in them."""

from datetime import UTC, datetime, timedelta

from tests.rest_api import Table

ROWS = Table(rows=56, start="2023-01-01T00:00:00Z", step_seconds=3600.0)

# Windows of 19, 18, 0, 8 and 11 rows: with pages of 8 there are full ones and others, and windows of several pages,
# of none and of exactly one. A backfill reads the first two in one.
INSTANTS = tuple(
    datetime(2023, 1, 1, tzinfo=UTC) + timedelta(hours=hours) for hours in (0, 18.5, 36.5, 36.75, 44.5, 55.5)
)
BACKFILL_END = INSTANTS[2]
PAGE_ROWS = 8


def ids(start: datetime, end: datetime) -> list[int]:
    """The rows of a window."""
    return [row["id"] for row in ROWS.between(start, end)]

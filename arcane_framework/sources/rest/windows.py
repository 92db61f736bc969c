"""Time windows: contiguous pieces of time that are read one after the other. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from arcane_framework.sources.rest.date_format import truncate

_FIRST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of time: what has changed from `start` on and before `end`.

    Attributes:
        start: Aware.
        end: Aware; the start of the next window.
    """

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{instant_text(self.start)} to {instant_text(self.end)}"


@dataclass(frozen=True, slots=True)
class Windows:
    """How windows follow each other.

    Attributes:
        look_back: How far the first streaming window reaches back when there is no stored position.
        date_formats: The date formats of the requests: no window ends between two instants that they can name.
        overlap: How much earlier than its start a window is asked for.
    """

    look_back: timedelta
    date_formats: tuple[str, ...] = ()
    overlap: timedelta = timedelta(0)

    def backfill(self, start: datetime, now: datetime) -> Window:
        """The one window of a backfill."""
        return self._ending(start, now)

    def before_the_first(self, now: datetime) -> Window:
        """What the first streaming window follows when there is no stored position: a window without length."""
        start = _earlier(now, self.look_back)
        return Window(start, start)

    def next(self, last: Window, now: datetime) -> Window | None:
        """The streaming window after `last`; None while it would have no length: nothing can be in it."""
        window = self._ending(last.end, now)
        return None if window.end <= window.start else window

    def asked_from(self, window: Window) -> datetime:
        """The start that is put into requests."""
        return _earlier(window.start, self.overlap)

    def _ending(self, start: datetime, now: datetime) -> Window:
        # Never back in time: the clock may have been ahead when the last window ended.
        return Window(start, max(start, truncate(now, self.date_formats)))


def _earlier(instant: datetime, length: timedelta) -> datetime:
    try:
        return instant - length
    except OverflowError:
        return _FIRST


def instant_text(instant: datetime) -> str:
    """An instant as messages and watermarks show it: ISO 8601, in UTC."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"

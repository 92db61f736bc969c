"""What a run says and counts, kept for a test to look at."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from arcane_framework._core.errors import ArcaneError


class CapturedLog:
    """A log stream that keeps the JSON lines of a run. Written to on any thread.

    Args:
        now: The time that the lines get instead of the machine's.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lines: list[dict[str, Any]] = []

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines so far, each as the object that it holds."""
        return list(self._lines)

    def write(self, text: str) -> None:
        """Take one line."""
        line = json.loads(text)
        self._lines.append({**line, "timestamp": self._now().isoformat()})

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        """It is none, so lines are JSON."""
        return False


@dataclass(frozen=True, slots=True)
class Measurement:
    """One call of a metric.

    Attributes:
        name: Below `arcane.stream`: `rows.incoming`.
        value: What was added to a counter, or the gauge's value.
        tags: All tags, without their prefix.
    """

    name: str
    value: float
    tags: Mapping[str, str]


class CapturedMetrics:
    """Implements `Metrics`; keeps every value with its tags. Any thread."""

    def __init__(self) -> None:
        self._tags: dict[str, str] = {}
        self._lock = threading.Lock()
        self._counters: list[Measurement] = []
        self._gauges: list[Measurement] = []

    def with_tags(self, tags: Mapping[str, str]) -> Self:
        tagged = object.__new__(type(self))
        tagged.__dict__.update(self.__dict__)
        tagged._tags = {**self._tags, **tags}
        return tagged

    def increment(self, name: str, value: float = 1) -> None:
        with self._lock:
            self._counters.append(Measurement(name, value, self._tags))

    def gauge(self, name: str, value: float) -> None:
        with self._lock:
            self._gauges.append(Measurement(name, value, self._tags))

    def count(self, name: str, **tags: str) -> float:
        """The sum of a counter, 0 when it was never touched; with tags, of the calls that had them."""
        return sum(found.value for found in self._found(self._counters, name, tags))

    def values(self, name: str, **tags: str) -> list[float]:
        """All values of a gauge, in order; with tags, of the calls that had them."""
        return [found.value for found in self._found(self._gauges, name, tags)]

    def tags(self, name: str) -> Mapping[str, str]:
        """The tags of the newest value of a counter or a gauge.

        Raises:
            AssertionError: There is none.
        """
        found = [*self._found(self._counters, name, {}), *self._found(self._gauges, name, {})]
        if not found:
            raise AssertionError(f"the metric {name!r} was never touched; there are: {', '.join(self.names)}")
        return dict(found[-1].tags)

    @property
    def names(self) -> list[str]:
        """The names of all counters and gauges touched, sorted."""
        with self._lock:
            return sorted({found.name for found in (*self._counters, *self._gauges)})

    def _found(self, kept: list[Measurement], name: str, tags: Mapping[str, str]) -> Iterator[Measurement]:
        with self._lock:
            candidates = list(kept)
        return (found for found in candidates if found.name == name and tags.items() <= found.tags.items())


class CapturedStatus:
    """A status service that keeps what is reported.

    Args:
        error: Raised by a report, as when the cluster does not answer; None lets reports succeed.
    """

    def __init__(self, error: ArcaneError | None = None) -> None:
        self._error = error
        self._mismatches: list[str] = []

    @property
    def mismatches(self) -> list[str]:
        """The details of the schema mismatches reported so far."""
        return list(self._mismatches)

    def report_schema_mismatch(self, detail: str) -> None:
        """See `StatusService`."""
        if self._error is not None:
            raise self._error
        self._mismatches.append(detail)


class ScriptedLifetime:
    """A lifetime service whose signal comes from the test. `signal` may come before the stream has started."""

    def __init__(self) -> None:
        self._stop: Callable[[], None] | None = None
        self._interrupted = False

    @property
    def interrupted(self) -> bool:
        """Whether the signal has come."""
        return self._interrupted

    def start(self, stop: Callable[[], None]) -> None:
        """See `LifetimeService`."""
        self._stop = stop
        if self._interrupted:
            stop()

    def signal(self) -> None:
        """What SIGTERM does: `stop`, at most once."""
        first, self._interrupted = not self._interrupted, True
        if first and self._stop is not None:
            self._stop()

    def close(self) -> None:
        """See `LifetimeService`."""
        self._stop = None

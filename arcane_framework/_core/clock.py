"""The one source of time, and the one place where a thread of a graph ever waits.

Every wait of a graph's threads (a poll interval, a full hand-off, a retry) goes through `Clock.wait_for`
on the clock's single condition; only for the end of a thread the graph waits by joining it. That is what
lets virtual time know that all threads are parked; at the granularity of batches one lock for a run costs
nothing.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

JOIN_SECONDS = 2.0
"""How long a graph waits for a thread that it has told to end; one that is blocked in a call is left behind."""


class Clock(ABC):
    """Wall time, monotonic time and waiting. All methods may be called on any thread."""

    def __init__(self) -> None:
        self._condition = threading.Condition()

    @abstractmethod
    def now(self) -> datetime:
        """The wall time, aware, in UTC."""

    @abstractmethod
    def monotonic(self) -> float:
        """Seconds on a scale that never goes back; only differences mean something."""

    @abstractmethod
    def wait_for(self, predicate: Callable[[], bool], until: float | None = None) -> bool:
        """Park this thread until `predicate` holds or monotonic time reaches `until`.

        Args:
            predicate: Cheap and without side effects; called with the clock's lock held.
            until: Monotonic seconds; None waits for the predicate alone.

        Returns:
            What the predicate said last: False means that the time has come first.
        """

    @abstractmethod
    def spawn(self, target: Callable[[], None], name: str) -> threading.Thread:
        """Start a daemon thread that belongs to the graph; virtual time waits for it to park."""

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock that predicates are read under; on leaving, parked threads look again."""
        with self._condition:
            try:
                yield
            finally:
                self._condition.notify_all()


class SystemClock(Clock):
    """The machine's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def wait_for(self, predicate: Callable[[], bool], until: float | None = None) -> bool:
        with self._condition:
            timeout = None if until is None else min(max(0.0, until - self.monotonic()), threading.TIMEOUT_MAX)
            return self._condition.wait_for(predicate, timeout)

    def spawn(self, target: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        return thread

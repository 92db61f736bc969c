"""A hand-off between two threads, bounded by bytes."""

from collections import deque
from dataclasses import dataclass

from arcane_framework._core.batch import Batch
from arcane_framework._core.clock import Clock

LEAST_BYTES = 64
"""What a batch without rows counts for, so that their number is bounded, too."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The producer's end: completed, or failed with `error`."""

    error: Exception | None = None


class HandOff:
    """Batches on their way from one producing thread to one taking thread.

    At most `nbytes` bytes are held; a single batch that is larger passes when nothing else is held.
    """

    def __init__(self, clock: Clock, nbytes: int) -> None:
        self._clock = clock
        self._limit = nbytes
        self._items: deque[tuple[Batch | Ended, int]] = deque()
        self._held = 0
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the taker has gone."""
        return self._closed

    def put(self, batch: Batch) -> bool:
        """Hand a batch over, waiting for room; False when the taker has gone. The producer's thread."""
        size = max(batch.nbytes, LEAST_BYTES)
        self._clock.wait_for(lambda: self._closed or not self._items or self._held + size <= self._limit)
        with self._clock.changing():
            if self._closed:
                return False
            self._items.append((batch, size))
            self._held += size
        return True

    def end(self, error: Exception | None = None) -> None:
        """Say that nothing follows; errors travel behind the batches before them."""
        with self._clock.changing():
            self._items.append((Ended(error), 0))

    def ready(self) -> bool:
        """Whether `take` would give something; a predicate for a wait."""
        return bool(self._items)

    def take(self) -> Batch | Ended | None:
        """The next item; None when there is none. The taker's thread."""
        with self._clock.changing():
            if not self._items:
                return None
            item, size = self._items.popleft()
            self._held -= size
        return item

    def close(self) -> None:
        """The taker goes: a waiting producer wakes up, what is held is dropped."""
        with self._clock.changing():
            self._closed = True
            self._items.clear()
            self._held = 0

"""A rate limit without bursts."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from arcane_framework._core.clock import Clock
from arcane_framework._core.errors import ConfigurationError


@dataclass(frozen=True)
class RateLimit:
    """So many requests in so many seconds, evenly spread: 100 in 5 seconds are one each 50 ms.

    Attributes:
        count: Requests.
        seconds: Within these.

    Raises:
        ConfigurationError: One of them is not above 0.
    """

    count: int
    seconds: float

    def __post_init__(self) -> None:
        if self.count <= 0:
            raise ConfigurationError(f"internalRateLimitCount must be above 0, not {self.count}")
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise ConfigurationError(f"internalRateLimitInterval must be above 0 seconds, not {self.seconds:g}")

    @property
    def spacing(self) -> float:
        """Seconds from one permit to the next."""
        return self.seconds / self.count


class RateLimiter:
    """Gives one permit every `limit.spacing` seconds, in the order of asking. Any thread.

    What is not used is not saved up: after a pause there is one permit at once, then the spacing again. A wait
    that takes a little too long is made good for by the next one, so that the average is kept.

    Args:
        limit: The rate.
        clock: Its monotonic time counts.
    """

    def __init__(self, limit: RateLimit, clock: Clock) -> None:
        self._spacing = limit.spacing
        self._clock = clock
        self._lock = threading.Lock()
        self._next: float | None = None

    def acquire(self, wait: Callable[[float], None]) -> None:
        """Take the next permit and wait for its time; what `wait` raises passes through, the permit is used up.

        Args:
            wait: Waits for so many seconds; not called when the permit is there.
        """
        with self._lock:
            now = self._clock.monotonic()
            permit = now if self._next is None else max(now, self._next)
            self._next = permit + self._spacing
        if permit > now:
            wait(permit - now)

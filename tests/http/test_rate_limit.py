import itertools

import pytest

from arcane_framework import ConfigurationError
from arcane_framework.http import RateLimit, RateLimiter
from arcane_framework.testing import VirtualClock
from tests.http.parts import Waits, finish


def permits(clock: VirtualClock, limiter: RateLimiter, count: int) -> list[float]:
    times = []
    for _ in range(count):
        limiter.acquire(clock.advance)
        times.append(round(clock.monotonic(), 6))
    return times


def test_permits_are_evenly_spread(virtual_clock: VirtualClock) -> None:
    assert permits(virtual_clock, RateLimiter(RateLimit(100, 5), virtual_clock), 4) == [0, 0.05, 0.1, 0.15]


def test_one_request_a_minute_is_one_at_once_and_then_one_each_minute(virtual_clock: VirtualClock) -> None:
    assert permits(virtual_clock, RateLimiter(RateLimit(1, 60), virtual_clock), 3) == [0, 60, 120]


def test_a_pause_saves_up_no_burst(virtual_clock: VirtualClock) -> None:
    limiter = RateLimiter(RateLimit(1, 1), virtual_clock)
    permits(virtual_clock, limiter, 1)
    virtual_clock.advance(100)
    assert permits(virtual_clock, limiter, 3) == [100, 101, 102]


def test_a_wait_that_takes_too_long_does_not_lower_the_average(virtual_clock: VirtualClock) -> None:
    limiter = RateLimiter(RateLimit(1, 1), virtual_clock)
    times = []
    for _ in range(4):
        limiter.acquire(lambda seconds: virtual_clock.advance(seconds + 0.3))
        times.append(round(virtual_clock.monotonic(), 6))
    assert times == [0, 1.3, 2.3, 3.3]


def test_no_wait_is_asked_for_when_the_permit_is_there(virtual_clock: VirtualClock) -> None:
    waits = Waits()
    RateLimiter(RateLimit(1, 60), virtual_clock).acquire(waits)
    assert waits.seconds == []


def test_threads_share_the_rate(virtual_clock: VirtualClock) -> None:
    limiter = RateLimiter(RateLimit(1, 10), virtual_clock)
    times: list[float] = []

    def work() -> None:
        for _ in range(2):
            limiter.acquire(lambda seconds: _wait(virtual_clock, seconds))
            times.append(virtual_clock.monotonic())

    virtual_clock.spawn(work, "one")
    finish(virtual_clock, work, 100)
    assert sorted(times) == [0, 10, 20, 30]
    assert all(later - earlier == 10 for earlier, later in itertools.pairwise(sorted(times)))


def _wait(clock: VirtualClock, seconds: float) -> None:
    clock.wait_for(lambda: False, clock.monotonic() + seconds)


@pytest.mark.parametrize(
    ("count", "seconds", "message"),
    [
        (0, 60, "internalRateLimitCount must be above 0, not 0"),
        (-1, 60, "internalRateLimitCount must be above 0, not -1"),
        (1, 0, "internalRateLimitInterval must be above 0 seconds, not 0"),
        (1, -2.5, "internalRateLimitInterval must be above 0 seconds, not -2.5"),
        (1, float("inf"), "internalRateLimitInterval must be above 0 seconds, not inf"),
        (1, float("nan"), "internalRateLimitInterval must be above 0 seconds, not nan"),
    ],
)
def test_a_rate_has_to_be_above_zero(count: int, seconds: float, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RateLimit(count, seconds)
    assert str(caught.value) == message

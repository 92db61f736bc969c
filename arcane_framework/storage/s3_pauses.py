"""Waiting between two attempts at S3."""

import random

from arcane_framework._core.clock import Clock


def pause(clock: Clock, attempt: int) -> None:
    """Wait after the attempt of this number, from 1: 0.1 to 0.2 seconds, then twice as long each time."""
    seconds = random.uniform(0.05, 0.1) * 2**attempt  # noqa: S311 - spreads load, keeps no secret
    clock.wait_for(lambda: False, until=clock.monotonic() + seconds)

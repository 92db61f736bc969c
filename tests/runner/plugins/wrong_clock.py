"""A stream of numbers on a machine whose clock is wrong."""

import os
from datetime import datetime, timedelta

from arcane_framework._core.clock import SystemClock
from arcane_framework.hosting import StreamHost
from tests.runner.plugins.numbers_stream import Numbers


class WrongClock(SystemClock):
    def now(self) -> datetime:
        return super().now() + timedelta(days=float(os.environ["TEST_CLOCK_DAYS"]))


host = StreamHost(Numbers, clock=WrongClock(), fenced_pause=(0.0, 0.05))

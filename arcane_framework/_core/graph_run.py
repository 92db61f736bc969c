"""What the two ends of a running graph tell each other."""

from dataclasses import dataclass

from arcane_framework._core.batch import Watermark
from arcane_framework._core.clock import Clock
from arcane_framework._core.segment import Segment
from arcane_framework._core.services import Mode


@dataclass(frozen=True, slots=True)
class Start:
    """Where the source has to go on from, as the sink knows it.

    Attributes:
        mode: Backfill or stream.
        watermark: The committed position in that mode.
        anything_to_do: False for a backfill that has already completed.
    """

    mode: Mode
    watermark: Watermark | None
    anything_to_do: bool = True


class GraphRun:
    """Shared by the source's loop and the delivery to the sink, which may be on different threads.

    Attributes:
        delivery_segment: The thread of the graph that the sink is called on; set before the chain is subscribed.
        arrived: The first batch, which has no rows, has come to the delivery, which opens the sink now.
        start: Set by the delivery when the sink is open.
        reading: The source's loop is running: from its subscription until it has told the chain its end.
        failure: An error that cannot travel down the chain.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.delivery_segment: Segment | None = None
        self.arrived = False
        self.start: Start | None = None
        self.reading = False
        self.failure: Exception | None = None

    def first_batch_arrived(self) -> None:
        """The chain lets batches without rows pass; opening the sink may take its time."""
        with self._clock.changing():
            self.arrived = True

    def begin(self, start: Start) -> None:
        """Let the source begin."""
        with self._clock.changing():
            self.start = start

    def set_reading(self, reading: bool) -> None:
        """Say whether the source's loop is running."""
        with self._clock.changing():
            self.reading = reading

    def fail(self, error: Exception) -> None:
        """End the run with `error`, whatever the chain makes of it."""
        with self._clock.changing():
            self.failure = error

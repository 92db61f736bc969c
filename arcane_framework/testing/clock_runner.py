"""Waiting for a graph's end under a clock that a test moves."""

from arcane_framework._core.clock import Clock
from arcane_framework._core.delivery import RunSummary
from arcane_framework._core.graph import RunnableGraph


class ClockRunner:
    """A runner that waits for the graph's end through the clock, so that virtual time knows where it is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def run(self, graph: RunnableGraph) -> RunSummary:
        """See `StreamRunner`."""
        _, result = graph.run()
        result.add_done_callback(lambda _: self._look_again())
        self._clock.wait_for(result.done)
        return result.result()

    def _look_again(self) -> None:
        with self._clock.changing():
            pass

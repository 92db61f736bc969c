"""Commits that a sink finishes in the background, and what is to be done when they are."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from arcane_framework._core.clock import Clock
from arcane_framework._core.sink import Committed

Report = Callable[[Committed, float], None]
"""Takes what was committed and the seconds that it took."""


class CommitsInFlight:
    """Reports commits in their order, on the thread that `take_finished` and `settle` are called on.

    Args:
        clock: The run's clock.
        wake: Called on any thread when a commit has ended: `take_finished` has something to do.
    """

    def __init__(self, clock: Clock, wake: Callable[[], object]) -> None:
        self._clock = clock
        self._wake = wake
        self._commits: deque[tuple[Future[tuple[Committed, float]], Report]] = deque()

    def add(self, commit: "Future[Committed]", started: float, report: Report) -> None:
        """Call `report` when `commit`, which began at `started`, has ended without an error."""
        timed: Future[tuple[Committed, float]] = Future()

        def ended(done: "Future[Committed]") -> None:
            error = done.exception()
            if error is None:
                timed.set_result((done.result(), self._clock.monotonic() - started))
            else:
                timed.set_exception(error)
            self._wake()

        self._commits.append((timed, report))
        commit.add_done_callback(ended)

    def take_finished(self) -> None:
        """Report what has ended; the first commit that has failed raises its error."""
        while self._commits and self._commits[0][0].done():
            commit, report = self._commits.popleft()
            report(*commit.result())

    def settle(self) -> None:
        """Wait until all have ended, and report them; errors as `take_finished`'s."""
        while self._commits:
            self._clock.wait_for(self._commits[0][0].done)
            self.take_finished()

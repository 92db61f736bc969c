"""Hashing, writing and syncing beside encoding: one thread that does a sink's slow work in order."""

from collections import deque
from collections.abc import Callable

from arcane_framework._core.clock import JOIN_SECONDS, Clock


class BackgroundWriter:
    """Runs steps one after the other on a thread of its own, holding at most `nbytes` bytes in waiting steps.

    The first step that fails ends it: later ones are dropped, and its error is raised by each call from then on.
    """

    def __init__(self, clock: Clock, nbytes: int) -> None:
        self._clock = clock
        self._limit = nbytes
        self._steps: deque[tuple[Callable[[], None], int]] = deque()
        self._held = 0
        self._busy = False
        self._closed = False
        self._error: BaseException | None = None
        self._thread = clock.spawn(self._run, "arcane-writer")

    def submit(self, step: Callable[[], None], nbytes: int = 0) -> None:
        """Run `step` after those before it; waits while too many bytes are held."""
        self._clock.wait_for(lambda: self._error is not None or not self._steps or self._held + nbytes <= self._limit)
        with self._clock.changing():
            self._raise_error()
            self._steps.append((step, nbytes))
            self._held += nbytes

    def wait(self) -> None:
        """Wait until every step has run."""
        self._clock.wait_for(lambda: self._error is not None or not (self._steps or self._busy))
        self._raise_error()

    def close(self) -> bool:
        """Drop the steps that have not begun and end the thread; False when its step is still running."""
        with self._clock.changing():
            self._closed = True
            self._steps.clear()
        self._thread.join(JOIN_SECONDS)
        return not self._thread.is_alive()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while True:
            self._clock.wait_for(lambda: self._closed or bool(self._steps))
            with self._clock.changing():
                if not self._steps:
                    return
                step, nbytes = self._steps.popleft()
                self._busy = True
            try:
                step()
            except BaseException as error:
                self._fail(error)
                return
            with self._clock.changing():
                self._busy = False
                self._held -= nbytes

    def _fail(self, error: BaseException) -> None:
        with self._clock.changing():
            self._error = error
            self._busy = False
            self._steps.clear()
            self._held = 0

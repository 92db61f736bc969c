"""Hashing, writing and syncing beside encoding: one thread that does a sink's slow work in order."""

from collections import deque
from collections.abc import Callable

from arcane_framework._core.clock import JOIN_SECONDS, Clock
from arcane_framework._core.errors import TransientStreamError


class BackgroundWriter:
    """Runs steps one after the other on a thread of its own, holding at most `nbytes` bytes in waiting steps.

    The first step that fails ends it: later ones are dropped, and its error is raised by each call from then on.
    """

    def __init__(self, clock: Clock, nbytes: int, name: str = "arcane-writer") -> None:
        self._clock = clock
        self._limit = nbytes
        self._steps: deque[tuple[Callable[[], None], int]] = deque()
        self._held = 0
        self._submitted = 0
        self._done = 0
        self._closed = False
        self._error: BaseException | None = None
        self._thread = clock.spawn(self._run, name)

    @property
    def submitted(self) -> int:
        """How many steps there have been."""
        return self._submitted

    def submit(self, step: Callable[[], None], nbytes: int = 0) -> None:
        """Run `step` after those before it; waits while too many bytes are held."""
        self._clock.wait_for(lambda: self._error is not None or not self._steps or self._held + nbytes <= self._limit)
        with self._clock.changing():
            self._raise_error()
            self._steps.append((step, nbytes))
            self._held += nbytes
            self._submitted += 1

    def wait(self, steps: int | None = None) -> None:
        """Wait until the first `steps` steps have run, or every one; on any thread.

        Raises:
            TransientStreamError: It was closed before.
        """
        until = self._submitted if steps is None else steps
        self._clock.wait_for(lambda: self._error is not None or self._closed or self._done >= until)
        if self._done < until:
            self._raise_error()
            raise TransientStreamError("the sink was closed before everything was staged")

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
            try:
                step()
            except BaseException as error:
                self._fail(error)
                return
            with self._clock.changing():
                self._done += 1
                self._held -= nbytes

    def _fail(self, error: BaseException) -> None:
        with self._clock.changing():
            self._error = error
            self._steps.clear()
            self._held = 0

"""The kill switch of a running graph."""

from collections.abc import Callable
from contextlib import suppress

from arcane_framework._core.clock import Clock
from arcane_framework._core.errors import StreamStopped


class KillSwitch:
    """Tells a graph to stop; the producing threads turn the flag into completion.

    Nothing completes the chain from the thread that calls `stop`: that would close a sink
    in the middle of a write. All methods may be called on any thread.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stopped = False
        self._released = False
        self._callbacks: list[Callable[[], None]] = []

    @property
    def stopped(self) -> bool:
        """Whether `stop` has been called."""
        return self._stopped

    def stop(self) -> None:
        """Ask the graph to stop; returns at once, a second call changes nothing."""
        with self._clock.changing():
            if self._stopped:
                return
            self._stopped = True
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()

    def release(self) -> None:
        """The run has ended with an error: threads of its sources that wait here shall end, too."""
        with self._clock.changing():
            self._released = True

    def on_stop(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` on the stopping thread, for what a flag cannot reach: a blocking request.

        It must not raise and not block; after `stop` it is called at once.

        Returns:
            What takes the callback back.
        """
        with self._clock.changing():
            if not self._stopped:
                self._callbacks.append(callback)
                return lambda: self._forget(callback)
        callback()
        return lambda: None

    def _forget(self, callback: Callable[[], None]) -> None:
        with self._clock.changing(), suppress(ValueError):
            self._callbacks.remove(callback)

    def wait(self, seconds: float) -> None:
        """Wait on the clock inside a source, for instance before a retry.

        Raises:
            StreamStopped: The graph was told to stop, or has failed elsewhere; let it pass.
        """
        if self._clock.wait_for(lambda: self._stopped or self._released, self._clock.monotonic() + seconds):
            raise StreamStopped

"""From the operating system's signals to an orderly stop."""

import signal
import socket
import threading
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, Protocol

from arcane_framework._core.errors import ConfigurationError

_JOIN_SECONDS = 1.0


class LifetimeService(Protocol):
    """Decides when a stream is told to stop. The runner starts it before the graph and closes it after the flush."""

    def start(self, stop: Callable[[], None]) -> None:
        """Begin to watch; `stop` is called at most once, on a thread of the service, and returns at once."""
        ...

    def close(self) -> None:
        """Stop watching and put everything back; allowed twice and without `start`."""
        ...


class SignalLifetime:
    """Stops the stream on SIGTERM, SIGINT or further signals.

    The signal handler itself does nothing: it runs between two byte codes of the main thread, which
    may hold the very lock that `stop` needs. Python's C handler writes the signal's number to a
    socket, and a daemon thread reads it there and calls `stop`. A second signal changes nothing, so
    it cannot cut a flush short.

    Args:
        signals: What stops the stream.
    """

    def __init__(self, signals: Iterable[signal.Signals] = (signal.SIGTERM, signal.SIGINT)) -> None:
        self._signals = frozenset(signals)
        self._previous: dict[signal.Signals, Any] = {}
        self._previous_wakeup = -1
        self._pair: tuple[socket.socket, socket.socket] | None = None
        self._thread: threading.Thread | None = None

    def start(self, stop: Callable[[], None]) -> None:
        """Replace the signals' handlers; call it early: until then a signal has its default action.

        Raises:
            ConfigurationError: Not on the main thread, the only one that may set signal handlers.
            RuntimeError: It is started already.
        """
        if threading.current_thread() is not threading.main_thread():
            raise ConfigurationError(
                "Signals can be handled on the main thread only: run the host there, "
                "or give it a lifetime service of your own"
            )
        if self._pair is not None:
            raise RuntimeError("The lifetime service is started already")
        reader, writer = self._pair = socket.socketpair()
        writer.setblocking(False)
        self._thread = threading.Thread(target=self._watch, args=(reader, stop), name="signals", daemon=True)
        # In this order: from the moment that a signal has its new handler, its number is kept for the thread.
        self._previous_wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, _leave_it_to_the_reader) for number in self._signals}
        self._thread.start()

    def close(self) -> None:
        """Put the handlers back. Call it last: from here on a signal ends the process.

        Must be called on the main thread when `start` was.
        """
        if self._pair is None:
            return
        reader, writer = self._pair
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._previous_wakeup)
        writer.close()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)
        reader.close()
        self._pair = self._thread = None
        self._previous = {}

    def _watch(self, reader: socket.socket, stop: Callable[[], None]) -> None:
        # Other signals (a child's end, a profiler's timer) write their numbers here, too.
        stopped = False
        while numbers := _receive(reader):
            if not stopped and not self._signals.isdisjoint(numbers):
                stopped = True
                stop()


def _receive(reader: socket.socket) -> bytes:
    try:
        return reader.recv(64)
    except OSError:
        return b""


def _leave_it_to_the_reader(_number: int, _frame: FrameType | None) -> None:
    """Present so that the signal's default action is not taken; see `SignalLifetime`."""

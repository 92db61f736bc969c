"""Time that moves only when a test says so, and only when every thread of the graph is waiting."""

import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from arcane_framework._core.clock import Clock, SystemClock

DEFAULT_START = datetime(2026, 1, 1, tzinfo=UTC)
REST_SECONDS = 20.0
"""Real seconds within which the threads have to come to rest."""

_ROUNDING = 1e-6
"""Ten times 0.1 is a little less than 1: a deadline this close behind the end of `advance` counts as reached."""


class VirtualClock(Clock):
    """A clock for tests: a day passes in a moment.

    `advance` moves time from deadline to deadline; at each of them it waits until every thread that
    `spawn` has started is parked in `wait_for` with nothing to do. Nothing else moves time. A thread
    of the graph that opens a socket fails, and with it the test: real input has no virtual time.

    Made on the test's thread, the only one that may call `advance`.

    Args:
        start: The wall time at the beginning, aware.
        rest_seconds: Real seconds that a thread may work between two waits.
    """

    def __init__(self, start: datetime = DEFAULT_START, *, rest_seconds: float = REST_SECONDS) -> None:
        super().__init__()
        if start.tzinfo is None:
            raise ValueError(f"a virtual clock starts at an aware time, such as {DEFAULT_START!r}, not {start!r}")
        self._start = start.astimezone(UTC)
        self._rest_seconds = rest_seconds
        self._real = SystemClock()
        self._elapsed = 0.0
        self._test_thread = threading.current_thread()
        self._parked = threading.Condition(self._condition._lock)  # type: ignore[attr-defined]
        self._threads: set[threading.Thread] = set()
        self._waiting: dict[threading.Thread, tuple[Callable[[], bool], float | None]] = {}
        self._failures: list[str] = []

    # What graphs call.

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    def wait_for(self, predicate: Callable[[], bool], until: float | None = None) -> bool:
        """See `Clock.wait_for`.

        Raises:
            AssertionError: On the test's thread: it waits for something that can only come when it advances.
        """
        thread = threading.current_thread()
        with self._condition:
            while not predicate():
                if until is not None and self._elapsed >= until:
                    return False
                if thread is self._test_thread:
                    self._let_others_work(predicate)
                    continue
                self._waiting[thread] = (predicate, until)
                self._parked.notify_all()
                self._condition.wait()
                del self._waiting[thread]
            return True

    def spawn(self, target: Callable[[], None], name: str) -> threading.Thread:
        def run() -> None:
            try:
                target()
            finally:
                with self._condition:
                    self._threads.discard(thread)
                    self._parked.notify_all()

        thread = threading.Thread(target=run, name=name, daemon=True)
        with self._condition:
            self._threads.add(thread)
        _refuse_sockets_in(thread, self)
        thread.start()
        return thread

    # What tests call.

    @property
    def threads(self) -> Sequence[str]:
        """The names of the threads that `spawn` has started and that have not ended, sorted."""
        with self._condition:
            return sorted(thread.name for thread in self._threads)

    def advance(self, seconds: float | timedelta = 0.0) -> None:
        """Let time pass; with 0, only let the threads come to rest. Blocks until they have.

        Raises:
            AssertionError: A thread does not come to rest (it waits outside of the clock, or never stops
                working), or something has happened in one that is an error of the test, such as a real socket.
        """
        span = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
        if span < 0:
            raise ValueError(f"time cannot go back by {-span:g} seconds")
        if threading.current_thread() in self._threads:
            raise AssertionError("advance is for the test's thread; a graph's thread waits for the clock instead")
        with self._condition:
            self._advance_to(self._elapsed + span)
        self.raise_failures()

    def fail(self, message: str) -> None:
        """Let the test fail at its next `advance`. Any thread; for what only a test can do wrong."""
        with self._condition:
            self._failures.append(message)

    def raise_failures(self) -> None:
        """Raise what `fail` has collected, once.

        Raises:
            AssertionError: There was something.
        """
        with self._condition:
            failures, self._failures = self._failures, []
        if failures:
            raise AssertionError("\n".join(failures))

    def check_no_threads(self) -> None:
        """Check, when all is over, that no thread has been left behind.

        Raises:
            AssertionError: There are some; names them and says where they are.
        """
        with self._condition:
            self._wait_for_rest()
            if self._threads:
                raise AssertionError(f"threads were left behind:\n{_places(self._threads)}")

    def _advance_to(self, target: float) -> None:
        while True:
            self._wait_for_rest()
            moment = min((until for _, until in self._waiting.values() if until is not None), default=None)
            if moment is None or moment > target + _ROUNDING:
                break
            self._move_to(moment)
        self._move_to(target)
        self._wait_for_rest()

    def _move_to(self, moment: float) -> None:
        self._elapsed = max(self._elapsed, moment)
        self._condition.notify_all()

    def _let_others_work(self, predicate: Callable[[], bool]) -> None:
        """For the test's thread: nobody could advance while it is parked."""
        self._wait_for_rest(lambda: not predicate())
        if not predicate():
            raise AssertionError("the test's own thread would wait for ever: time moves only when it calls advance")

    def _wait_for_rest(self, needed: Callable[[], bool] = lambda: True) -> None:
        deadline = self._real.monotonic() + self._rest_seconds
        while needed() and not all(self._at_rest(thread) for thread in self._threads):
            if not self._parked.wait(deadline - self._real.monotonic()):
                busy = {thread for thread in self._threads if not self._at_rest(thread)}
                names = ", ".join(sorted(thread.name for thread in busy))
                raise AssertionError(
                    f"{names} did not come to rest within {self._rest_seconds:g} real seconds: "
                    f"every wait must go through the clock (yield Wait, or services.kill_switch.wait)\n{_places(busy)}"
                )

    def _at_rest(self, thread: threading.Thread) -> bool:
        waiting = self._waiting.get(thread)
        if waiting is None:
            return False
        predicate, until = waiting
        return not predicate() and (until is None or self._elapsed < until)


def _places(threads: set[threading.Thread]) -> str:
    """Where the threads are, innermost frames last."""
    frames = sys._current_frames()
    lines = []
    for thread in sorted(threads, key=lambda each: each.name):
        frame = frames.get(thread.ident or 0)
        stack = traceback.format_stack(frame)[-4:] if frame is not None else []
        lines += [f"{thread.name}:", *(line.rstrip() for line in stack)]
    return "\n".join(lines)


# Real sockets. An audit hook is installed once in a process and can never be removed: hence the module's own state.

_SOCKET_EVENTS = frozenset({"socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.sendmsg"})
_clocks: "weakref.WeakKeyDictionary[threading.Thread, VirtualClock]" = weakref.WeakKeyDictionary()
_hook_installed = False


def _refuse_sockets_in(thread: threading.Thread, clock: VirtualClock) -> None:
    global _hook_installed  # noqa: PLW0603 - see above
    if not _hook_installed:
        _hook_installed = True
        sys.addaudithook(_audit)
    _clocks[thread] = clock


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _SOCKET_EVENTS:
        return
    thread = threading.current_thread()
    clock = _clocks.get(thread)
    if clock is not None:
        target = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
        message = (
            f"{thread.name} opened a real socket ({target!r}) under virtual time: "
            "script the replies (ScriptedHttp), or give the source a double"
        )
        clock.fail(message)
        raise AssertionError(message)

"""Time that moves only when a test says so, and only when every thread of the graph is waiting."""

import sys
import threading
import time
import weakref
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from arcane_framework._core.clock import Clock

DEFAULT_START = datetime(2026, 1, 1, tzinfo=UTC)
REST_SECONDS = 20.0
"""Real seconds within which the threads have to come to rest."""


class VirtualClock(Clock):
    """A clock for tests: a day passes in a millisecond.

    `advance` moves time from deadline to deadline; between two of them it waits until every thread that
    `spawn` has started is parked in `wait_for` with nothing to do. A thread that opens a socket fails: real
    input has no virtual time.

    Args:
        start: The wall time at the beginning, aware.
    """

    def __init__(self, start: datetime = DEFAULT_START) -> None:
        super().__init__()
        self._start = start
        self._elapsed = 0.0
        self._parked = threading.Condition(self._condition._lock)  # type: ignore[attr-defined]
        self._threads: set[threading.Thread] = set()
        self._waiting: dict[threading.Thread, tuple[Callable[[], bool], float | None]] = {}

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    def wait_for(self, predicate: Callable[[], bool], until: float | None = None) -> bool:
        thread = threading.current_thread()
        with self._condition:
            while not predicate():
                if until is not None and self._elapsed >= until:
                    return False
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
        _refuse_sockets_in(thread)
        thread.start()
        return thread

    def advance(self, seconds: float = 0.0) -> None:
        """Let `seconds` pass; with 0, only let the threads come to rest. Called on the test's thread.

        Raises:
            AssertionError: A thread does not come to rest: it waits outside of the clock, or never stops working.
        """
        with self._condition:
            target = self._elapsed + seconds
            while True:
                self._wait_for_rest()
                moments = [until for _, until in self._waiting.values() if until is not None]
                moment = min(moments, default=target)
                if moment > target or not moments:
                    break
                self._move_to(moment)
            self._move_to(target)
            self._wait_for_rest()

    def _move_to(self, moment: float) -> None:
        self._elapsed = max(self._elapsed, moment)
        self._condition.notify_all()

    def _wait_for_rest(self) -> None:
        deadline = time.monotonic() + REST_SECONDS
        while not all(self._at_rest(thread) for thread in self._threads):
            if not self._parked.wait(deadline - time.monotonic()):
                busy = sorted(thread.name for thread in self._threads if not self._at_rest(thread))
                raise AssertionError(
                    f"{', '.join(busy)} did not come to rest within {REST_SECONDS:g} real seconds: "
                    "every wait must go through the clock (yield Wait, or services.kill_switch.wait)"
                )

    def _at_rest(self, thread: threading.Thread) -> bool:
        waiting = self._waiting.get(thread)
        if waiting is None:
            return False
        predicate, until = waiting
        return not predicate() and (until is None or self._elapsed < until)


_virtual_threads: "weakref.WeakSet[threading.Thread]" = weakref.WeakSet()
_hook_installed = False


def _refuse_sockets_in(thread: threading.Thread) -> None:
    global _hook_installed  # noqa: PLW0603 - an audit hook can be installed once and never removed
    if not _hook_installed:
        _hook_installed = True
        sys.addaudithook(_audit)
    _virtual_threads.add(thread)


def _audit(event: str, _arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and threading.current_thread() in _virtual_threads:
        raise AssertionError("a real socket was opened under virtual time: script the replies instead")

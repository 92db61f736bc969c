"""One thread of a running graph: its deadlines, and the waits in which they are served.

A `Segment` is the reactivex scheduler that a graph is subscribed with, so operators of reactivex that
need time use it too: nothing ever calls the sink from a timer's own thread, and virtual time rules all.
"""

import heapq
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from reactivex import abc
from reactivex.disposable import Disposable
from reactivex.scheduler.periodicscheduler import PeriodicScheduler

from arcane_framework._core.clock import Clock
from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.kill_switch import KillSwitch

_State = TypeVar("_State")


class Timer:
    """A deadline that an operator can set and clear; used on its segment's thread only."""

    def __init__(self, segment: "Segment", order: int, action: Callable[[], None]) -> None:
        self._segment = segment
        self._order = order
        self._action = action
        self._due: float | None = None
        self._queued: float | None = None

    @property
    def due(self) -> float | None:
        """Monotonic seconds; None when it is not set."""
        return self._due

    def set(self, due: float) -> None:
        """Call the action at `due`, or in the first wait afterwards; replaces an earlier deadline."""
        self._due = due
        # One entry a timer: a later deadline is queued when the earlier one has come.
        if self._queued is None or due < self._queued:
            self._queued = due
            self._segment.push(due, self._order, self)

    def clear(self) -> None:
        """No deadline any more."""
        self._due = None

    def taken(self, moment: float) -> Callable[[], None] | None:
        """The queue's entry for `moment` is gone; the action, if it is the deadline that has come."""
        if self._queued == moment:
            self._queued = None
        if self._due is None:
            return None
        if self._due > moment:
            self.set(self._due)
            return None
        self._due = None
        return self._action


class Segment(PeriodicScheduler):
    """The scheduler of one thread. `schedule*` may be called on any thread, all else on its own.

    Attributes:
        clock: The run's clock.
        kill_switch: The run's kill switch.
    """

    def __init__(self, clock: Clock, kill_switch: KillSwitch) -> None:
        self.clock = clock
        self.kill_switch = kill_switch
        self._ready: deque[Callable[[], object]] = deque()
        self._deadlines: list[tuple[float, int, int, Timer]] = []
        self._pushed = 0
        self._timers = 0

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def timer(self, action: Callable[[], None]) -> Timer:
        """A timer of this thread. Of two due at once, the one made later, further upstream, goes first."""
        self._timers += 1
        return Timer(self, -self._timers, action)

    def push(self, due: float, order: int, timer: Timer) -> None:
        """Remember a timer's deadline; called by `Timer.set`."""
        self._pushed += 1
        heapq.heappush(self._deadlines, (due, order, self._pushed, timer))

    def schedule(self, action: abc.ScheduledAction[_State], state: _State | None = None) -> abc.DisposableBase:
        cancelled = Disposable()

        def run() -> None:
            if not cancelled.is_disposed:
                self.invoke_action(action, state=state)

        with self.clock.changing():
            self._ready.append(run)
        return cancelled

    def schedule_relative(
        self, duetime: timedelta | float, action: abc.ScheduledAction[_State], state: _State | None = None
    ) -> abc.DisposableBase:
        due = self.clock.monotonic() + max(0.0, self.to_seconds(duetime))
        cancelled = Disposable()

        def run() -> None:
            if not cancelled.is_disposed:
                self.invoke_action(action, state=state)

        # Timers belong to the segment's own thread, and this may be another one.
        self.schedule(lambda *_: self.timer(run).set(due))
        return cancelled

    def schedule_absolute(
        self, duetime: datetime | float, action: abc.ScheduledAction[_State], state: _State | None = None
    ) -> abc.DisposableBase:
        moment = duetime if isinstance(duetime, datetime) else self.to_datetime(duetime)
        return self.schedule_relative(moment - self.now, action, state)

    @property
    def idle(self) -> bool:
        """Whether nothing is ready and no deadline is set."""
        return not self._ready and self._next_deadline() is None

    def run_due(self) -> None:
        """Run what is ready and what is due; called between batches and in waits."""
        while True:
            action = self._next_due()
            if action is None:
                return
            action()

    def wait(self, wake: Callable[[], bool], until: float | None = None) -> bool:
        """Wait for `wake` or monotonic time `until`, serving deadlines meanwhile; what `wake` said last."""
        while True:
            self.run_due()
            deadline = self._next_deadline()
            soonest = min((moment for moment in (until, deadline) if moment is not None), default=None)
            self.clock.wait_for(lambda: wake() or bool(self._ready), soonest)
            if wake():
                return True
            if until is not None and self.clock.monotonic() >= until:
                self.run_due()
                return wake()

    def _next_due(self) -> Callable[[], object] | None:
        if self._ready:
            return self._ready.popleft()
        while self._deadlines and self._deadlines[0][0] <= self.clock.monotonic():
            moment, _, _, timer = heapq.heappop(self._deadlines)
            action = timer.taken(moment)
            if action is not None:
                return action
        return None

    def _next_deadline(self) -> float | None:
        while self._deadlines and self._deadlines[0][3].due != self._deadlines[0][0]:
            moment, _, _, timer = heapq.heappop(self._deadlines)
            timer.taken(moment)
        return self._deadlines[0][0] if self._deadlines else None


def segment_of(scheduler: Any, operator: str) -> Segment:
    """The segment that an operator was subscribed with.

    Raises:
        ConfigurationError: An operator in between did not pass the scheduler of `subscribe` on.
    """
    if not isinstance(scheduler, Segment):
        raise ConfigurationError(
            f"{operator} works inside a graph only: an operator between it and the sink has to pass the "
            "`scheduler` of its subscribe function on to its source"
        )
    return scheduler

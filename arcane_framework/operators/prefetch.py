"""Overlaps what is upstream with what is downstream, on two threads."""

import threading

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from arcane_framework._core.batch import Batch
from arcane_framework._core.clock import JOIN_SECONDS
from arcane_framework._core.errors import ConfigurationError, FatalStreamError
from arcane_framework._core.graph import NamedOperator
from arcane_framework._core.segment import Segment, segment_of
from arcane_framework.operators.hand_off import Ended, HandOff


def prefetch(nbytes: int) -> NamedOperator:
    """Let everything upstream run ahead on a thread of its own, by at most `nbytes` bytes.

    Errors and completion arrive behind the batches before them; disposal reaches the source.

    Raises:
        ConfigurationError: `nbytes` is not positive.
    """
    if nbytes <= 0:
        raise ConfigurationError(f"prefetch: nbytes must be greater than zero, not {nbytes}")

    def operator(source: Observable[Batch]) -> Observable[Batch]:
        def subscribe(
            observer: abc.ObserverBase[Batch], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            downstream = segment_of(scheduler, "prefetch")
            hand_off = HandOff(downstream.clock, nbytes)
            upstream = _Upstream(source, hand_off, Segment(downstream.clock, downstream.kill_switch))
            thread = downstream.clock.spawn(upstream.run, "arcane-prefetch")
            downstream.schedule(lambda *_: _forward(hand_off, observer, downstream))
            return Disposable(lambda: _stop(hand_off, upstream, thread))

        return Observable(subscribe)

    return NamedOperator("prefetch", operator, nbytes=nbytes)


def _stop(hand_off: HandOff, upstream: "_Upstream", thread: threading.Thread) -> None:
    hand_off.close()
    upstream.dispose()
    # So that the source has closed what it holds when the run ends; one that is blocked in a call is left.
    thread.join(JOIN_SECONDS)


def _forward(hand_off: HandOff, observer: abc.ObserverBase[Batch], segment: Segment) -> None:
    """The downstream thread's loop."""
    while segment.wait(lambda: hand_off.closed or hand_off.ready() or segment.kill_switch.stopped):
        if segment.kill_switch.stopped:
            # What is held is read again by the next run; writing it could take longer than a pod is given.
            observer.on_completed()
            return
        item = hand_off.take()
        if isinstance(item, Batch):
            segment.run_due()
            observer.on_next(item)
        else:
            _end(item, observer)
            return


def _end(item: Ended | None, observer: abc.ObserverBase[Batch]) -> None:
    if item is not None and item.error is not None:
        observer.on_error(item.error)
    elif item is not None:
        observer.on_completed()


class _Upstream:
    """The upstream thread: subscribes to the source and drives its segment until it has ended."""

    def __init__(self, source: Observable[Batch], hand_off: HandOff, segment: Segment) -> None:
        self._source = source
        self._hand_off = hand_off
        self._segment = segment
        self._ended = False
        self._subscription: abc.DisposableBase | None = None

    def run(self) -> None:
        try:
            self._subscription = self._source.subscribe(
                self._on_next, self._on_error, self._on_completed, scheduler=self._segment
            )
            self._segment.wait(lambda: self._ended or self._hand_off.closed)
        except BaseException as error:
            self._on_error(error if isinstance(error, Exception) else FatalStreamError(f"prefetch: {error!r}"))
        finally:
            self.dispose()

    def dispose(self) -> None:
        if self._subscription is not None:
            self._subscription.dispose()

    def _on_next(self, batch: Batch) -> None:
        if not self._hand_off.put(batch) and self._subscription is not None:
            self._subscription.dispose()

    def _on_error(self, error: Exception) -> None:
        self._ended = True
        self._hand_off.end(error)

    def _on_completed(self) -> None:
        self._ended = True
        self._hand_off.end()

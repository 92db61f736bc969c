"""Work that a few threads share, its results taken in the order in which it was given out."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from arcane_framework._core.clock import JOIN_SECONDS, Clock
from arcane_framework._core.errors import FatalStreamError
from arcane_framework.operators.hand_off import LEAST_BYTES, Ended

T = TypeVar("T")


class OrderedWork(Generic[T]):
    """Steps from one producing thread, run by `workers` threads, their results taken by one other thread.

    At most `nbytes` bytes are held, from `put` to `take`: those of the input until a step has run, then those of its
    result. A single larger step passes when nothing else is held. The error of a step that fails is taken in its
    place; whoever takes it shall take nothing more.

    Args:
        clock: The run's clock.
        nbytes: The bound.
        workers: Threads.
        name: Of the threads.
        size_of: The bytes of a result; None: they count as its input's.
    """

    def __init__(
        self, clock: Clock, nbytes: int, workers: int, name: str, size_of: Callable[[T], int] | None = None
    ) -> None:
        self._clock = clock
        self._size_of = size_of
        self._limit = nbytes
        self._line: deque[_Step[T]] = deque()
        self._waiting: deque[_Step[T]] = deque()
        self._held = 0
        self._ended: Ended | None = None
        self._closed = False
        self._threads = [clock.spawn(self._work, f"{name}-{number}") for number in range(workers)]

    @property
    def closed(self) -> bool:
        """Whether the taker has gone."""
        return self._closed

    def put(self, run: Callable[[], T], nbytes: int) -> bool:
        """Give out a step, waiting for room; False when the taker has gone. The producer's thread.

        Args:
            run: What a worker calls, once.
            nbytes: What it holds.
        """
        size = max(nbytes, LEAST_BYTES)
        self._clock.wait_for(lambda: self._closed or not self._line or self._held + size <= self._limit)
        with self._clock.changing():
            if self._closed:
                return False
            step = _Step(run, size)
            self._line.append(step)
            self._waiting.append(step)
            self._held += size
        return True

    def end(self, error: Exception | None = None) -> None:
        """Say that nothing follows; an error travels behind the results before it. The producer's thread."""
        with self._clock.changing():
            self._ended = Ended(error)

    def ready(self) -> bool:
        """Whether `take` would give something; a predicate for a wait."""
        return self._line[0].done if self._line else self._ended is not None

    def take(self) -> T | Ended | None:
        """The next result, or the end; None when there is none yet. The taker's thread."""
        with self._clock.changing():
            if not self.ready():
                return None
            if not self._line:
                return self._ended
            step = self._line.popleft()
            self._held -= step.nbytes
        return step.result

    def close(self) -> None:
        """The taker goes: the producer and the workers wake up and end, what is held is dropped."""
        with self._clock.changing():
            self._closed = True
            self._line.clear()
            self._waiting.clear()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(JOIN_SECONDS)

    def _work(self) -> None:
        while True:
            self._clock.wait_for(lambda: self._closed or bool(self._waiting) or self._ended is not None)
            with self._clock.changing():
                if not self._waiting:
                    return
                step = self._waiting.popleft()
            result = step.outcome()
            size = step.nbytes
            if self._size_of is not None and not isinstance(result, Ended):
                size = max(self._size_of(result), LEAST_BYTES)
            with self._clock.changing():
                self._held += size - step.nbytes
                step.nbytes = size
                step.result = result
                step.done = True


class _Step(Generic[T]):
    def __init__(self, run: Callable[[], T], nbytes: int) -> None:
        self._run: Callable[[], T] | None = run
        self.nbytes = nbytes
        self.done = False
        self.result: T | Ended | None = None

    def outcome(self) -> T | Ended:
        """Run it; what it holds is let go of afterwards."""
        run, self._run = self._run, None
        assert run is not None
        try:
            return run()
        except Exception as error:
            return Ended(error)
        except BaseException as error:
            # Of a library's Rust, say: the thread that takes the results must hear of it.
            return Ended(FatalStreamError(f"a worker ended: {error!r}"))

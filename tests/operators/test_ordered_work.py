"""Steps shared by threads, taken in order."""

import threading
import time
from collections.abc import Callable

import pytest

from arcane_framework import FatalStreamError
from arcane_framework._core.clock import SystemClock
from arcane_framework.operators.hand_off import Ended
from arcane_framework.operators.ordered_work import OrderedWork


def take(clock: SystemClock, work: OrderedWork[int]) -> int | Ended:
    assert clock.wait_for(work.ready, clock.monotonic() + 10)
    item = work.take()
    assert item is not None
    return item


@pytest.fixture(name="clock")
def _clock() -> SystemClock:
    return SystemClock()


def test_results_come_in_the_order_in_which_the_steps_were_given_out(clock: SystemClock) -> None:
    work: OrderedWork[int] = OrderedWork(clock, 1 << 20, 3, "work")

    def step(number: int) -> Callable[[], int]:
        def run() -> int:
            time.sleep(0.02 if number % 3 == 0 else 0)
            return number

        return run

    for number in range(12):
        assert work.put(step(number), 100)
    work.end()
    found = [take(clock, work) for _ in range(12)]
    assert found == list(range(12))
    assert take(clock, work) == Ended()
    work.close()


def test_two_steps_run_at_the_same_time(clock: SystemClock) -> None:
    work: OrderedWork[int] = OrderedWork(clock, 1 << 20, 2, "work")
    both = threading.Barrier(2, timeout=10)
    for _ in range(2):
        work.put(both.wait, 1)
    assert {take(clock, work), take(clock, work)} == {0, 1}
    work.close()


def test_an_error_is_taken_in_its_place(clock: SystemClock) -> None:
    work: OrderedWork[int] = OrderedWork(clock, 1 << 20, 2, "work")
    error = ValueError("bad")

    def fail() -> int:
        raise error

    work.put(lambda: 1, 1)
    work.put(fail, 1)
    assert take(clock, work) == 1
    assert take(clock, work) == Ended(error)
    work.close()


def test_what_is_no_exception_arrives_as_one(clock: SystemClock) -> None:
    work: OrderedWork[int] = OrderedWork(clock, 1 << 20, 1, "work")

    def panic() -> int:
        raise SystemExit(3)

    work.put(panic, 1)
    item = take(clock, work)
    assert isinstance(item, Ended)
    assert isinstance(item.error, FatalStreamError)
    assert str(item.error) == "a worker ended: SystemExit(3)"
    work.close()


def test_the_producers_error_comes_behind_the_results_before_it(clock: SystemClock) -> None:
    work: OrderedWork[int] = OrderedWork(clock, 1 << 20, 1, "work")
    error = ValueError("bad")
    work.put(lambda: 7, 1)
    work.end(error)
    assert take(clock, work) == 7
    assert take(clock, work) == Ended(error)
    work.close()


def test_a_producer_waits_while_too_many_bytes_are_held(clock: SystemClock) -> None:
    work: OrderedWork[int] = OrderedWork(clock, 250, 1, "work")
    given = 0

    def produce() -> None:
        nonlocal given
        for number in range(5):
            work.put(lambda number=number: number, 100)  # type: ignore[misc]
            with clock.changing():
                given += 1
        work.end()

    producer = clock.spawn(produce, "producer")
    assert clock.wait_for(lambda: given == 2, clock.monotonic() + 10)
    assert not clock.wait_for(lambda: given > 2, clock.monotonic() + 0.05)
    assert [take(clock, work) for _ in range(5)] == list(range(5))
    producer.join(10)
    work.close()


def test_a_single_step_beyond_the_bound_passes(clock: SystemClock) -> None:
    work: OrderedWork[int] = OrderedWork(clock, 10, 1, "work")
    assert work.put(lambda: 1, 1_000)
    assert take(clock, work) == 1
    work.close()


def test_a_taker_that_goes_wakes_the_producer_and_ends_the_workers(clock: SystemClock) -> None:
    work: OrderedWork[int] = OrderedWork(clock, 10, 2, "work")
    answers: list[bool] = []
    work.put(lambda: 1, 10)
    producer = clock.spawn(lambda: answers.append(work.put(lambda: 2, 10)), "producer")
    work.close()
    producer.join(10)
    assert answers == [False]
    assert work.closed
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("work-")]

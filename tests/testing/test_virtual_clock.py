import re
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest

from arcane_framework import KillSwitch
from arcane_framework.testing import VirtualClock


def test_time_does_not_pass_by_itself(virtual_clock: VirtualClock) -> None:
    before = virtual_clock.now(), virtual_clock.monotonic()
    time.sleep(0.05)
    assert (virtual_clock.now(), virtual_clock.monotonic()) == before


def test_it_starts_where_it_is_told_to_and_moves_by_what_it_is_told_to() -> None:
    clock = VirtualClock(datetime(2024, 2, 29, 1, tzinfo=timezone(timedelta(hours=1))))
    assert clock.now() == datetime(2024, 2, 29, tzinfo=UTC)
    assert clock.now().tzinfo is UTC
    clock.advance(timedelta(days=1))
    clock.advance(0.5)
    assert clock.now() == datetime(2024, 3, 1, 0, 0, 0, 500_000, tzinfo=UTC)
    assert clock.monotonic() == 86400.5


def test_a_start_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^a virtual clock starts at an aware time, such as datetime.datetime"):
        VirtualClock(datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused


def test_time_does_not_go_back(virtual_clock: VirtualClock) -> None:
    with pytest.raises(ValueError, match=r"^time cannot go back by 3 seconds$"):
        virtual_clock.advance(-3)
    assert virtual_clock.monotonic() == 0


def test_a_thread_wakes_at_its_deadline_and_not_before(virtual_clock: VirtualClock) -> None:
    woken = []
    virtual_clock.spawn(
        lambda: woken.append((virtual_clock.wait_for(lambda: False, 10.0), virtual_clock.monotonic())), "sleeper"
    )
    virtual_clock.advance(9.999)
    assert woken == []
    virtual_clock.advance(5)
    assert woken == [(False, 10.0)]
    assert virtual_clock.monotonic() == pytest.approx(14.999)


def test_deadlines_are_met_in_their_order_each_at_its_own_time(virtual_clock: VirtualClock) -> None:
    met = []

    def sleep(seconds: float) -> None:
        virtual_clock.wait_for(lambda: False, seconds)
        met.append((seconds, virtual_clock.monotonic()))

    for seconds in (30.0, 10.0, 20.0):
        virtual_clock.spawn(lambda seconds=seconds: sleep(seconds), f"sleeper {seconds}")  # type: ignore[misc]
    virtual_clock.advance(60)
    assert met == [(10.0, 10.0), (20.0, 20.0), (30.0, 30.0)]


def test_a_deadline_set_after_waking_is_met_in_the_same_advance(virtual_clock: VirtualClock) -> None:
    moments = []

    def poll() -> None:
        for number in range(1, 25):
            virtual_clock.wait_for(lambda: False, number * 3600.0)
            moments.append(virtual_clock.now().hour)

    virtual_clock.spawn(poll, "poller")
    virtual_clock.advance(timedelta(days=1))
    assert moments == [*range(1, 24), 0]


def test_steps_that_cannot_be_told_exactly_add_up(virtual_clock: VirtualClock) -> None:
    woken: list[bool] = []
    virtual_clock.spawn(lambda: woken.append(virtual_clock.wait_for(lambda: False, 1.0)), "sleeper")
    for _ in range(10):  # 0.1 ten times is 0.9999999999999999
        virtual_clock.advance(0.1)
    assert woken == [False]


def test_work_handed_from_thread_to_thread_takes_no_time(virtual_clock: VirtualClock) -> None:
    queues: list[deque[int]] = [deque() for _ in range(4)]
    arrived: list[tuple[int, float]] = []

    def produce() -> None:
        for number in range(5):
            virtual_clock.wait_for(lambda: False, number * 10.0)
            with virtual_clock.changing():
                queues[0].append(number)

    def forward(index: int) -> None:
        for _ in range(5):
            virtual_clock.wait_for(lambda: bool(queues[index]))
            number = queues[index].popleft()
            if index == 3:
                arrived.append((number, virtual_clock.monotonic()))
            else:
                with virtual_clock.changing():
                    queues[index + 1].append(number)

    for index in range(4):
        virtual_clock.spawn(lambda index=index: forward(index), f"forwarder {index}")  # type: ignore[misc]
    virtual_clock.spawn(produce, "producer")
    virtual_clock.advance(100)
    assert arrived == [(0, 0.0), (1, 10.0), (2, 20.0), (3, 30.0), (4, 40.0)]


def test_many_threads_share_one_time(virtual_clock: VirtualClock) -> None:
    met: list[tuple[float, float]] = []
    lock = threading.Lock()

    def work(number: int) -> None:
        for turn in range(1, 6):
            due = turn * (number % 7 + 1.0)
            virtual_clock.wait_for(lambda: False, due)
            with lock:
                met.append((due, virtual_clock.monotonic()))

    for number in range(60):
        virtual_clock.spawn(lambda number=number: work(number), f"worker {number}")  # type: ignore[misc]
    virtual_clock.advance(100)
    assert len(met) == 300
    assert all(due == moment for due, moment in met)
    assert [due for due, _ in met] == sorted(due for due, _ in met)


def test_advance_by_nothing_lets_threads_come_to_rest(virtual_clock: VirtualClock) -> None:
    seen: list[int] = []

    def work() -> None:
        time.sleep(0.05)
        seen.append(1)
        virtual_clock.wait_for(lambda: False, 1.0)

    virtual_clock.spawn(work, "worker")
    virtual_clock.advance()
    assert seen == [1]
    virtual_clock.advance(1)


def test_a_thread_that_does_not_come_to_rest_is_named_with_its_place() -> None:
    clock = VirtualClock(rest_seconds=0.1)
    release = threading.Event()

    def waits_beside_the_clock() -> None:
        release.wait()

    clock.spawn(waits_beside_the_clock, "stubborn")

    def waits_for_the_clock() -> None:
        clock.wait_for(release.is_set)

    idle = clock.spawn(waits_for_the_clock, "idle")
    expected = (
        "stubborn did not come to rest within 0.1 real seconds: "
        "every wait must go through the clock (yield Wait, or services.kill_switch.wait)\nstubborn:\n"
    )
    with pytest.raises(AssertionError, match="^" + re.escape(expected)) as caught:
        clock.advance(1)
    assert "waits_beside_the_clock" in str(caught.value)
    assert "idle" not in str(caught.value)
    assert clock.monotonic() == 0
    release.set()
    with clock.changing():
        pass
    idle.join(5)
    clock.check_no_threads()


def test_a_thread_that_waits_for_nothing_again_and_again_is_named() -> None:
    clock = VirtualClock(rest_seconds=0.1)
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            clock.wait_for(lambda: False, clock.monotonic())

    thread = clock.spawn(spin, "spinner")
    with pytest.raises(AssertionError, match=r"^spinner did not come to rest"):
        clock.advance(1)
    stop.set()
    thread.join(5)


def test_threads_left_behind_are_named() -> None:
    clock = VirtualClock()
    switch = KillSwitch(clock)

    def wait() -> None:
        clock.wait_for(lambda: switch.stopped)

    clock.spawn(wait, "forgotten")
    assert clock.threads == ["forgotten"]
    with pytest.raises(AssertionError, match=r"^threads were left behind:\nforgotten:\n"):
        clock.check_no_threads()
    switch.stop()
    clock.check_no_threads()
    assert clock.threads == []


def test_a_graphs_thread_cannot_advance(virtual_clock: VirtualClock) -> None:
    errors: list[str] = []

    def work() -> None:
        try:
            virtual_clock.advance(1)
        except AssertionError as error:
            errors.append(str(error))

    virtual_clock.spawn(work, "worker")
    virtual_clock.advance()
    assert errors == ["advance is for the test's thread; a graph's thread waits for the clock instead"]


def test_the_tests_own_thread_is_told_that_it_would_wait_for_ever(virtual_clock: VirtualClock) -> None:
    with pytest.raises(AssertionError) as caught:
        KillSwitch(virtual_clock).wait(5)
    assert str(caught.value) == "the test's own thread would wait for ever: time moves only when it calls advance"


def test_the_tests_own_thread_can_wait_for_what_others_do(virtual_clock: VirtualClock) -> None:
    done: list[int] = []

    def work() -> None:
        time.sleep(0.05)
        with virtual_clock.changing():
            done.append(1)

    virtual_clock.spawn(work, "worker")
    assert virtual_clock.wait_for(lambda: bool(done))


def test_a_wait_ends_with_a_stop_at_once(virtual_clock: VirtualClock) -> None:
    switch = KillSwitch(virtual_clock)
    ended: list[float] = []

    def work() -> None:
        virtual_clock.wait_for(lambda: switch.stopped, 3600.0)
        ended.append(virtual_clock.monotonic())

    virtual_clock.spawn(work, "worker")
    virtual_clock.advance(7)
    switch.stop()
    virtual_clock.advance()
    assert ended == [7.0]


@pytest.fixture
def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_a_real_socket_in_a_graphs_thread_is_an_error_of_the_test(listening: socket.socket) -> None:
    clock = VirtualClock()
    address = listening.getsockname()

    def work() -> None:
        # As sources do, which try again whatever has happened.
        with suppress(Exception), socket.socket() as own:
            own.connect(address)

    clock.spawn(work, "caller")
    with listening, pytest.raises(AssertionError) as caught:
        clock.advance(1)
    assert str(caught.value) == (
        f"caller opened a real socket ({address!r}) under virtual time: "
        "script the replies (ScriptedHttp), or give the source a double"
    )
    clock.advance(1)  # said once


def test_looking_up_a_name_is_refused_like_a_socket() -> None:
    clock = VirtualClock()

    def work() -> None:
        with suppress(Exception):
            socket.getaddrinfo("localhost", 80)

    clock.spawn(work, "caller")
    with pytest.raises(AssertionError, match=r"^caller opened a real socket \('localhost'\) under virtual time"):
        clock.advance()


def test_threads_that_are_not_the_clocks_may_open_sockets(
    virtual_clock: VirtualClock, listening: socket.socket
) -> None:
    with listening, socket.create_connection(listening.getsockname()):
        virtual_clock.advance(1)

"""Real signals to real processes: a signal to the test's own process would race with the test runner."""

import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable

import pytest

from arcane_framework._core.errors import ConfigurationError
from arcane_framework.hosting.lifetime import SignalLifetime

PRELUDE = """
import os, signal, sys, threading, time
from arcane_framework.hosting.lifetime import SignalLifetime

def say(text):
    os.write(1, (text + "\\n").encode())

def send(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)
"""


def run(program: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.split()


def run_with_signals(program: str, *numbers: signal.Signals) -> tuple[int, list[str]]:
    """Run until it says `ready`, then send it the signals from outside."""
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for number in numbers:
            process.send_signal(number)
        out = process.stdout.read()
        return process.wait(timeout=30), out.split()


WAITING = """
lifetime = SignalLifetime()
stopped = threading.Event()
def stop():
    say("stop:" + threading.current_thread().name)
    stopped.set()
lifetime.start(stop)
say("ready")
say("stopped" if stopped.wait(20) else "none")
lifetime.close()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_calls_stop_on_a_thread_of_the_service(number: signal.Signals) -> None:
    assert run_with_signals(WAITING, number) == (0, ["stop:signals", "stopped"])


def test_a_second_signal_changes_nothing() -> None:
    program = """
    lifetime = SignalLifetime()
    calls = []
    lifetime.start(lambda: calls.append(1))
    send(signal.SIGTERM)
    while not calls: time.sleep(0.01)
    send(signal.SIGTERM, signal.SIGINT, signal.SIGTERM)
    time.sleep(0.2)
    say(str(len(calls)))
    lifetime.close()
    """
    assert run(program) == (0, ["1"])


def test_stop_may_take_a_lock_that_the_main_thread_holds_when_the_signal_comes() -> None:
    program = """
    lifetime = SignalLifetime()
    lock, stopped = threading.Lock(), threading.Event()
    def stop():
        with lock:
            stopped.set()
    lifetime.start(stop)
    with lock:
        send(signal.SIGTERM)
        time.sleep(0.1)
        say("held" if not stopped.is_set() else "broken")
    say("stopped" if stopped.wait(10) else "deadlock")
    lifetime.close()
    """
    assert run(program) == (0, ["held", "stopped"])


def test_the_main_thread_need_not_run_python_code_for_the_stop_to_happen() -> None:
    program = """
    import ctypes
    lifetime = SignalLifetime()
    before = time.monotonic()
    at = []
    lifetime.start(lambda: at.append(time.monotonic() - before))
    threading.Timer(0.1, lambda: send(signal.SIGTERM)).start()
    # Does not return for a signal: the main thread sleeps on until the time is over.
    until = time.monotonic() + 1.5
    while (left := until - time.monotonic()) > 0:
        ctypes.CDLL(None).usleep(int(left * 1e6))
    say("early" if at and at[0] < 1.2 else "late")
    lifetime.close()
    """
    assert run(program) == (0, ["early"])


def test_a_signal_before_the_start_has_its_default_action() -> None:
    assert run("send(signal.SIGTERM)\nSignalLifetime().start(lambda: None)") == (-signal.SIGTERM, [])


def test_a_signal_in_the_middle_of_the_start_is_kept_and_stops_the_stream() -> None:
    program = """
    original = signal.signal
    def interfering(number, handler):
        previous = original(number, handler)
        send(number)
        return previous
    signal.signal = interfering
    lifetime = SignalLifetime()
    stopped = threading.Event()
    lifetime.start(stopped.set)
    signal.signal = original
    say(str(stopped.wait(10)))
    lifetime.close()
    """
    assert run(program) == (0, ["True"])


def test_further_signals_can_be_added() -> None:
    program = WAITING.replace("SignalLifetime()", "SignalLifetime((signal.SIGTERM, signal.SIGUSR1))")
    assert run_with_signals(program, signal.SIGUSR1) == (0, ["stop:signals", "stopped"])


def test_a_foreign_signal_with_a_handler_does_not_stop_the_stream() -> None:
    program = """
    signal.signal(signal.SIGUSR2, lambda *_: say("foreign"))
    lifetime = SignalLifetime()
    lifetime.start(lambda: say("stop"))
    send(signal.SIGUSR2)
    time.sleep(0.2)
    lifetime.close()
    """
    assert run(program) == (0, ["foreign"])


def test_closing_puts_handlers_and_wakeup_descriptor_back() -> None:
    program = """
    import socket
    ours = lambda *_: None
    signal.signal(signal.SIGTERM, ours)
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno())
    lifetime = SignalLifetime()
    lifetime.start(lambda: say("stop"))
    say(str(signal.getsignal(signal.SIGTERM) is ours))
    lifetime.close()
    lifetime.close()
    say(str(signal.getsignal(signal.SIGTERM) is ours))
    say(str(signal.getsignal(signal.SIGINT) is signal.default_int_handler))
    say(str(signal.set_wakeup_fd(-1) == writer.fileno()))
    say(str([thread.name for thread in threading.enumerate()] == ["MainThread"]))
    """
    assert run(program) == (0, ["False", "True", "True", "True", "True"])


def test_it_can_be_started_again_after_closing() -> None:
    program = """
    for _ in range(2):
        lifetime = SignalLifetime()
        stopped = threading.Event()
        lifetime.start(stopped.set)
        send(signal.SIGINT)
        say(str(stopped.wait(10)))
        lifetime.close()
    """
    assert run(program) == (0, ["True", "True"])


def test_closing_without_a_start_does_nothing() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    SignalLifetime().close()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_starting_twice_is_refused() -> None:
    program = """
    lifetime = SignalLifetime()
    lifetime.start(lambda: None)
    try:
        lifetime.start(lambda: None)
    except RuntimeError as error:
        say(str(error).replace(" ", "_"))
    lifetime.close()
    """
    assert run(program) == (0, ["The_lifetime_service_is_started_already"])


def test_starting_on_another_thread_says_what_to_do() -> None:
    messages: list[str] = []

    def start(stop: Callable[[], None]) -> None:
        try:
            SignalLifetime().start(stop)
        except ConfigurationError as error:
            messages.append(str(error))

    thread = threading.Thread(target=start, args=(lambda: None,))
    thread.start()
    thread.join()
    assert messages == [
        "Signals can be handled on the main thread only: run the host there, or give it a lifetime service of your own"
    ]

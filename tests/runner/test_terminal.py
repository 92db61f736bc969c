"""What a person at a terminal sees: one live line, and errors below it."""

import os
import pty
import subprocess
import sys
import termios
import threading

import pytest

from tests.runner.processes import NUMBERS, PLUGINS, TIMEOUT, Stream
from tests.runner.test_secrets import CANARIES, forms


def on_a_terminal(
    stream: Stream, spec: dict[str, object] | None = None, plugin: str = NUMBERS, **variables: str
) -> tuple[int, str]:
    """Run the stream with standard error on a terminal of 200 columns; gives the exit code and what it shows."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 200))
    shown = bytearray()

    def read() -> None:
        try:
            while data := os.read(ours, 65536):
                shown.extend(data)
        except OSError:  # the other end is closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    environment = stream.environment(spec, TERM="xterm", **variables)
    command = [sys.executable, "-m", "arcane_framework.run", plugin]
    try:
        done = subprocess.run(command, env=environment, cwd=stream.folder, stderr=theirs, timeout=TIMEOUT, check=False)
    finally:
        os.close(theirs)
        reader.join(TIMEOUT)
        os.close(ours)
    return done.returncode, shown.decode()


@pytest.mark.parametrize("failure", ["transient", "defect"])
def test_the_live_line_shows_the_rows_and_the_error_stands_below_it(stream: Stream, failure: str) -> None:
    code, shown = on_a_terminal(stream, {"failAt": 6, "failure": failure})
    assert code == (2 if failure == "transient" else 1)
    last_state = shown.rindex("6 rows")
    assert "2 parts  6 committed  at n=6" in shown[last_state:]
    event = "the stream has failed" if failure == "transient" else "unexpected error"
    below = shown[last_state:].split("\r\n")
    [at] = [number for number, line in enumerate(below) if event in line]
    assert at > 0
    expected = "    TransientStreamError: the API at" if failure == "transient" else "    ValueError: a defect"
    assert below[at + 1].startswith(expected)
    assert ("    Traceback (most recent call last):" in below) is (failure == "defect")


def test_the_live_line_is_not_torn_by_a_line_for_each_commit_unless_asked_for(stream: Stream) -> None:
    code, shown = on_a_terminal(stream)
    assert code == 0
    assert "10 committed" in shown
    for event in ("starting", "watermark=", "ended"):
        assert event not in shown
    asked = on_a_terminal(stream, {"total": 14}, ARCANE__LOG_LEVEL="info")[1]
    for event in ("starting", "watermark", "ended"):
        assert event in asked


def test_a_configuration_error_on_a_terminal_has_a_line_for_each_field(stream: Stream) -> None:
    code, shown = on_a_terminal(stream, {"rowsPerGroup": 0, "total": "x"})
    assert code == 1
    assert [line for line in shown.split("\r\n") if line.startswith("    ")] == [
        "    the spec of stream 'orders-1' cannot be used:",
        "      rowsPerGroup: must be greater than 0 (got 0)",
        '      total: must be a whole number, without quotes (got "x")',
    ]
    code, shown = on_a_terminal(stream, STREAMCONTEXT__SPEC="{")
    assert [line for line in shown.split("\r\n") if line.startswith("    ")] == [
        "    the stream cannot start with these settings:",
        "      STREAMCONTEXT__SPEC: is not JSON (line 1, column 2)",
    ]


@pytest.mark.parametrize("place", ["defect", "watermark"])
def test_a_terminal_shows_no_secret(stream: Stream, place: str) -> None:
    _, shown = on_a_terminal(stream, None, f"{PLUGINS}.leaky:Leaky", **CANARIES, TEST_LEAK=place)
    assert f"LEAK AT {place}" in shown
    assert "canary" not in shown.lower()
    assert [form for secret in CANARIES.values() for form in forms(secret) if form in shown] == []


def test_json_on_a_terminal_is_json_alone(stream: Stream) -> None:
    code, shown = on_a_terminal(stream, ARCANE__LOG_FORMAT="json")
    assert code == 0
    assert all(line.startswith("{") for line in shown.strip().split("\r\n"))

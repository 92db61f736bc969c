"""SIGTERM and SIGINT at every moment: the exit code, what is visible, and that the next run goes on exactly there."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.runner.processes import NUMBERS, PLUGINS, Ended, Running, Stream

SIGNALS = [signal.SIGTERM, signal.SIGINT]


def goes_on(stream: Stream, backfill: str = "false") -> None:
    """The next run delivers what the one before has not."""
    assert stream.run(spec={"total": 20}, STREAMCONTEXT__BACKFILL=backfill).code == 0
    segment = "backfill" if backfill == "true" else "data"
    assert stream.rows(segment) == [*range(20)]
    assert len(stream.tokens()) == (1 if backfill == "true" else 0)


def assert_stopped(ended: Ended, stream: Stream, backfill: str, rows: int) -> None:
    assert ended.code == (2 if backfill == "true" else 0), ended.stderr
    assert [line for line in ended.log if line["level"] in ("error", "warning")] == []
    assert (ended.log[-1]["event"], ended.log[-1]["exit_code"]) == ("ended", ended.code)
    assert stream.rows("backfill" if backfill == "true" else "data") == [*range(rows)]
    assert stream.tokens() == []


@pytest.mark.parametrize(
    ("ends", "backfill", "number"),
    [
        ("wait", "false", signal.SIGTERM),
        ("wait", "true", signal.SIGINT),
        ("poll", "false", signal.SIGINT),
        ("poll", "true", signal.SIGTERM),
    ],
)
def test_a_signal_in_a_wait_or_a_poll_commits_and_ends(
    stream: Stream, ends: str, backfill: str, number: signal.Signals
) -> None:
    spec = {"ends": ends, "rowsPerGroup": 4}
    with stream.start(stream.environment(spec, STREAMCONTEXT__BACKFILL=backfill), NUMBERS) as running:
        running.wait_for("read to the end")
        ended = running.stop(number)
    assert_stopped(ended, stream, backfill, 10)
    goes_on(stream, backfill)


@pytest.mark.parametrize("backfill", ["false", "true"])
def test_a_signal_in_a_write_lets_it_finish(stream: Stream, backfill: str) -> None:
    spec = {"writeSeconds": 1.0, "total": 1000}
    with stream.start(stream.environment(spec, STREAMCONTEXT__BACKFILL=backfill), NUMBERS) as running:
        running.wait_for("writing")
        ended = running.stop(signal.SIGTERM)
    assert_stopped(ended, stream, backfill, 3)
    goes_on(stream, backfill)


def test_further_signals_do_not_cut_the_flush_short(stream: Stream) -> None:
    with stream.start(stream.environment({"writeSeconds": 1.5, "total": 1000}), NUMBERS) as running:
        running.wait_for("writing")
        running.send(signal.SIGTERM)
        time.sleep(0.2)
        running.send(signal.SIGINT)
        time.sleep(0.2)
        ended = running.stop(signal.SIGTERM)
    assert_stopped(ended, stream, "false", 3)
    goes_on(stream)


def test_signals_up_to_the_very_end_of_the_process_do_not_change_its_exit_code(stream: Stream) -> None:
    environment = stream.environment({"ends": "wait"})
    with stream.start(environment, NUMBERS) as running:
        running.wait_for("read to the end")
        running.send(signal.SIGTERM)
        while running.process.poll() is None:
            running.send(signal.SIGTERM)
            running.send(signal.SIGINT)
            time.sleep(0.0005)
        ended = running.end()
    assert_stopped(ended, stream, "false", 10)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("backfill", ["false", "true"])
def test_a_signal_while_the_plugin_is_imported_ends_before_the_sink_is_opened(
    stream: Stream, backfill: str, number: signal.Signals
) -> None:
    environment = stream.environment(STREAMCONTEXT__BACKFILL=backfill)
    with stream.start(environment, f"{PLUGINS}.slow_import:Numbers") as running:
        running.wait_for("importing")
        ended = running.stop(number)
    assert ended.code == (2 if backfill == "true" else 0)
    assert "Traceback" not in ended.stderr
    assert not stream.lake.exists()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_at_any_moment_of_the_start_loses_nothing(stream: Stream, number: signal.Signals) -> None:
    environment = stream.environment({"total": 20, "ends": "wait", "pauseSeconds": 0.01})
    codes = []
    for milliseconds in (0, 40, 150, 300, 450):
        with stream.start(environment, NUMBERS) as running:
            time.sleep(milliseconds / 1000)
            ended = running.stop(number)
        codes.append(ended.code)
        # Until the runner's own code runs, the signal does what it does to any Python program.
        # So does a Ctrl-C while Python itself begins: it ends with 1 and says so.
        begins = any(words in ended.stderr for words in ("init_import_site", "Could not import runpy module"))
        of_python = ended.code == -number or begins
        assert ended.code == 0 or (of_python and '"starting"' not in ended.stderr), ended.stderr
        rows = stream.rows()
        assert rows == [*range(len(rows))]
    print(f"exit codes: {codes}")
    goes_on(stream)


def test_the_first_process_of_a_container_ends_by_a_signal_that_comes_early_or_late(stream: Stream) -> None:
    """The kernel drops a signal that such a process has no handler for."""
    unshare = ["unshare", "--pid", "--fork", "--kill-child"]
    try:
        refused = subprocess.run([*unshare, "true"], capture_output=True, text=True, check=False).stderr
    except FileNotFoundError:
        refused = "there is no unshare command"
    if refused:
        pytest.skip(f"no process namespace can be made here: {refused.strip()}")
    command = [*unshare, sys.executable, "-m", "arcane_framework.run", f"{PLUGINS}.slow_import:Numbers"]
    for event in ("importing", "read to the end"):
        with Running(command, stream.environment({"ends": "wait"}), stream.folder) as running:
            running.wait_for(event)
            [first] = children_of(running.process.pid)
            os.kill(first, signal.SIGTERM)
            assert running.end().code == 0
    assert stream.rows() == [*range(10)]


def children_of(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return [int(child) for child in children.read().split()]

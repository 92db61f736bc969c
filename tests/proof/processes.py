"""Runner processes, forked from this one so that they start in milliseconds; and one started from scratch.

Nothing here may be used in a process that has threads.
"""

import ctypes
import gc
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from arcane_framework import run
from tests.proof import request_faults, rest_runner, runner
from tests.proof.cells import Cell
from tests.proof.faults import Fault
from tests.proof.stores import STREAM_ID, Place
from tests.proof.table import SCHEMA, change_set

TIMEOUT = 60.0
HASTY = 50
"""So much faster goes the time of runners whose waits are of no interest."""
SHORT_BLOCKS = 1
"""Digits of the blocks of the log, for runners and judges: so short that every trial sees checkpoints."""
_LOOK = 0.001
_DIE_WITH_PARENT = 1
_threads_after_import = len(os.listdir("/proc/self/task"))


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process has ended: `code` is negative for a signal."""

    code: int

    @property
    def killed(self) -> bool:
        """By SIGKILL."""
        return self.code == -signal.SIGKILL


class Runner:
    """A runner process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._exit: Exit | None = None

    def send(self, number: signal.Signals) -> None:
        """Signal the process; nothing happens when it has ended and been waited for."""
        if self._exit is None:
            os.kill(self._pid, number)

    def wait(self, timeout: float = TIMEOUT) -> Exit:
        """Until it has ended; one that takes too long is killed.

        Raises:
            TimeoutError: It hangs.
        """
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if self.poll() is not None and self._exit is not None:
                return self._exit
            time.sleep(_LOOK)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        raise TimeoutError(f"a runner did not end within {timeout} s")

    def poll(self) -> Exit | None:
        """How it has ended; None while it runs."""
        if self._exit is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._exit = Exit(os.waitstatus_to_exitcode(status))
        return self._exit

    def wait_until_frozen(self) -> bool:
        """Until it is stopped (True) or has ended (False)."""
        until = time.monotonic() + TIMEOUT
        while self._exit is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG | os.WUNTRACED)
            if pid and os.WIFSTOPPED(status):
                return True
            if pid:
                self._exit = Exit(os.waitstatus_to_exitcode(status))
            if time.monotonic() > until:
                raise TimeoutError("a runner did not get to where it was to be frozen")
            time.sleep(_LOOK)
        return False


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a case plays: a place for the lake and a file for what the runners say.

    Attributes:
        cell: How the stream is run.
        folder: The trial's own.
        place: The sink's.
        red_control: The mistake that all runners make; none if empty.
    """

    cell: Cell
    folder: Path
    place: Place
    red_control: str = ""

    def environment(
        self,
        *,
        backfilling: bool,
        backfill_id: str,
        fault: Fault | None = None,
        lost_answers: str = "",
        calls_file: Path | None = None,
        hasty: bool = False,
        runner_number: int = 0,
    ) -> dict[str, str]:
        """The environment of a runner, as an operator would set it, and the faults."""
        return {
            "PATH": os.environ.get("PATH", ""),
            "STREAMCONTEXT__SPEC": json.dumps(self.cell.spec(self.place.location)),
            "STREAMCONTEXT__BACKFILL": str(backfilling).lower(),
            "STREAMCONTEXT__BACKFILL_ID": backfill_id if backfilling else "",
            "STREAMCONTEXT__STREAM_ID": STREAM_ID,
            "STREAMCONTEXT__STREAM_KIND": self.cell.stream_kind,
            "METRICS_ENABLED": "false",
            runner.FAULT: fault.to_json() if fault else "",
            runner.LOST_ANSWERS: lost_answers,
            runner.CALLS_FILE: str(calls_file or ""),
            runner.RED_CONTROL: self.red_control,
            runner.STORE: self.cell.store.kind,
            runner.BLOCK_DIGITS: str(SHORT_BLOCKS),
            rest_runner.SPEED: str(HASTY if hasty else 1),
            **self.place.variables,
            **self.cell.variables(runner_number),
        }

    @property
    def log_file(self) -> Path:
        """What the runners have said."""
        return self.folder.with_suffix(".log")

    def start(self, environment: Mapping[str, str]) -> Runner:
        """Fork a runner."""
        pid = os.fork()
        if not pid:
            _become_runner(self.cell.plugin, environment, self.log_file)
        return Runner(pid)

    def start_from_scratch(self, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """Start the runner's command line."""
        with self.log_file.open("ab") as log:
            command = [sys.executable, "-m", "arcane_framework.run", self.cell.plugin]
            return subprocess.Popen(command, env=dict(environment), stderr=log)


def warm_up() -> None:
    """Once, before the first fork: what is loaded now is not copied by each child."""
    import arro3.io  # noqa: F401

    # Arrow loads pandas, where it is installed, at the first conversion.
    pa.RecordBatch.from_pylist([dict(row) for row in change_set(0)], SCHEMA)
    rest_runner.warm_up()
    request_faults.warm_up()
    gc.collect()
    gc.freeze()


def must_have_no_threads() -> None:
    """Forking a process with threads copies locks that nobody will ever release.

    Those of Arrow's allocator, which begin with its import, are prepared for it.
    """
    assert threading.active_count() == 1, [thread.name for thread in threading.enumerate()]
    # The system may still be ending a thread that Python has joined.
    deadline = time.monotonic() + 10
    while (threads := len(os.listdir("/proc/self/task"))) > _threads_after_import and time.monotonic() < deadline:
        time.sleep(0.001)
    assert threads <= _threads_after_import, f"{threads} threads"


def die_with_parent() -> None:
    """A frozen runner must not outlive a proof that was interrupted."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def _become_runner(plugin: str, environment: Mapping[str, str], log_file: Path) -> None:
    code = 70
    try:
        die_with_parent()
        random.seed()
        log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 2)
        os.environ.clear()
        os.environ.update(environment)
        code = run.main([plugin])
    except BaseException as error:  # Nothing may get back into the parent's code.
        os.write(2, f"the runner raised {error!r}\n".encode())
    finally:
        os._exit(code)

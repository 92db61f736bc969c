"""Faults at the level of single file system calls, described by a line of JSON that a process is given."""

import json
import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

from arcane_framework._core.errors import OutcomeUnknownError
from arcane_framework.storage.disk import Disk
from arcane_framework.storage.local import LocalStorage
from arcane_framework.storage.staging_area import Segments

When = Literal["before", "during", "after"]
Action = Literal["kill", "stop"]

HTTP = "http"
"""The operation of a fault at a request for data, and not at a call of the disk."""

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


@dataclass(frozen=True, slots=True)
class Fault:
    """What shall happen at one call.

    Attributes:
        nth: The number of the call, from 0, among those that fit.
        when: Before it, after it, or (a write only) when half of it is done.
        action: `kill` ends the process, `stop` freezes it until it is told to go on.
        operation: Only calls of this name fit; any call of the disk if empty.
        path: Only calls with this text in their (target) path fit; any if empty.
    """

    nth: int
    when: When = "before"
    action: Action = "kill"
    operation: str = ""
    path: str = ""

    def to_json(self) -> str:
        """As the environment of a process holds it."""
        return json.dumps(asdict(self))


def read_fault(text: str) -> Fault:
    """The opposite of `Fault.to_json`."""
    return Fault(**json.loads(text))


def act(fault: Fault) -> None:
    """Kill or freeze this process, here and now."""
    # To this very thread: a signal to the process may be taken by another one, while this one goes on.
    signal.pthread_kill(threading.get_ident(), SIGNALS[fault.action])


class Calls:
    """The calls of a process, in the order in which they are made; on any thread.

    Args:
        fault: What happens at one of them; None: nothing.
        calls_file: Where the operation and path of each is appended; None: nowhere.
    """

    def __init__(self, fault: Fault | None, calls_file: str | None) -> None:
        self._fault = fault
        self._fitting = 0
        self._lock = threading.Lock()
        self._calls_file = None if calls_file is None else os.open(calls_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def due(self, operation: str, path: str) -> When | None:
        """Take note of a call; when in it the fault is due."""
        if self._calls_file is not None:
            os.write(self._calls_file, f"{operation} {path}\n".encode())
        fault = self._fault
        if fault is None or fault.operation not in ("", operation) or fault.path not in path:
            return None
        with self._lock:
            self._fitting += 1
            return fault.when if self._fitting == fault.nth + 1 else None

    def act(self) -> None:
        """Do what is due."""
        assert self._fault is not None
        act(self._fault)


class FaultyDisk(Disk):
    """The machine's disk, with a fault at one call.

    Args:
        root: See `Disk`.
        fault: What happens; None: nothing.
        calls_file: Where the name and path of each call is appended; None: nowhere.
    """

    def __init__(self, root: str, fault: Fault | None = None, calls_file: str | None = None) -> None:
        super().__init__(root)
        self._calls = Calls(fault, calls_file)

    def make_root(self) -> None:
        with self._call("make_root"):
            super().make_root()

    def create_file(self, path: Segments) -> int:
        with self._call("create_file", path):
            return super().create_file(path)

    def write(self, descriptor: int, data: memoryview) -> int:
        with self._call("write") as breaks:
            if breaks:
                super().write(descriptor, data[: len(data) // 2])
                self._calls.act()
            return super().write(descriptor, data)

    def sync_file(self, descriptor: int) -> None:
        with self._call("sync_file"):
            super().sync_file(descriptor)

    def close_file(self, descriptor: int) -> None:
        with self._call("close_file"):
            super().close_file(descriptor)

    def link(self, source: Segments, target: Segments) -> None:
        with self._call("link", target):
            super().link(source, target)

    def rename(self, source: Segments, target: Segments) -> None:
        with self._call("rename", target):
            super().rename(source, target)

    def remove(self, path: Segments) -> None:
        with self._call("remove", path):
            super().remove(path)

    def make_folder(self, path: Segments) -> None:
        with self._call("make_folder", path):
            super().make_folder(path)

    def sync_folder(self, path: Segments) -> None:
        with self._call("sync_folder", path):
            super().sync_folder(path)

    def entries(self, path: Segments) -> Any:
        with self._call("entries", path):
            return super().entries(path)

    def status(self, path: Segments) -> Any:
        with self._call("status", path):
            return super().status(path)

    def open_file(self, path: Segments) -> Any:
        with self._call("open_file", path):
            return super().open_file(path)

    @contextmanager
    def _call(self, operation: str, path: Segments = ()) -> Iterator[bool]:
        """Wraps one call; gives whether it shall break in the middle."""
        due = self._calls.due(operation, "/".join(path))
        if due == "before":
            self._calls.act()
        try:
            yield due == "during" and operation == "write"
        finally:
            # Also after a call that has failed, as a look at a name that is not there.
            if due == "after":
                self._calls.act()


class LostAnswers(LocalStorage):
    """A storage that loses the answers of some creations, whether or not they have happened.

    Args:
        root: See `LocalStorage`.
        disk: See `LocalStorage`.
        share: The share of answers that are lost.
        seed: Of the dice.
    """

    def __init__(self, root: str, disk: Disk, share: float, seed: int) -> None:
        super().__init__(root, disk)
        self._share = share
        self._dice = random.Random(seed)

    def create(self, name: str, data: bytes) -> bool:
        lost, happened = self._dice.random() < self._share, self._dice.random() < 0.5
        if not lost:
            return super().create(name, data)
        if happened:
            super().create(name, data)
        raise OutcomeUnknownError(f"{self.location}: the answer for {name} was lost")

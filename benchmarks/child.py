"""Tasks that are measured in processes of their own: `python -m benchmarks.child TASK ARGUMENTS` prints JSON."""

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def run_child(task: str, **arguments: Any) -> dict[str, float]:
    """Run the function `task` (`module:function`) in a new process; returns what it returns."""
    command = [sys.executable, "-m", "benchmarks.child", task, json.dumps(arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def environment() -> dict[str, str]:
    """The environment of the processes that are measured."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "METRICS_ENABLED": "false", "ARCANE__LOG_FORMAT": "json"}


@contextmanager
def scratch_folder() -> Iterator[str]:
    """An empty folder beside the code, as temporary folders are often no real disk."""
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build, prefix="bench-") as folder:
        yield folder


def peak_memory() -> float:
    """The most memory that this process has held at once, in MiB.

    From the kernel's high-water mark: `ru_maxrss` is inherited from the process that has started this one.
    """
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


class Stopwatch:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = time.process_time()

    def read(self) -> dict[str, float]:
        return {"wall": time.perf_counter() - self._wall, "cpu": time.process_time() - self._cpu}


def _main(task: str, arguments: str) -> None:
    module, _, name = task.partition(":")
    print(json.dumps(getattr(importlib.import_module(module), name)(**json.loads(arguments))))


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2])

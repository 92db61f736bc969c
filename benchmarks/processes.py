"""How long processes take to start and to stop."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.child import ROOT, environment
from benchmarks.figures import Figure, Scale

IMPORT_GOAL = 0.6
ENDS_AT_ONCE_GOAL = 1.5
STOP_GOAL = 2.0
START_SECONDS = 30.0


def measure_start(scale: Scale) -> list[Figure]:
    """Importing the package, and a stream that ends at once, over bare Python."""
    # The package loads a name's module when the name is asked for, so all names are the honest figure.
    kinds = {"bare": "pass", "import": "import arcane_framework", "names": "from arcane_framework import *"}
    seconds: dict[str, list[float]] = {name: [] for name in (*kinds, "stream")}
    for _ in range(scale.starts):
        for name, code in kinds.items():
            seconds[name].append(_seconds([sys.executable, "-c", code]))
        with _spec() as spec:
            seconds["stream"].append(_seconds(_command("EndsAtOnce", spec)))
    bare, imported, names, stream = (median(found) for found in seconds.values())
    return [
        Figure("import arcane_framework, over bare Python", imported - bare, "s", IMPORT_GOAL),
        Figure("every name of arcane_framework, over bare Python", names - bare, "s", IMPORT_GOAL),
        Figure("a stream that ends at once, as a process", stream, "s", ENDS_AT_ONCE_GOAL),
        Figure("bare Python", bare, "s"),
    ]


def measure_stop(scale: Scale) -> list[Figure]:
    """From SIGTERM to the end of the process: in an idle wait, and in a write."""
    seconds: dict[str, list[float]] = {"Waits": [], "Writes": []}
    for _ in range(scale.starts):
        for stream, found in seconds.items():
            found.append(_stop_seconds(stream))
    return [
        Figure("SIGTERM in an idle wait", median(seconds["Waits"]), "s", STOP_GOAL),
        Figure("SIGTERM in an idle wait, the longest", max(seconds["Waits"]), "s", STOP_GOAL),
        Figure("SIGTERM in a write", median(seconds["Writes"]), "s", STOP_GOAL),
        Figure("SIGTERM in a write, the longest", max(seconds["Writes"]), "s", STOP_GOAL),
    ]


@contextmanager
def _spec() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        spec = Path(folder, "spec.json")
        fields = {"sinkLocation": f"{folder}/lake", "marker": f"{folder}/marker", "rowsPerGroup": 200_000}
        spec.write_text(json.dumps(fields))
        yield spec


def _command(stream: str, spec: Path) -> list[str]:
    return [sys.executable, "-m", "arcane_framework.run", f"benchmarks.streams:{stream}", "--spec", str(spec)]


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def _stop_seconds(stream: str) -> float:
    with _spec() as spec:
        log = spec.with_name("log").open("w+")
        with log, subprocess.Popen(_command(stream, spec), cwd=ROOT, env=environment(), stderr=log) as process:
            try:
                _wait_for(spec.with_name("marker"), process)
                # The marker is made just before the wait or write in question.
                time.sleep(0.05)
                started = time.perf_counter()
                process.send_signal(signal.SIGTERM)
                code = process.wait(START_SECONDS)
                elapsed = time.perf_counter() - started
            finally:
                process.kill()
        if code != 0:
            raise RuntimeError(f"the stream {stream} ended with {code}")
        return elapsed


def _wait_for(marker: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while not marker.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(
                f"the stream did not get to the point where it is stopped; exit code {process.returncode}"
            )
        time.sleep(0.002)

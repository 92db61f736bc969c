"""What a command takes from its start to its end, measured from outside."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile

from benchmarks.child import ROOT, environment

LAST_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Usage:
    """What one run of a command took.

    Attributes:
        wall: Seconds from its start to its end.
        cpu: Seconds of it and of the processes that it has started and waited for.
        peak: The most memory, in MiB, that one of these processes has held at once.
    """

    wall: float
    cpu: float
    peak: float


def run_whole(command: Sequence[str], variables: Mapping[str, str] | None = None) -> Usage:
    """Run a command with `variables` added to its environment.

    Raises:
        RuntimeError: It has failed; with the last of what it wrote.
    """
    launcher = [sys.executable, "-I", "-S", str(ROOT / "benchmarks" / "launcher.py"), *command]
    environ = {**environment(), **(variables or {})}
    with TemporaryFile() as output:
        done = subprocess.run(
            launcher, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=output, check=True
        )
        result = json.loads(done.stdout)
        if result["code"] != 0:
            written = output.tell()
            output.seek(max(0, written - LAST_BYTES))
            text = output.read().decode(errors="replace")
            raise RuntimeError(f"{' '.join(command)} ended with {result['code']}:\n{text}")
    return Usage(result["wall"], result["cpu"], result["peak"])

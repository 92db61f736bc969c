"""dlt as a peer: an environment of its own below `build/`, made when it is first asked for."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.child import ROOT

REQUIREMENTS = ROOT / "benchmarks" / "dlt-requirements.txt"
LAST_CHARACTERS = 1000


def dlt_python() -> Path:
    """The interpreter of an environment that has dlt; made once for each version of the requirements.

    Raises:
        RuntimeError: It cannot be installed, for instance without a network.
    """
    folder = environment_folder()
    python = folder / "bin" / "python"
    done = folder / "done"
    if not done.exists():
        print(f"installing dlt into {folder} (once) ...", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
        pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "--disable-pip-version-check"]
        _run([*pip, "install", "--requirement", str(REQUIREMENTS)])
        done.touch()
    return python


def environment_folder() -> Path:
    """Where the environment is or will be."""
    version = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    return ROOT / "build" / f"dlt-{version[:12]}"


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"dlt could not be installed:\n{done.stderr[-LAST_CHARACTERS:].strip()}")

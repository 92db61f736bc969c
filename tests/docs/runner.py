"""Runs a page: its files are written, its Python is executed, its commands are run, in order, in one folder."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.docs import pages

SECONDS = 30.0


class PageRunner:
    """Runs the blocks of one page in `folder`.

    Args:
        page: For messages.
        folder: Empty; the current folder of the page's Python and commands.
    """

    def __init__(self, page: str, folder: Path) -> None:
        self._page = page
        self._folder = folder
        self._names: dict[str, Any] = {"__name__": "__page__"}

    def run(self, block: pages.Block) -> bool:
        """Run a block; False when there is nothing to run."""
        if block.file is not None:
            target = self._folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text)
            if block.language == "python":
                compile(block.text, block.file, "exec")
            return True
        if block.language == "python":
            # Line numbers of the page, so that a traceback leads there.
            exec(compile("\n" * (block.line - 1) + block.text, self._page, "exec"), self._names)
            return True
        if block.language == "console":
            for command in pages.commands(block):
                self._run_command(command)
            return True
        return False

    def _run_command(self, command: pages.Command) -> None:
        log = self._folder / ".stderr"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command.text}" if command.interrupted else command.text],
                cwd=self._folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        with process:
            try:
                if command.interrupted:
                    _wait_for_a_commit(process, log)
                    process.send_signal(signal.SIGINT)
                output, _ = process.communicate(timeout=SECONDS)
            except BaseException:
                process.kill()
                raise
        shown = f"{self._page}: $ {command.text}\n{output}\n{log.read_text()}"
        assert process.returncode == 0, f"exit code {process.returncode} of {shown}"
        assert command.output is None or pages.fits(command.output, output), f"another output of {shown}"


def _wait_for_a_commit(process: "subprocess.Popen[str]", log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and '"committed"' not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)


def _environment() -> dict[str, str]:
    """A shell as a reader has it: the environment is active, and the variables are not a test's."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    python_path = str(pages.ROOT)
    return {"PATH": path, "PYTHONPATH": python_path, "HOME": os.environ.get("HOME", "/"), "METRICS_ENABLED": "false"}

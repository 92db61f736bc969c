"""Runner processes as an operator starts them, and what they leave behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
PLUGINS = "tests.runner.plugins"
NUMBERS = f"{PLUGINS}.numbers_stream:Numbers"
TIMEOUT = 45.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended.

    Attributes:
        code: Its exit code; negative for a signal.
        stdout: What it wrote.
        stderr: What it wrote.
    """

    code: int
    stdout: str
    stderr: str

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log's lines; anything else on standard error is a defect."""
        return [json.loads(line) for line in self.stderr.splitlines()]

    @property
    def error(self) -> dict[str, Any]:
        """The one error that it logged."""
        errors = [line for line in self.log if line["level"] == "error"]
        assert len(errors) == 1, self.stderr
        return errors[0]

    @property
    def configuration_error(self) -> str:
        """The message of the only thing that was logged: one error, no trace, exit code 1."""
        assert self.code == 1, self.stderr
        assert self.stdout == ""
        error = self.error
        assert error["event"] == "configuration error"
        assert "Traceback" not in self.stderr
        return str(error["error"])

    def events(self, event: str) -> list[dict[str, Any]]:
        """The log's lines of one event."""
        return [line for line in self.log if line["event"] == event]


class Running:
    """A process that may be watched and signalled; leaving the `with` block kills it."""

    def __init__(self, command: list[str], environment: Mapping[str, str], folder: Path) -> None:
        self.process = subprocess.Popen(
            command, env=dict(environment), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._seen = ""

    def wait_for(self, event: str) -> None:
        """Until it has logged `event`."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._seen += line
            if f'"{event}"' in line:
                return
        raise AssertionError(f"no {event!r} in:\n{self._seen}")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> Ended:
        """Wait for its end."""
        stdout, stderr = self.process.communicate(timeout=TIMEOUT)
        return Ended(self.process.returncode, stdout, self._seen + stderr)

    def stop(self, number: signal.Signals) -> Ended:
        """Signal it, and print how long it takes to end."""
        sent = time.monotonic()
        self.send(number)
        ended = self.end()
        print(f"{number.name}: ended {time.monotonic() - sent:.2f} s later with {ended.code}")
        return ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream with a folder of its own.

    Attributes:
        folder: Holds the lake and whatever else a test needs.
        lake: The sink's location.
        stream_id: Names the stream.
    """

    folder: Path
    lake: Path
    stream_id: str = "orders-1"

    def environment(self, spec: Mapping[str, Any] | None = None, **variables: str | None) -> dict[str, str]:
        """As the operator sets it; None takes a variable out."""
        full = {"sinkLocation": str(self.lake), "groupingIntervalSeconds": 3600, "rowsPerGroup": 3, **(spec or {})}
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(ROOT),
            "METRICS_ENABLED": "false",
            "STREAMCONTEXT__SPEC": json.dumps(full),
            "STREAMCONTEXT__STREAM_ID": self.stream_id,
            "STREAMCONTEXT__STREAM_KIND": "Numbers",
            **variables,
        }
        return {name: value for name, value in environment.items() if value is not None}

    def start(self, environment: Mapping[str, str], *arguments: str) -> Running:
        return Running([sys.executable, "-m", "arcane_framework.run", *arguments], environment, self.folder)

    def run(
        self, plugin: str = NUMBERS, spec: Mapping[str, Any] | None = None, *arguments: str, **variables: str | None
    ) -> Ended:
        """Run it to its end."""
        command = [plugin, *arguments] if plugin else arguments
        with self.start(self.environment(spec, **variables), *command) as running:
            return running.end()

    @property
    def home(self) -> Path:
        """The stream's own folder."""
        return self.lake / self.stream_id

    def rows(self, segment: str = "data") -> list[int]:
        """The numbers that a reader of the lake sees, in order of the parts."""
        parts = sorted((self.home / segment).rglob("part-*.parquet"))
        tables = [pq.read_table(pa.BufferReader(part.read_bytes())) for part in parts]
        return [number for table in tables for number in table["n"].to_pylist()]

    def tokens(self) -> list[Path]:
        """The completion tokens of backfills."""
        return list((self.home / "backfill").glob("*.COMPLETED"))

    def files(self) -> list[Path]:
        """Every file below the lake."""
        return [path for path in self.lake.rglob("*") if path.is_file()]

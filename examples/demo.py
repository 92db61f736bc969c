"""What the demos have in common: they run a stream in a process of its own and show what has come of it."""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from arcane_framework.commits import StreamState
from examples.flights_data import archive_path
from examples.lakes import Lake

FOLDER = Path("demo-data")


@dataclass(frozen=True)
class Ended:
    """How a run of the stream has ended.

    Attributes:
        code: Its exit code.
        interrupted: Whether Ctrl-C was pressed.
    """

    code: int
    interrupted: bool


@dataclass(frozen=True)
class Demo:
    """A demo of one stream.

    Attributes:
        module: What `python -m` runs.
        target: What `make` makes.
        stream_id: The stream's.
        folder: Where the spec goes, and the files unless there is a sink.
        sink: A location in a cloud for the files.
        secrets: Environment variables of the stream, beside the person's own.
    """

    module: str
    target: str
    stream_id: str
    folder: Path
    sink: str | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def location(self) -> str:
        """The sink's, for the spec."""
        return self.sink or str(self.folder)

    @property
    def lake(self) -> Lake:
        """The stream's files."""
        return Lake(self.location, self.stream_id)

    @property
    def state(self) -> StreamState:
        """What is committed."""
        return StreamState(self.lake.storage)

    def rows(self) -> int:
        """How many flights are committed."""
        return sum(part.rows for part in self.state.parts())

    def run(self, plugin: str, *options: str) -> Ended:
        """Run the stream in a process of its own; Ctrl-C reaches it, too, and it ends in order."""
        say(f"$ {command_name('python')} -m arcane_framework.run {plugin} {shlex.join(options)}")
        # Log lines below warnings are left out: the demo is about the progress line, not about the log.
        environment = {"ARCANE__LOG_LEVEL": "warning", "METRICS_ENABLED": "false", **os.environ, **self.secrets}
        command = [sys.executable, "-m", "arcane_framework.run", plugin, *options]
        presses: list[int] = []
        # A handler that does not raise: the process is waited for, however often the keys are pressed.
        before = signal.signal(signal.SIGINT, lambda number, _frame: presses.append(number))
        try:
            code = subprocess.run(command, env=environment, check=False).returncode
        finally:
            signal.signal(signal.SIGINT, before)
        return Ended(code, interrupted=bool(presses))

    def tell_end(self, phase: str, ended: Ended) -> int:
        """Say why the demo ends here; returns its exit code: to be stopped is no failure."""
        if ended.interrupted and ended.code in (0, 2):
            say(f"{phase} was stopped: {self.rows():,} flights so far. {self.start_again()} goes on from there.")
            return 0
        say(f"{phase} has failed with exit code {ended.code}; the lines above say why.")
        return ended.code if ended.code > 0 else 1

    def start_again(self) -> str:
        """The command that starts this demo."""
        if self.folder == FOLDER:
            return f"`make {self.target}{f' SINK={shlex.quote(self.sink)}' if self.sink else ''}`"
        own = f"{command_name('python')} -m {self.module} --folder {shlex.quote(str(self.folder))}"
        return f"`{own}{f' --sink {shlex.quote(self.sink)}' if self.sink else ''}`"

    def show(self) -> None:
        """Say where the files are and how to read them, and query them."""
        import duckdb

        folders = " and ".join(f"{self.location}/{self.stream_id}/{name}" for name in self.lake.folders())
        tools = "pyarrow" if self.sink else "pyarrow or duckdb"
        say(f"\nThe files are in {folders}. Read them with {tools}:")
        for code in self.lake.one_liners():
            say(f"$ {python_line(code)}")
        say("\nThe state of the stream, and whether every committed part is there:")
        state = f"state {shlex.quote(self.location)} --stream-id {self.stream_id} --verify"
        say(f"$ {command_name('arcane')} {state}")
        say("\nFlights and their mean delay at departure:")
        columns = "origin, count(*), avg(dep_delay)"
        origins = duckdb.from_arrow(self.lake.dataset()).aggregate(columns).order("origin").fetchall()
        say(f"{'origin':8}{'flights':>9}{'mean delay, minutes':>21}")
        for origin, flights, delay in origins:
            say(f"{origin:8}{flights:>9,}{delay:>21.1f}")
        say(f"{'all':8}{sum(flights for _, flights, _ in origins):>9,}")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that all demos have."""
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the Parquet files go")
    parser.add_argument("--sink", help="where they go instead: s3://bucket/lake or container@lake")


def missing_package() -> str | None:
    """The package that the demos need and that is not installed; said before the work, not after it."""
    try:
        import duckdb  # noqa: F401

        archive_path()
    except ModuleNotFoundError as error:
        return error.name
    return None


def tell_missing(target: str, package: str) -> int:
    """Say what to install; returns the demo's exit code."""
    say(f"The demo needs the package {package}: run make {target}, or pip install '.[examples]' in this folder")
    return 1


def command_name(name: str) -> str:
    """`name` as a shell finds it: with the folder of this Python when the shell would find another one, or none."""
    folder = Path(sys.executable).parent
    found = shutil.which(name)
    if found is not None and Path(found).parent == folder:
        return name
    here = Path.cwd()
    return shlex.quote(str(folder.relative_to(here) if folder.is_relative_to(here) else folder) + f"/{name}")


def python_line(code: str) -> str:
    """The shell command that runs `code`."""
    plain = not set(code) & set('"$`\\!')
    python = command_name("python")
    return f'{python} -c "{code}"' if plain else f"{python} -c {shlex.quote(code)}"


def say(text: str) -> None:
    """Print for the person who has started the demo."""
    print(text, flush=True)

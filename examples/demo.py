"""What the demos have in common: they run a stream in a process of its own and show what has come of it."""

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
from arcane_framework.storage import LocalStorage
from examples.flights_data import archive_path

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
        folder: Where the files go.
        secrets: Environment variables of the stream, beside the person's own.
    """

    module: str
    target: str
    stream_id: str
    folder: Path
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def state(self) -> StreamState:
        """What is committed."""
        return StreamState(LocalStorage(self.folder).folder(self.stream_id))

    def rows(self) -> int:
        """How many flights are committed."""
        return sum(part.rows for part in self.state.parts())

    def remove(self) -> None:
        """Remove what earlier runs have written."""
        shutil.rmtree(self.folder / self.stream_id)

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
        own_folder = f"{command_name('python')} -m {self.module} --folder {shlex.quote(str(self.folder))}"
        return f"`{f'make {self.target}' if self.folder == FOLDER else own_folder}`"

    def show(self) -> None:
        """Say where the files are and how to read them, and query them."""
        import duckdb

        stream = self.folder / self.stream_id
        files = f"{stream}/[bd]*/**/part-*.parquet"
        folders = " and ".join(f"{stream}/{name}" for name in ("backfill", "data") if (stream / name).exists())
        say(f"\nThe files are in {folders}. Read them with pyarrow or duckdb:")
        for line in one_liners(files):
            say(f"$ {line}")
        say("\nThe state of the stream, and whether every committed part is there:")
        state = f"state {shlex.quote(str(self.folder))} --stream-id {self.stream_id} --verify"
        say(f"$ {command_name('arcane')} {state}")
        say("\nFlights and their mean delay at departure:")
        columns = "origin, count(*), avg(dep_delay)"
        origins = duckdb.read_parquet(files).aggregate(columns).order("origin").fetchall()
        say(f"{'origin':8}{'flights':>9}{'mean delay, minutes':>21}")
        for origin, flights, delay in origins:
            say(f"{origin:8}{flights:>9,}{delay:>21.1f}")
        say(f"{'all':8}{sum(flights for _, flights, _ in origins):>9,}")


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


def one_liners(files: str) -> list[str]:
    """Shell commands that count the rows of `files`.

    The files are named one by one: pyarrow's own search leaves out folders that begin with `_`, which those
    of a lake that is partitioned by `_batch_date` do.
    """
    pyarrow = f"ds.dataset(glob.glob({files!r}, recursive=True)).count_rows()"
    duckdb = f"duckdb.read_parquet({files!r}).count('*').fetchall()[0][0]"
    return [
        _shell(f"import glob, pyarrow.dataset as ds; print({pyarrow})"),
        _shell(f"import duckdb; print({duckdb})"),
    ]


def _shell(code: str) -> str:
    plain = not set(code) & set('"$`\\!')
    python = command_name("python")
    return f'{python} -c "{code}"' if plain else f"{python} -c {shlex.quote(code)}"


def say(text: str) -> None:
    """Print for the person who has started the demo."""
    print(text, flush=True)

"""The demo: `make demo`, or `python -m examples.flights`.

It runs the stream of `examples/flights_plugin.py` as a user would: first the backfill, then change capture of
the flights that arrive afterwards. Started again, it goes on where it was stopped; when everything has arrived
by then, or somebody has repeated the backfill meanwhile, it starts from nothing.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from arcane_framework import BackfillState, Position
from arcane_framework.commits import StreamState
from arcane_framework.storage import LocalStorage
from examples.flights_data import LAST_DAY, archive_path

PLUGIN = "examples.flights_plugin:Flights"
STREAM_ID = "flights"
FOLDER = Path("demo-data")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.flights", description="The demo.")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the Parquet files go")
    folder: Path = parser.parse_args(arguments).folder
    try:
        import duckdb  # noqa: F401 - said before the work, not after it

        archive_path()
    except ModuleNotFoundError as error:
        say(f"The demo needs the package {error.name}: run make demo, or pip install '.[examples]' in this folder")
        return 1
    try:
        return run(folder)
    except KeyboardInterrupt:
        say(f"\nStopped. {start_again(folder)} goes on from there.")
        return 0


def run(folder: Path) -> int:
    """Backfill, if that is not done yet, then change capture and what has come of it; returns the exit code."""
    position = prepare(folder)
    spec = write_spec(folder, person_is_watching=sys.stderr.isatty())
    if not is_backfilled(position):
        say("\nFirst the backfill: the flights up to the end of November.")
        ended = run_command("--spec", str(spec), "--stream-id", STREAM_ID, "--backfill")
        if ended.interrupted or ended.code != 0:
            return tell_end("The backfill", ended, folder)
        say(f"{rows(folder):,} flights so far.")
    say("\nThen change capture: December's flights arrive. Ctrl-C stops it.")
    ended = run_command("--spec", str(spec), "--stream-id", STREAM_ID)
    if ended.code != 0:
        return tell_end("Change capture", ended, folder)
    say(f"{rows(folder):,} flights so far.")
    show(folder)
    return 0


def prepare(folder: Path) -> Position:
    """Where an earlier demo in `folder` has stopped; one that cannot go on is removed."""
    state = StreamState(LocalStorage(folder).folder(STREAM_ID))
    position = state.position()
    if (position.stream or {}).get("day") == LAST_DAY.isoformat():
        say(f"The demo in {folder} has come to its end before: starting from nothing.")
    elif backfill_was_repeated(state):
        say(f"The backfill in {folder} was repeated after flights had arrived: starting from nothing.")
    else:
        if position != Position():
            say(f"Going on where the demo in {folder} has stopped.")
        return position
    shutil.rmtree(folder / STREAM_ID)
    return Position()


def backfill_was_repeated(state: StreamState) -> bool:
    """Whether `data/` has flights from before the newest backfill, which would arrive there once more."""
    newest = state.newest()
    return newest is not None and any(
        part.path.startswith("data/")
        for commit in state.commits()
        for part in commit.parts
        if commit.seq < newest.backfill_since
    )


def is_backfilled(position: Position) -> bool:
    """Whether the backfill has come to its end."""
    return position.backfill is not None and position.backfill.state is BackfillState.COMPLETED


def rows(folder: Path) -> int:
    """How many flights are committed."""
    return sum(part.rows for part in StreamState(LocalStorage(folder).folder(STREAM_ID)).parts())


def write_spec(folder: Path, *, person_is_watching: bool) -> Path:
    """Write the stream's spec; without a person the flights arrive in a few large steps."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = folder / "flights.json"
    pace = {"daysPerPoll": 1, "pollSeconds": 1.0} if person_is_watching else {"daysPerPoll": 7, "pollSeconds": 0.2}
    fields = {
        "sinkLocation": str(folder),
        "rowsPerGroup": 50_000,
        "groupingIntervalSeconds": 1,
        "historyUntil": "2013-11-30",
        **pace,
    }
    spec.write_text(json.dumps(fields, indent=2) + "\n")
    return spec


@dataclass(frozen=True)
class Ended:
    """How a run of the stream has ended.

    Attributes:
        code: Its exit code.
        interrupted: Whether Ctrl-C was pressed.
    """

    code: int
    interrupted: bool


def run_command(*options: str) -> Ended:
    """Run the stream in a process of its own; Ctrl-C reaches it, too, and it ends in order."""
    say(f"$ {command_name('python')} -m arcane_framework.run {PLUGIN} {shlex.join(options)}")
    # Log lines below warnings are left out: the demo is about the progress line, not about the log.
    environment = {"ARCANE__LOG_LEVEL": "warning", "METRICS_ENABLED": "false", **os.environ}
    command = [sys.executable, "-m", "arcane_framework.run", PLUGIN, *options]
    presses: list[int] = []
    # A handler that does not raise: the process is waited for, however often the keys are pressed.
    before = signal.signal(signal.SIGINT, lambda number, _frame: presses.append(number))
    try:
        code = subprocess.run(command, env=environment, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)
    return Ended(code, interrupted=bool(presses))


def tell_end(phase: str, ended: Ended, folder: Path) -> int:
    """Say why the demo ends here; returns its exit code: to be stopped is no failure."""
    if ended.interrupted and ended.code in (0, 2):
        say(f"{phase} was stopped: {rows(folder):,} flights so far. {start_again(folder)} goes on from there.")
        return 0
    say(f"{phase} has failed with exit code {ended.code}; the lines above say why.")
    return ended.code if ended.code > 0 else 1


def start_again(folder: Path) -> str:
    """The command that starts this demo."""
    own_folder = f"{command_name('python')} -m examples.flights --folder {shlex.quote(str(folder))}"
    return f"`{'make demo' if folder == FOLDER else own_folder}`"


def command_name(name: str) -> str:
    """`name` as a shell finds it: with the folder of this Python when the shell would find another one, or none."""
    folder = Path(sys.executable).parent
    found = shutil.which(name)
    if found is not None and Path(found).parent == folder:
        return name
    here = Path.cwd()
    return shlex.quote(str(folder.relative_to(here) if folder.is_relative_to(here) else folder) + f"/{name}")


def show(folder: Path) -> None:
    """Say where the files are and how to read them, and query them."""
    import duckdb

    stream = folder / STREAM_ID
    files = f"{stream}/[bd]*/**/part-*.parquet"
    say(f"\nThe files are in {stream}/backfill and {stream}/data. Read them with pyarrow or duckdb:")
    for line in one_liners(files):
        say(f"$ {line}")
    say("\nThe state of the stream, and whether every committed part is there:")
    say(f"$ {command_name('arcane')} state {shlex.quote(str(folder))} --stream-id {STREAM_ID} --verify")
    say("\nFlights and their mean delay at departure:")
    columns = "origin, count(*), avg(dep_delay)"
    origins = duckdb.read_parquet(files).aggregate(columns).order("origin").fetchall()
    say(f"{'origin':8}{'flights':>9}{'mean delay, minutes':>21}")
    for origin, flights, delay in origins:
        say(f"{origin:8}{flights:>9,}{delay:>21.1f}")
    say(f"{'all':8}{sum(flights for _, flights, _ in origins):>9,}")
    tell_day(folder)


def tell_day(folder: Path) -> None:
    """Say how far the year has come, when it is not over."""
    position = StreamState(LocalStorage(folder).folder(STREAM_ID)).position()
    day = date.fromisoformat((position.stream or {})["day"])
    if day < LAST_DAY:
        so_far = f"the flights up to {day:%B} {day.day} have arrived"
        say(f"\nThe year is not over: {so_far}. {start_again(folder)} goes on from there.")


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


if __name__ == "__main__":
    sys.exit(main())

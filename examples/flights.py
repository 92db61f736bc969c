"""The demo: `make demo`, or `python -m examples.flights`.

It runs the stream of `examples/flights_plugin.py` as a user would: first the backfill, then change capture of
the flights that arrive afterwards. Started again, it goes on where it was stopped; when everything has arrived
by then, it starts from nothing.
"""

import argparse
import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from arcane_framework import Position
from arcane_framework.commits import StreamState
from arcane_framework.storage import LocalStorage
from examples.flights_data import LAST_DAY, archive_path

PLUGIN = "examples.flights_plugin:Flights"
STREAM_ID = "flights"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.flights", description="The demo.")
    parser.add_argument("--folder", type=Path, default=Path("demo-data"), help="where the Parquet files go")
    folder: Path = parser.parse_args(arguments).folder
    try:
        import duckdb  # noqa: F401 - said before the work, not after it

        archive_path()
    except ModuleNotFoundError as error:
        say(f"The demo needs the package {error.name}: run pip install 'arcane-framework[examples]'")
        return 1
    position = prepare(folder)
    spec = write_spec(folder, person_is_watching=sys.stderr.isatty())
    code = run_stream(spec, backfilled=position.stream is not None)
    if code == 0:
        show(folder)
    return code


def prepare(folder: Path) -> Position:
    """Where an earlier demo in `folder` has stopped; one that has come to its end is removed."""
    position = StreamState(LocalStorage(folder).folder(STREAM_ID)).position()
    if (position.stream or {}).get("day") == LAST_DAY.isoformat():
        say(f"The demo in {folder} has come to its end before: starting from nothing.")
        shutil.rmtree(folder / STREAM_ID)
        return Position()
    if position != Position():
        say(f"Going on where the demo in {folder} has stopped.")
    return position


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


def run_stream(spec: Path, *, backfilled: bool) -> int:
    """Backfill, if that is not done yet, then change capture; returns the first exit code that is not 0."""
    if not backfilled:
        say("\nFirst the backfill: the flights up to the end of November.")
        code = run_command("--spec", str(spec), "--stream-id", STREAM_ID, "--backfill")
        if code != 0:
            say("The backfill was stopped: started again, the demo goes on from there." if code == 2 else "It failed.")
            return code
    say("\nThen change capture: December's flights arrive. Ctrl-C stops it.")
    return run_command("--spec", str(spec), "--stream-id", STREAM_ID)


def run_command(*options: str) -> int:
    """Run the stream in a process of its own; Ctrl-C reaches it, too, and it ends in order."""
    say(f"$ python -m arcane_framework.run {PLUGIN} {shlex.join(options)}")
    # Log lines below warnings are left out: the demo is about the progress line, not about the log.
    environment = {"ARCANE__LOG_LEVEL": "warning", "METRICS_ENABLED": "false", **os.environ}
    command = [sys.executable, "-m", "arcane_framework.run", PLUGIN, *options]
    with subprocess.Popen(command, env=environment) as process:
        while process.returncode is None:
            with contextlib.suppress(KeyboardInterrupt):
                process.wait()
    return process.returncode


def show(folder: Path) -> None:
    """Say where the files are and how to read them, and query them."""
    import duckdb

    stream = folder / STREAM_ID
    files = f"{stream}/[bd]*/**/part-*.parquet"
    say(f"\nThe files are in {stream}/backfill and {stream}/data. Read them with pyarrow or duckdb:")
    for line in one_liners(files):
        say(f"$ {line}")
    say("\nThe state of the stream, and whether every committed part is there:")
    say(f"$ arcane state {shlex.quote(str(folder))} --stream-id {STREAM_ID} --verify")
    say("\nFlights and their mean delay at departure:")
    columns = "origin, count(*), avg(dep_delay)"
    rows = duckdb.read_parquet(files).aggregate(columns).order("origin").fetchall()
    say(f"{'origin':8}{'flights':>9}{'mean delay, minutes':>21}")
    for origin, flights, delay in rows:
        say(f"{origin:8}{flights:>9,}{delay:>21.1f}")
    say(f"{'all':8}{sum(flights for _, flights, _ in rows):>9,}")


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
    return f'python -c "{code}"' if plain else f"python -c {shlex.quote(code)}"


def say(text: str) -> None:
    """Print for the person who has started the demo."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""The demo: `make demo`, or `python -m examples.flights`.

It runs the stream of `examples/flights_plugin.py` as a user would: first the backfill, then change capture of
the flights that arrive afterwards. Started again, it goes on where it was stopped; when everything has arrived
by then, or somebody has repeated the backfill meanwhile, it starts from nothing.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from arcane_framework import ArcaneError, BackfillState, Position
from arcane_framework.commits import StreamState
from examples.demo import Demo, add_options, missing_package, say, tell_missing
from examples.flights_data import LAST_DAY

PLUGIN = "examples.flights_plugin:Flights"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.flights", description="The demo.")
    add_options(parser)
    given = parser.parse_args(arguments)
    demo = Demo("examples.flights", "demo", "flights", given.folder, given.sink)
    if missing := missing_package():
        return tell_missing(demo.target, missing)
    try:
        return run(demo)
    except KeyboardInterrupt:
        say(f"\nStopped. {demo.start_again()} goes on from there.")
        return 0
    except ArcaneError as error:
        say(f"The demo cannot go on: {error}")
        return 1


def run(demo: Demo) -> int:
    """Backfill, if that is not done yet, then change capture and what has come of it; returns the exit code."""
    position = prepare(demo)
    spec = write_spec(demo, person_is_watching=sys.stderr.isatty())
    if not is_backfilled(position):
        say("\nFirst the backfill: the flights up to the end of November.")
        ended = demo.run(PLUGIN, "--spec", str(spec), "--stream-id", demo.stream_id, "--backfill")
        if ended.interrupted or ended.code != 0:
            return demo.tell_end("The backfill", ended)
        say(f"{demo.rows():,} flights so far.")
    say("\nThen change capture: December's flights arrive. Ctrl-C stops it.")
    ended = demo.run(PLUGIN, "--spec", str(spec), "--stream-id", demo.stream_id)
    if ended.code != 0:
        return demo.tell_end("Change capture", ended)
    say(f"{demo.rows():,} flights so far.")
    demo.show()
    tell_day(demo)
    return 0


def prepare(demo: Demo) -> Position:
    """Where an earlier demo has stopped; one that cannot go on is removed."""
    state = demo.state
    position = state.position()
    if (position.stream or {}).get("day") == LAST_DAY.isoformat():
        say(f"The demo in {demo.location} has come to its end before: starting from nothing.")
    elif backfill_was_repeated(state):
        say(f"The backfill in {demo.location} was repeated after flights had arrived: starting from nothing.")
    else:
        if position != Position():
            say(f"Going on where the demo in {demo.location} has stopped.")
        return position
    demo.lake.remove()
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


def write_spec(demo: Demo, *, person_is_watching: bool) -> Path:
    """Write the stream's spec; without a person the flights arrive in a few large steps."""
    demo.folder.mkdir(parents=True, exist_ok=True)
    spec = demo.folder / "flights.json"
    pace = {"daysPerPoll": 1, "pollSeconds": 1.0} if person_is_watching else {"daysPerPoll": 7, "pollSeconds": 0.2}
    fields = {
        "sinkLocation": demo.location,
        "rowsPerGroup": 50_000,
        "groupingIntervalSeconds": 1,
        "historyUntil": "2013-11-30",
        **pace,
    }
    spec.write_text(json.dumps(fields, indent=2) + "\n")
    return spec


def tell_day(demo: Demo) -> None:
    """Say how far the year has come, when it is not over."""
    position = demo.state.position()
    day = date.fromisoformat((position.stream or {})["day"])
    if day < LAST_DAY:
        so_far = f"the flights up to {day:%B} {day.day} have arrived"
        say(f"\nThe year is not over: {so_far}. {demo.start_again()} goes on from there.")


if __name__ == "__main__":
    sys.exit(main())

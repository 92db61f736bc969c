"""What is run of the streams that read an API. Each job counts the calls of a clean run itself, in its worker."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.proof import kills, rest_kills, rest_red_controls, zombies
from tests.proof.faults import Fault
from tests.proof.job import Job
from tests.proof.rest_cells import REST_CELLS, RestCell
from tests.proof.trial import Outcome, clean_calls, points_of
from tests.rest_api import RunningApi, serve_process

SEED = 20_250_102


@dataclass(frozen=True, slots=True)
class RestSize:
    """How much of each section is run, for each cell.

    Attributes:
        cells: Which are run.
        point_step: A kill at every n-th point. Where all cells are run, those of the three pagers are others.
        request_step: Faults at every n-th request.
        random_kills: Kills at random times.
        trials: Trials of the sections that have no other number.
        zombie_step: A zombie at every n-th point.
        zombies: Zombies at each of the special places.
        command_lines: Trials with processes started from scratch.
        red_step: Every n-th fault for red controls.
        chunks: Jobs for the largest sections.
    """

    cells: tuple[RestCell, ...]
    point_step: int
    request_step: int
    random_kills: int
    trials: int
    zombie_step: int
    zombies: int
    command_lines: int
    red_step: int
    chunks: int


FULL = RestSize(
    cells=REST_CELLS,
    point_step=3,
    request_step=1,
    random_kills=30,
    trials=15,
    zombie_step=13,
    zombies=8,
    command_lines=2,
    red_step=1,
    chunks=2,
)
QUICK = RestSize(
    # Each pager, both modes and both formats.
    cells=(REST_CELLS[0], REST_CELLS[7], REST_CELLS[10]),
    point_step=97,
    request_step=5,
    random_kills=2,
    trials=1,
    zombie_step=139,
    zombies=1,
    command_lines=0,
    red_step=3,
    chunks=1,
)


def jobs(size: RestSize) -> Iterator[Job]:
    """All jobs; nothing is run yet."""
    for number, cell in enumerate(size.cells):
        yield from _kills(size, cell, number)
        yield from _zombies(size, cell)
        yield from _red_controls(size, cell)


def _kills(size: RestSize, cell: RestCell, number: int) -> Iterator[Job]:
    step, seed = size.point_step, SEED + number
    # Cells that differ by their pager only begin at other points: together they hit each.
    shift = number // 4 % step
    for chunk in range(size.chunks):
        points = slice(shift + chunk * step, None, step * size.chunks)
        yield _job("REST, kill points", cell, _at_points, points=points)
    held = cell.slowed()
    yield _job("REST, kills at random times", held, kills.at_random_times, kills=size.random_kills, seed=seed)
    yield _job("REST, SIGTERM", held, kills.stopped_at_random_times, trials=size.trials, seed=seed)
    yield _job("REST, kills around requests", cell, rest_kills.around_requests, step=size.request_step, seed=seed)
    yield _job("REST, SIGTERM", cell, rest_kills.stopped_in_requests, step=size.request_step, seed=seed)
    for status in (401, 503):
        yield _job("REST, refusals", cell, rest_kills.refused, status=status, step=size.request_step, seed=seed)
    yield _job("REST, three kills in a row", cell, _three_times, trials=size.trials, seed=seed)
    if size.command_lines:
        yield _job("REST, command line", cell, _from_scratch, trials=size.command_lines, seed=seed)


def _zombies(size: RestSize, cell: RestCell) -> Iterator[Job]:
    yield _job("REST, zombies, any call", cell, _anywhere, step=size.zombie_step)
    special = [
        ("zombies, garbage", zombies.collecting_garbage),
        ("zombies, publishing", zombies.between_commit_and_publish),
    ]
    if cell.backfilling:
        special += [
            ("zombies, token", zombies.before_the_token),
            ("zombies, removing", zombies.removing_an_old_backfill),
        ]
    for section, run in special:
        yield _job(f"REST, {section}", cell, run, trials=size.zombies, seed=SEED)
    yield _job("REST, three writers", cell, zombies.three_at_once, rounds=size.zombies, seed=SEED)


def _red_controls(size: RestSize, cell: RestCell) -> Iterator[Job]:
    # After a commit in the middle of a window: there the mistakes show.
    commits = [
        Fault(nth, when, operation="link", path="_arcane/log") for nth in range(2, 5) for when in ("before", "after")
    ]
    for name, title in (
        (rest_red_controls.ANEW, "REST, a window is begun anew after a restart"),
        (rest_red_controls.ASKED_AGAIN, "REST, committed pages are asked for again, and dropped"),
    ):
        yield _job(title, cell, kills.at_points, red=True, points=commits[:: size.red_step], red_control=name)
    if cell.pager != "TOKEN":
        # Which page follows one that was not read only an API with tokens does not say.
        impatient = replace(cell, settings={"retrySeconds": 0})
        yield _job(
            "REST, a page that failed is skipped",
            impatient,
            rest_kills.refused,
            red=True,
            status=503,
            step=size.red_step,
            seed=SEED,
            red_control=rest_red_controls.SKIPPED,
        )


def _at_points(folder: Path, cell: RestCell, points: slice) -> Outcome:
    return kills.at_points(folder, cell, points_of(_calls(folder, cell))[points])


def _three_times(folder: Path, cell: RestCell, trials: int, seed: int) -> Outcome:
    return kills.three_times(folder, cell, trials, len(_calls(folder, cell)), seed)


def _from_scratch(folder: Path, cell: RestCell, trials: int, seed: int) -> Outcome:
    return kills.from_scratch(folder, cell, trials, len(_calls(folder, cell)), seed)


def _anywhere(folder: Path, cell: RestCell, step: int) -> Outcome:
    calls = [Fault(nth, action="stop") for nth in range(0, len(_calls(folder, cell)), step)]
    requests = cell.more_points()[:: max(1, step // 6)]
    return zombies.anywhere(folder, cell, calls + requests, SEED)


def _calls(folder: Path, cell: RestCell) -> list[str]:
    return clean_calls(folder / "calls", cell, kills.nothing_before)


def _job(section: str, cell: RestCell, run: Callable[..., Outcome], *, red: bool = False, **arguments: object) -> Job:
    return Job(section, cell, partial(_with_server, run, cell, arguments), red)


def _with_server(run: Callable[..., Outcome], cell: RestCell, arguments: dict[str, object], folder: Path) -> Outcome:
    return run(folder, cell=replace(cell, api=server_of(os.getpid())[0]), **arguments)


@cache
def server_of(pid: int) -> tuple[RunningApi, ExitStack]:
    """The server of a worker process, which all of its jobs share and which ends with it."""
    stack = ExitStack()
    with TemporaryDirectory() as folder:
        return stack.enter_context(serve_process(Path(folder))), stack

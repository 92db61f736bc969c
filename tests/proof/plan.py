"""What is run: every section of the proof as independent jobs, for the full run and for the quick selection."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.proof import cloud_plan, kills, power_cuts, rest_plan, zombies
from tests.proof.faults import Fault
from tests.proof.job import Job
from tests.proof.power_cut import PowerCutDisk
from tests.proof.red_controls import ForgetfulDisk
from tests.proof.table_cells import CELLS, TIMED_CELLS, TableCell
from tests.proof.trial import Outcome, clean_calls, points_of

SEED = 20_250_101
_CHUNKS = 4


@dataclass(frozen=True, slots=True)
class Size:
    """How much of each section is run, for each cell.

    Attributes:
        points: Kill points; None: all.
        zombie_step: A zombie at every n-th call.
        random_kills: Kills at random times.
        trials: Trials of the sections that have no other number.
        zombies: Zombies at each of the special places.
        command_lines: Trials with processes started from scratch.
        cut_step: The power goes before every n-th call.
        outcomes: States of the disk after each cut.
        red: Faults for each red control, roughly.
        rest: The same of streams that read an API.
        cloud: The same of streams that write to S3 and Azure Blob.
    """

    points: int | None
    zombie_step: int
    random_kills: int
    trials: int
    zombies: int
    command_lines: int
    cut_step: int
    outcomes: int
    red: int
    rest: rest_plan.RestSize
    cloud: cloud_plan.CloudSize


FULL = Size(
    points=None,
    zombie_step=3,
    random_kills=75,
    trials=50,
    zombies=26,
    command_lines=10,
    cut_step=1,
    outcomes=2,
    red=60,
    rest=rest_plan.FULL,
    cloud=cloud_plan.FULL,
)
QUICK = Size(
    points=20,
    zombie_step=40,
    random_kills=5,
    trials=3,
    zombies=3,
    command_lines=1,
    cut_step=29,
    outcomes=1,
    red=12,
    rest=rest_plan.QUICK,
    cloud=cloud_plan.QUICK,
)


def jobs(size: Size, folder: Path) -> Iterator[Job]:
    """All jobs. Counts the calls of clean runs, below `folder`, to know where a run can be interrupted."""
    for number, cell in enumerate(CELLS):
        calls = clean_calls(folder / f"calls-{number}", cell, kills.nothing_before)
        yield from _kills(size, cell, calls)
        yield from _zombies(size, cell, len(calls))
        yield from _power_cuts(size, cell)
        if cell.backfilling:
            yield from _backfills(size, cell, folder / f"anew-{number}", len(calls))
        yield from _red_controls(size, cell, calls)
    for cell in TIMED_CELLS:
        yield from _at_any_time(size, cell)
        yield Job("three writers", cell, partial(zombies.three_at_once, cell=cell, rounds=size.zombies, seed=SEED))
    yield from rest_plan.jobs(size.rest)
    yield from cloud_plan.jobs(size.cloud)


def _kills(size: Size, cell: TableCell, calls: list[str]) -> Iterator[Job]:
    number = len(calls)
    for points in _chunks(_chosen(points_of(calls), size.points)):
        yield Job("kill points", cell, partial(kills.at_points, cell=cell, points=points))
    yield from _at_any_time(size, cell)
    yield Job(
        "three kills in a row", cell, partial(kills.three_times, cell=cell, trials=size.trials, calls=number, seed=SEED)
    )
    yield Job(
        "lost answers", cell, partial(kills.with_lost_answers, cell=cell, trials=size.trials, calls=number, seed=SEED)
    )
    yield Job(
        "command line", cell, partial(kills.from_scratch, cell=cell, trials=size.command_lines, calls=number, seed=SEED)
    )


def _at_any_time(size: Size, cell: TableCell) -> Iterator[Job]:
    yield Job(
        "kills at random times", cell, partial(kills.at_random_times, cell=cell, kills=size.random_kills, seed=SEED)
    )
    yield Job("SIGTERM", cell, partial(kills.stopped_at_random_times, cell=cell, trials=size.trials, seed=SEED))


def _zombies(size: Size, cell: TableCell, calls: int) -> Iterator[Job]:
    count = size.zombies
    for points in _chunks([Fault(nth, action="stop") for nth in range(0, calls, size.zombie_step)]):
        yield Job("zombies, any call", cell, partial(zombies.anywhere, cell=cell, points=points, seed=SEED))
    yield Job("zombies, garbage", cell, partial(zombies.collecting_garbage, cell=cell, trials=count, seed=SEED))
    yield Job(
        "zombies, publishing", cell, partial(zombies.between_commit_and_publish, cell=cell, trials=count, seed=SEED)
    )
    yield Job("three writers", cell, partial(zombies.three_at_once, cell=cell, rounds=count, seed=SEED))


def _backfills(size: Size, cell: TableCell, folder: Path, number: int) -> Iterator[Job]:
    before = kills.a_completed_backfill_before
    calls = clean_calls(folder, cell, before, backfill_id=kills.SECOND)
    # What comes after the removal of the old backfill is like any other run: a third of the points is enough.
    for points in _chunks(_chosen(points_of(calls)[::3], size.points)):
        yield Job(
            "kill points, new backfill",
            cell,
            partial(kills.at_points, cell=cell, points=points, prepare=before, backfill_id=kills.SECOND),
        )
    yield Job("backfill ids", cell, partial(kills.identities, cell=cell, calls=number, seed=SEED))
    yield Job("zombies, token", cell, partial(zombies.before_the_token, cell=cell, trials=size.zombies, seed=SEED))
    yield Job(
        "zombies, removing", cell, partial(zombies.removing_an_old_backfill, cell=cell, trials=size.zombies, seed=SEED)
    )


def _power_cuts(size: Size, cell: TableCell) -> Iterator[Job]:
    for anew in (False, True) if cell.backfilling else (False,):
        cuts = range(0, power_cuts.calls_of(cell, anew=anew), size.cut_step)
        for part in range(_CHUNKS):
            yield Job(
                "power cuts, new backfill" if anew else "power cuts",
                cell,
                partial(
                    power_cuts.at_every_call,
                    cell=cell,
                    calls=cuts[part::_CHUNKS],
                    outcomes=size.outcomes,
                    seed=SEED + part,
                    anew=anew,
                ),
            )


def _red_controls(size: Size, cell: TableCell, calls: list[str]) -> Iterator[Job]:
    def red(mistake: str, run: Callable[[Path], Outcome]) -> Job:
        return Job(mistake, cell, run, red=True)

    # Around the commits, where these mistakes hurt most, and a few anywhere.
    commits = [
        Fault(nth, when, operation="link", path="_arcane/log") for nth in range(2, 6) for when in ("before", "after")
    ]
    points = [*commits, *_chosen(points_of(calls), size.red // 3)]
    trials, number = max(2, size.red // 6), len(calls)
    for name, title in (
        ("usual-order", "parts are published, then the position is saved"),
        ("first-watermark", "a watermark is kept over a regrouping"),
    ):
        yield red(title, partial(kills.at_points, cell=cell, points=points, red_control=name))
    for name, title in (
        ("no-nonce-not-happened", "no nonce check: a lost answer means no"),
        ("no-nonce-somebody-else", "no nonce check: an entry that is there is a stranger's"),
    ):
        run = partial(kills.with_lost_answers, cell=cell, trials=trials, calls=number, seed=SEED, red_control=name)
        yield red(title, run)
    renames = [Fault(nth, action="stop", operation="rename", path="_arcane/log") for nth in range(1, 5)]
    run = partial(zombies.anywhere, cell=cell, points=renames, seed=SEED, red_control="rename")
    yield red("rename instead of link", run)
    new_disks: dict[str, Callable[[], PowerCutDisk]] = {
        "no fsync of files": lambda: PowerCutDisk(syncs_files=False),
        "no fsync of the log's folder": lambda: ForgetfulDisk("log"),
        "no fsync of the staging area's folder": lambda: ForgetfulDisk("stage"),
        "no fsync of the parts' folder": lambda: ForgetfulDisk("backfill" if cell.backfilling else "data"),
    }
    cuts = range(0, power_cuts.calls_of(cell), max(1, 340 // size.red))
    for title, new_disk in new_disks.items():
        # Of the staging area only the names of the newest parts can be lost: few states of the disk show it.
        outcomes = 12 if "staging" in title else 2
        run = partial(power_cuts.at_every_call, cell=cell, calls=cuts, outcomes=outcomes, seed=SEED, new_disk=new_disk)
        yield red(title, run)


def _chosen(points: list[Fault], number: int | None) -> list[Fault]:
    return points if number is None else random.Random(SEED).sample(points, number)


def _chunks(points: list[Fault]) -> Iterator[list[Fault]]:
    chunks = 1 if len(points) < 40 else _CHUNKS * 2
    return (points[part::chunks] for part in range(chunks))

"""SIGKILL at every call, at random times, three times in a row; SIGTERM at random times; lost answers."""

import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.proof.cells import Cell
from tests.proof.faults import Fault
from tests.proof.processes import Runner
from tests.proof.trial import Outcome, Trial

FIRST, SECOND = "first", "second"


def folders(folder: Path) -> Iterator[Path]:
    """A fresh name below `folder` for each trial."""
    number = 0
    while True:
        number += 1
        yield folder / f"lake-{number}"


def nothing_before(trial: Trial) -> None:
    """The stream is new."""


def a_completed_backfill_before(trial: Trial) -> None:
    """The stream has a complete backfill, and the one to come has another id."""
    trial.complete("the backfill before", backfill_id=FIRST)


def at_points(
    folder: Path,
    cell: Cell,
    points: Sequence[Fault],
    prepare: Callable[[Trial], None] = nothing_before,
    backfill_id: str = FIRST,
    red_control: str = "",
) -> Outcome:
    """One trial for each kill point: prepare, kill, judge, recover, judge."""
    outcome = Outcome()
    for place, point in zip(folders(folder), points, strict=False):
        trial = Trial(place, cell, f"killed {point.when} call {point.nth} {point.operation}", red_control)
        prepare(trial)
        trial.kill_at(point, backfill_id=backfill_id)
        trial.check("after the kill")
        trial.finish(backfill_id)
        outcome.add(trial)
    return outcome


def at_random_times(folder: Path, cell: Cell, kills: int, seed: int, red_control: str = "") -> Outcome:
    """Kills from outside, spread evenly over a run, until `kills` have hit a running process."""
    dice, outcome = random.Random(seed), Outcome()
    length = _run_length(folder / "clean", cell)
    places = folders(folder)
    for _ in range(kills * 4):
        if outcome.counts["kills"] >= kills:
            break
        moment = dice.uniform(0.0, length)
        trial = Trial(next(places), cell, f"killed after {moment * 1000:.1f} ms", red_control)
        runner = trial.start()
        time.sleep(moment)
        trial.kill(runner)
        trial.counts["at random"] += trial.counts["kills"]
        trial.check("after the kill")
        if trial.counts["kills"]:
            trial.finish()
        outcome.add(trial)
    return outcome


def three_times(folder: Path, cell: Cell, trials: int, calls: int, seed: int) -> Outcome:
    """Kills of a run, of its recovery, and of the recovery's recovery."""
    dice, outcome = random.Random(seed), Outcome()
    for place in _take(folders(folder), trials):
        points = [Fault(dice.randrange(calls), dice.choice(["before", "after"])) for _ in range(3)]
        trial = Trial(place, cell, f"killed at {[point.nth for point in points]}")
        for point in points:
            trial.kill_at(point)
            trial.check(f"after the kill at {point.nth}")
        trial.finish()
        outcome.add(trial)
    return outcome


def stopped_at_random_times(folder: Path, cell: Cell, trials: int, seed: int) -> Outcome:
    """SIGTERM, spread evenly over a run: no token before the end, nothing lost or doubled."""
    dice, outcome = random.Random(seed), Outcome()
    length = _run_length(folder / "clean", cell)
    for place in _take(folders(folder), trials):
        moment = dice.uniform(0.0, length)
        trial = Trial(place, cell, f"stopped after {moment * 1000:.1f} ms")
        runner = trial.start()
        time.sleep(moment)
        stop(trial, runner)
        trial.finish()
        outcome.add(trial)
    return outcome


def stop(trial: Trial, runner: Runner) -> None:
    """SIGTERM, and what must be then."""
    runner.send(signal.SIGTERM)
    ended = runner.wait()
    trial.counts["stops"] += 1
    seen = trial.check("after the stop")
    interrupted = {2} if trial.stage.cell.backfilling and not seen.backfill_completed else {0}
    # The first milliseconds belong to the interpreter, which has no handler yet.
    trial.expect_code(ended, interrupted | {-signal.SIGTERM}, "the stopped runner")
    trial.expect(seen.token_is_visible == seen.backfill_completed, "the token is not where the log says")


def with_lost_answers(folder: Path, cell: Cell, trials: int, calls: int, seed: int, red_control: str = "") -> Outcome:
    """Storage that loses answers of `create`; every third run is killed in addition."""
    dice, outcome = random.Random(seed), Outcome()
    for place in _take(folders(folder), trials):
        trial = Trial(place, cell, "lost answers", red_control)
        for attempt in range(40):
            fault = Fault(dice.randrange(calls)) if attempt % 3 == 1 else None
            ended = trial.run(fault, lost_answers=f"0.4,{dice.randrange(1 << 30)}")
            trial.counts["kills"] += ended.killed
            trial.check(f"after run {attempt}")
            trial.expect_code(ended, {0, 2, -signal.SIGKILL}, f"run {attempt}")
            if ended.code == 0 or trial.problems:
                break
        trial.finish()
        outcome.add(trial)
    return outcome


def from_scratch(folder: Path, cell: Cell, trials: int, calls: int, seed: int) -> Outcome:
    """The same with the command line of production instead of forks."""
    dice, outcome = random.Random(seed), Outcome()
    for place in _take(folders(folder), trials):
        point = Fault(dice.randrange(calls), dice.choice(["before", "after"]))
        trial = Trial(place, cell, f"command line, killed at {point.nth}")
        code = trial.run_from_scratch(point)
        trial.counts["kills"] += code == -signal.SIGKILL
        trial.check("after the kill")
        code = trial.run_from_scratch()
        trial.expect(code == 0, f"the recovery ended with {code}")
        trial.finish()
        outcome.add(trial)
    return outcome


def identities(folder: Path, cell: Cell, calls: int, seed: int) -> Outcome:
    """The same id resumes, another one starts anew, a completed one does nothing."""
    dice, outcome = random.Random(seed), Outcome()
    trial = Trial(folder / "completed", cell, "the id of a completed backfill")
    trial.expect_code(trial.run(backfill_id=FIRST), {0}, "the backfill")
    before = trial.look()
    trial.expect_code(trial.run(backfill_id=FIRST), {0}, "the same again")
    after = trial.look()
    new = after.entries[len(before.entries) :]
    trial.expect(all(not entry["parts"] for entry in new), "a completed backfill was begun again")
    trial.expect(after.position == before.position, "the position has moved")
    trial.finish(FIRST)
    outcome.add(trial)

    for resumed, title in ((FIRST, "the same id"), (SECOND, "another id"), ("", "no id")):
        trial = Trial(folder / title, cell, f"resumed with {title}")
        trial.run(Fault(dice.randrange(calls // 3, calls // 2)), backfill_id=FIRST)
        before = trial.check("after the kill")
        trial.run(Fault(dice.randrange(calls // 2, calls * 2 // 3)), backfill_id=resumed)
        after = trial.check("after the second kill")
        if before.position["backfill"] and after.position["backfill"]:
            generations = [seen.position["backfill"]["generation"] for seen in (before, after)]
            trial.expect((generations[0] == generations[1]) == (resumed != SECOND), "resumed or begun anew wrongly")
        trial.finish(resumed)
        outcome.add(trial)
    return outcome


def _take(places: Iterator[Path], number: int) -> Iterator[Path]:
    return (next(places) for _ in range(number))


def _run_length(folder: Path, cell: Cell) -> float:
    lengths = []
    for place in _take(folders(folder), 3):
        began = time.monotonic()
        trial = Trial(place, cell, "clean run")
        trial.run()
        lengths.append(time.monotonic() - began)
        trial.stage.place.remove()
    return sorted(lengths)[1]

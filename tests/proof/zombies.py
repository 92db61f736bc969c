"""Runners that are frozen (SIGSTOP), replaced by another one, and go on (SIGCONT); and three at once."""

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tests.proof.cells import Cell
from tests.proof.faults import Action, Fault
from tests.proof.kills import FIRST, SECOND, folders
from tests.proof.lake import Lake
from tests.proof.processes import Runner
from tests.proof.trial import MAX_RESTARTS, Outcome, Trial

FENCED = {2}
FENCED_OR_DONE = {0, 2}


def _staged(cell: Cell, nth: int, action: Action) -> Fault:
    """When a runner has begun to stage its n-th part."""
    return cell.store.at("staging", nth, "after", action)


class _Frozen:
    """A runner that was frozen at a call, and what the folder was like then."""

    def __init__(self, trial: Trial, fault: Fault, backfill_id: str = FIRST) -> None:
        self._trial = trial
        known = 0
        for _ in range(MAX_RESTARTS):
            known = len(trial.look().entries)
            self._runner: Runner = trial.start(fault, backfill_id=backfill_id)
            self.frozen = self._runner.wait_until_frozen()
            ended = self._runner.poll()
            # Where requests may fail, it may have ended before it got there.
            if ended is None or ended.code not in trial.stage.cell.store.tolerated:
                break
        self.seen: Lake = trial.check("while frozen")
        self.claimed = len(self.seen.entries) > known
        trial.counts["frozen"] += self.frozen

    @property
    def allowed(self) -> set[int]:
        """The exit codes that it may end with once somebody else has claimed the stream."""
        cell = self._trial.stage.cell
        done = self.seen.backfill_completed if cell.backfilling else self._streamed_all()
        return FENCED if self.claimed and not done else FENCED_OR_DONE

    def _streamed_all(self) -> bool:
        expected = self._trial.stage.cell.expected
        return expected.covered(self.seen.position["stream"], backfill=False) == expected.streamed()

    def go_on(self, allowed: set[int], who: str) -> None:
        """Let it go on to its end."""
        if self.frozen:
            self._runner.send(signal.SIGCONT)
            self._trial.expect_code(self._runner.wait(), allowed, who)
        self._trial.check(f"after {who} went on")


def anywhere(folder: Path, cell: Cell, points: list[Fault], seed: int, red_control: str = "") -> Outcome:
    """Frozen at any call; the successor ends, or is frozen in its turn while the first goes on, or starts anew."""
    dice, outcome = random.Random(seed), Outcome()
    until = 1 + max(point.nth for point in points)
    for number, (place, point) in enumerate(zip(folders(folder), points, strict=False)):
        trial = Trial(place, cell, f"frozen {point.when} call {point.nth}", red_control)
        first = _Frozen(trial, point)
        successor_id = SECOND if number % 3 == 2 else FIRST
        if number % 3 == 0:
            trial.complete("the successor", backfill_id=successor_id)
            trial.check("after the successor")
            first.go_on(first.allowed, "the zombie")
        else:
            _both_frozen(trial, first, Fault(dice.randrange(until), action="stop"), successor_id)
        trial.finish(successor_id)
        outcome.add(trial)
    return outcome


def _both_frozen(trial: Trial, first: _Frozen, point: Fault, successor_id: str) -> None:
    second = _Frozen(trial, point, successor_id)
    replaced = second.claimed or not second.frozen
    first.go_on(first.allowed if replaced else {0} if first.frozen else FENCED_OR_DONE, "the zombie")
    second.go_on({0} if second.claimed else FENCED_OR_DONE, "the successor")


def collecting_garbage(folder: Path, cell: Cell, trials: int, seed: int) -> Outcome:
    """Frozen while it removes what a killed runner left staged; its successor is staging when it goes on."""
    dice, outcome = random.Random(seed), Outcome()
    for number, place in zip(range(trials), folders(folder), strict=False):
        trial = Trial(place, cell, f"frozen in the garbage collection, {number}")
        # A request that is repeated would be counted twice.
        trial.stage.place.set_faults(on=False)
        trial.run(_staged(cell, dice.choice(cell.garbage), "kill"))
        trial.stage.place.set_faults(on=True)
        garbage = len(trial.check("after the kill").garbage)
        trial.expect(garbage >= 1, "there is no garbage to collect")
        nth = dice.randrange(max(1, garbage))
        zombie = _Frozen(trial, cell.store.at("collecting", nth, action="stop"))
        trial.expect(zombie.frozen, "the zombie did not collect garbage")
        if number % 2:
            trial.complete("the successor")
            zombie.go_on(FENCED, "the zombie")
        else:
            successor = _Frozen(trial, _staged(cell, dice.randrange(1, 5), "stop"))
            trial.expect(successor.frozen and bool(successor.seen.staged), "the successor has staged nothing")
            zombie.go_on(FENCED, "the zombie")
            # It may have left something of its own: an upload on S3 that was begun by a request without an answer.
            removed = {*successor.seen.staged} - {*trial.look().staged}
            trial.expect(not removed, "the zombie removed what its successor staged")
            successor.go_on({0}, "the successor")
        trial.finish()
        outcome.add(trial)
    return outcome


def between_commit_and_publish(folder: Path, cell: Cell, trials: int, seed: int) -> Outcome:
    """Frozen when a commit is in the log and a part of it not yet visible."""
    dice, outcome = random.Random(seed), Outcome()
    for number, place in zip(range(trials), folders(folder), strict=False):
        trial = Trial(place, cell, f"frozen before a publication, {number}")
        zombie = _Frozen(
            trial,
            cell.store.at("publishing", dice.randrange(cell.published), action="stop", path=f"{cell.folder}/part-"),
        )
        trial.expect(zombie.frozen, "the zombie was not frozen")
        successor_id = SECOND if number % 2 else FIRST
        trial.complete("the successor", backfill_id=successor_id)
        zombie.go_on(zombie.allowed, "the zombie")
        trial.finish(successor_id)
        outcome.add(trial)
    return outcome


def before_the_token(folder: Path, cell: Cell, trials: int, seed: int) -> Outcome:
    """Frozen just before the completion token appears, while its successor begins a new backfill."""
    dice, outcome = random.Random(seed), Outcome()
    for number, place in zip(range(trials), folders(folder), strict=False):
        trial = Trial(place, cell, f"frozen before the token, {number}")
        zombie = _Frozen(trial, cell.store.at("token", number, action="stop"))
        trial.expect(zombie.frozen and not zombie.seen.token_is_visible, "the token is visible too early")
        successor = _Frozen(trial, _staged(cell, dice.randrange(1, cell.published), "stop"), SECOND)
        trial.expect(successor.claimed and not successor.seen.token_is_visible, "a token is visible in a new backfill")
        zombie.go_on(FENCED, "the zombie")
        trial.expect(not trial.look().token_is_visible, "the zombie has written its token into a new backfill")
        successor.go_on({0}, "the successor")
        trial.finish(SECOND)
        outcome.add(trial)
    return outcome


def removing_an_old_backfill(folder: Path, cell: Cell, trials: int, seed: int) -> Outcome:
    """Frozen while it removes the token or a part of the backfill that it replaces."""
    dice, outcome = random.Random(seed), Outcome()
    for number, place in zip(range(trials), folders(folder), strict=False):
        trial = Trial(place, cell, f"frozen while it removes an old backfill, {number}")
        trial.complete("the old backfill", backfill_id=FIRST)
        nth = 0 if number % 2 else dice.randrange(1, cell.published + 1)
        zombie = _Frozen(trial, cell.store.at("removing", nth, action="stop"), SECOND)
        trial.expect(zombie.frozen, "the zombie removed nothing")
        successor_id = SECOND if number % 4 < 2 else "third"
        trial.complete("the successor", backfill_id=successor_id)
        zombie.go_on(FENCED, "the zombie")
        trial.finish(successor_id)
        outcome.add(trial)
    return outcome


def three_at_once(folder: Path, cell: Cell, rounds: int, seed: int) -> Outcome:
    """Three runners in a loop, one of them now and then frozen or killed, until one comes to the end."""
    dice, outcome = random.Random(seed), Outcome()
    cell = cell.slowed()
    for number, place in zip(range(rounds), folders(folder), strict=False):
        trial = Trial(place, cell, f"three at once, round {number}")
        runners = {index: trial.start() for index in range(3)}
        until = time.monotonic() + 60
        while time.monotonic() < until and runners:
            ended_well = list(_turn(trial, runners, dice))
            if ended_well:
                break
        trial.expect(time.monotonic() < until, "three runners came to no end within a minute")
        for runner in runners.values():
            runner.send(signal.SIGCONT)
            trial.expect_code(runner.wait(), {0, 2, -signal.SIGKILL}, "one of three")
        trial.check("after the race")
        trial.finish()
        outcome.add(trial)
    return outcome


def _turn(trial: Trial, runners: dict[int, Runner], dice: random.Random) -> Iterator[int]:
    """One look at all runners: restart the fenced and the killed; gives those that have come to the end."""
    for index, runner in list(runners.items()):
        ended = runner.poll()
        if ended is None or (ended.code == 2 and dice.random() >= trial.stage.cell.store.haste):
            continue
        trial.expect_code(ended, {0, 2, -signal.SIGKILL}, "one of three")
        trial.counts["fenced"] += ended.code == 2
        if ended.code in (0, 1):
            del runners[index]
            yield index
        else:
            runners[index] = trial.start()
    if dice.random() < 0.3:
        chosen = runners.get(dice.randrange(3))
        if chosen is not None:
            chosen.send(signal.SIGKILL if dice.random() < 0.1 else signal.SIGSTOP)
            time.sleep(dice.uniform(0.0, 0.02))
            if chosen.poll() is None:
                chosen.send(signal.SIGCONT)
    time.sleep(0.002)

"""One story on one fresh folder: runs, faults, and a judgement after each of them."""

import signal
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arcane_framework.commits import StreamState
from tests.proof.cells import Cell, Start
from tests.proof.faults import Fault
from tests.proof.lake import Lake
from tests.proof.processes import Exit, Runner, Stage, must_have_no_threads

MAX_PROBLEMS = 20
MAX_RESTARTS = 6


@dataclass
class Outcome:
    """What some trials have shown.

    Attributes:
        counts: What happened how often.
        points: Where runners were killed, each place once.
        bad: Trials with a problem.
        problems: The first ones, in words.
    """

    counts: Counter[str] = field(default_factory=Counter)
    bad: int = 0
    problems: list[str] = field(default_factory=list)
    points: set[str] = field(default_factory=set)

    def add(self, trial: "Trial") -> None:
        """Take note of a trial that is over."""
        self.counts["trials"] += 1
        self.counts += trial.counts
        self.points |= trial.points
        self.bad += bool(trial.problems)
        trial.stage.place.set_faults(on=False)
        self.counts["gone wrong"] += trial.stage.place.injected
        trial.stage.place.remove()
        self.problems = [*self.problems, *(f"{trial.title}: {text}" for text in trial.problems)][:MAX_PROBLEMS]


class Trial:
    """Runs runners on one folder and collects what is wrong.

    Attributes:
        title: For problems.
        stage: Where it plays.
        problems: What was wrong so far.
        counts: What happened how often.
        points: Where runners were killed.
    """

    def __init__(self, folder: Path, cell: Cell, title: str, red_control: str = "", *, hasty: bool = False) -> None:
        self.title = f"{cell.name}: {title}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.stage = Stage(cell, folder, cell.store.place(folder, zlib.crc32(self.title.encode())), red_control)
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self._runners = 0
        self._hasty = hasty
        self._witness = cell.witness()
        self.points: set[str] = set()
        must_have_no_threads()

    def start(self, fault: Fault | None = None, **environment: Any) -> Runner:
        """Start a runner."""
        self.counts["processes"] += 1
        return self.stage.start(self._environment(fault=fault, **environment))

    def run(self, fault: Fault | None = None, **environment: Any) -> Exit:
        """Run a runner to its end, whatever that is."""
        return self.start(fault, **environment).wait()

    def complete(self, who: str, **environment: Any) -> None:
        """Run to the end; where requests may fail, as an operator would: again, a few times."""
        ended = self.run(**environment)
        for _ in range(MAX_RESTARTS):
            if ended.code not in self.stage.cell.store.tolerated:
                break
            self.counts["restarts"] += 1
            ended = self.run(**environment)
        self.expect(ended.code == 0, f"{who} ended with {ended.code} instead of [0]")

    def kill_at(self, fault: Fault, **environment: Any) -> None:
        """Run a runner that kills itself, if it gets there."""
        if self.run(fault, **environment).killed:
            self.counts["kills"] += 1
            self.points.add(fault.to_json())

    def kill(self, runner: Runner) -> None:
        """Kill a runner from outside; nothing if it has ended."""
        number, moment = self._runners, time.monotonic()
        runner.send(signal.SIGKILL)
        if runner.wait().killed:
            self.counts["kills"] += 1
            self.counts["in the air"] += self._witness.is_in_the_air(number, moment)

    def run_from_scratch(self, fault: Fault | None = None) -> int:
        """Run the command line of production to its end; returns its exit code."""
        with self.stage.start_from_scratch(self._environment(fault=fault)) as process:
            return process.wait(timeout=60)

    def _environment(
        self, *, backfilling: bool | None = None, backfill_id: str = "first", undisturbed: bool = False, **more: Any
    ) -> dict[str, str]:
        """A new runner's environment; tells the witness."""
        self._runners += 1
        backfill = self.stage.cell.backfilling if backfilling is None else backfilling
        position = self.stage.place.newest_position()
        self._witness.started(Start(self._runners, backfill, backfill_id, position, undisturbed))
        return self.stage.environment(
            backfilling=backfill, backfill_id=backfill_id, runner_number=self._runners, hasty=self._hasty, **more
        )

    def look(self) -> Lake:
        """The folder as it is; nothing may be running on it."""
        return Lake(self.stage.place.snapshot(), self.stage.cell.expected)

    def check(self, when: str) -> Lake:
        """Judge the folder as it is."""
        return self._judge(when, Lake.problems)

    def expect(self, holds: bool, problem: str) -> None:
        """Take note of `problem` unless `holds`."""
        if not holds:
            self.problems.append(problem)

    def expect_code(self, ended: Exit, allowed: set[int], who: str) -> None:
        """Take note when a runner has ended with another code."""
        allowed = allowed | self.stage.cell.store.tolerated
        self.expect(ended.code in allowed, f"{who} ended with {ended.code} instead of {sorted(allowed)}")

    def finish(self, backfill_id: str = "first") -> None:
        """Run to the end without faults, then once more, and judge both."""
        backfilling, store, place = self.stage.cell.backfilling, self.stage.cell.store, self.stage.place
        self.complete("the recovery", backfill_id=backfill_id, undisturbed=not store.tolerated)
        self._judge("after the recovery", lambda seen: seen.end_problems(backfill=backfilling, stream=not backfilling))
        place.set_faults(on=False)
        # A backfill is followed by a stream, a stream by one that finds nothing new.
        ended = self.run(backfilling=False, undisturbed=True)
        self.expect(ended.code == 0, f"the next start ended with {ended.code} instead of [0]")
        seen = self._judge("in the end", lambda seen: seen.end_problems(backfill=backfilling, stream=True))
        self.expect(store.keeps_abandoned or not seen.staged, f"left in the staging area: {seen.staged[:3]}")
        self.problems += self._witness.problems()
        state = StreamState(place.storage())
        self._guarded("verify", lambda: [f"{found.path} {found.text}" for found in state.verify()])

    def _judge(self, when: str, problems: Callable[[Lake], list[str]]) -> Lake:
        seen = self.look()
        self._guarded(when, lambda: problems(seen))
        return seen

    def _guarded(self, when: str, problems: Callable[[], list[str]]) -> None:
        try:
            self.problems += [f"{when}: {text}" for text in problems()]
        except Exception as error:  # A judge that cannot read the folder has found a problem.
            self.problems.append(f"{when}: the folder cannot be read: {error!r}")


def clean_calls(folder: Path, cell: Cell, prepare: Callable[[Trial], Any], **environment: Any) -> list[str]:
    """The calls of a clean run to the store, each as its name and path."""
    trial = Trial(folder, cell, "clean run")
    prepare(trial)
    trial.stage.place.set_faults(on=False)
    calls = folder.with_suffix(".calls")
    ended = trial.run(calls_file=calls, **environment)
    assert ended.code == 0, (ended, trial.stage.log_file.read_text()[-4000:])
    assert not trial.problems, trial.problems
    trial.stage.place.remove()
    return calls.read_text().splitlines()


def points_of(calls: list[str]) -> list[Fault]:
    """Every kill point of a clean run: before and after each call, and in the middle of each write."""
    writes = sum(call.startswith("write ") for call in calls)
    return [
        *(Fault(number, when) for number in range(len(calls)) for when in ("before", "after")),
        *(Fault(number, "during", operation="write") for number in range(writes)),
    ]

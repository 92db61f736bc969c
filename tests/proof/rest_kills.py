"""Faults around the requests to an API: kills with a request in the air, and answers that refuse."""

import random
import time
from dataclasses import replace
from pathlib import Path

from tests import rest_api
from tests.proof import kills
from tests.proof.faults import Fault
from tests.proof.processes import Runner
from tests.proof.rest_cells import RestCell
from tests.proof.trial import Outcome, Trial

# So long an answer is held back until the kill: most of what came before it is committed by then, or nothing.
_HELD_SECONDS = (0.0, 0.06)
_FIRST_BYTES_SECONDS = 0.01
_BYTE_SECONDS = 0.002
_REFUSALS = {401: 1, 503: 2}
"""Statuses and how often in a row."""


def around_requests(folder: Path, cell: RestCell, step: int, seed: int) -> Outcome:
    """Killed before every `step`-th request, while it is in the air, in its answer's middle, and after the head."""
    dice, outcome = random.Random(seed), Outcome()
    places = kills.folders(folder)
    for point in cell.more_points()[step // 2 :: step]:
        trial = Trial(next(places), cell, f"killed {point.when} request {point.nth + 1}")
        ended = trial.run(replace(point, action="kill"))
        trial.expect(ended.killed, "the request was not sent")
        trial.counts["kills"] += ended.killed
        _conclude(trial, outcome)
    for number in _every(step, cell):
        for fault, seconds in (
            (rest_api.Fault(action="hang", request=number), dice.uniform(*_HELD_SECONDS)),
            (rest_api.Fault(action="drip", request=number, seconds=_BYTE_SECONDS), _FIRST_BYTES_SECONDS),
        ):
            trial = Trial(next(places), cell, f"killed while request {number} is in the air ({fault.action})")
            trial.kill(_held(trial, cell, fault, seconds))
            _conclude(trial, outcome)
    return outcome


def stopped_in_requests(folder: Path, cell: RestCell, step: int, seed: int) -> Outcome:
    """SIGTERM while every `step`-th request is in the air: the run ends without its answer."""
    dice, outcome = random.Random(seed), Outcome()
    places = kills.folders(folder)
    for number in _every(step, cell):
        trial = Trial(next(places), cell, f"stopped while request {number} is in the air")
        runner = _held(trial, cell, rest_api.Fault(action="hang", request=number), dice.uniform(*_HELD_SECONDS))
        kills.stop(trial, runner)
        trial.finish()
        outcome.add(trial)
    return outcome


def refused(folder: Path, cell: RestCell, status: int, step: int, seed: int, red_control: str = "") -> Outcome:
    """Every `step`-th request is refused with `status`; every other runner is killed in addition."""
    dice, outcome = random.Random(seed), Outcome()
    ends_the_run = status == 401 and not cell.with_tokens
    for place, number in zip(kills.folders(folder), _every(step, cell), strict=False):
        trial = Trial(place, cell, f"{status} for request {number}", red_control, hasty=True)
        cell.server.add_fault(rest_api.Fault(status=status, request=number, times=_REFUSALS[status]))
        fault = Fault(dice.randrange(100)) if number // step % 2 and not ends_the_run else None
        ended = trial.run(fault)
        if ends_the_run:
            trial.expect_code(ended, {1}, "the refused runner")
        elif not ended.killed:
            trial.expect_code(ended, {0}, "the refused runner")
        trial.counts["kills"] += ended.killed
        trial.check("after the refusal")
        trial.finish()
        trial.counts["refusals"] += sum(entry.status == status for entry in cell.server.journal())
        outcome.add(trial)
    return outcome


def _every(step: int, cell: RestCell) -> range:
    """Numbers of requests, also where only a few are chosen some from the middle of a window."""
    return range(1 + step // 2, cell.requests + 1, step)


def _held(trial: Trial, cell: RestCell, fault: rest_api.Fault, seconds: float) -> Runner:
    """A runner whose request the server holds back."""
    cell.server.add_fault(fault)
    runner = trial.start()
    cell.server.wait_for_requests(fault.request)
    time.sleep(seconds)
    return runner


def _conclude(trial: Trial, outcome: Outcome) -> None:
    trial.check("after the kill")
    trial.finish()
    outcome.add(trial)

"""Spreads jobs over forked workers; nothing here has a thread, because the workers fork in their turn."""

import json
import os
import shutil
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.proof.job import Job
from tests.proof.processes import die_with_parent, must_have_no_threads
from tests.proof.trial import Outcome


def run(jobs: Sequence[Job], folder: Path, workers: int, said: Callable[[str], None]) -> list[Outcome]:
    """The outcome of each job, in order. A job that fails itself, or whose worker dies, counts as a bad trial.

    Args:
        jobs: What to run; workers take them in this order.
        folder: For the jobs' folders, of which each is removed when its job has found nothing.
        workers: How many processes.
        said: Told about each job that is over, on the worker's side.
    """
    must_have_no_threads()
    reader, writer = os.pipe()
    pids = [pid for pid in (_worker(jobs, folder, (reader, writer), said) for _ in range(workers)) if pid]
    os.close(reader)
    for index in range(len(jobs)):
        os.write(writer, index.to_bytes(4, "big"))
    os.close(writer)
    for pid in pids:
        os.waitpid(pid, 0)
    return [_read(folder / f"{index}.json") for index in range(len(jobs))]


def _worker(jobs: Sequence[Job], folder: Path, pipe: tuple[int, int], said: Callable[[str], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        die_with_parent()
        os.close(pipe[1])
        while number := os.read(pipe[0], 4):
            _work(int.from_bytes(number, "big"), jobs, folder, said)
    finally:
        sys.stderr.flush()
        os._exit(0)


def _work(index: int, jobs: Sequence[Job], folder: Path, said: Callable[[str], None]) -> None:
    job, place = jobs[index], folder / f"job-{index}"
    try:
        outcome = job.run(place)
    except BaseException:  # A proof that cannot be run is no proof.
        outcome = Outcome(Counter(errors=1), 1, [traceback.format_exc()])
    if job.red or not outcome.bad:
        shutil.rmtree(place, ignore_errors=True)
    (folder / f"{index}.json").write_text(
        json.dumps([outcome.counts, outcome.bad, outcome.problems, sorted(outcome.points)])
    )
    said(f"{job.section}, {job.cell.name}: {outcome.counts['trials']} trials, {outcome.bad} bad")


def _read(file: Path) -> Outcome:
    if not file.exists():
        return Outcome(Counter(errors=1), 1, ["the worker died"])
    counts, bad, problems, points = json.loads(file.read_text())
    return Outcome(Counter(counts), bad, problems, set(points))

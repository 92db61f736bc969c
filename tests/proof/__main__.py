"""`python -m tests.proof`: kills, freezes and power cuts; ends with 0 when the proof holds, else with 1."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from arcane_framework.commits import layout
from tests.proof import plan, pool
from tests.proof.job import Job
from tests.proof.processes import SHORT_BLOCKS, warm_up
from tests.proof.report import Report


def main() -> int:
    """Run what the command line asks for and print the result."""
    options = _parse()
    layout.BLOCK_DIGITS = SHORT_BLOCKS
    warm_up()
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="proof-", dir=options.folder or _fast_folder()))
    every = list(plan.jobs(plan.QUICK if options.quick else plan.FULL, folder))
    part, parts = options.part
    chosen = [job for job in every if not options.only or any(_fits(job, name) for name in options.only)][part::parts]

    def said(text: str) -> None:
        if not options.quiet:
            sys.stderr.write(f"{time.monotonic() - began:6.0f} s  {text}\n")

    outcomes = pool.run(chosen, folder, options.workers, said)
    report = Report(chosen, outcomes, full=not options.quick)
    print(report.to_text())
    print(f"{time.monotonic() - began:.0f} s with {options.workers} workers", flush=True)
    if options.json:
        options.json.write_text(json.dumps(report.to_json(), indent=1) + "\n")
    if report.holds:
        shutil.rmtree(folder)
    else:
        print(f"The folders of bad trials and what their runners said are in {folder}")
    return 0 if report.holds else 1


def _fits(job: Job, name: str) -> bool:
    return job.section.startswith(name) or (job.red and name == "red controls")


def _part(text: str) -> tuple[int, int]:
    part, parts = (int(number) for number in text.split("/"))
    if not 1 <= part <= parts:
        raise ValueError(text)
    return part - 1, parts


def _fast_folder() -> str | None:
    """Memory, if there is some: a killed process loses nothing of what it has written, synced or not."""
    shared = "/dev/shm"
    return shared if os.access(shared, os.W_OK) else None


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description="Prove that faults lose nothing.")
    parser.add_argument("--quick", action="store_true", help="a small selection")
    parser.add_argument("--only", action="append", metavar="SECTION", help="only sections that begin like this")
    parser.add_argument("--part", type=_part, default=(0, 1), metavar="K/N", help="only every N-th job, from the K-th")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here, too")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", help="where the streams' folders go, for a while")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

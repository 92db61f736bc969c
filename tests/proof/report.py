"""The result of a proof as a table and as JSON; every number in it was counted by the run."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.proof.job import Job
from tests.proof.trial import Outcome

FAULTS = ("kills", "in the air", "refusals", "stops", "frozen", "fenced", "cuts", "gone wrong", "restarts")

MINIMUMS = {
    "kill points": ("kills", 100),
    "kills at random times": ("kills", 300),
    "power cuts": ("cuts", 2000),
    "zombies, any call": ("frozen", 100),
    "three writers": ("fenced", 100),
    "zombies, garbage": ("frozen", 100),
    "zombies, publishing": ("frozen", 100),
    "zombies, token": ("frozen", 50),
    "zombies, removing": ("frozen", 50),
    "REST, kill points": ("kills", 1500),
    "REST, kills at random times": ("in the air", 60),
    "REST, kills around requests": ("in the air", 150),
    "REST, refusals": ("refusals", 200),
    "REST, zombies, any call": ("frozen", 300),
    "REST, three writers": ("fenced", 50),
}
"""What the full run must reach, over all cells, so that its result means something."""

GROUP_MINIMUMS = {
    "kill points": ("kill points", 40),
    "kills at random times": ("random kills", 80),
    "zombies": ("zombies", 25),
}
"""What it must reach in each group of cells, where there is a section with this in its name."""


Group = tuple[str, str, str]
"""Store, format and source."""


@dataclass(frozen=True, slots=True)
class Line:
    """A section in one cell."""

    section: str
    cell: str
    group: Group
    counts: Counter[str]
    bad: int
    red: bool

    @property
    def holds(self) -> bool:
        """Whether it is as it should be: nothing bad, or, in a red control, something, and nothing broken."""
        return not self.counts["errors"] and (self.bad > 0) == self.red


@dataclass(slots=True)
class Coverage:
    """What was done to one store with one format and one source, red controls left out."""

    points: set[str] = field(default_factory=set)
    random_kills: int = 0
    zombies: int = 0
    requests: int = 0
    violations: int = 0
    sections: set[str] = field(default_factory=set)

    def add(self, section: str, outcome: Outcome) -> None:
        """Take note of a section."""
        self.points |= outcome.points
        self.random_kills += outcome.counts["at random"]
        self.zombies += outcome.counts["frozen"]
        self.requests += outcome.counts["gone wrong"]
        self.violations += outcome.bad
        self.sections.add(section)

    @property
    def numbers(self) -> dict[str, int]:
        """By their names in tables. Kill points are distinct ones."""
        return {
            "kill points": len(self.points),
            "random kills": self.random_kills,
            "zombies": self.zombies,
            "requests gone wrong": self.requests,
            "violations": self.violations,
        }


class Report:
    """The lines of a proof.

    Args:
        jobs: What was run.
        outcomes: Of each job.
        full: Whether the full run's minimums count.
    """

    def __init__(self, jobs: Sequence[Job], outcomes: Sequence[Outcome], *, full: bool) -> None:
        merged: dict[tuple[str, str, bool], Outcome] = {}
        groups: dict[tuple[str, str, bool], Group] = {}
        self.coverage: dict[Group, Coverage] = {}
        for job, outcome in zip(jobs, outcomes, strict=True):
            group = (job.cell.store.name, job.cell.format_name, job.cell.source)
            groups[job.section, job.cell.name, job.red] = group
            if not job.red:
                self.coverage.setdefault(group, Coverage()).add(job.section, outcome)
            into = merged.setdefault((job.section, job.cell.name, job.red), Outcome())
            into.counts += outcome.counts
            into.bad += outcome.bad
            into.problems += outcome.problems
        self.lines = [
            Line(section, cell, groups[section, cell, red], into.counts, into.bad, red)
            for (section, cell, red), into in merged.items()
        ]
        self._problems = [
            f"{section}: {text}"
            for (section, _, red), into in merged.items()
            for text in into.problems
            if not red or into.counts["errors"]
        ]
        self._full = full

    @property
    def holds(self) -> bool:
        """Whether the proof holds."""
        return bool(self.lines) and all(line.holds for line in self.lines) and not list(self.missed())

    def total(self, section: str, count: str) -> int:
        """A count over all cells."""
        return sum(line.counts[count] for line in self.lines if line.section == section)

    def missed(self) -> Iterator[str]:
        """Minimums that the full run has not reached."""
        present = {line.section for line in self.lines}
        for section, (count, minimum) in MINIMUMS.items():
            reached = self.total(section, count)
            if self._full and section in present and reached < minimum:
                yield f"{section}: only {reached} {count}, {minimum} are needed"
        for group, coverage in self.coverage.items():
            for part, (count, minimum) in GROUP_MINIMUMS.items():
                reached = coverage.numbers[count]
                if self._full and reached < minimum and any(part in section for section in coverage.sections):
                    yield f"{', '.join(group)}: only {reached} {count}, {minimum} are needed"

    def problems(self) -> Iterator[str]:
        """All that is wrong, in words."""
        yield from self._problems
        yield from (
            f"red control not noticed: {line.section} ({line.cell})" for line in self.lines if line.red and not line.bad
        )
        yield from self.missed()

    def to_json(self) -> dict[str, Any]:
        """For documents that are generated from it."""
        return {
            "holds": self.holds,
            "full": self._full,
            "cells": [
                {"store": store, "format": file_format, "source": source, **coverage.numbers}
                for (store, file_format, source), coverage in self.coverage.items()
            ],
            "lines": [
                {
                    "section": line.section,
                    "cell": line.cell,
                    "red_control": line.red,
                    "trials": line.counts["trials"],
                    "processes": line.counts["processes"],
                    "faults": {name: line.counts[name] for name in FAULTS if line.counts[name]},
                    "bad": line.bad,
                }
                for line in self.lines
            ],
        }

    def to_text(self) -> str:
        """Tables: what must find nothing, by section and by group, and what must find something."""
        rows = [("section", "stream", "trials", "processes", "faults", "bad"), *map(_row, self._of(red=False))]
        reds = [("red control: must be noticed", "stream", "trials", "noticed"), *map(_red_row, self._of(red=True))]
        groups = [
            ("store", "format", "source", *Coverage().numbers),
            *self._group_rows(),
        ]
        parts = [_table(rows), _table(groups), _table(reds), "\n".join(self.problems())]
        return "\n\n".join([*filter(None, parts), "The proof holds." if self.holds else "THE PROOF DOES NOT HOLD."])

    def _group_rows(self) -> Iterator[tuple[str, ...]]:
        for group, coverage in sorted(self.coverage.items(), key=lambda item: item[0]):
            yield *group, *map(str, coverage.numbers.values())

    def _of(self, *, red: bool) -> list[Line]:
        return sorted((line for line in self.lines if line.red == red), key=lambda line: line.section)


def _row(line: Line) -> tuple[str, ...]:
    faults = ", ".join(f"{line.counts[name]} {name}" for name in FAULTS if line.counts[name])
    return (line.section, line.cell, str(line.counts["trials"]), str(line.counts["processes"]), faults, str(line.bad))


def _red_row(line: Line) -> tuple[str, ...]:
    return line.section, line.cell, str(line.counts["trials"]), str(line.bad)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    if len(rows) == 1:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )

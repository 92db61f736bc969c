"""Measured figures and how they are shown; pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        rounds: Measurements of each kind; they are interleaved, and their median is the figure.
        batches: Batches of one measurement of the overhead.
        parts: Parts of one measurement of writing.
        part_rows: Rows of a part.
        backfill_rows: The lengths of the backfills whose memory is compared.
        starts: Processes started of each kind.
        rest_pages: The shortest, the usual and the longest number of REST pages; the usual one is measured in rounds.
        rest_page_rows: Rows of a page.
        store_parts: Parts of one measurement of uploads.
        store_part_rows: Rows of such a part, 8 bytes each.
        store_memory_rows: Rows of the parts whose memory is measured.
        peers: Whether other projects' software is measured, too; that takes long, and installs it once.
    """

    rounds: int
    batches: int
    parts: int
    part_rows: int
    backfill_rows: tuple[int, ...]
    starts: int
    rest_pages: tuple[int, int, int]
    rest_page_rows: int
    store_parts: int
    store_part_rows: int
    store_memory_rows: int
    peers: bool


FULL = Scale(
    rounds=7,
    batches=5_000,
    parts=24,
    part_rows=100_000,
    backfill_rows=(100_000, 1_000_000, 3_000_000),
    starts=7,
    rest_pages=(10, 100, 500),
    rest_page_rows=10_000,
    store_parts=8,
    store_part_rows=1_000_000,
    store_memory_rows=8_000_000,
    peers=True,
)
TINY = Scale(
    rounds=1,
    batches=20,
    parts=2,
    part_rows=100,
    backfill_rows=(2_000, 4_000),
    starts=1,
    rest_pages=(1, 3, 7),
    rest_page_rows=50,
    store_parts=2,
    store_part_rows=1_000,
    store_memory_rows=80_000,
    peers=False,
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes:
        name: What was measured.
        measured: How much it was.
        unit: Of `measured` and `goal`.
        goal: At most this much; None when the figure only explains another one.
    """

    name: str
    measured: float
    unit: str
    goal: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None when there is none."""
        return None if self.goal is None else self.measured <= self.goal


def table(groups: Mapping[str, Sequence[Figure]]) -> str:
    """The figures as a plain table, one block a benchmark."""
    width = max((len(figure.name) for figures in groups.values() for figure in figures), default=0)
    lines = [f"{'':{width}}  {'measured':>10}  {'goal':>10}"]
    for benchmark, figures in groups.items():
        lines += ["", benchmark]
        lines += [_line(figure, width) for figure in figures]
    return "\n".join(lines)


def as_json(groups: Mapping[str, Sequence[Figure]], machine: Mapping[str, object]) -> str:
    """The same as JSON, with the machine that they were measured on."""
    content = {name: [{**asdict(figure), "met": figure.met} for figure in figures] for name, figures in groups.items()}
    return json.dumps({"machine": dict(machine), "figures": content}, indent=2) + "\n"


def _line(figure: Figure, width: int) -> str:
    goal = "" if figure.goal is None else f"<= {_number(figure.goal)}"
    verdict = "  missed" if figure.met is False else ""
    return f"{figure.name:{width}}  {_number(figure.measured):>10}  {goal:>10}  {figure.unit}{verdict}".rstrip()


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"

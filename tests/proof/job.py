"""A piece of the proof."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.proof.cells import Cell
from tests.proof.trial import Outcome


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of the proof.

    Attributes:
        section: What it is about, or the mistake of a red control.
        cell: How the stream is run.
        run: Runs it in a fresh folder, in a process without threads.
        red: Whether it must find problems.
    """

    section: str
    cell: Cell
    run: Callable[[Path], Outcome]
    red: bool = False

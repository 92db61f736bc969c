"""What the proof has to know of a stream: how it is run, what it has to deliver, and who watches it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

from tests.proof.faults import Fault
from tests.proof.stores import LOCAL, Store

WatermarkJson = Mapping[str, Any]
"""A source's watermark, as the log holds it."""


class Expected(Protocol):
    """What a stream's folder should hold, as ids of rows in the order of the source."""

    def backfilled(self) -> list[int]:
        """The rows of a complete backfill."""
        ...

    def streamed(self) -> list[int]:
        """The rows that the stream adds until its source has nothing more."""
        ...

    def covered(self, watermark: WatermarkJson | None, *, backfill: bool) -> list[int]:
        """The rows of a backfill, or of the stream, that must be committed at a watermark; None: at the beginning."""
        ...


@dataclass(frozen=True, slots=True)
class Start:
    """What a runner is told and what it finds.

    Attributes:
        runner: Its number in its trial.
        backfilling: Whether it is to backfill.
        backfill_id: The backfill's identity.
        position: Of the newest log entry.
        undisturbed: Whether it is alone and meets no fault.
    """

    runner: int
    backfilling: bool
    backfill_id: str
    position: Mapping[str, Any]
    undisturbed: bool


class Witness(Protocol):
    """Sees what the runners of a trial do to the source."""

    def started(self, start: Start) -> None:
        """A runner is about to start."""
        ...

    def is_in_the_air(self, runner: int, moment: float) -> bool:
        """Whether a runner was waiting for an answer at a moment of the monotonic clock."""
        ...

    def problems(self) -> list[str]:
        """What no runner should have done; when all have ended."""
        ...


class NoWitness:
    """There is nothing to be seen."""

    def started(self, start: Start) -> None: ...

    def is_in_the_air(self, runner: int, moment: float) -> bool:
        return False

    def problems(self) -> list[str]:
        return []


@dataclass(frozen=True, slots=True)
class Cell(ABC):
    """One way to run a stream.

    Attributes:
        backfilling: Whether its runs are backfills (and one more, at the end, streams).
        file_format: Of the parts.
        settings: Of the spec, above the cell's own.
        label: What is special about it.
        store: Where it writes to.
    """

    plugin: ClassVar[str]
    """As the command line takes it."""
    source: ClassVar[str]
    """What it reads, for people."""
    backfilling: bool
    file_format: str
    settings: Mapping[str, object] = field(default_factory=dict)
    label: str = ""
    store: Store = LOCAL

    @property
    def name(self) -> str:
        """For people."""
        return f"{'backfill' if self.backfilling else 'stream'}, {self.format_name}{self.label}"

    @property
    def format_name(self) -> str:
        """The parts' format, for people."""
        return {"parquet": "Parquet", "json": "JSON lines"}[self.file_format]

    @property
    def folder(self) -> str:
        """The folder of the parts."""
        return "backfill" if self.backfilling else "data"

    @property
    @abstractmethod
    def expected(self) -> Expected:
        """What must be there in the end."""

    @property
    @abstractmethod
    def published(self) -> int:
        """So many parts are published, at least."""

    @property
    @abstractmethod
    def garbage(self) -> Sequence[int]:
        """Parts, by their number from 0, at whose beginning two or more are staged and not committed."""

    @property
    def stream_kind(self) -> str:
        """The custom resource's kind."""
        return "Proof"

    @abstractmethod
    def spec(self, location: str) -> dict[str, object]:
        """The stream's spec."""

    @abstractmethod
    def slowed(self) -> Self:
        """The same, slow enough that runners meet."""

    def variables(self, runner: int) -> Mapping[str, str]:
        """Further variables of a runner's environment."""
        return {}

    def witness(self) -> Witness:
        """For a new trial."""
        return NoWitness()

    def more_points(self) -> list[Fault]:
        """Where runners can be frozen beside the calls of the store."""
        return []

"""The sink protocol: write where nobody sees it, then make it visible together with the position."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import pyarrow as pa

from arcane_framework._core.batch import QuarantinedRow
from arcane_framework._core.clock import Clock
from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.position import Position
from arcane_framework._core.services import Logger, Metrics, StreamIdentity


@dataclass(frozen=True, slots=True)
class Grouping:
    """When rows are cut into groups and when they are committed.

    A group is cut at exactly `rows` rows, or at `nbytes` bytes. A commit happens only at a watermark:
    when `rows` rows or `nbytes` bytes have come, or `within` seconds have passed, since the last commit.

    Attributes:
        rows: Rows of a group.
        within: Seconds that a row covered by a watermark may wait for its commit.
        nbytes: Bytes of a group in memory, by the average width of the rows at hand.
        idle: Seconds between two commits that move the watermark without any row.
        groups_per_file: Groups that make a full part, for sinks that write files.
    """

    rows: int = 100_000
    within: float = 10.0
    nbytes: int = 128 << 20
    idle: float = 300.0
    groups_per_file: int = 1

    def __post_init__(self) -> None:
        for name in ("rows", "within", "nbytes", "idle", "groups_per_file"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"grouping: {name} must be greater than zero, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class SinkRun:
    """What a sink is told when it is opened.

    Attributes:
        stream: Whose run this is.
        schema: The schema of the groups to come.
        schema_hash: Its short name.
        clock: The run's clock.
        log: The run's logger.
        metrics: The run's metrics, with all tags.
        background: Whether `commit` may return before it is done.
    """

    stream: StreamIdentity
    schema: pa.Schema
    schema_hash: str
    clock: Clock
    log: Logger
    metrics: Metrics
    background: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    """What a sink has made visible in one commit: parts (files, say) and their bytes."""

    parts: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class CommitReport:
    """One commit, for logs, metrics and the progress line.

    Attributes:
        rows: Rows made visible.
        quarantined: Rows set aside with it.
        nbytes: Bytes made visible; 0 when the sink does not say.
        parts: Parts made visible; 0 when the sink does not say.
        description: The watermark as its source describes it; None when there is none.
        seconds: How long the commit took.
    """

    rows: int
    quarantined: int
    nbytes: int
    parts: int
    description: str | None
    seconds: float


class Sink(ABC):
    """Where rows go. Called on one thread at a time, never while another call is running.

    The order is: `open`, then any number of `write`/`quarantine` followed by `commit` or `discard`, at last
    `close`. What is written becomes visible by `commit` only, in one step with the position. A stop does not
    interrupt a sink: it waits on the run's clock, never on the kill switch.

    Attributes:
        grouping: How rows are cut and when they are committed; given by the sink's settings.
        location: Where rows go, without credentials, for a picture of the graph; None when it has no place.
    """

    grouping: Grouping = Grouping()
    location: str | None = None

    @abstractmethod
    def open(self, run: SinkRun) -> Position:
        """Recover what an earlier run left behind and return the stored position (`Position()` if none)."""

    @abstractmethod
    def write(self, group: pa.Table) -> None:
        """Take a group, of at least one row and one schema; nobody may see it yet. May block."""

    @abstractmethod
    def commit(self, position: Position) -> "Committed | Future[Committed] | None":
        """Make everything written since the last commit visible and store `position`, in one atomic step.

        Called with nothing written, too: then only the position moves.

        With `SinkRun.background` a sink may return a future and go on beside the writing of what comes next. Commits
        still happen in their order. Nothing is reported before the future is done, its error ends the run, and a run
        waits for it before it ends.
        """

    @abstractmethod
    def discard(self) -> None:
        """Forget everything written since the last commit."""

    def begin_backfill(self, position: Position) -> None:
        """Store the position of a backfill that begins anew and remove its predecessor's rows."""
        self.commit(position)

    def quarantine(self, rows: Sequence[QuarantinedRow]) -> None:
        """Take rows that were set aside; committed with the rest.

        Raises:
            ConfigurationError: This sink has no place for them.
        """
        raise ConfigurationError(f"{type(self).__name__} cannot keep quarantined rows: set quarantine: false")

    def close(self) -> None:
        """Release what is held; called exactly once when `open` was called, also when that failed."""

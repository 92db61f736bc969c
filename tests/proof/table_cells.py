"""Cells whose source is a table, read by its stamps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from tests.proof.cells import Cell, WatermarkJson
from tests.proof.stores import LOCAL
from tests.proof.table import Table


@dataclass(frozen=True, slots=True)
class ExpectedSets:
    """See `Expected`.

    Attributes:
        backfill_sets: Change sets that a backfill covers; 0: there is no backfill.
        sets: All change sets.
    """

    backfill_sets: int
    sets: int

    def backfilled(self) -> list[int]:
        return Table(0, self.backfill_sets).ids()

    def streamed(self) -> list[int]:
        return Table(self.backfill_sets, self.sets).ids()

    def covered(self, watermark: WatermarkJson | None, *, backfill: bool) -> list[int]:
        first = 0 if backfill else self.backfill_sets
        return Table(first, first if watermark is None else watermark["stamp"] + 1).ids()


@dataclass(frozen=True, slots=True)
class TableCell(Cell):
    """A stream that reads the table."""

    plugin: ClassVar[str] = "tests.proof.runner:host"
    source: ClassVar[str] = "keyset with ties"

    @property
    def expected(self) -> ExpectedSets:
        return ExpectedSets(9 if self.backfilling else 0, 12)

    @property
    def published(self) -> int:
        return 7

    @property
    def garbage(self) -> Sequence[int]:
        return range(6, 9) if self.store is LOCAL else (6,)

    def spec(self, location: str) -> dict[str, object]:
        return {
            "sinkLocation": location,
            "fileFormat": self.file_format,
            "rowsPerGroup": 3,
            "groupsPerFile": 1,
            "groupingIntervalSeconds": 3600,
            "backfillSets": self.expected.backfill_sets,
            "sets": self.expected.sets,
            "pageRows": 4,
            "setsPerPoll": 3,
            "pollSeconds": 0.0005,
            "pageSeconds": 0,
            "endsBy": "return",
        } | dict(self.settings)

    def slowed(self) -> Self:
        return replace(self, settings={**self.settings, "pageSeconds": 0.004})


CELLS = (
    TableCell(backfilling=True, file_format="parquet"),
    TableCell(backfilling=True, file_format="json", settings={"groupsPerFile": 2}),
    TableCell(backfilling=False, file_format="parquet"),
    TableCell(backfilling=False, file_format="json", settings={"groupsPerFile": 2, "endsBy": "sigterm"}),
)

# So long are the pages of the large change set that parts straddle a watermark when the stream is stopped in it.
_TIMED = {
    "rowsPerGroup": 20,
    "groupingIntervalSeconds": "PT0.02S",
    "pollSeconds": 0.002,
    "pageSeconds": 0.001,
    "setsPerPoll": 1,
}
TIMED_CELLS = (
    TableCell(backfilling=False, file_format="parquet", settings=_TIMED, label=", by time"),
    TableCell(backfilling=False, file_format="json", settings={**_TIMED, "endsBy": "sigterm"}, label=", by time"),
)
"""Where some commits come from the grouping interval, in waits."""

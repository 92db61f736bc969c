"""The source table of the proof: change sets of several sizes, whose rows share one stamp."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

# One-row sets, sets that end within a group, and one set that is longer than ten parts.
SIZES = (2, 1, 5, 3, 1, 34, 2, 4, 1, 6, 3, 2)

SCHEMA = pa.schema([("id", pa.int64()), ("stamp", pa.int64()), ("text", pa.string())])


@dataclass(frozen=True, slots=True)
class Table:
    """Change sets `first` to `last - 1`; a change set's stamp is its number, from 0.

    A stamp is the only position that the source knows: inside a change set there is none.
    """

    first: int
    last: int

    def rows(self) -> list[dict[str, Any]]:
        """All rows, in the order of the source."""
        return [row for stamp in range(self.first, self.last) for row in change_set(stamp)]

    def ids(self) -> list[int]:
        """The rows' ids, in the order of the source."""
        return [row["id"] for row in self.rows()]

    def pages(self, after: int, rows: int) -> Iterator[tuple[list[dict[str, Any]], int | None]]:
        """Pages of at most `rows` rows with a stamp above `after`; with the stamp that a page is complete up to."""
        todo = [row for row in self.rows() if row["stamp"] > after]
        for start in range(0, len(todo), rows):
            page, following = todo[start : start + rows], todo[start + rows : start + rows + 1]
            ends_a_set = not following or following[0]["stamp"] != page[-1]["stamp"]
            yield page, page[-1]["stamp"] if ends_a_set else None


def change_set(stamp: int) -> Iterator[dict[str, Any]]:
    """The rows of one change set."""
    cycles, index = divmod(stamp, len(SIZES))
    first = cycles * sum(SIZES) + sum(SIZES[:index])
    for number in range(first, first + SIZES[index]):
        yield {"id": number, "stamp": stamp, "text": f"row {number} of {stamp}" * (1 + number % 3)}

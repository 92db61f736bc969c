"""What flows through a graph: Arrow rows with the source's position riding along."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

Watermark = Mapping[str, Any]
"""A source's position: a small JSON object that only its source interprets."""


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row that did not fit and was set aside instead of failing the stream.

    Attributes:
        reason: Why it did not fit, naming the field.
        location: Where it was found: file and line, page, key.
        raw: The row's text as found.
    """

    reason: str
    location: str
    raw: str


def raw_bytes(rows: Iterable[QuarantinedRow]) -> int:
    """The size of what was set aside, as its texts say."""
    return sum(len(row.raw) for row in rows)


@dataclass(frozen=True, slots=True)
class Batch:
    """The unit of flow.

    Attributes:
        data: The rows; it may have none.
        watermark: The source's position after the last row of `data`; None when the source
            has no position there. It promises that every row up to here has been emitted.
        quarantined: Rows set aside before `watermark`.
        last: Set by the graph on a batch without rows that says that the source has ended by itself. It
            travels with the batches, so that an operator that ends a backfill early is not taken for its end.
        prompt: The watermark is worth a commit soon although no rows came with it: the one before may not last.
    """

    data: pa.RecordBatch
    watermark: Watermark | None = None
    quarantined: tuple[QuarantinedRow, ...] = ()
    last: bool = False
    prompt: bool = False

    @property
    def num_rows(self) -> int:
        """Rows of `data`."""
        return int(self.data.num_rows)

    @property
    def nbytes(self) -> int:
        """Bytes of `data`, slices counted by what they show, and of the texts of quarantined rows."""
        return int(self.data.nbytes) + raw_bytes(self.quarantined)

    def with_data(self, data: pa.RecordBatch) -> "Batch":
        """The same position with other rows: the way to change rows in an operator of one's own."""
        return replace(self, data=data)


@dataclass(frozen=True, slots=True)
class Wait:
    """What a source's generator yields instead of sleeping.

    The graph waits on its clock, meanwhile serves the deadlines that operators and the sink
    have asked for, and closes the generator when it is told to stop.

    Attributes:
        seconds: How long; None waits for `wake` alone.
        wake: Ends the wait early when it holds; see `Clock.wait_for` for its limits.
    """

    seconds: float | None
    wake: Callable[[], bool] | None = None

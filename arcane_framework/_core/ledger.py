"""Which rows, since the last commit, a watermark covers: the bookkeeping of the delivery."""

from collections.abc import Sequence

import pyarrow as pa

from arcane_framework._core.batch import Batch, QuarantinedRow, Watermark, raw_bytes
from arcane_framework._core.group_buffer import split


class Ledger:
    """Keeps what is needed to commit up to the last watermark, whatever has come after it.

    A part may straddle a watermark that no commit was due at. When the stream then stops before the
    next one, everything staged is discarded and the covered rows are written again from here. So rows
    are held by reference until the next commit. That is bounded: once `max_rows` rows or `max_bytes`
    bytes have come, the next watermark commits at once, and what follows the last one is not held.

    Args:
        max_rows: Rows after which the next watermark commits.
        max_bytes: The same in bytes.
        holding: False when nobody will ask for `covered_rows`.

    Attributes:
        rows: Rows since the last commit.
        covered: How many of them the last watermark covers.
        watermark: The last watermark since the last commit; None when there was none.
        prompt: One of the watermarks since the last commit is worth a commit without rows.
        quarantined: Rows set aside that the last watermark covers.
        quarantined_bytes: Bytes of all rows set aside since the last commit.
    """

    def __init__(self, max_rows: int, max_bytes: int, *, holding: bool = True) -> None:
        self._holds_rows = holding
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self.start_over(())

    def start_over(self, left: Sequence[pa.RecordBatch], quarantined: Sequence[QuarantinedRow] = ()) -> None:
        """What the last watermark covers has been committed; what is `left` is beyond it."""
        self._quarantined_beyond = list(quarantined)
        self.quarantined_bytes = raw_bytes(quarantined)
        self._held = list(left)
        self.rows: int = sum(piece.num_rows for piece in left)
        self._nbytes: int = sum(piece.nbytes for piece in left)
        self.covered = 0
        self.watermark: Watermark | None = None
        self.prompt = False
        self.quarantined: list[QuarantinedRow] = []
        self._holding = self._holds_rows

    @property
    def uncovered(self) -> int:
        """Rows, quarantined ones too, that have come after the last watermark."""
        return self.rows - self.covered + len(self._quarantined_beyond)

    @property
    def full(self) -> bool:
        """Whether enough rows have come for the next watermark to commit."""
        rows = self.rows + len(self.quarantined) + len(self._quarantined_beyond)
        return rows >= self._max_rows or self._nbytes + self.quarantined_bytes >= self._max_bytes

    @property
    def quarantined_beyond(self) -> tuple[QuarantinedRow, ...]:
        """Rows set aside that the last watermark does not cover."""
        return tuple(self._quarantined_beyond)

    def add(self, batch: Batch, nbytes: int) -> None:
        """Take note of a batch whose rows have `nbytes` bytes."""
        if batch.num_rows:
            if self._holding:
                self._held.append(batch.data)
            self.rows += batch.num_rows
            self._nbytes += nbytes
        self._quarantined_beyond.extend(batch.quarantined)
        self.quarantined_bytes += raw_bytes(batch.quarantined)
        if batch.watermark is not None:
            self.watermark = batch.watermark
            self.prompt = self.prompt or batch.prompt
            self.cover_all()
        if self._holding and self.full:
            self._holding = False
            self._held = self.covered_rows()

    def cover_all(self) -> None:
        """Everything that has come may be committed."""
        self.covered = self.rows
        self.quarantined.extend(self._quarantined_beyond)
        self._quarantined_beyond = []

    def covered_rows(self) -> list[pa.RecordBatch]:
        """The rows that the last watermark covers."""
        return split(self._held, self.covered)[0]

"""Rows waiting to become a group."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

Slices = Sequence[pa.RecordBatch]

PINNED_FACTOR = 4
PINNED_BYTES = 1 << 16
"""A batch is copied when the buffers behind its first column are larger than four times its rows and 64 KiB."""


class GroupBuffer:
    """An open group as zero-copy slices, cut at exactly `max_rows` rows or about `max_bytes` bytes.

    Attributes:
        rows: Rows waiting.
        nbytes: Their bytes.
    """

    def __init__(self, max_rows: int, max_bytes: int) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._slices: list[pa.RecordBatch] = []
        self.rows: int = 0
        self.nbytes: int = 0

    def fill(self, data: pa.RecordBatch, nbytes: int) -> Iterator[list[pa.RecordBatch]]:
        """Take all rows of `data`, giving out each group that gets full on the way.

        Args:
            data: The rows.
            nbytes: Their bytes, which the caller has counted: that walks all columns.
        """
        data = _unpinned(data)
        offset = 0
        row_bytes = nbytes / data.num_rows if data.num_rows else 0.0
        while offset < data.num_rows:
            room = self._max_rows - self.rows
            if row_bytes:
                room = min(room, max(int((self._max_bytes - self.nbytes) / row_bytes), 0 if self.rows else 1))
            if room <= 0:
                yield self.take()
                continue
            count = min(room, data.num_rows - offset)
            self._slices.append(data if count == data.num_rows else data.slice(offset, count))
            self.rows += count
            self.nbytes += round(count * row_bytes)
            offset += count
            if self.rows >= self._max_rows or self.nbytes >= self._max_bytes:
                yield self.take()

    @property
    def slices(self) -> Slices:
        """The open group, left where it is."""
        return tuple(self._slices)

    def take(self) -> list[pa.RecordBatch]:
        """The open group, whatever its size; it is empty afterwards."""
        slices, self._slices, self.rows, self.nbytes = self._slices, [], 0, 0
        return slices

    def take_first(self, rows: int) -> list[pa.RecordBatch]:
        """The first `rows` rows of the open group; the others stay."""
        head, tail = split(self.take(), rows)
        self._slices = tail
        self.rows = sum(piece.num_rows for piece in tail)
        self.nbytes = sum(piece.nbytes for piece in tail)
        return head


def _unpinned(data: pa.RecordBatch) -> pa.RecordBatch:
    """A copy of a few rows cut out of a large batch, which would otherwise be held as a whole."""
    if data.num_rows == 0 or data.num_columns == 0:
        return data
    first = data.column(0)  # the columns of a batch are cut alike
    if first.get_total_buffer_size() <= PINNED_FACTOR * first.nbytes + PINNED_BYTES:
        return data
    return data.take(pa.array(range(data.num_rows), pa.int64()))


def split(slices: Slices, rows: int) -> tuple[list[pa.RecordBatch], list[pa.RecordBatch]]:
    """The slices' first `rows` rows, and the rest."""
    head: list[pa.RecordBatch] = []
    for index, piece in enumerate(slices):
        if piece.num_rows > rows:
            cut = [piece.slice(0, rows)] if rows else []
            return head + cut, [piece.slice(rows), *slices[index + 1 :]]
        head.append(piece)
        rows -= piece.num_rows
    return head, []

"""Cuts the stream into batches of an even size."""

from collections.abc import Sequence
from datetime import timedelta

import pyarrow as pa
from reactivex import Observable, abc

from arcane_framework._core.batch import Batch, QuarantinedRow, Watermark
from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.graph import NamedOperator
from arcane_framework._core.group_buffer import GroupBuffer
from arcane_framework._core.ledger import Ledger
from arcane_framework._core.rows import no_rows, without_dictionaries
from arcane_framework._core.segment import Segment, segment_of

_UNBOUNDED = 1 << 62


def rebatch(
    rows: int | None = None, within: timedelta | float | None = None, nbytes: int | None = None
) -> NamedOperator:
    """Merge small batches and split large ones.

    A batch is cut at exactly `rows` rows (or about `nbytes` bytes), wherever that falls. A watermark is
    passed on when, since the last one passed on, that much has come or `within` has passed: the batch is
    cut there and carries it. A watermark never moves over a row; one inside a batch gives way to the next.
    Dictionary columns become plain ones.

    Args:
        rows: Rows of a batch; None for no bound.
        within: Seconds or a timedelta that a row may be held; None: until a batch is full.
        nbytes: Bytes of a batch; None for no bound.

    Raises:
        ConfigurationError: A bound is not positive, or there is none.
    """
    seconds = within.total_seconds() if isinstance(within, timedelta) else within
    for name, bound in (("rows", rows), ("within", seconds), ("nbytes", nbytes)):
        if bound is not None and bound <= 0:
            raise ConfigurationError(f"rebatch: {name} must be greater than zero, not {bound}")
    if rows is None and nbytes is None:
        raise ConfigurationError("rebatch needs rows or nbytes, or it would hold everything")
    max_rows, max_bytes = rows or _UNBOUNDED, nbytes or _UNBOUNDED

    def operator(source: Observable[Batch]) -> Observable[Batch]:
        def subscribe(
            observer: abc.ObserverBase[Batch], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            held = _Rebatch(observer, segment_of(scheduler, "rebatch"), max_rows, max_bytes, seconds)
            return source.subscribe(held.on_next, held.on_error, held.on_completed, scheduler=scheduler)

        return Observable(subscribe)

    return NamedOperator("rebatch", operator, rows=rows, within=within, nbytes=nbytes)


class _Rebatch:
    def __init__(
        self,
        observer: abc.ObserverBase[Batch],
        segment: Segment,
        max_rows: int,
        max_bytes: int,
        within: float | None,
    ) -> None:
        self._observer = observer
        self._clock = segment.clock
        self._timer = segment.timer(self._flush)
        self._within = within
        self._buffer = GroupBuffer(max_rows, max_bytes)
        self._ledger = Ledger(max_rows, max_bytes, holding=False)
        self._schema: pa.Schema | None = None

    def on_next(self, batch: Batch) -> None:
        batch = batch.with_data(without_dictionaries(batch.data))
        if self._schema is None or not batch.data.schema.equals(self._schema):
            self._flush()
            self._schema = batch.data.schema
        if batch.last:
            self._flush()
        if not batch.num_rows and batch.watermark is None and not batch.quarantined:
            self._observer.on_next(batch)
            return
        nbytes = int(batch.data.nbytes)
        groups = list(self._buffer.fill(batch.data, nbytes))
        at_the_end = batch.watermark is not None and not self._buffer.rows
        last = groups.pop() if groups and at_the_end else []
        for group in groups:
            self._emit(group)
        self._ledger.add(batch, nbytes)
        if batch.watermark is not None and (self._ledger.full or at_the_end):
            self._flush(last)
        elif self._within is not None and self._timer.due is None:
            self._timer.set(self._clock.monotonic() + self._within)

    def on_error(self, error: Exception) -> None:
        self._flush()
        self._observer.on_error(error)

    def on_completed(self) -> None:
        self._flush()
        self._observer.on_completed()

    def _flush(self, last: Sequence[pa.RecordBatch] = ()) -> None:
        """Pass on everything held: up to the last watermark with it, the rows beyond it without.

        Args:
            last: A full group at whose end the last watermark is.
        """
        self._timer.clear()
        ledger = self._ledger
        watermark, quarantined = ledger.watermark, tuple(ledger.quarantined)
        missing = ledger.covered - (ledger.rows - self._buffer.rows)
        covered = [*last, *self._buffer.take_first(missing)] if watermark is not None and missing >= 0 else None
        beyond, beyond_quarantined = self._buffer.take(), ledger.quarantined_beyond
        ledger.start_over(())
        if covered is not None:
            self._emit(covered, watermark, quarantined)
            quarantined = ()
        if beyond or quarantined or beyond_quarantined:
            self._emit(beyond, None, quarantined + beyond_quarantined)

    def _emit(
        self,
        group: Sequence[pa.RecordBatch],
        watermark: Watermark | None = None,
        quarantined: tuple[QuarantinedRow, ...] = (),
    ) -> None:
        assert self._schema is not None
        pieces = group or [no_rows(self._schema)]
        data = pieces[0] if len(pieces) == 1 else pa.concat_batches(pieces)
        self._observer.on_next(Batch(data, watermark, quarantined))

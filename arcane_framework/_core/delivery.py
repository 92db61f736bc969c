"""Delivers a chain's batches to the sink: groups, commits, and what happens at the end.

Groups are cut at exactly `rows` rows, wherever that falls; a
commit happens only at a watermark, and no row beyond it is ever in the commit.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

import pyarrow as pa
from reactivex.abc import DisposableBase

from arcane_framework._core.batch import Batch, Watermark
from arcane_framework._core.commits_in_flight import CommitsInFlight
from arcane_framework._core.errors import FatalStreamError, SchemaInconsistentError
from arcane_framework._core.graph_run import GraphRun, Start
from arcane_framework._core.group_buffer import GroupBuffer
from arcane_framework._core.ledger import Ledger
from arcane_framework._core.position import BackfillState, Position
from arcane_framework._core.schema_hash import difference, schema_hash
from arcane_framework._core.segment import Segment
from arcane_framework._core.services import Metrics, Mode, Services
from arcane_framework._core.sink import CommitReport, Committed, Sink, SinkRun
from arcane_framework._core.source import Source

QUARANTINE_BYTES = 64 << 20
"""What may be set aside between two commits; it is held in memory until a watermark covers it."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a run ended, when it ended without an error.

    Attributes:
        completed: The source ended by itself and everything is committed; False after a stop.
        rows: Rows committed by this run.
        parts: Parts committed by this run.
        nbytes: Bytes committed by this run.
    """

    completed: bool
    rows: int
    parts: int
    nbytes: int


class Delivery:
    """The observer at the end of a chain. All methods are called on the chain's last thread.

    Attributes:
        outcome: None while the run goes on; then how it ended, or the error that ended it.
        subscription: To the chain; disposed at the end, so that a source that is waiting ends, too.
    """

    def __init__(
        self, source: Source, sink: Sink, services: Services, metrics: Metrics, run: GraphRun, segment: Segment
    ) -> None:
        self._source = source
        self._sink = sink
        self._services = services
        self._metrics = metrics
        self._run = run
        self._clock = segment.clock
        self._backfilling = services.stream.backfilling
        self._grouping = sink.grouping
        self._buffer = GroupBuffer(self._grouping.rows, self._grouping.nbytes)
        self._ledger = Ledger(self._grouping.rows, self._grouping.nbytes)
        self._timer = segment.timer(lambda: self._guarded(self._on_deadline))
        self._in_flight = CommitsInFlight(
            self._clock, lambda: segment.schedule(lambda *_: self._guarded(self._in_flight.take_finished))
        )
        self._opening = False
        self._source_ended = False
        self._schema: pa.Schema | None = None
        self._position = Position()
        self._last_commit = self._clock.monotonic()
        self._committed = RunSummary(completed=False, rows=0, parts=0, nbytes=0)
        self.outcome: RunSummary | Exception | None = None
        self.subscription: DisposableBase | None = None

    # What the chain calls.

    def on_next(self, batch: Batch) -> None:
        """Take a batch; an error of the sink ends the run."""
        self._guarded(lambda: self._deliver(batch))

    def on_error(self, error: Exception) -> None:
        """The chain has failed: commit what a watermark covers, then end with `error`."""
        if self.outcome is not None:
            return
        try:
            self._salvage()
        except Exception as second:
            self._services.log.warning("not committed before the end", error=str(second))
        self._end(error)

    def on_completed(self) -> None:
        """The chain has ended: by itself, or because the run was told to stop."""
        self._guarded(self._finish)

    def _guarded(self, step: Callable[[], None]) -> None:
        # An error of the sink must not travel up the chain: reactivex has no way back for it.
        if self.outcome is not None:
            return
        try:
            step()
        except Exception as error:
            self._end(error)
        except BaseException as error:
            # Nor may what is no Exception (a panic in a library's Rust): the source would take it for its own.
            self._end(FatalStreamError(f"the sink ended its thread: {error!r}"))

    def _end(self, outcome: RunSummary | Exception) -> None:
        try:
            self._in_flight.settle()
        except Exception as error:
            self._services.log.warning("not committed before the end", error=str(error))
        try:
            if self._opening:
                self._sink.close()
        except Exception as error:
            self._services.log.warning("the sink was not closed cleanly", error=str(error))
        with self._clock.changing():
            self.outcome = outcome
        if isinstance(outcome, Exception):
            self._services.kill_switch.release()
        if self.subscription is not None:
            self.subscription.dispose()

    # The beginning.

    def _open(self, schema: pa.Schema) -> None:
        short_name = schema_hash(schema)
        services = self._services
        run = SinkRun(services.stream, schema, short_name, services.clock, services.log, self._metrics, background=True)
        self._opening = True
        self._position = self._sink.open(run)
        self._schema = schema
        start = self._start_backfill(short_name) if self._backfilling else Start(Mode.STREAM, self._position.stream)
        described = None if start.watermark is None else self._source.describe(start.watermark)
        services.log.info("starting", mode=str(start.mode), watermark=described, anything_to_do=start.anything_to_do)
        services.progress.started(described)
        self._last_commit = self._clock.monotonic()
        self._run.begin(start)

    def _start_backfill(self, short_name: str) -> Start:
        identity = self._services.stream
        if not self._position.resumes(identity, short_name):
            self._position = self._position.begun(identity, short_name, self._source.begin_backfill())
            self._sink.begin_backfill(self._position)
        backfill = self._position.backfill
        assert backfill is not None
        return Start(Mode.BACKFILL, backfill.watermark, anything_to_do=backfill.state is BackfillState.RUNNING)

    # Batches.

    def _deliver(self, batch: Batch) -> None:
        if self._schema is None:
            self._run.first_batch_arrived()
            self._open(batch.data.schema)
        self._source_ended = self._source_ended or batch.last
        if batch.num_rows and not batch.data.schema.equals(self._schema):
            self._change_schema(batch.data.schema)
        nbytes = int(batch.data.nbytes)
        for group in self._buffer.fill(batch.data, nbytes):
            self._write(group)
        self._ledger.add(batch, nbytes)
        if self._ledger.quarantined_bytes > QUARANTINE_BYTES:
            raise FatalStreamError(
                f"more than {QUARANTINE_BYTES >> 20} MiB of rows were set aside since the last commit: "
                "correct the schema, or let the source give watermarks more often"
            )
        if batch.watermark is not None and (self._ledger.full or self._clock.monotonic() >= self._due()):
            self._commit(self._moved())
        self._set_timer()

    def _change_schema(self, schema: pa.Schema) -> None:
        assert self._schema is not None
        if self._source.schema_changes == "fail":
            raise SchemaInconsistentError(
                "a batch reached the sink that does not have the stream's schema: "
                f"{difference(self._schema, schema)}. An operator must give every batch the same columns"
            )
        self._write(self._buffer.take())
        self._schema = schema

    def _write(self, group: Sequence[pa.RecordBatch]) -> None:
        if group:
            self._sink.write(pa.Table.from_batches(group))

    # Commits.

    def _commit(self, position: Position) -> None:
        """Commit what the last watermark covers, with `position`; rows beyond it stay in the buffer."""
        self._write_covered()
        ledger = self._ledger
        rows, watermark, quarantined = ledger.covered, ledger.watermark, ledger.quarantined
        if quarantined:
            self._sink.quarantine(quarantined)
        started = self._clock.monotonic()
        committed = self._sink.commit(position)
        self._last_commit = self._clock.monotonic()
        self._position = position
        ledger.start_over(self._buffer.slices, ledger.quarantined_beyond)
        description = None if watermark is None else self._source.describe(watermark)

        def report(done: Committed, seconds: float) -> None:
            numbers = (rows, len(quarantined), done.nbytes, done.parts)
            self._report(CommitReport(*numbers, description, seconds), watermark)

        if isinstance(committed, Future):
            self._in_flight.add(committed, started, report)
        else:
            report(committed or Committed(parts=0, nbytes=0), self._last_commit - started)

    def _write_covered(self) -> None:
        missing = self._ledger.covered - self._rows_written()
        if missing >= 0:
            self._write(self._buffer.take_first(missing))
            return
        # Parts straddle the last watermark: stage the covered rows once more, without what follows.
        # Only a run that ends comes here, the rows beyond will be read again by the next one.
        self._sink.discard()
        self._buffer.take()
        schema = None
        for piece in self._ledger.covered_rows():
            if schema is not None and not piece.schema.equals(schema):
                self._write(self._buffer.take())
            schema = piece.schema
            for group in self._buffer.fill(piece, piece.nbytes):
                self._write(group)
        self._write(self._buffer.take())

    def _rows_written(self) -> int:
        return self._ledger.rows - self._buffer.rows

    def _moved(self) -> Position:
        watermark = self._ledger.watermark
        return self._position if watermark is None else self._position.moved(watermark, backfilling=self._backfilling)

    def _report(self, report: CommitReport, watermark: Watermark | None) -> None:
        total = self._committed
        self._committed = RunSummary(
            False, total.rows + report.rows, total.parts + report.parts, total.nbytes + report.nbytes
        )
        self._metrics.increment("rows.committed", report.rows)
        self._metrics.increment("rows.quarantined", report.quarantined)
        self._metrics.increment("bytes.committed", report.nbytes)
        self._metrics.increment("parts.committed", report.parts)
        self._metrics.gauge("commit.duration", report.seconds)
        moment = None if watermark is None else self._source.moment(watermark)
        if moment is not None:
            self._metrics.gauge("watermark.age", (self._clock.now() - moment).total_seconds())
        self._services.log.info(
            "committed",
            rows=report.rows,
            quarantined=report.quarantined,
            bytes=report.nbytes,
            parts=report.parts,
            watermark=report.description,
        )
        self._services.progress.committed(report)

    # Deadlines.

    def _due(self) -> float:
        """When what the last watermark covers has to be committed."""
        ledger = self._ledger
        soon = ledger.covered or ledger.quarantined or ledger.prompt
        return self._last_commit + (self._grouping.within if soon else self._grouping.idle)

    def _set_timer(self) -> None:
        if self._ledger.watermark is None or self._rows_written() > self._ledger.covered:
            self._timer.clear()
        else:
            self._timer.set(self._due())

    def _on_deadline(self) -> None:
        self._commit(self._moved())
        self._set_timer()

    # The end.

    def _finish(self) -> None:
        if self._source_ended:
            self._finish_source()
        elif self._run.start is None or self._services.kill_switch.stopped:
            self._salvage()
        else:
            self._salvage()
            self._refuse_early_end()
        self._in_flight.settle()
        self._end(replace(self._committed, completed=self._source_ended))

    def _finish_source(self) -> None:
        assert self._run.start is not None
        if not self._run.start.anything_to_do:
            return
        if self._backfilling:
            moved = self._moved()
            assert moved.backfill is not None
            stream = self._source.end_backfill(moved.backfill.stream, moved.backfill.watermark)
            self._ledger.cover_all()
            self._commit(moved.completed(stream))
            return
        lost = self._ledger.uncovered
        self._salvage()
        if lost:
            raise FatalStreamError(
                f"{type(self._source).__name__} ended with {lost} rows after its last watermark, which can never be "
                "committed: give the last batch a watermark"
            )

    def _refuse_early_end(self) -> None:
        if self._backfilling:
            raise FatalStreamError(
                "an operator ended the backfill before its source did, so it is not complete: "
                "take out the operator (take, take_while ...) or limit the source instead"
            )

    def _salvage(self) -> None:
        """Commit up to the last watermark and drop the rows beyond it: they will be read again."""
        ledger = self._ledger
        if ledger.watermark is not None and (ledger.covered or ledger.quarantined or self._moved() != self._position):
            self._commit(self._moved())
        self._in_flight.settle()

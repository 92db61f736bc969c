"""Pulls a source's generator and pushes its batches down the chain, on one thread."""

from collections.abc import Iterator

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from arcane_framework._core.batch import Batch, Wait
from arcane_framework._core.errors import ConfigurationError, FatalStreamError, SchemaInconsistentError, StreamStopped
from arcane_framework._core.graph_run import GraphRun, Start
from arcane_framework._core.rows import no_rows
from arcane_framework._core.schema_hash import difference
from arcane_framework._core.segment import Segment, segment_of
from arcane_framework._core.services import Metrics, Services
from arcane_framework._core.source import Source, SourceRun, close_generator, not_a_batch, snapshot

ARRIVAL_SECONDS = 60.0
"""How long the first batch may take to the sink, through operators on other threads or with a time."""


def observable(source: Source, run: GraphRun, metrics: Metrics, services: Services) -> Observable[Batch]:
    """`source` as an observable of one run; it can be subscribed once."""
    subscribed = False

    def subscribe(observer: abc.ObserverBase[Batch], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        nonlocal subscribed
        if subscribed:
            # Not to the observer: an operator that subscribes again after an error would do so for ever.
            run.fail(
                ConfigurationError(
                    "a source is subscribed once: operators that subscribe again (retry, repeat, share ...) would "
                    "read rows twice; retry inside the source instead"
                )
            )
            return Disposable()
        subscribed = True
        segment = segment_of(scheduler, "a source")
        loop = _SourceLoop(source, run, observer, segment, metrics, services)
        # Scheduled, not called: the chain has to be assembled before the first batch, or a
        # disposal from downstream could not reach the loop.
        run.set_reading(True)
        segment.schedule(lambda *_: loop.run())
        return Disposable(loop.dispose)

    return Observable(subscribe)


class _SourceLoop:
    def __init__(
        self,
        source: Source,
        run: GraphRun,
        observer: abc.ObserverBase[Batch],
        segment: Segment,
        metrics: Metrics,
        services: Services,
    ) -> None:
        self._metrics = metrics
        self._progress = services.progress
        self._log = services.log
        self._source = source
        self._run = run
        self._observer = observer
        self._segment = segment
        self._disposed = False

    def dispose(self) -> None:
        with self._segment.clock.changing():
            self._disposed = True

    def run(self) -> None:
        try:
            self._run_to_the_end()
        finally:
            self._run.set_reading(False)

    def _run_to_the_end(self) -> None:
        try:
            self._pull_all()
        except StreamStopped:
            self._observer.on_completed()
        except Exception as error:
            self._observer.on_error(error)
        except BaseException as error:
            self._observer.on_error(FatalStreamError(f"the source ended its thread: {error!r}"))
        else:
            self._observer.on_completed()

    def _pull_all(self) -> None:
        # A batch without rows goes ahead, so that the sink knows the schema that comes out of the
        # operators before the first row, and says where the source has to go on from.
        self._observer.on_next(Batch(no_rows(self._source.schema)))
        start = self._wait_for_start()
        if start is None or self._stopping():
            return
        if not start.anything_to_do:
            self._emit_end()
            return
        source_run = SourceRun(start.mode, start.watermark, self._segment.clock, self._segment.kill_switch)
        generator = iter(self._source.batches(source_run))
        try:
            if self._pull(generator):
                self._emit_end()
        finally:
            close_generator(generator)

    def _wait_for_start(self) -> Start | None:
        # On the sink's own thread, with nothing waiting for its time, the first batch has been dropped for good.
        dropped = not self._run.arrived and self._run.delivery_segment is self._segment and self._segment.idle
        until = self._segment.clock.monotonic() + (0 if dropped else ARRIVAL_SECONDS)
        if not self._segment.wait(lambda: self._run.arrived or self._stopping(), until):
            raise FatalStreamError(
                "the first batch, which has no rows and tells the sink the schema, did not arrive at the sink: "
                "operators must let batches without rows pass, they carry watermarks, too"
            )
        self._segment.wait(lambda: self._run.start is not None or self._stopping())
        return self._run.start

    def _pull(self, generator: Iterator[Batch | Wait]) -> bool:
        while not self._stopping():
            try:
                item = next(generator)
            except StopIteration:
                # A source that looks at the kill switch itself has not come to its end.
                return not self._segment.kill_switch.stopped
            except Exception as error:
                if not self._segment.kill_switch.stopped:
                    raise
                self._log.info("the source was stopped in the middle of a call", error=str(error))
                return False
            if isinstance(item, Batch):
                self._emit(item)
            else:
                self._wait(item)
        return False

    def _emit(self, batch: Batch) -> None:
        if self._source.schema_changes == "fail" and not batch.data.schema.equals(self._source.schema):
            raise SchemaInconsistentError(
                f"{type(self._source).__name__} emitted a batch that does not have its schema: "
                f"{difference(self._source.schema, batch.data.schema)}"
            )
        if batch.num_rows:
            self._metrics.increment("rows.incoming", batch.num_rows)
            self._progress.rows_incoming(batch.num_rows)
        self._segment.run_due()
        self._observer.on_next(snapshot(batch))

    def _emit_end(self) -> None:
        self._observer.on_next(Batch(no_rows(self._source.schema), last=True))

    def _wait(self, wait: Wait) -> None:
        if not isinstance(wait, Wait):
            raise not_a_batch(self._source, wait)
        until = None if wait.seconds is None else self._segment.clock.monotonic() + wait.seconds
        wake = wait.wake
        self._segment.wait(lambda: self._stopping() or (wake is not None and wake()), until)

    def _stopping(self) -> bool:
        return self._disposed or self._segment.kill_switch.stopped

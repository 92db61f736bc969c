"""The source protocol: generators of batches, and what a plugin author writes for a source of one's own."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal

import pyarrow as pa

from arcane_framework._core.batch import Batch, Wait, Watermark
from arcane_framework._core.clock import Clock
from arcane_framework._core.errors import ConfigurationError, FatalStreamError
from arcane_framework._core.kill_switch import KillSwitch
from arcane_framework._core.position import json_object
from arcane_framework._core.rows import batch_from_rows, no_rows
from arcane_framework._core.services import Mode

SchemaChanges = Literal["fail", "new_part"]


@dataclass(frozen=True, slots=True)
class SourceTags:
    """Where a source reads, for metrics: a host, database or bucket, and what in it."""

    location: str = "unknown"
    entity: str = "unknown"

    @property
    def metric_tags(self) -> dict[str, str]:
        """As tags of metrics."""
        return {"stream_source_location": self.location, "stream_source_entity": self.entity}


@dataclass(frozen=True, slots=True)
class SourceRun:
    """What a source is told when it is started.

    Attributes:
        mode: Backfill or stream.
        watermark: The last committed position in that mode; None when there is none.
        clock: The run's clock.
        kill_switch: The run's kill switch.
    """

    mode: Mode
    watermark: Watermark | None
    clock: Clock
    kill_switch: KillSwitch


class Source(ABC):
    """Where rows come from.

    The generators run on the graph's source thread. They are pulled lazily (the next batch is asked
    for when the one before has been taken, which is all the back-pressure there is) and closed when
    the stream stops, so `try/finally` in them is where connections are closed. They yield `Batch`,
    and `Wait` instead of sleeping. They raise `TransientStreamError` for what a restart may mend,
    `FatalStreamError` or `ConfigurationError` for what it cannot, `SchemaMismatchError` when a reload is needed.

    Attributes:
        schema: The schema of every batch.
        tags: Where it reads.
        schema_changes: `fail` (default) refuses a batch of another schema; `new_part` lets the sink
            start a new part and schema file with it.
        parts: The sources that it is made of, by name; empty for most.
    """

    schema: pa.Schema
    tags: SourceTags = SourceTags()
    schema_changes: SchemaChanges = "fail"
    parts: Mapping[str, "Source"] = MappingProxyType({})

    @abstractmethod
    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        """Follow the source from `watermark` on; None: there is no stored position yet."""

    def backfill(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        """Read everything, from `watermark` on when a backfill resumes; ends when all has been read.

        Raises:
            ConfigurationError: The source has no backfill.
        """
        raise ConfigurationError(
            f"{type(self).__name__} has no backfill: give it a method backfill, or run the stream without one"
        )

    def begin_backfill(self) -> Watermark | None:
        """Where streaming has to go on after a backfill that begins now; stored before its first row."""
        return None

    def end_backfill(self, begun: Watermark | None, watermark: Watermark | None) -> Watermark | None:
        """Where streaming goes on, at the backfill's end.

        Args:
            begun: What `begin_backfill` said, perhaps in an earlier process.
            watermark: The backfill's last watermark.
        """
        return begun

    def describe(self, watermark: Watermark) -> str:
        """The watermark for logs and the state command; override it when it may hold a token."""
        return ", ".join(f"{key}={value}" for key, value in watermark.items())

    def moment(self, watermark: Watermark) -> datetime | None:
        """The instant up to which the source has been read at `watermark`, aware; None when there is none."""
        return None

    def batches(self, run: SourceRun) -> Iterator[Batch | Wait]:
        """The generator of a run; called once, on the source thread. Override `stream` and `backfill` instead."""
        return self.backfill(run.watermark) if run.mode is Mode.BACKFILL else self.stream(run.watermark)

    def batch(
        self,
        rows: Sequence[Mapping[str, Any]],
        watermark: Watermark | None = None,
        *,
        quarantine: bool = False,
        location: str = "",
    ) -> Batch:
        """A batch of this source's schema from rows as mappings: a convenience for small numbers.

        Args:
            rows: One mapping a row; a missing column is null.
            watermark: The position after the last row.
            quarantine: Set rows that do not fit aside instead of failing.
            location: Where the rows come from, for messages.

        Raises:
            SchemaInconsistentError: A row has an unknown column, a value that does not fit or a
                null in a column without nulls; names the row and the column.
        """
        data, quarantined = batch_from_rows(rows, self.schema, quarantine=quarantine, location=location)
        return Batch(data, watermark, quarantined)


def not_a_batch(source: Source, item: object) -> FatalStreamError:
    """The error of a generator that yielded something else."""
    return FatalStreamError(f"{type(source).__name__} yielded a {type(item).__name__}; a source yields Batch and Wait")


def close_generator(generator: Iterator[Batch | Wait]) -> None:
    """Run the `finally` of a source's generator now; a plain iterator has nothing to close."""
    close = getattr(generator, "close", None)
    if close is not None:
        close()


def snapshot(batch: Batch) -> Batch:
    """`batch` with a watermark that its source can no longer change."""
    return batch if batch.watermark is None else replace(batch, watermark=json_object(batch.watermark))


class PollingSource(Source):
    """A source that is asked again and again: only `poll` must be written.

    Attributes:
        interval: Between two polls; a number means seconds.
    """

    interval: float | timedelta = 15.0

    @abstractmethod
    def poll(self, watermark: Watermark | None) -> Iterable[Batch]:
        """What is new since `watermark` (None: everything, or from wherever the stream shall begin).

        Called on the source thread, may block. Each poll's end is a consistent point: when none of its batches
        carries a watermark, the rows are committed with the position that the poll was asked with. When one
        does, the last one with rows must, too.
        """

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        """Poll, wait for `interval`, poll again."""
        seconds = self.interval.total_seconds() if isinstance(self.interval, timedelta) else self.interval
        while True:
            watermark = yield from self._poll(watermark or None)
            yield Wait(seconds)

    def backfill(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        """One poll; override it when a poll does not give everything."""
        yield from self._poll(watermark or None)

    def end_backfill(self, begun: Watermark | None, watermark: Watermark | None) -> Watermark | None:
        """Streaming goes on from the backfill's last watermark: both are positions of `poll`."""
        return begun if watermark is None else watermark

    def _poll(self, watermark: Watermark | None) -> Generator[Batch, None, Watermark | None]:
        asked_with, marked, uncovered = watermark, False, False
        found = self.poll(watermark)
        if not isinstance(found, Iterable):
            raise FatalStreamError(
                f"{type(self).__name__}.poll returned a {type(found).__name__}; it yields batches, or returns a list"
            )
        for batch in found:
            if not isinstance(batch, Batch):
                raise not_a_batch(self, batch)
            if batch.watermark is not None:
                watermark, marked, uncovered = batch.watermark, True, False
            elif batch.num_rows or batch.quarantined:
                uncovered = True
            yield batch
        if uncovered and marked:
            raise FatalStreamError(
                f"{type(self).__name__}.poll gave rows after its last watermark, which would be read again: "
                "give the last batch a watermark, or none at all"
            )
        if uncovered:
            yield Batch(no_rows(self.schema), asked_with or {})
        return watermark

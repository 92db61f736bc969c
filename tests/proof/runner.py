"""The stream that the proof runs, kills and freezes: `python -m arcane_framework.run tests.proof.runner:host`.

Everything is told by the environment: the stream as in production, the faults by the variables below.
"""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Literal

from arcane_framework import (
    Batch,
    RunnableGraph,
    Services,
    SinkContext,
    Source,
    Storage,
    StreamGraphBuilder,
    Wait,
    Watermark,
    to_sink,
)
from arcane_framework.commits import layout
from arcane_framework.hosting import StreamHost
from arcane_framework.sinks import JsonLinesSink, ParquetSink
from arcane_framework.storage.local import LocalStorage
from tests.proof import red_controls
from tests.proof.faults import Calls, FaultyDisk, LostAnswers, read_fault
from tests.proof.request_faults import RequestFaults, hurried
from tests.proof.table import SCHEMA, Table

FAULT = "PROOF_FAULT"
CALLS_FILE = "PROOF_CALLS_FILE"
LOST_ANSWERS = "PROOF_LOST_ANSWERS"
RED_CONTROL = "PROOF_RED_CONTROL"
STORE = "PROOF_STORE"
BLOCK_DIGITS = "PROOF_BLOCK_DIGITS"


class ProofContext(SinkContext):
    """The settings of a proof's stream.

    Attributes:
        file_format: Of the parts.
        backfill_sets: Change sets that a backfill covers.
        sets: All change sets.
        page_rows: Rows of a page, which is a batch.
        sets_per_poll: Change sets that a poll of the stream finds: so fast does the table grow.
        poll_seconds: Between two polls.
        page_seconds: After each page.
        ends_by: How a stream that has delivered the whole table ends.
    """

    file_format: Literal["parquet", "json"]
    backfill_sets: int
    sets: int
    page_rows: int
    sets_per_poll: int
    poll_seconds: float
    page_seconds: float
    ends_by: Literal["return", "sigterm"]


class TableSource(Source):
    """Reads the table by its stamps."""

    schema = SCHEMA

    def __init__(self, context: ProofContext) -> None:
        self._context = context

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        context, after = self._context, _stamp(watermark)
        while after + 1 < context.sets:
            grown_to = min(context.sets, after + 1 + context.sets_per_poll)
            yield from self._read(after, grown_to)
            after = grown_to - 1
            yield Wait(context.poll_seconds)
        if context.ends_by == "sigterm":
            os.kill(os.getpid(), signal.SIGTERM)
            yield Wait(None)

    def backfill(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        yield from self._read(_stamp(watermark), self._context.backfill_sets)

    def begin_backfill(self) -> Watermark:
        return {"stamp": self._context.backfill_sets - 1}

    def _read(self, after: int, last: int) -> Iterator[Batch | Wait]:
        for rows, stamp in Table(0, last).pages(after, self._context.page_rows):
            yield self.batch(rows, None if stamp is None else {"stamp": stamp})
            if self._context.page_seconds:
                yield Wait(self._context.page_seconds)


def _stamp(watermark: Watermark | None) -> int:
    stamp = -1 if watermark is None else watermark["stamp"]
    assert isinstance(stamp, int)
    return stamp


class ProofStream(StreamGraphBuilder[ProofContext]):
    def build_graph(self, context: ProofContext) -> RunnableGraph:
        sink_type = ParquetSink if context.file_format == "parquet" else JsonLinesSink
        sink = sink_type(
            self.services.storage(context.sink_location),
            grouping=context.grouping,
        )
        stream = self.start(TableSource(context))
        if os.environ.get(RED_CONTROL) == "first-watermark":
            stream = stream.pipe(red_controls.merge_pairs_keeping_the_first_watermark)
        return stream.pipe(to_sink(sink))


def with_faults(services: Services) -> Services:
    """The services of a run, with the faults that the environment asks for."""
    red_controls.apply(os.environ.get(RED_CONTROL, ""))
    layout.BLOCK_DIGITS = int(os.environ.get(BLOCK_DIGITS, layout.BLOCK_DIGITS))
    kind, text = os.environ.get(STORE), os.environ.get(FAULT)
    if not kind:
        return replace(services, storage=_open_storage)
    fault = read_fault(text) if text else None
    RequestFaults(kind, Calls(fault, os.environ.get(CALLS_FILE) or None)).install()
    return replace(services, storage=partial(hurried, services))


def _open_storage(location: str) -> Storage:
    fault = os.environ.get(FAULT)
    disk_type = red_controls.RenamingDisk if os.environ.get(RED_CONTROL) == "rename" else FaultyDisk
    disk = disk_type(location, read_fault(fault) if fault else None, os.environ.get(CALLS_FILE) or None)
    lost = os.environ.get(LOST_ANSWERS)
    if lost:
        share, seed = lost.split(",")
        return LostAnswers(location, disk, float(share), int(seed))
    return LocalStorage(location, disk)


# A frozen runner shall not take a minute to end.
host = StreamHost(ProofStream, services=with_faults, fenced_pause=(0.0, 0.05))

"""A stream of numbers that fails, waits and ends as its spec says."""

import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Literal

import pyarrow as pa

from arcane_framework import (
    Batch,
    ConfigurationError,
    FatalStreamError,
    RunnableGraph,
    SchemaMismatchError,
    Services,
    SinkContext,
    Source,
    StreamGraphBuilder,
    TransientStreamError,
    Wait,
    Watermark,
    to_sink,
)
from arcane_framework.sinks import ParquetSink

SCHEMA = pa.schema([pa.field("n", pa.int64(), nullable=False), pa.field("filler", pa.binary())])

Failure = Literal["transient", "mismatch", "misfit", "fatal", "configuration", "defect", "exit", "interrupt"]


class NumbersContext(SinkContext):
    """The settings of a stream of numbers.

    Attributes:
        total: Numbers there are: 0 to `total`, exclusive.
        batch_rows: Numbers of a batch.
        filler_bytes: Incompressible bytes of a row.
        fail_at: The failure happens before this number is read; None: never.
        failure: What happens then.
        ends: After the last number: `return`, or wait for ever, or hang in a poll.
        pause_seconds: Between two batches.
        write_seconds: How long a write to the sink takes at least.
    """

    total: int = 10
    batch_rows: int = 3
    filler_bytes: int = 0
    fail_at: int | None = None
    failure: Failure = "transient"
    ends: Literal["return", "wait", "poll"] = "return"
    pause_seconds: float = 0.0
    write_seconds: float = 0.0


class NumbersSource(Source):
    schema = SCHEMA

    def __init__(self, context: NumbersContext, services: Services) -> None:
        self._context = context
        self._services = services

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        context, at = self._context, _position(watermark)
        while at < context.total:
            if context.fail_at is not None and at >= context.fail_at:
                self._fail()
            stop = min(at + context.batch_rows, context.total)
            yield Batch(numbers(at, stop, context.filler_bytes), {"n": stop})
            at = stop
            yield Wait(context.pause_seconds)
        if context.fail_at is not None and at >= context.fail_at:
            self._fail()
        yield from self._end()

    def backfill(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        yield from self.stream(watermark)

    def _end(self) -> Iterator[Wait]:
        self._services.log.info("read to the end")
        if self._context.ends == "wait":
            yield Wait(None)
        if self._context.ends == "poll":
            self._services.kill_switch.wait(3600)

    def _fail(self) -> None:
        FAILURES[self._context.failure](self)


def _position(watermark: Watermark | None) -> int:
    at = 0 if watermark is None else watermark["n"]
    assert isinstance(at, int)
    return at


def numbers(start: int, stop: int, filler_bytes: int = 0) -> pa.RecordBatch:
    noise = random.Random(start)
    filler = pa.array([noise.randbytes(filler_bytes) for _ in range(start, stop)], pa.binary())
    return pa.RecordBatch.from_arrays([pa.array(range(start, stop), pa.int64()), filler], schema=SCHEMA)


def _transient(_: Source) -> None:
    raise TransientStreamError("the API at https://user:in-the-url@example.test/orders is not available")


def _mismatch(_: Source) -> None:
    raise SchemaMismatchError("the table dbo.orders has a new column 'total'")


def _misfit(source: Source) -> None:
    source.batch([{"n": "four"}], location="page 2")


def _fatal(_: Source) -> None:
    raise FatalStreamError("the change log of dbo.orders was cleaned up: start a backfill")


def _configuration(_: Source) -> None:
    raise ConfigurationError("there is no table dbo.orders: correct the spec's field table")


def _defect(_: Source) -> None:
    raise ValueError("a defect of the plugin")


def _exit(_: Source) -> None:
    sys.exit(0)


def _interrupt(_: Source) -> None:
    raise KeyboardInterrupt


FAILURES: Mapping[str, Callable[[Source], None]] = MappingProxyType(
    {
        "transient": _transient,
        "mismatch": _mismatch,
        "misfit": _misfit,
        "fatal": _fatal,
        "configuration": _configuration,
        "defect": _defect,
        "exit": _exit,
        "interrupt": _interrupt,
    }
)


class SlowSink(ParquetSink):
    """Takes its time, and says when a write has begun."""

    def __init__(self, context: NumbersContext, services: Services) -> None:
        super().__init__(services.storage(context.sink_location), grouping=context.grouping)
        self._seconds = context.write_seconds
        self._log = services.log

    def write(self, group: pa.Table) -> None:
        if self._seconds:
            self._log.info("writing")
            time.sleep(self._seconds)
        super().write(group)


class Numbers(StreamGraphBuilder[NumbersContext]):
    def build_graph(self, context: NumbersContext) -> RunnableGraph:
        return self.start(NumbersSource(context, self.services)).pipe(to_sink(SlowSink(context, self.services)))

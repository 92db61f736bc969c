"""How many bytes are between source and sink when the sink is slow; counted, not sampled."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from arcane_framework import Batch, Grouping, Position, Sink, SinkRun, Source, Wait, Watermark
from arcane_framework._core.graph import NamedOperator
from arcane_framework.operators import gather, prefetch
from benchmarks.figures import Figure, Scale
from benchmarks.parts import run_graph, services

BATCH_BYTES = 100_000
BATCH = pa.record_batch({"payload": pa.array(range(BATCH_BYTES // 8), pa.int64())})
LIMIT_BATCHES = 8
GATHERED = 4
FILL_SECONDS = 20.0


@dataclass
class InFlight:
    """Bytes that sources have emitted and the sink has not written yet.

    Attributes:
        expected: The sink holds its first write back until so many bytes are in flight.
        most: The most that there have been.
    """

    expected: int
    most: int = 0
    _now: int = 0
    _condition: threading.Condition = field(default_factory=threading.Condition)

    def emitted(self, nbytes: int) -> None:
        with self._condition:
            self._now += nbytes
            self.most = max(self.most, self._now)
            self._condition.notify_all()

    def wait_until_full(self) -> None:
        """Block until all that can run ahead has run ahead."""
        with self._condition:
            assert self._condition.wait_for(lambda: self._now >= self.expected, FILL_SECONDS), (
                f"only {self._now} of {self.expected} bytes have run ahead"
            )

    def written(self, nbytes: int) -> None:
        with self._condition:
            self._now -= nbytes


class CountedSource(Source):
    """Emits batches as fast as they are taken; one counts as in flight from the moment that it is made."""

    schema = BATCH.schema

    def __init__(self, batches: int, flight: InFlight) -> None:
        self._batches = batches
        self._flight = flight

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        for number in range(self._batches):
            self._flight.emitted(BATCH.nbytes)
            yield Batch(BATCH, {"batch": number})


class SlowSink(Sink):
    """Writes one batch at a time; in the first half each only after all that can run ahead of it has run ahead."""

    grouping = Grouping(rows=BATCH.num_rows)

    def __init__(self, flight: InFlight, total: int) -> None:
        self._flight = flight
        self._held_back = total // 2

    def open(self, run: SinkRun) -> Position:
        return Position()

    def write(self, group: pa.Table) -> None:
        if self._held_back:
            self._held_back -= 1
            self._flight.wait_until_full()
        self._flight.written(BATCH.nbytes)

    def commit(self, position: Position) -> None:
        pass

    def discard(self) -> None:
        pass


def measure(scale: Scale) -> list[Figure]:
    """The most bytes in flight without a hop, with `prefetch` and with `gather`, in batches."""
    batches = max(4 * LIMIT_BATCHES, min(scale.batches, 400))
    limit = LIMIT_BATCHES * BATCH.nbytes
    direct = InFlight(expected=BATCH.nbytes)
    run(CountedSource(batches, direct), [], direct, batches)
    fetched = InFlight(expected=limit)
    run(CountedSource(batches, fetched), [prefetch(limit)], fetched, batches)
    gathered = InFlight(expected=limit)
    each = max(batches // GATHERED, 4 * LIMIT_BATCHES)
    sources = [CountedSource(each, gathered) for _ in range(GATHERED)]
    run(gather(sources, limit), [], gathered, each * GATHERED)
    # Besides what is held, one batch is being written and each producer has one in its hand.
    return [
        Figure("slow sink: batches in flight", direct.most / BATCH.nbytes, "batches", 1),
        Figure(
            f"prefetch({LIMIT_BATCHES} batches): in flight", fetched.most / BATCH.nbytes, "batches", LIMIT_BATCHES + 2
        ),
        Figure(
            f"gather({GATHERED} sources, {LIMIT_BATCHES} batches): in flight",
            gathered.most / BATCH.nbytes,
            "batches",
            LIMIT_BATCHES + GATHERED + 1,
        ),
    ]


def run(source: Source, operators: list[NamedOperator], flight: InFlight, total: int) -> None:
    """Run a graph of `total` batches into a slow sink; `flight` counts what is under way."""
    summary = run_graph(services(), source, operators, SlowSink(flight, total))
    assert summary.rows == total * BATCH.num_rows

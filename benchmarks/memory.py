"""Whether memory grows with the length of a backfill."""

from collections.abc import Iterator
from datetime import date
from statistics import median

from arcane_framework import Batch, Watermark
from arcane_framework.sinks import ParquetSink
from benchmarks.child import peak_memory, run_child, scratch_folder
from benchmarks.figures import Figure, Scale
from benchmarks.parts import run_graph, services
from examples.flights_plugin import FlightsContext, FlightsSource

GOAL_RATIO = 1.15
ROUNDS = 3


def measure(scale: Scale) -> list[Figure]:
    """Peak memory of backfills of several lengths, each in a process of its own."""
    found: dict[int, list[float]] = {rows: [] for rows in scale.backfill_rows}
    for _ in range(min(scale.rounds, ROUNDS)):
        for rows, peaks in found.items():
            with scratch_folder() as folder:
                peaks.append(run_child("benchmarks.memory:backfill", folder=folder, rows=rows)["peak"])
    (shortest, base), *longer = [(rows, median(peaks)) for rows, peaks in found.items()]
    return [
        *(Figure(f"{rows:,} rows over {shortest:,}", peak / base, "x", GOAL_RATIO) for rows, peak in longer),
        *(Figure(f"peak of a backfill of {rows:,} rows", median(peaks), "MiB") for rows, peaks in found.items()),
    ]


def backfill(folder: str, rows: int) -> dict[str, float]:
    """The demo's backfill, of the data set repeated up to `rows` rows."""
    context = FlightsContext(sink_location=folder, history_until=date(2013, 12, 31), rows_per_group=50_000)
    run = services(backfilling=True)
    sink = ParquetSink(run.storage(folder), grouping=context.grouping)
    summary = run_graph(run, RepeatedFlights(context, rows), [], sink)
    assert summary.rows == rows
    return {"peak": peak_memory()}


class RepeatedFlights(FlightsSource):
    """The demo's source, beginning anew until it has given `rows` rows."""

    def __init__(self, context: FlightsContext, rows: int) -> None:
        super().__init__(context)
        self._rows = rows

    def backfill(self, watermark: Watermark | None) -> Iterator[Batch]:
        left = self._rows
        while left:
            for batch in super().backfill(None):
                data = batch.data.slice(0, left)
                left -= data.num_rows
                yield Batch(data, {"left": left})
                if not left:
                    return

"""What a batch costs on its way from source to sink, without any I/O."""

import time
from collections.abc import Callable
from statistics import median

import pyarrow as pa
import pyarrow.compute as pc

from arcane_framework import Grouping
from arcane_framework._core.graph import NamedOperator
from arcane_framework.operators import (
    count_rows,
    filter_rows,
    log_batches,
    map_batches,
    map_rows,
    named,
    prefetch,
    rebatch,
    select,
)
from benchmarks.figures import Figure, Scale
from benchmarks.parts import CountingSink, RepeatedBatch, run_graph, services

GOAL_MICROSECONDS = 100.0

# Few rows, so that it is the batch that is measured and not the work on its rows.
DATA = pa.record_batch({"id": list(range(10)), "amount": [1.5] * 10, "name": ["a name"] * 10})
ROWS_PER_COMMIT = 100

Operators = Callable[[], list[NamedOperator]]


def _same(rows: pa.RecordBatch) -> pa.RecordBatch:
    return rows


OPERATORS: dict[str, Operators] = {
    "map_batches": lambda: [map_batches(_same)],
    "filter_rows": lambda: [filter_rows(pc.field("amount") > 1)],
    "select": lambda: [select("id", "amount")],
    "rebatch": lambda: [rebatch(rows=20)],
    "count_rows": lambda: [count_rows(services().metrics, "rows.seen")],
    "log_batches": lambda: [log_batches(services().log)],
    "named": lambda: [named("two steps", map_batches(_same), map_batches(_same))],
    "map_rows": lambda: [map_rows(dict)],
    "prefetch": lambda: [prefetch(1 << 20)],
}
WHOLE = ("map_batches", "filter_rows", "select", "rebatch", "count_rows")


def measure(scale: Scale) -> list[Figure]:
    """The whole graph, then source and sink alone, then what each operator adds."""
    chains: dict[str, Operators] = {
        "whole": lambda: [operator for name in WHOLE for operator in OPERATORS[name]()],
        "bare": list,
        **OPERATORS,
    }
    seconds: dict[str, list[float]] = {name: [] for name in chains}
    for _ in range(scale.rounds):
        for name, chain in chains.items():
            seconds[name].append(_seconds(chain(), scale.batches))
    cost = {name: median(found) / scale.batches * 1e6 for name, found in seconds.items()}
    return [
        Figure(f"source, {', '.join(WHOLE)}, sink: a batch", cost["whole"], "us", GOAL_MICROSECONDS),
        Figure("source and sink alone: a batch", cost["bare"], "us", GOAL_MICROSECONDS),
        *(Figure(f"{name} adds", cost[name] - cost["bare"], "us") for name in OPERATORS),
    ]


def _seconds(operators: list[NamedOperator], batches: int) -> float:
    sink = CountingSink(Grouping(rows=ROWS_PER_COMMIT))
    started = time.perf_counter()
    summary = run_graph(services(), RepeatedBatch(DATA, batches), operators, sink)
    elapsed = time.perf_counter() - started
    assert summary.rows == sink.rows == batches * DATA.num_rows
    return elapsed

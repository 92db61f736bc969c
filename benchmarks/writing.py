"""In-memory batches to committed Parquet parts, beside a bare writer with the same settings and one fsync a part."""

import os
import random
from pathlib import Path
from statistics import median

import pyarrow as pa

from arcane_framework import Grouping
from arcane_framework.sinks import ParquetSettings, ParquetSink
from arcane_framework.sinks.parquet import parquet_writer
from benchmarks.child import Stopwatch, run_child, scratch_folder
from benchmarks.figures import Figure, Scale
from benchmarks.parts import RepeatedBatch, run_graph, services

GOAL_RATIO = 1.1


def measure(scale: Scale) -> list[Figure]:
    """Wall time of both, in alternating processes on the same file system, and their ratio."""
    found: dict[str, list[dict[str, float]]] = {"write_parts": [], "write_bare": []}
    for number in range(scale.rounds):
        # The order alternates, too: what the first one leaves to the disk must not burden the second one only.
        for task in sorted(found, reverse=bool(number % 2)):
            with scratch_folder() as folder:
                arguments = {"folder": folder, "parts": scale.parts, "rows": scale.part_rows}
                found[task].append(run_child(f"benchmarks.writing:{task}", **arguments))
    wall, bare_wall, cpu, bare_cpu = (
        median(result[key] for result in found[task]) for key in ("wall", "cpu") for task in found
    )
    ratios = [ours["wall"] / bare["wall"] for ours, bare in zip(*found.values(), strict=True)]
    return [
        Figure("committed parts over a bare writer: wall", median(ratios), "x", GOAL_RATIO),
        Figure("committed parts over a bare writer: CPU", cpu / bare_cpu, "x"),
        Figure("committed parts: wall", wall, "s"),
        Figure("bare writer: wall", bare_wall, "s"),
        Figure("parts", scale.parts, ""),
        Figure("a part", found["write_bare"][0]["nbytes"] / scale.parts / 1e6, "MB"),
    ]


def write_parts(folder: str, parts: int, rows: int) -> dict[str, float]:
    """Our way: every part is committed and published by itself."""
    data = mixed_rows(rows)
    run = services(backfilling=True)
    sink = ParquetSink(run.storage(folder), grouping=Grouping(rows=rows), parquet=ParquetSettings())
    watch = Stopwatch()
    summary = run_graph(run, RepeatedBatch(data, parts), [], sink)
    result = watch.read()
    assert summary.rows == rows * parts
    return {**result, "nbytes": summary.nbytes}


def write_bare(folder: str, parts: int, rows: int) -> dict[str, float]:
    """The least that a durable part takes."""
    data = mixed_rows(rows)
    settings = ParquetSettings()
    watch = Stopwatch()
    nbytes = 0
    for number in range(parts):
        with Path(folder, f"{number}.parquet").open("wb") as file:
            table = pa.Table.from_batches([data])
            with parquet_writer(file, data.schema, table, settings) as writer:
                writer.write_table(table, row_group_size=rows)
            file.flush()
            os.fsync(file.fileno())
            nbytes += file.tell()
    return {**watch.read(), "nbytes": nbytes}


def mixed_rows(count: int) -> pa.RecordBatch:
    """Twelve columns: numbers of all sizes, texts that repeat and texts that do not."""
    chance = random.Random(1)
    numbers = {f"number{k}": [chance.getrandbits(40) for _ in range(count)] for k in range(4)}
    fractions = {f"fraction{k}": [chance.random() for _ in range(count)] for k in range(4)}
    texts = {f"text{k}": [f"text {chance.randrange(50_000)}" for _ in range(count)] for k in range(3)}
    kinds = {"kind": [chance.choice("abc") for _ in range(count)]}
    return pa.record_batch({**numbers, **fractions, **texts, **kinds})

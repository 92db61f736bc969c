"""JSON parsers side by side: how fast, with how much memory, and how right.

`python -m benchmarks.parsers` prints the table of correctness as Markdown.
"""

import json
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa

from arcane_framework.schema.json_document import KeyChains
from arcane_framework.schema.json_rows import raw_rows
from benchmarks.child import Stopwatch, peak_memory, run_child, scratch_folder
from benchmarks.figures import Figure, Scale
from benchmarks.parser_candidates import CANDIDATES, CHAIN, Parser
from benchmarks.parser_cases import Case, cases
from benchmarks.rest_pages import SCHEMA
from benchmarks.rest_pages import rows as rest_rows

RIGHT, REFUSED, WRONG, CRASH = "right", "refused", "**WRONG**", "**crash**"
VERDICTS = (RIGHT, REFUSED, WRONG, CRASH)
PAGE_ROWS = 10_000
THREADS = 2
PAGES = 8
RAW = pa.schema([pa.field("row", pa.large_string(), nullable=False)])


def measure(scale: Scale) -> list[Figure]:
    """CPU of a page in one thread, wall of a page in one and in two, memory of a large page, and verdicts."""
    rows = min(PAGE_ROWS, scale.part_rows)
    body = page(rows)
    parsers = {name: make(SCHEMA) for name, make in CANDIDATES.items()} | {"raw mode": raw_mode}
    spent: dict[str, list[dict[str, float]]] = {name: [] for name in parsers}
    for _ in range(scale.rounds):
        for name, parse in parsers.items():
            spent[name].append(_spent(parse, body))
    large = scale.backfill_rows[0] * 15 // 2
    with scratch_folder() as folder:
        file = Path(folder, "page")
        file.write_bytes(page(large))
        found = {name: run_child("benchmarks.parsers:peak_of", name=name, file=str(file)) for name in CANDIDATES}
    peaks = {name: child["times"] for name, child in found.items()}
    return [*_speed(spent, rows), *_memory(peaks, large), *_correctness(verdicts())]


def table() -> str:
    """The verdicts as Markdown, the totals last."""
    found = verdicts()
    lines = [["case", *found], ["---"] * (len(found) + 1)]
    for number, case in enumerate(cases()):
        lines.append([case.name.replace("|", "\\|"), *(verdict[number] for verdict in found.values())])
    lines += [
        [f"all cases: {verdict}", *(str(Counter(given)[verdict]) for given in found.values())] for verdict in VERDICTS
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def verdicts() -> dict[str, list[str]]:
    """Each candidate's verdicts, in the order of the cases."""
    found = run_child("benchmarks.parsers:judged")
    count = len(cases())
    return {name: [VERDICTS[int(found[f"{name} {number}"])] for number in range(count)] for name in CANDIDATES}


def judged() -> dict[str, int]:
    """All verdicts, as indices; for a process of its own, whose copies may crash."""
    # What is loaded now, the copies need not load each for itself.
    for make in CANDIDATES.values():
        make(SCHEMA)
    _as_read(cases()[0])
    return {
        f"{name} {number}": _in_a_copy(make, case)
        for name, make in CANDIDATES.items()
        for number, case in enumerate(cases())
    }


def _in_a_copy(make: Callable[[pa.Schema], Parser], case: Case) -> int:
    copy = os.fork()
    if copy == 0:
        os._exit(VERDICTS.index(verdict(make, case)))
    _, status = os.waitpid(copy, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else VERDICTS.index(CRASH)


def verdict(candidate: Callable[[pa.Schema], Parser], case: Case) -> str:
    """What a candidate makes of a case, judged."""
    try:
        found = candidate(case.schema)(case.body)
    except Exception:  # a parser may refuse in its own way
        return RIGHT if case.rows is None or case.refusable else REFUSED
    try:
        found.validate(full=True)
        # Their repr, as -0.0 equals 0.0.
        return RIGHT if case.rows is not None and repr(found.to_pylist()) == repr(_as_read(case)) else WRONG
    except (pa.ArrowException, ValueError, OverflowError):
        return WRONG


def _as_read(case: Case) -> list[dict[str, Any]]:
    return pa.RecordBatch.from_pylist(case.rows or [], case.schema).to_pylist()


def peak_of(name: str, file: str) -> dict[str, float]:
    """The memory that one large page takes beyond its body, as times of the body; for a process of its own."""
    parse = CANDIDATES[name](SCHEMA)
    parse(page(10))
    body = Path(file).read_bytes()
    before = peak_memory()
    assert parse(body).num_rows
    return {"times": (peak_memory() - before) * 2**20 / len(body)}


def raw_mode(body: bytes) -> pa.RecordBatch:
    """The rows as they are, for JSON lines."""
    (array,) = KeyChains(CHAIN).read(body)
    assert array is not None
    return raw_rows(array, RAW, "page")


def page(rows: int) -> bytes:
    """A response with rows of 12 columns."""
    parts = (json.dumps(row).encode() for row in rest_rows(1, rows))
    return b'{"page": 1, "total": 100, "result": {"rows": [' + b",".join(parts) + b"]}}"


def _spent(parse: Parser, body: bytes) -> dict[str, float]:
    parse(body)
    alone = Stopwatch()
    for _ in range(PAGES):
        parse(body)
    one = alone.read()
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(parse, [body] * THREADS))
        together = Stopwatch()
        list(threads.map(parse, [body] * PAGES))
        two = together.read()
    return {"cpu": one["cpu"] / PAGES, "speed-up": one["wall"] / two["wall"]}


def _speed(spent: dict[str, list[dict[str, float]]], rows: int) -> list[Figure]:
    cpu = {name: median(each["cpu"] for each in found) for name, found in spent.items()}
    gain = {name: median(each["speed-up"] for each in found) for name, found in spent.items()}
    return [
        *(Figure(f"{name}: CPU of 1,000 rows", seconds * 1e6 / rows, "ms") for name, seconds in cpu.items()),
        *(Figure(f"{name}: a second thread gains", times, "x") for name, times in gain.items()),
    ]


def _memory(peaks: dict[str, float], rows: int) -> list[Figure]:
    return [Figure(f"{name}: memory for a page of {rows:,} rows", peak, "x page") for name, peak in peaks.items()]


def _correctness(found: dict[str, list[str]]) -> list[Figure]:
    counts = {name: Counter(given) for name, given in found.items()}
    figures = []
    for name, count in counts.items():
        goal = 0.0 if name == "ours" else None
        figures.append(Figure(f"{name}: silently wrong or crashed", count[WRONG] + count[CRASH], "cases", goal))
        figures.append(Figure(f"{name}: refused though right", count[REFUSED], "cases", goal))
    return figures


if __name__ == "__main__":
    print(table(), end="")

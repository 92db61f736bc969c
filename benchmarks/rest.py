"""REST pages to committed Parquet parts by the ready-made kind, beside a script by hand and dlt; whole processes."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.child import scratch_folder
from benchmarks.figures import Figure, Scale
from benchmarks.rest_pages import SCHEMA, ids, pages_folder
from benchmarks.rest_peer import dlt_python
from benchmarks.rest_server import serve
from benchmarks.rest_ways import Way, dlt, plugin, script
from benchmarks.whole import Usage

WALL_GOAL = 1.15
CPU_GOAL = 1.2
DLT_GOAL = 1 / 20
PEAK_GOAL = 200.0
FLAT_GOAL = 1.1
MEMORY_ROUNDS = 3


@dataclass
class Pages:
    """The server's pages, and what has been loaded of them.

    Attributes:
        url: Of the server.
        page_rows: Rows of a page.
        different: Pages with rows of their own.
        contents: The checksum over all values, by the number of pages; the first way to load them says it.
    """

    url: str
    page_rows: int
    different: int
    contents: dict[int, int] = field(default_factory=dict)

    def load(self, way: Way, total: int) -> Usage:
        """Load `total` pages, and check that every row is there and is as the other ways have loaded it."""
        with scratch_folder() as folder:
            usage = way.load(f"{self.url}/{total}", folder)
            found, content = read_back(Path(folder, way.files))
        expected = ids(self.page_rows, total, self.different)
        if found != expected:
            raise RuntimeError(f"rows, sum of their ids, different ids: {found} were loaded, and {expected} served")
        if self.contents.setdefault(total, content) != content:
            raise RuntimeError("the loaded values differ from those of another way")
        return usage


def read_back(files: Path) -> tuple[tuple[int, int, int], int]:
    """How many rows there are, the sum of their ids, how many ids differ; and a checksum over all values."""
    import duckdb

    # As texts, since not every way has the same width of integers.
    values = ", ".join(f"{name}::varchar" for name in SCHEMA.names)
    query = f"select count(*), sum(id), count(distinct id), sum(hash([{values}])) from read_parquet(?)"
    with duckdb.connect() as database:
        row = database.execute(query, [str(files)]).fetchone()
    assert row is not None
    return (row[0], row[1], row[2]), row[3]


def measure(scale: Scale) -> list[Figure]:
    """Wall, CPU and peak memory of whole processes that load the same pages of the same server."""
    shortest, base, longest = scale.rest_pages
    with scratch_folder() as work:
        root = pages_folder(scale.rest_page_rows, scale.rest_pages, base)
        with serve(root, Path(work)) as server:
            pages = Pages(server.url, scale.rest_page_rows, base)
            ours, by_hand = _in_turns(pages, base, scale.rounds)
            again = range(min(scale.rounds, MEMORY_ROUNDS))
            others = {total: [pages.load(plugin(), total) for _ in again] for total in (shortest, longest)}
            peers = _peers(pages, base) if scale.peers else {}
    return [
        *_beside_script(ours, by_hand),
        *_memory({**others, base: ours}, pages.page_rows),
        *beside_peers(median(usage.wall for usage in ours), peers),
        Figure(f"pages of {pages.page_rows:,} rows, served by {server.name}", base, ""),
    ]


def _in_turns(pages: Pages, total: int, rounds: int) -> tuple[list[Usage], list[Usage]]:
    ways = (plugin(), script())
    found: tuple[list[Usage], list[Usage]] = ([], [])
    for number in range(rounds):
        # The order alternates, too: what the first one leaves to the disk must not burden the second one only.
        for which in (0, 1) if number % 2 else (1, 0):
            found[which].append(pages.load(ways[which], total))
    return found


def _peers(pages: Pages, total: int) -> dict[str, Usage]:
    try:
        python = dlt_python()
    except RuntimeError as error:
        print(f"dlt is left out: {error}", file=sys.stderr, flush=True)
        return {}
    # Once each: a round takes longer than all of the others together, and the goal is far from the noise.
    return {
        "dlt": pages.load(dlt(python), total),
        "dlt, tuned": pages.load(dlt(python, tuned=True), total),
    }


def _beside_script(ours: list[Usage], by_hand: list[Usage]) -> list[Figure]:
    wall = median(a.wall / b.wall for a, b in zip(ours, by_hand, strict=True))
    cpu = median(a.cpu / b.cpu for a, b in zip(ours, by_hand, strict=True))
    return [
        Figure("plugin over a script by hand: wall", wall, "x", WALL_GOAL),
        Figure("plugin over a script by hand: CPU", cpu, "x", CPU_GOAL),
        Figure("plugin: wall", median(usage.wall for usage in ours), "s"),
        Figure("plugin: CPU", median(usage.cpu for usage in ours), "s"),
        Figure("script by hand: wall", median(usage.wall for usage in by_hand), "s"),
        Figure("script by hand: CPU", median(usage.cpu for usage in by_hand), "s"),
        Figure("script by hand: peak", median(usage.peak for usage in by_hand), "MiB"),
    ]


def _memory(found: dict[int, list[Usage]], page_rows: int) -> list[Figure]:
    peaks = {total: median(usage.peak for usage in usages) for total, usages in found.items()}
    shortest, longest = min(peaks), max(peaks)
    ratio = f"plugin: peak of {longest * page_rows:,} rows over {shortest * page_rows:,}"
    return [
        *(Figure(f"plugin: peak of {n * page_rows:,} rows", peaks[n], "MiB", PEAK_GOAL) for n in sorted(peaks)),
        Figure(ratio, peaks[longest] / peaks[shortest], "x", FLAT_GOAL),
    ]


def beside_peers(wall: float, peers: dict[str, Usage]) -> list[Figure]:
    """The plugin's wall seconds over those of each peer, and what these have taken."""
    ratios = [
        Figure(f"plugin over {name}: wall", wall / usage.wall, "x", DLT_GOAL if name == "dlt" else None)
        for name, usage in peers.items()
    ]
    absolute = [
        figure
        for name, usage in peers.items()
        for figure in (
            Figure(f"{name}: wall", usage.wall, "s"),
            Figure(f"{name}: CPU", usage.cpu, "s"),
            Figure(f"{name}: peak of its largest process", usage.peak, "MiB"),
        )
    ]
    return [*ratios, *absolute]

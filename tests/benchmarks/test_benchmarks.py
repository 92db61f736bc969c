"""The benchmarks at a tiny size: that they work, and that what they count is bounded. No time is asserted."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks import bounds, overhead
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.bounds import BATCH, CountedSource, InFlight
from benchmarks.child import run_child
from benchmarks.figures import TINY, Figure, as_json, table
from benchmarks.parser_candidates import CANDIDATES
from benchmarks.parts import services
from benchmarks.rest_server import STANDARD_LIBRARY, find_nginx
from benchmarks.stores import FAR, MIXED, NEAR, PLAINS

SIDES = ("sink", *PLAINS)


def stores_figures(store: str) -> dict[str, float | None]:
    """The figures of a store, and their goals."""
    titles = [f"{store}, {variant}" for variant in (NEAR, MIXED, *([] if store == "disk" else [FAR]))]
    server: dict[str, float | None] = {
        **{f"{title}: {side}: a part's CPU of the server": None for title in titles for side in SIDES},
        **{f"{title}: requests for a part and its commit": 4 for title in titles},
    }
    return {
        **{f"{title}: sink over the faster plain: wall": 1.3 for title in titles},
        **{f"{title}: sink over {side}: wall": None for title in titles for side in PLAINS},
        **{f"{title}: sink over the faster plain: CPU": None for title in titles},
        **{f"{title}: {side}: wall": None for title in titles for side in SIDES},
        **{f"{title}: opening the sink": None for title in titles},
        **({} if store == "disk" else server),
        f"{store}: peak over the idle process, in parts of 0.641 MB": 3,
        f"{store}: peak over the idle process": None,
    }


FIGURES: dict[str, dict[str, float | None]] = {
    "overhead": {
        "source, map_batches, filter_rows, select, rebatch, count_rows, sink: a batch": 100,
        "source and sink alone: a batch": 100,
        **{f"{name} adds": None for name in overhead.OPERATORS},
    },
    "writing": {
        "committed parts over a bare writer: wall": 1.1,
        "committed parts over a bare writer: CPU": None,
        "committed parts: wall": None,
        "bare writer: wall": None,
        "parts": None,
        "a part": None,
    },
    "memory": {
        "4,000 rows over 2,000": 1.15,
        "peak of a backfill of 2,000 rows": None,
        "peak of a backfill of 4,000 rows": None,
    },
    "bounds": {
        "slow sink: batches in flight": 1,
        "prefetch(8 batches): in flight": 10,
        "gather(4 sources, 8 batches): in flight": 13,
    },
    "start": {
        "import arcane_framework, over bare Python": 0.6,
        "every name of arcane_framework, over bare Python": 0.6,
        "a stream that ends at once, as a process": 1.5,
        "bare Python": None,
    },
    "stop": {
        "SIGTERM in an idle wait": 2,
        "SIGTERM in an idle wait, the longest": 2,
        "SIGTERM in a write": 2,
        "SIGTERM in a write, the longest": 2,
    },
    "parsers": {
        **{f"{name}: CPU of 1,000 rows": None for name in (*CANDIDATES, "raw mode")},
        **{f"{name}: a second thread gains": None for name in (*CANDIDATES, "raw mode")},
        **{f"{name}: memory for a page of 15,000 rows": None for name in CANDIDATES},
        **{f"{name}: silently wrong or crashed": 0 if name == "ours" else None for name in CANDIDATES},
        **{f"{name}: refused though right": 0 if name == "ours" else None for name in CANDIDATES},
    },
    "rest": {
        "plugin over a script by hand: wall": 1.15,
        "plugin over a script by hand: CPU": 1.2,
        "plugin: wall": None,
        "plugin: CPU": None,
        "script by hand: wall": None,
        "script by hand: CPU": None,
        "script by hand: peak": None,
        "plugin: peak of 50 rows": 200,
        "plugin: peak of 150 rows": 200,
        "plugin: peak of 350 rows": 200,
        "plugin: peak of 350 rows over 50": 1.1,
        f"pages of 50 rows, served by {'nginx' if find_nginx() else STANDARD_LIBRARY}": None,
    },
    "stores": {
        name: goal
        for store in ("disk", "S3", *(["Azure"] if shutil.which("node") and shutil.which("npm") else []))
        for name, goal in stores_figures(store).items()
    },
}


# That of the stores starts a dozen processes.
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_measures_its_figures(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "figures.json"
    assert main(["--tiny", "--only", name, "--json", str(target)]) == 0
    found = json.loads(target.read_text())
    assert list(found["figures"]) == [name]
    assert {figure["name"]: figure["goal"] for figure in found["figures"][name]} == FIGURES[name]
    # A difference of two measurements may be below zero by chance.
    may_be_none = (
        " adds",
        ", over bare Python",
        ": silently wrong or crashed",
        ": refused though right",
        "CPU of the server",
    )
    assert all(figure["measured"] > 0 for figure in found["figures"][name] if not figure["name"].endswith(may_be_none))
    out, err = capsys.readouterr()
    assert err == f"measuring {name} ...\n"
    assert all(figure in out for figure in FIGURES[name])


def test_nothing_runs_ahead_of_a_slow_sink_and_prefetch_and_gather_stay_within_their_bytes() -> None:
    slow, fetched, gathered = bounds.measure(TINY)
    # All that may run ahead does, before the sink takes anything: the bounds are reached, not only kept.
    assert slow.measured == 1
    assert bounds.LIMIT_BATCHES <= fetched.measured <= bounds.LIMIT_BATCHES + 2
    assert bounds.LIMIT_BATCHES <= gathered.measured <= bounds.LIMIT_BATCHES + bounds.GATHERED + 1


def test_the_bounds_would_notice_a_source_that_is_not_held_back() -> None:
    class Eager(CountedSource):
        def stream(self, watermark):  # type: ignore[no-untyped-def]
            yield from list(super().stream(watermark))

    flight = InFlight(expected=BATCH.nbytes)
    bounds.run(Eager(20, flight), [], flight, 20)
    assert flight.most == 20 * BATCH.nbytes


def test_peak_memory_is_that_of_the_child_and_not_of_its_parent(tmp_path: Path) -> None:
    held = bytearray(b"x") * (600 << 20)
    found = run_child("benchmarks.memory:backfill", folder=str(tmp_path), rows=1000)
    assert found["peak"] < len(held) >> 20


def test_the_table_says_which_goal_was_missed() -> None:
    figures = {
        "speed": [
            Figure("a batch", 99.5, "us", 100.0),
            Figure("a slow batch", 1234.5, "us", 100.0),
            Figure("parts", 24, ""),
        ],
        "size": [Figure("ratio", 1.0625, "x", 1.1)],
    }
    assert table(figures) == (
        "                measured        goal\n"
        "\n"
        "speed\n"
        "a batch             99.5      <= 100  us\n"
        "a slow batch       1,234      <= 100  us  missed\n"
        "parts                 24\n"
        "\n"
        "size\n"
        "ratio              1.062    <= 1.100  x"
    )
    parsed = json.loads(as_json(figures, {"cores": 2}))
    assert parsed["machine"] == {"cores": 2}
    assert [figure["met"] for figure in parsed["figures"]["speed"]] == [True, False, None]


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "speed"])
    assert "invalid choice: 'speed'" in capsys.readouterr().err


def test_the_benchmarks_have_no_http() -> None:
    with pytest.raises(NotImplementedError):
        services().http()

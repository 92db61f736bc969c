"""The parts of the REST benchmark: pages, servers, the ways to load them, and what is measured of a process."""

import base64
import json
import re
import shutil
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import rest_pages, rest_peer
from benchmarks.figures import Figure
from benchmarks.rest import Pages, beside_peers, read_back
from benchmarks.rest_pages import SCHEMA, ids, pages_folder, schema_encoded
from benchmarks.rest_server import find_nginx, serve
from benchmarks.rest_ways import Way, dlt, script
from benchmarks.whole import Usage, run_whole

SERVERS = [
    pytest.param(None, marks=pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed"), id="nginx"),
    pytest.param("", id="standard library"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pages of five rows, three of them different, as one, three and seven pages."""
    monkeypatch.setattr(rest_pages, "ROOT", tmp_path)
    return pages_folder(5, (1, 3, 7), 3)


def test_every_page_says_the_total_that_it_is_served_under(folder: Path) -> None:
    for total in (1, 3, 7):
        pages = {int(file.name): json.loads(file.read_bytes()) for file in folder.joinpath(str(total)).iterdir()}
        assert sorted(pages) == list(range(1, total + 1))
        assert {page["totalPages"] for page in pages.values()} == {total}
        rows = [row["id"] for number in sorted(pages) for row in pages[number]["result"]["rows"]]
        assert (len(rows), sum(rows), len(set(rows))) == ids(5, total, 3)


def test_pages_are_the_same_bytes_each_time_and_are_made_once(folder: Path, tmp_path: Path) -> None:
    made = {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    times = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    assert pages_folder(5, (1, 3, 7), 3) == folder
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == times
    shutil.rmtree(folder)
    pages_folder(5, (1, 3, 7), 3)
    assert {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()} == made
    assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]


def test_pages_that_were_not_finished_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_pages, "ROOT", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(rest_pages, "rows", lambda page, count: iter([object()]))
        with pytest.raises(TypeError):
            pages_folder(5, (1,), 1)
    assert len(list(pages_folder(5, (1,), 1).joinpath("1").iterdir())) == 1


def test_rows_have_the_columns_of_both_schemas_with_nulls_and_large_integers(folder: Path) -> None:
    rows = [row for page in (1, 2, 3) for row in json.loads((folder / "3" / str(page)).read_bytes())["result"]["rows"]]
    assert {tuple(row) for row in rows} == {tuple(SCHEMA.names)}
    assert {row["note"] is None for row in rows} == {True, False}
    assert max(row["reference"] for row in rows) > 2**53
    declared = json.loads(base64.b64decode(schema_encoded()))
    assert list(declared["properties"]) == SCHEMA.names


@pytest.mark.parametrize("nginx", SERVERS)
def test_a_server_gives_the_page_that_is_asked_for_and_nothing_else(
    nginx: str | None, folder: Path, tmp_path: Path
) -> None:
    folder.joinpath("none").write_text("no page")
    with serve(folder, tmp_path, nginx=nginx) as server:
        for total, page in ((1, 1), (3, 2), (7, 7)):
            with urlopen(f"{server.url}/{total}?page={page}") as answer:
                assert answer.read() == folder.joinpath(str(total), str(page)).read_bytes()
                assert answer.headers["Content-Type"] == "application/json"
        for wrong in (
            "3?page=4",
            "3?page=",
            "3",
            "3?page=../7/7",
            "3?page=%2e%2e/7/7",
            "3?page=/etc/passwd",
            "?page=3",
        ):
            with pytest.raises(HTTPError, match="404"):
                urlopen(f"{server.url}/{wrong}")
        url = server.url
    with pytest.raises(OSError, match="refused"):
        urlopen(f"{url}/1?page=1")


def test_a_server_that_does_not_start_is_an_error(folder: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match=re.escape("the pages' server did not start; exit code 1")),
        serve(folder, tmp_path, nginx=shutil.which("false")),
    ):
        pass


@pytest.mark.parametrize("total", [1, 3, 7])
def test_the_script_loads_every_row(total: int, folder: Path, tmp_path: Path) -> None:
    with serve(folder, tmp_path, nginx="") as server:
        target = tmp_path / "loaded"
        target.mkdir()
        usage = Way([sys.executable, "-m", "benchmarks.rest_script", "{url}", "{folder}", "10"], "").load(
            f"{server.url}/{total}", str(target)
        )
    parts = [pq.read_table(target / f"{number}.parquet") for number in range(len(list(target.iterdir())))]
    rows = [10] * (total * 5 // 10) + [5] * (total * 5 % 10 // 5)
    assert [part.num_rows for part in parts] == rows
    loaded = pa.concat_tables(parts)
    assert loaded.schema == SCHEMA
    served = [
        row["id"]
        for page in range(1, total + 1)
        for row in json.loads((folder / str(total) / str(page)).read_bytes())["result"]["rows"]
    ]
    assert loaded["id"].to_pylist() == served
    assert usage.wall > 0
    assert usage.cpu > 0


def test_a_way_that_loses_a_row_is_an_error(folder: Path, tmp_path: Path) -> None:
    code = "import pyarrow as pa, pyarrow.parquet as pq; from benchmarks.rest_pages import SCHEMA;"
    code += "pq.write_table(pa.Table.from_pylist([{'id': n} for n in (1, 2, 3, 5)], SCHEMA), '{folder}/1.parquet')"
    with pytest.raises(RuntimeError) as caught:
        Pages("http://nowhere.invalid", 5, 3).load(Way([sys.executable, "-c", code], "*.parquet"), 1)
    assert str(caught.value) == ("rows, sum of their ids, different ids: (4, 11, 4) were loaded, and (5, 15, 5) served")


def test_a_way_that_changes_a_value_is_an_error() -> None:
    def way(name: str) -> Way:
        code = "import pyarrow as pa, pyarrow.parquet as pq; from benchmarks.rest_pages import SCHEMA;"
        rows = f"[{{'id': n, 'name': '{name}'}} for n in range(1, 6)]"
        code += f"pq.write_table(pa.Table.from_pylist({rows}, SCHEMA), '{{folder}}/1.parquet')"
        return Way([sys.executable, "-c", code], "*.parquet")

    pages = Pages("http://nowhere.invalid", 5, 3)
    pages.load(way("right"), 1)
    pages.load(way("right"), 1)
    with pytest.raises(RuntimeError, match=r"^the loaded values differ from those of another way$"):
        pages.load(way("wrong"), 1)


def test_the_checksum_is_of_values_and_not_of_their_widths_nor_their_order(tmp_path: Path) -> None:
    rows = pa.Table.from_pylist([{"id": n, "quantity": n, "note": None} for n in range(3)], SCHEMA)
    wide = rows.set_column(4, "quantity", rows["quantity"].cast(pa.int64()))
    other = rows.set_column(9, "note", pa.array(["", None, None]))
    for number, table in enumerate([rows, wide.take([2, 0, 1]), other]):
        pq.write_table(table, tmp_path / f"{number}.parquet")
    first, same, different = (read_back(tmp_path / f"{number}.parquet") for number in range(3))
    assert first == same
    assert first[0] == different[0] == (3, 3, 3)
    assert first[1] != different[1]


def test_what_a_command_takes_is_its_own_and_that_of_its_children() -> None:
    small = run_whole([sys.executable, "-S", "-c", ""])
    held = bytearray(b"x") * (100 << 20)
    again = run_whole([sys.executable, "-S", "-c", ""])
    assert again.peak < len(held) >> 20
    filling = "bytearray(64 << 20)[:] = bytes(64 << 20)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {filling!r}])"
    parent = run_whole([sys.executable, "-S", "-c", code])
    assert parent.peak > small.peak + 64
    asleep = run_whole([sys.executable, "-S", "-c", "import time; time.sleep(0.2)"])
    assert asleep.wall >= 0.2 > asleep.cpu


def test_a_command_that_fails_is_an_error_with_its_last_words() -> None:
    code = "import sys; print('to', flush=True); print('both', file=sys.stderr); sys.exit(3)"
    with pytest.raises(RuntimeError) as caught:
        run_whole([sys.executable, "-c", code])
    assert str(caught.value) == f"{sys.executable} -c {code} ended with 3:\nto\nboth\n"


def test_the_goal_is_against_dlt_as_it_is_and_tuning_it_only_explains() -> None:
    peers = {"dlt": Usage(40.0, 41.0, 150.0), "dlt, tuned": Usage(20.0, 42.0, 160.0)}
    assert beside_peers(4.0, peers) == [
        Figure("plugin over dlt: wall", 0.1, "x", 0.05),
        Figure("plugin over dlt, tuned: wall", 0.2, "x"),
        Figure("dlt: wall", 40.0, "s"),
        Figure("dlt: CPU", 41.0, "s"),
        Figure("dlt: peak of its largest process", 150.0, "MiB"),
        Figure("dlt, tuned: wall", 20.0, "s"),
        Figure("dlt, tuned: CPU", 42.0, "s"),
        Figure("dlt, tuned: peak of its largest process", 160.0, "MiB"),
    ]
    assert beside_peers(4.0, {}) == []


def test_a_peer_that_cannot_be_installed_says_why_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("--no-index\n--find-links .\nno-such-thing==1\n")
    monkeypatch.setattr(rest_peer, "ROOT", tmp_path)
    monkeypatch.setattr(rest_peer, "REQUIREMENTS", requirements)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^dlt could not be installed:\n(.|\n)*no-such-thing==1"):
            rest_peer.dlt_python()


def test_a_peer_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("--no-index\n")
    monkeypatch.setattr(rest_peer, "ROOT", tmp_path)
    monkeypatch.setattr(rest_peer, "REQUIREMENTS", requirements)
    python = rest_peer.dlt_python()
    assert run_whole([str(python), "-I", "-c", "import sys; assert sys.prefix != sys.base_prefix"]).wall > 0
    requirements.write_text("--no-index\nno-such-thing==1\n")
    with pytest.raises(RuntimeError):
        rest_peer.dlt_python()
    requirements.write_text("--no-index\n")
    shutil.rmtree(rest_peer.environment_folder() / "lib")
    assert rest_peer.dlt_python() == python


@pytest.mark.slow
@pytest.mark.skipif(
    not (rest_peer.environment_folder() / "done").exists(), reason="dlt is not installed: make bench installs it"
)
@pytest.mark.parametrize("tuned", [False, True])
def test_dlt_loads_the_same_values_as_the_script(tuned: bool, folder: Path, tmp_path: Path) -> None:
    with serve(folder, tmp_path, nginx="") as server:
        pages = Pages(server.url, 5, 3)
        pages.load(script(), 7)
        pages.load(dlt(rest_peer.dlt_python(), tuned=tuned), 7)

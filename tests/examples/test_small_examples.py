"""The short examples: that they are short, and that they work as processes."""

import ast
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize(
    ("name", "most"),
    [("hello_world.py", 16), ("custom_source.py", 15), ("custom_sink.py", 15), ("flights_plugin.py", 30)],
)
def test_an_example_is_as_short_as_the_docs_say(name: str, most: int) -> None:
    lines = (EXAMPLES / name).read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= most
    assert max(len(line) for line in lines) <= 120


def test_every_example_says_what_it_does_or_is_shown_in_the_docs() -> None:
    shown_in_full = {"hello_world.py", "custom_source.py", "custom_sink.py"}
    without = {path.name for path in EXAMPLES.glob("*.py") if ast.get_docstring(ast.parse(path.read_text())) is None}
    assert without == shown_in_full


def command(plugin: str, folder: Path, spec: Mapping[str, object], *options: str) -> list[str]:
    path = folder / "spec.json"
    path.write_text(json.dumps(spec))
    return [sys.executable, "-m", "arcane_framework.run", plugin, "--spec", str(path), *options]


def start(command: list[str]) -> "subprocess.Popen[str]":
    environment = {**os.environ, "METRICS_ENABLED": "false"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "it did not come to that within 30 s"
        time.sleep(0.02)


def test_the_hello_world_says_hello(tmp_path: Path) -> None:
    run = command("examples.hello_world:Hello", tmp_path, {"sinkLocation": str(tmp_path)}, "--backfill")
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (part,) = (tmp_path / "local" / "backfill").glob("part-*.parquet")
    assert pq.read_table(part).to_pylist() == [{"greeting": "hello, world"}]


def test_the_hello_world_streams_until_it_is_told_to_stop(tmp_path: Path) -> None:
    spec = {"sinkLocation": str(tmp_path), "groupingIntervalSeconds": "PT0.1S"}
    process = start(command("examples.hello_world:Hello", tmp_path, spec))
    wait_until(lambda: any((tmp_path / "local" / "data").glob("part-*.parquet")), process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors


# The copy of a table: the custom source and the custom sink in one stream.


@pytest.fixture
def spec(tmp_path: Path) -> dict[str, object]:
    with closing(sqlite3.connect(tmp_path / "crm.db")) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT)")
    return {
        "sourcePath": str(tmp_path / "crm.db"),
        "targetPath": str(tmp_path / "copy.db"),
        "intervalSeconds": "PT0.05S",
    }


def customers(path: object) -> list[tuple[int, str]]:
    with closing(sqlite3.connect(str(path), timeout=20)) as db:
        return db.execute("SELECT id, name FROM customers").fetchall()


def add(spec: dict[str, object], ids: range) -> None:
    with closing(sqlite3.connect(str(spec["sourcePath"]), timeout=20)) as db:
        db.executemany("INSERT INTO customers VALUES (?, ?)", [(number, f"customer {number}") for number in ids])
        db.commit()


def copied(spec: dict[str, object]) -> list[tuple[int, str]]:
    try:
        return customers(spec["targetPath"])
    except sqlite3.OperationalError:  # not created yet
        return []


def has_more_than(spec: dict[str, object], count: int) -> bool:
    return len(copied(spec)) > count


@pytest.fixture
def processes() -> Iterator[list["subprocess.Popen[str]"]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_the_copy_is_exact_however_often_the_runner_is_killed(
    tmp_path: Path, spec: dict[str, object], processes: list["subprocess.Popen[str]"]
) -> None:
    add(spec, range(1, 500))
    run = command("examples.copy_table:CopyTable", tmp_path, spec)
    end = 500
    for _ in range(6):
        process = start(run)
        processes.append(process)
        before = len(copied(spec))
        add(spec, range(end, end + 3000))
        end += 3000
        wait_until(partial(has_more_than, spec, before), process)
        time.sleep(random.uniform(0, 0.05))
        process.kill()
        process.communicate()
        # What is there after a kill is a beginning of the source, each row once.
        assert copied(spec) == customers(spec["sourcePath"])[: len(copied(spec))]
    last = start(run)
    processes.append(last)
    wait_until(lambda: len(copied(spec)) >= end - 1, last)
    last.send_signal(signal.SIGTERM)
    _, errors = last.communicate(timeout=20)
    assert last.returncode == 0, errors
    assert copied(spec) == customers(spec["sourcePath"])


def test_a_new_backfill_replaces_the_copy(tmp_path: Path, spec: dict[str, object]) -> None:
    add(spec, range(1, 2500))
    for _ in range(2):
        run = command("examples.copy_table:CopyTable", tmp_path, spec, "--backfill")
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert copied(spec) == customers(spec["sourcePath"])

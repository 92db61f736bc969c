"""A stream as an operator starts it, with its sink in a cloud: only the location and the environment differ."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from arcane_framework import StreamIdentity
from arcane_framework._core.clock import SystemClock
from arcane_framework.commits import Part, StreamState
from arcane_framework.commits.layout import part_name
from arcane_framework.commits.log import CommitLog
from arcane_framework.hosting.logging import make_logger
from tests.runner.processes import ROOT, Stream
from tests.storage.places import Place, azure_place, numbers, s3_place


@pytest.fixture(params=["s3", "azure"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "s3":
        return s3_place(request.getfixturevalue("s3"))
    return azure_place(request.getfixturevalue("azurite"))


def test_a_backfill_fails_goes_on_and_is_looked_at(tmp_path: Path, place: Place) -> None:
    stream = Stream(tmp_path, tmp_path / "unused")
    backfill = {"STREAMCONTEXT__BACKFILL": "true", "STREAMCONTEXT__BACKFILL_ID": "one"}
    failed = place.run(stream, {"failAt": 6, "groupingIntervalSeconds": 1}, **backfill)
    assert failed.code == 2, failed.stderr
    assert place.run(stream, {"groupingIntervalSeconds": 1}, **backfill).code == 0
    home = place.storage.folder(stream.stream_id)
    assert numbers(home) == [*range(10)]
    assert list(StreamState(home).verify()) == []
    assert [each.name for each in home.list("backfill") if each.name.endswith(".COMPLETED")]
    assert not (tmp_path / "unused").exists()
    shown = state(place, stream, "--verify", "--json")
    assert shown.returncode == 0
    assert json.loads(shown.stdout)["problems"] == []


def test_the_state_finds_a_deleted_part_whose_loss_can_be_accepted(tmp_path: Path, place: Place) -> None:
    stream = Stream(tmp_path, tmp_path / "unused")
    assert place.run(stream, {"rowsPerGroup": 2}, STREAMCONTEXT__BACKFILL="true").code == 0
    home = place.storage.folder(stream.stream_id)
    gone = sorted(each.name for each in home.list("backfill") if "/part-" in each.name)[1]
    lost = set(numbers(home))
    home.delete(gone)
    lost -= set(numbers(home))
    shown = state(place, stream, "--verify")
    assert shown.returncode == 1
    assert f"\n{gone} is missing ({len(lost)} rows, " in shown.stdout
    assert shown.stdout.endswith("\nverified     1 problem\n")
    assert state(place, stream, "--accept-loss", gone).returncode == 0
    shown = state(place, stream, "--verify", "--json")
    assert shown.returncode == 0, shown.stdout
    assert json.loads(shown.stdout)["lost"] == [gone]
    assert json.loads(shown.stdout)["rows"] == 10 - len(lost)


def test_the_state_shows_what_is_committed_and_not_visible_yet(tmp_path: Path, place: Place) -> None:
    stream = Stream(tmp_path, tmp_path / "unused")
    assert place.run(stream, STREAMCONTEXT__BACKFILL="true").code == 0
    home = place.storage.folder(stream.stream_id)
    newest = StreamState(home).newest()
    assert newest is not None
    identity = StreamIdentity(stream.stream_id, "Numbers")
    log = CommitLog(home, identity, newest.schema_hash, SystemClock(), make_logger(level="critical"))
    log.open()
    path = f"data/{part_name(log.next_seq, 0, newest.schema_hash, '-chunk.parquet')}"
    upload = home.stage(path)
    upload.write(b"rows")
    log.append(log.position, [Part(path=path, handle=dict(upload.finish()), rows=1, bytes=4, sha256="")])
    assert json.loads(state(place, stream, "--json").stdout)["unfinished"] == [path]
    assert home.stat(path) is None


def state(place: Place, stream: Stream, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "arcane_framework.cli", "state", place.location, "--stream-id", stream.stream_id]
    environment = {**stream.environment(), **place.environment(), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*command, *options], env=environment, capture_output=True, text=True, check=False, timeout=60
    )

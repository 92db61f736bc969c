"""A stream as an operator starts it, with its sink in a cloud: only the location and the environment differ."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from arcane_framework.commits import StreamState
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
    command = [sys.executable, "-m", "arcane_framework.cli", "state", place.location, "--stream-id", stream.stream_id]
    environment = {**stream.environment(), **place.environment(), "PYTHONPATH": str(ROOT)}
    shown = subprocess.run(
        [*command, "--verify", "--json"], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(shown.stdout)["problems"] == []

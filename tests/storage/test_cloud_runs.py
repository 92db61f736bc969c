"""A stream as an operator starts it, with its sink in a cloud: only the location and the environment differ."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from arcane_framework._core.storage import Storage
from arcane_framework.commits import StreamState
from tests.runner.processes import NUMBERS, ROOT, Stream
from tests.storage.azurite import ACCOUNT, Azurite
from tests.storage.s3_server import S3Server


@dataclass(frozen=True, slots=True)
class Cloud:
    """A place in a cloud.

    Attributes:
        location: As the spec says it.
        variables: What leads there.
        storage: The same place, for looking at it.
    """

    location: str
    variables: Mapping[str, str]
    storage: Storage


@pytest.fixture(params=["s3", "azure"])
def cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3")
        bucket = server.bucket()
        variables = {
            "ARCANE__AWS_ENDPOINT_URL": server.url,
            "ARCANE__AWS_REGION": "us-east-1",
            "ARCANE__AWS_ACCESS_KEY_ID": "key-id",
            "ARCANE__AWS_SECRET_ACCESS_KEY": "not-a-key",
        }
        from arcane_framework.storage.s3 import S3Storage

        place: Storage = S3Storage(bucket, "lake", server.settings(), clients=server.clients)
        yield Cloud(f"s3a://{bucket}/lake", variables, place)
        return
    azurite: Azurite = request.getfixturevalue("azurite")
    container = azurite.new_container()
    name = container.container_name
    container.close()
    variables = {
        "AZURE_STORAGE_ACCOUNT": ACCOUNT,
        "AZURE_STORAGE_KEY": azurite.key,
        "AZURE_STORAGE_ENDPOINT": azurite.endpoint,
    }
    yield Cloud(f"{name}@lake", variables, azurite.storage(name, "lake"))


def numbers(storage: Storage) -> list[int]:
    parts = sorted(each.name for each in storage.list() if "/part-" in each.name)
    return [number for name in parts for number in pq.read_table(storage.open(name))["n"].to_pylist()]


def test_a_backfill_fails_goes_on_and_is_looked_at(tmp_path: Path, cloud: Cloud) -> None:
    stream = Stream(tmp_path, tmp_path / "unused")
    spec = {"sinkLocation": cloud.location, "groupingIntervalSeconds": 1}
    variables = {**cloud.variables, "STREAMCONTEXT__BACKFILL": "true", "STREAMCONTEXT__BACKFILL_ID": "one"}
    failed = stream.run(NUMBERS, {**spec, "failAt": 6}, **variables)
    assert failed.code == 2, failed.stderr
    assert stream.run(NUMBERS, spec, **variables).code == 0
    home = cloud.storage.folder(stream.stream_id)
    assert numbers(home) == [*range(10)]
    assert list(StreamState(home).verify()) == []
    assert [each.name for each in home.list("backfill") if each.name.endswith(".COMPLETED")]
    assert not (tmp_path / "unused").exists()
    command = [sys.executable, "-m", "arcane_framework.cli", "state", cloud.location, "--stream-id", stream.stream_id]
    environment = {**stream.environment(), **cloud.variables, "PYTHONPATH": str(ROOT)}
    shown = subprocess.run(
        [*command, "--verify", "--json"], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(shown.stdout)["problems"] == []


def test_a_bucket_that_is_not_there_is_named(tmp_path: Path, s3: S3Server) -> None:
    variables = {
        "ARCANE__AWS_ENDPOINT_URL": s3.url,
        "ARCANE__AWS_REGION": "us-east-1",
        "ARCANE__AWS_ACCESS_KEY_ID": "key-id",
        "ARCANE__AWS_SECRET_ACCESS_KEY": "not-a-key",
    }
    stream = Stream(tmp_path, tmp_path / "unused")
    ended = stream.run(NUMBERS, {"sinkLocation": "s3://no-such-bucket/lake"}, **variables)
    assert "no-such-bucket" in ended.configuration_error
    assert "not-a-key" not in ended.stderr

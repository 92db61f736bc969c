"""The demo with its files on S3 and on Azure: only the location differs, and another tool reads them back."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from examples.lakes import Lake
from tests.examples.other_flights import few_flights
from tests.examples.test_flights import ACTIVATED, ROOT, with_plugin
from tests.storage.azurite import Azurite
from tests.storage.places import Place, azure_place, s3_place
from tests.storage.s3_server import S3Server

FEW = with_plugin("tests.examples.other_flights:FewFlights")


@pytest.fixture(params=["s3", "azure"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "s3":
        return s3_place(request.getfixturevalue("s3"))
    return azure_place(request.getfixturevalue("azurite"))


def run(command: list[str], place: Place, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {**ACTIVATED, "METRICS_ENABLED": "false", **place.variables, **variables}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert [form for form in place.secret_forms() if form in done.stdout + done.stderr] == []
    return done


def in_order(table: pa.Table) -> pa.Table:
    return table.sort_by([(name, "ascending") for name in table.column_names])


def test_the_demo_runs_on_a_cloud_and_pyarrow_reads_its_rows_back_from_there(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run([*FEW, str(tmp_path), "--sink", place.location], place)
    assert (done.returncode, done.stderr) == (0, "")
    expected = few_flights()
    assert done.stdout.endswith(f"\nall     {expected.num_rows:>9,}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["flights.json"]
    for name, value in place.variables.items():
        monkeypatch.setenv(name, value)
    found = Lake(place.location, "flights").dataset().to_table()
    # Parquet knows no whole seconds.
    assert in_order(found).equals(in_order(expected.cast(found.schema)))

    shown = [shlex.split(line[2:]) for line in done.stdout.splitlines() if line.startswith("$ ")]
    (counting,) = [words for words in shown if words[1] == "-c"]
    assert run([sys.executable, *counting[1:]], place).stdout == f"{expected.num_rows}\n"
    (state,) = [words for words in shown if words[0] == "arcane"]
    told = run([sys.executable, "-m", "arcane_framework.cli", *state[1:]], place)
    assert told.returncode == 0, told.stderr
    assert f"\nrows         {expected.num_rows:,}\n" in told.stdout


def test_the_variables_with_the_prefix_lead_there_too(s3: S3Server, tmp_path: Path) -> None:
    place = s3_place(s3)
    prefixed = {f"ARCANE__{name}": value for name, value in place.variables.items()}
    environment = {**ACTIVATED, "METRICS_ENABLED": "false", **prefixed}
    command = [*FEW, str(tmp_path), "--sink", place.location]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"\nall     {few_flights().num_rows:>9,}\n" in done.stdout


def test_a_bucket_that_is_not_there_ends_the_demo_before_the_work(s3: S3Server, tmp_path: Path) -> None:
    done = run([*FEW, str(tmp_path), "--sink", "s3://no-such-bucket/lake"], s3_place(s3))
    assert (done.returncode, done.stdout) == (
        1,
        "The demo cannot go on: s3://no-such-bucket/lake/flights: cannot read _arcane/checkpoint.json: "
        "the bucket does not exist; create it or correct the location (NoSuchBucket)\n",
    )


@pytest.mark.parametrize(
    ("location", "module", "said"),
    [
        (
            "s3://lake/demo",
            "botocore",
            "s3://lake/demo: storage on S3 needs the extra 's3': pip install 'arcane-framework[s3]'",
        ),
        (
            "lake@demo",
            "azure.storage",
            "lake@demo: storage on Azure Blob needs azure-storage-blob: install arcane-framework[azure]",
        ),
    ],
)
def test_an_extra_that_the_sink_needs_is_named(tmp_path: Path, location: str, module: str, said: str) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None; from examples.flights import main; "
        f"raise SystemExit(main(['--folder', {str(tmp_path / 'demo')!r}, '--sink', {location!r}]))"
    )
    environment = {**os.environ, "AZURE_STORAGE_ACCOUNT": "demo", "AWS_EC2_METADATA_DISABLED": "true"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, f"The demo cannot go on: {said}\n", "")
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize(
    ("sink", "extras"),
    [
        ("", "examples"),
        ("s3://bucket/lake", "examples,s3"),
        ("s3a://bucket/lake", "examples,s3"),
        ("lake@demo", "examples,azure"),
        ("abfss://lake@demo.dfs.core.windows.net/x", "examples,azure"),
    ],
)
def test_make_installs_what_the_sink_needs(sink: str, extras: str) -> None:
    command = ["make", "--dry-run", "--always-make", "demo", *([f"SINK={sink}"] if sink else [])]
    # As a make of one's own, also where the tests run below one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    shown = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert f"--editable '.[{extras}]'" in shown
    assert re.search(rf"-m examples\.flights {re.escape(f'--sink {sink!r}') if sink else ''}\s*$", shown)


def test_what_is_left_of_a_demo_is_removed_with_what_was_staged(azurite: Azurite, s3: S3Server) -> None:
    for place in (azure_place(azurite), s3_place(s3)):
        storage = place.storage.folder("flights")
        for name in ("_arcane/log/00000000000000000001.json", "data/part-1.parquet"):
            storage.create(name, b"x")
        place.storage.create("flights-2/data/x", b"x")
        with pytest.MonkeyPatch.context() as patch:
            for name, value in place.variables.items():
                patch.setenv(name, value)
            Lake(place.location, "flights").remove()
        assert [found.name for found in place.storage.list()] == ["flights-2/data/x"]

"""Disks that cannot be written to. They are real file systems, mounted for the test."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.runner.processes import Stream

Remount = Callable[[str], None]


@pytest.fixture
def remount(stream: Stream) -> Iterator[Remount]:
    """The lake on a file system of 1 MiB; gives a function that changes its options."""
    stream.lake.mkdir()
    mounted = mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", stream.lake)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")

    def change(options: str) -> None:
        assert mount("-o", f"remount,{options}", stream.lake).returncode == 0

    yield change
    # Lazily: whoever looks into the folder at this moment is no reason to leave it mounted.
    subprocess.run(["umount", "--lazy", str(stream.lake)], check=True)


def mount(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess([], 1, "", "there is no mount command")


def test_a_read_only_folder_is_named_and_a_writable_one_goes_on(stream: Stream, remount: Remount) -> None:
    assert stream.run(spec={"total": 5}).code == 0
    remount("ro")
    assert stream.run().configuration_error == (
        f"{stream.home}: cannot use this folder: the file system is read-only; "
        "mount it writable or choose another location"
    )
    remount("rw")
    assert stream.run().code == 0
    assert stream.rows() == [*range(10)]


@pytest.mark.parametrize("backfill", ["false", "true"])
def test_a_full_disk_ends_with_1_and_more_room_completes_the_stream(
    stream: Stream, remount: Remount, backfill: str
) -> None:
    segment = "backfill" if backfill == "true" else "data"
    spec = {"total": 200, "batchRows": 10, "rowsPerGroup": 20, "fillerBytes": 10_000}
    ended = stream.run(spec=spec, STREAMCONTEXT__BACKFILL=backfill, STREAMCONTEXT__BACKFILL_ID="b1")
    assert ended.code == 1
    assert ended.error["event"] == "configuration error"
    assert ended.error["error"].startswith(f"{stream.home}: cannot ")
    assert ended.error["error"].endswith(": the disk is full; free some space or choose another location")
    before = stream.rows(segment)
    assert before == [*range(len(before))]
    assert 0 < len(before) < 200
    assert stream.tokens() == []

    remount("size=16m")
    assert stream.run(spec=spec, STREAMCONTEXT__BACKFILL=backfill, STREAMCONTEXT__BACKFILL_ID="b1").code == 0
    assert stream.rows(segment) == [*range(200)]
    assert len(stream.tokens()) == (1 if backfill == "true" else 0)
    assert [path for path in stream.files() if path.parent.name == "stage"] == []

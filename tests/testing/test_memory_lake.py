from datetime import UTC, datetime
from pathlib import Path

import pytest

from arcane_framework import ConfigurationError
from arcane_framework.testing import MemoryLake


@pytest.fixture
def lake() -> MemoryLake:
    return MemoryLake(lambda: datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/lake", "file:///lake"),
        ("/lake/", "/other/../lake"),
        ("s3a://bucket/lake", "s3://bucket/lake/"),
        ("abfss://container@account.dfs.core.windows.net/lake", "container@lake"),
        ("wasbs://container@account.blob.core.windows.net/lake", "container@lake"),
        ("memory://lake/x", "memory://lake/x/"),
    ],
)
def test_locations_of_one_folder_are_one_folder(lake: MemoryLake, first: str, second: str) -> None:
    assert lake(first).create("a/b.txt", b"text")
    assert lake(second).read("a/b.txt") == b"text"


def test_a_folder_lies_in_the_folder_above_it(lake: MemoryLake) -> None:
    lake("/lake/orders").create("a.txt", b"text")
    assert [entry.name for entry in lake("/").list()] == ["lake/orders/a.txt"]
    assert [entry.name for entry in lake("/lake").list()] == ["orders/a.txt"]


def test_locations_of_different_stores_are_different_folders(lake: MemoryLake) -> None:
    locations = ["/lake", "memory://lake", "s3://lake", "lake@", "s3://bucket/lake", "memory://disk2/lake"]
    for location in locations:
        assert lake(location).create("a.txt", location.encode())
    assert [lake(location).read("a.txt").decode() for location in locations] == locations


def test_nothing_is_written_to_the_disk(lake: MemoryLake, tmp_path: Path) -> None:
    lake(str(tmp_path)).create("a.txt", b"text")
    assert list(tmp_path.iterdir()) == []


def test_real_folders_lead_to_the_disk(tmp_path: Path) -> None:
    lake = MemoryLake(lambda: datetime(2026, 1, 1, tzinfo=UTC), real_folders=True)
    lake(str(tmp_path)).create("a.txt", b"text")
    assert (tmp_path / "a.txt").read_bytes() == b"text"
    assert lake("s3://bucket/x").location == "memory://s3:bucket/x"


def test_objects_are_as_old_as_the_tests_time_says(lake: MemoryLake) -> None:
    lake("/lake").create("a.txt", b"")
    found = lake("/lake").stat("a.txt")
    assert found is not None
    assert found.modified == datetime(2026, 1, 1, tzinfo=UTC)


def test_it_notes_what_was_opened(lake: MemoryLake) -> None:
    lake("/b")
    lake("/a")
    lake("/b")
    lake.peek("/c")
    assert lake.opened == ["/b", "/a"]


@pytest.mark.parametrize("location", ["", "gopher://x", "s3://bucket/a/../b", "s3://bucket//b", "memory://"])
def test_what_is_no_location_is_refused(lake: MemoryLake, location: str) -> None:
    with pytest.raises(ConfigurationError):
        lake(location)
    assert lake.opened == []

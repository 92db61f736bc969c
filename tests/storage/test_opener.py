"""Locations as people write them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from arcane_framework._core.errors import ConfigurationError
from arcane_framework.storage import LocalStorage, MemoryStorage, StorageOpener


@pytest.mark.parametrize(
    ("location", "folder"),
    [
        ("file:///lake", "/lake"),
        ("FILE:///lake", "/lake"),
        ("file:/lake", "/lake"),
        ("file:///my%20lake/100%25", "/my lake/100%"),
        ("file:///l%C3%BCk", "/lük"),
        ("file:///lake?x#y", "/lake?x#y"),
        ("/lake", "/lake"),
        ("/lake/100%25", "/lake/100%25"),
        ("/a@b", "/a@b"),
        ("/a:b", "/a:b"),
    ],
)
def test_a_path_and_a_file_url_open_a_local_folder(location: str, folder: str) -> None:
    storage = StorageOpener()(location)
    assert isinstance(storage, LocalStorage)
    assert storage.location == folder


def test_a_relative_path_counts_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    StorageOpener()("lake/orders").create("a", b"x")
    StorageOpener()("./~").create("a", b"x")
    assert (tmp_path / "lake" / "orders" / "a").read_bytes() == b"x"
    assert (tmp_path / "~" / "a").read_bytes() == b"x"


def test_opening_touches_nothing(tmp_path: Path) -> None:
    StorageOpener()(f"{tmp_path}/lake")
    assert [*tmp_path.iterdir()] == []


def test_one_opener_gives_the_same_memory_for_the_same_name() -> None:
    opener = StorageOpener()
    opener("memory://lake").create("orders/a", b"x")
    assert isinstance(opener("memory://lake"), MemoryStorage)
    assert opener("memory://lake/orders").read("a") == b"x"
    assert opener("memory://lake/orders").location == "memory://lake/orders"
    assert [*opener("memory://other").list()] == []
    assert [*StorageOpener()("memory://lake").list()] == []


def test_memory_takes_its_time_from_the_opener() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    storage = StorageOpener(lambda: now)("memory://lake")
    storage.create("a", b"")
    assert [found.modified for found in storage.list()] == [now]


S3 = "storage on S3 is not available in this version (a later one brings it with the extra 's3'); use a local folder"
AZURE = (
    "storage on Azure Blob is not available in this version (a later one brings it with the extra 'azure'); "
    "use a local folder"
)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("s3://lake/orders", f"s3://lake/orders: {S3}"),
        ("s3a://lake/orders", f"s3a://lake/orders: {S3}"),
        ("s3://key:hunter2@lake/orders?sig=hunter2", f"s3://key@lake/orders: {S3}"),
        ("abfss://c@a.example/p", f"abfss://c@a.example/p: {AZURE}"),
        ("abfs://c@a.example/p", f"abfs://c@a.example/p: {AZURE}"),
        ("wasbs://c@a.example/p", f"wasbs://c@a.example/p: {AZURE}"),
        ("container@path/orders", f"container@path/orders: {AZURE}"),
        (
            "ftp://user:hunter2@host/lake",
            (
                "ftp://user@host/lake: locations of the kind ftp:// are not known; "
                "use file:///folder, a path or memory://name"
            ),
        ),
        (
            "file://host/lake",
            "file://host/lake: a file location cannot name a host; write file:///host/lake for a folder",
        ),
        ("file:///a%00b", "file:///a%00b: a file location cannot have a NUL character"),
        ("memory://", "memory://: a memory location needs a name, as in memory://lake"),
        ("", "'' is not a storage location: it is empty or has control characters"),
        ("/a\nb", "'/a\\nb' is not a storage location: it is empty or has control characters"),
    ],
)
def test_what_cannot_be_opened_says_why(location: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        StorageOpener()(location)
    assert str(raised.value) == message

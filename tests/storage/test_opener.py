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
    StorageOpener()("./me@work/s3:x").create("a", b"x")
    assert (tmp_path / "me@work" / "s3:x" / "a").read_bytes() == b"x"


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


@pytest.mark.parametrize("location", ["s3://lake/orders", "s3a://lake/orders", "S3://lake/orders/"])
def test_a_bucket_opens_without_being_touched(location: str) -> None:
    assert type(StorageOpener()(location)).__name__ == "S3Storage"


@pytest.mark.parametrize(
    "location",
    [
        "abfss://lake@orders.dfs.core.windows.net/p",
        "abfs://lake@orders.dfs.core.windows.net/p",
        "wasbs://lake@orders.blob.core.windows.net/p",
        "lake@p",
    ],
)
def test_a_container_opens_without_being_touched(location: str) -> None:
    settings = {"AZURE_STORAGE_ACCOUNT": "orders", "AZURE_STORAGE_KEY": "bm8ga2V5"}
    assert type(StorageOpener(settings=settings)(location)).__name__ == "AzureBlobStorage"


@pytest.mark.parametrize(
    ("location", "message"),
    [
        (
            "s3://key:hunter2@lake/orders?sig=hunter2",
            "a location on S3 is s3://bucket/folder, without user and password; credentials belong into "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        (
            "ftp://user:hunter2@host/lake",
            (
                "ftp://user@host/lake: locations of the kind ftp:// are not known; "
                "use s3://bucket/folder, abfss://container@account.dfs.core.windows.net/folder, file:///folder "
                "or a path"
            ),
        ),
        (
            "file://host/lake",
            "file://host/lake: a file location cannot name a host; write file:///host/lake for a folder",
        ),
        ("file:///a%00b", "file:///a%00b: a file location cannot have a NUL character"),
        ("memory://", "memory://: a memory location needs a name, as in memory://lake"),
        (
            "s3:lake/orders",
            "s3:lake/orders: the slashes after the colon are missing; write s3://bucket/folder, "
            "abfss://container@account.dfs.core.windows.net/folder or file:///folder, or begin a path with ./",
        ),
        (
            "My_Lake@orders",
            "My_Lake@orders: the part before '@' is not a container's name: "
            "3 to 63 lower-case letters, digits and single hyphens, and never a credential",
        ),
        (
            "key:hunter2@lake/orders",
            "key@lake/orders is not a location on Azure: write abfss://container@account.dfs.core.windows.net/path "
            "or container@path",
        ),
        ("", "'' is not a storage location: it is empty or has control characters"),
        ("/a\nb", "'/a\\nb' is not a storage location: it is empty or has control characters"),
    ],
)
def test_what_cannot_be_opened_says_why(location: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        StorageOpener()(location)
    assert str(raised.value) == message

"""Symbolic links planted below the root never lead outside."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from arcane_framework._core.errors import ArcaneError, ConfigurationError, FatalStreamError
from arcane_framework.storage.local import LocalStorage

LINK = "the path has a symbolic link, which is never followed below the location; remove the link"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(b"secret")
    return folder


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    LocalStorage(tmp_path / "lake").probe()
    return tmp_path / "lake"


def picture(folder: Path) -> list[tuple[str, int, int, int, bytes]]:
    """All that could change in a folder, the times and the folder's own included."""
    found = []
    for path in (folder, *sorted(folder.iterdir())):
        status = path.stat()
        content = path.read_bytes() if path.is_file() else b""
        found.append((path.name, status.st_ino, status.st_mtime_ns, status.st_nlink, content))
    return found


def staged_and_published(storage: LocalStorage, name: str) -> None:
    upload = storage.stage(name)
    upload.write(b"rows")
    storage.publish(name, upload.finish(), 4)


ACTS: dict[str, Callable[[LocalStorage, str], object]] = {
    "create": lambda storage, name: storage.create(name, b"x"),
    "replace": lambda storage, name: storage.replace(name, b"x"),
    "delete": lambda storage, name: storage.delete(name),
    "publish": staged_and_published,
    "open": lambda storage, name: storage.open(name),
    "read": lambda storage, name: storage.read(name),
    "stat": lambda storage, name: storage.stat(name),
    "list": lambda storage, name: [*storage.list(os.path.dirname(name))],
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("name", ["data/secret", "data/new", "data/deeper/new"])
def test_a_link_in_the_place_of_a_folder_is_refused(lake: Path, outside: Path, act: str, name: str) -> None:
    (lake / "data").symlink_to(outside)
    before = picture(outside)
    with pytest.raises(ConfigurationError) as raised:
        ACTS[act](LocalStorage(lake), name)
    assert str(raised.value).startswith(f"{lake}: cannot ")
    assert str(raised.value).endswith(f": {LINK}")
    assert picture(outside) == before


@pytest.mark.parametrize("act", ACTS)
def test_a_link_in_the_place_of_the_staging_area_is_refused(lake: Path, outside: Path, act: str) -> None:
    (lake / "_arcane" / "stage").rmdir()
    (lake / "_arcane" / "stage").symlink_to(outside)
    before = picture(outside)
    if act in ("create", "replace", "publish"):
        with pytest.raises(ConfigurationError, match=f"{LINK}$"):
            ACTS[act](LocalStorage(lake), "data/new")
        with pytest.raises(ConfigurationError, match=f"cannot use this folder: {LINK}$"):
            LocalStorage(lake).probe()
    else:
        with pytest.raises(ConfigurationError, match=f"cannot list what is staged: {LINK}$"):
            LocalStorage(lake).staged()
        with pytest.raises(ConfigurationError, match=f"cannot remove the staged secret: {LINK}$"):
            LocalStorage(lake).abort({"stage": "secret"})
    assert picture(outside) == before


def test_a_link_in_the_place_of_an_object_is_not_read(lake: Path, outside: Path) -> None:
    (lake / "a").symlink_to(outside / "secret")
    storage = LocalStorage(lake)
    with pytest.raises(ConfigurationError) as raised:
        storage.read("a")
    assert str(raised.value) == f"{lake}: cannot read a: {LINK}"
    assert storage.stat("a") is None
    assert [*storage.list()] == []


def test_a_link_in_the_place_of_an_object_is_never_written_through(lake: Path, outside: Path) -> None:
    storage = LocalStorage(lake)
    before = picture(outside)
    for name in ("created", "replaced", "deleted", "published", "dangling"):
        (lake / name).symlink_to(outside / ("secret" if name != "dangling" else "new"))
    for name in ("created", "dangling"):
        with pytest.raises(ConfigurationError) as raised:
            storage.create(name, b"x")
        assert str(raised.value) == f"{lake}: cannot create {name}: {LINK}"
    storage.replace("replaced", b"x")
    storage.delete("deleted")
    with pytest.raises(ConfigurationError) as raised:
        staged_and_published(storage, "published")
    assert str(raised.value) == f"{lake}: cannot publish published: something that is no file is in its place"
    assert picture(outside) == before
    assert storage.read("replaced") == b"x"
    assert not os.path.lexists(lake / "deleted")


@pytest.mark.parametrize("target", ["secret", "new"])
def test_a_link_planted_under_the_name_of_a_part_is_not_written_through(lake: Path, outside: Path, target: str) -> None:
    (lake / "_arcane" / "stage" / "part-1").symlink_to(outside / target)
    before = picture(outside)
    storage = LocalStorage(lake)
    with pytest.raises(FatalStreamError, match="an object of that name is staged already"):
        storage.stage("data/part-1")
    with pytest.raises(ConfigurationError, match="something that is no file is in its place"):
        storage.publish("data/part-1", {"stage": "part-1"}, 6)
    assert [*storage.staged()] == []
    storage.abort({"stage": "part-1"})
    assert picture(outside) == before
    assert not os.path.lexists(lake / "data" / "part-1")


def test_a_part_swapped_for_a_link_while_it_is_written_does_not_reach_outside(lake: Path, outside: Path) -> None:
    before = picture(outside)
    storage = LocalStorage(lake)
    upload = storage.stage("data/part-1")
    (lake / "_arcane" / "stage" / "part-1").unlink()
    (lake / "_arcane" / "stage" / "part-1").symlink_to(outside / "secret")
    upload.write(b"x" * 2_000_000)
    with pytest.raises(ArcaneError):
        storage.publish("data/part-1", upload.finish(), 2_000_000)
    assert picture(outside) == before


def test_a_pipe_planted_as_an_object_blocks_nobody(lake: Path) -> None:
    os.mkfifo(lake / "a")
    storage = LocalStorage(lake)
    with pytest.raises(FileNotFoundError):
        storage.read("a")
    assert [*storage.list()] == []

"""What a disk can do wrong, in plain words and as the class that decides about the exit code."""

import errno
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arcane_framework._core.errors import (
    ConfigurationError,
    FatalStreamError,
    OutcomeUnknownError,
    TransientStreamError,
)
from arcane_framework.storage.disk import Disk
from arcane_framework.storage.local import LocalStorage
from arcane_framework.storage.staging_area import Segments
from tests.storage.conftest import mount

FULL = "the disk is full; free some space or choose another location"
READ_ONLY = "the file system is read-only; mount it writable or choose another location"
DENIED = "access is denied; give the user of this process read and write access"
A_FILE = "a part of the path is a file where a folder is needed; remove it or choose another location"


def staged_and_published(storage: LocalStorage, name: str) -> None:
    upload = storage.stage(name)
    try:
        upload.write(b"x" * 2_000_000)
        storage.publish(name, upload.finish(), 2_000_000)
    except BaseException:
        upload.abort()
        raise


WRITES: dict[str, Callable[[LocalStorage, str], object]] = {
    "create": lambda storage, name: storage.create(name, b"x" * 2_000_000),
    "write": lambda storage, name: storage.replace(name, b"x" * 2_000_000),
    "publish": staged_and_published,
}


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


@pytest.mark.parametrize("act", WRITES)
def test_a_full_disk_says_so_and_keeps_no_partial_file(small_mount: Path, act: str) -> None:
    storage = LocalStorage(small_mount)
    storage.probe()
    storage.create("data/before", b"x" * 500_000)
    with pytest.raises(ConfigurationError) as raised:
        WRITES[act](storage, "data/part-1")
    verb = "write" if act == "publish" else act
    assert str(raised.value) == f"{small_mount}: cannot {verb} data/part-1: {FULL}"
    assert files(small_mount) == ["data/before"]
    assert storage.create("data/after", b"x" * 300_000)


def test_a_full_disk_met_at_the_end_of_an_upload_keeps_no_partial_file(small_mount: Path) -> None:
    storage = LocalStorage(small_mount)
    upload = storage.stage("data/part-1")
    upload.write(b"x" * 700_000)
    storage.create("other", b"x" * 700_000)
    with pytest.raises(ConfigurationError) as raised:
        upload.finish()
    assert str(raised.value) == f"{small_mount}: cannot write data/part-1: {FULL}"
    assert files(small_mount) == ["other"]
    with pytest.raises(ValueError, match="is finished or aborted"):
        upload.write(b"x")


@pytest.fixture
def read_only(small_mount: Path) -> Path:
    LocalStorage(small_mount).create("data/before", b"x")
    mount("-o", "remount,ro", str(small_mount))
    return small_mount


def test_a_read_only_file_system_is_found_by_the_probe(read_only: Path) -> None:
    for folder in (read_only, read_only / "new"):
        with pytest.raises(ConfigurationError) as raised:
            LocalStorage(folder).probe()
        assert str(raised.value) == f"{folder}: cannot use this folder: {READ_ONLY}"


@pytest.mark.parametrize("act", WRITES)
def test_a_read_only_file_system_is_named_by_every_write(read_only: Path, act: str) -> None:
    storage = LocalStorage(read_only)
    with pytest.raises(ConfigurationError, match=f"{READ_ONLY}$"):
        WRITES[act](storage, "data/new")
    with pytest.raises(ConfigurationError, match=f"cannot delete data/before: {READ_ONLY}$"):
        storage.delete("data/before")
    assert storage.read("data/before") == b"x"
    assert [found.name for found in storage.list()] == ["data/before"]


def probe_without_privileges(root: str, results: Any) -> None:
    if os.geteuid() == 0:
        # Mode bits do not bind the superuser.
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        LocalStorage(root).probe()
    except ConfigurationError as error:
        results.put(str(error))
    else:
        results.put("could be used")


def test_a_folder_that_this_user_may_not_write_is_found_by_the_probe(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=probe_without_privileges, args=(str(tmp_path), results))
    process.start()
    assert results.get(timeout=50) == f"{tmp_path}: cannot use this folder: {DENIED}"
    process.join()
    results.close()
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("below", ["", "/deeper"])
def test_a_file_in_the_place_of_the_folder_is_found_by_the_probe(tmp_path: Path, below: str) -> None:
    (tmp_path / "lake").write_bytes(b"")
    with pytest.raises(ConfigurationError) as raised:
        LocalStorage(f"{tmp_path}/lake{below}").probe()
    assert str(raised.value) == f"{tmp_path}/lake{below}: cannot use this folder: {A_FILE}"


def test_a_link_to_nowhere_in_the_place_of_the_root_is_found_by_the_probe(tmp_path: Path) -> None:
    (tmp_path / "lake").symlink_to("nowhere")
    with pytest.raises(ConfigurationError, match=f"cannot use this folder: {A_FILE}$"):
        LocalStorage(tmp_path / "lake").probe()


def test_an_object_in_the_place_of_a_folder_is_named_by_writes_and_not_found_by_reads(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.create("a", b"")
    with pytest.raises(ConfigurationError) as raised:
        storage.create("a/b", b"")
    assert str(raised.value) == f"{tmp_path}: cannot create a/b: {A_FILE}"
    assert storage.stat("a/b") is None
    storage.delete("a/b")
    with pytest.raises(FileNotFoundError):
        storage.read("a/b")
    storage.create("c/d", b"")
    for write in (storage.create, storage.replace):
        with pytest.raises(ConfigurationError, match="a folder of that name is in the way"):
            write("c", b"")
    assert files(tmp_path) == ["a", "c/d"]


class FailingDisk(Disk):
    """A real disk whose calls of one kind fail as a network file system's may."""

    def __init__(self, root: Path, call: str, number: int) -> None:
        super().__init__(str(root))
        self._call = call
        self._number = number

    def _perhaps_fail(self, call: str) -> None:
        if call == self._call:
            raise OSError(self._number, os.strerror(self._number))

    def write(self, descriptor: int, data: memoryview) -> int:
        self._perhaps_fail("write")
        return super().write(descriptor, data)

    def sync_file(self, descriptor: int) -> None:
        self._perhaps_fail("sync_file")
        super().sync_file(descriptor)

    def link(self, source: Segments, target: Segments) -> None:
        self._perhaps_fail("link")
        super().link(source, target)

    def rename(self, source: Segments, target: Segments) -> None:
        self._perhaps_fail("rename")
        super().rename(source, target)


@pytest.mark.parametrize("call", ["write", "sync_file", "rename"])
@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EIO, TransientStreamError),
        (errno.ESTALE, TransientStreamError),
        (errno.ETIMEDOUT, TransientStreamError),
        (errno.EDQUOT, ConfigurationError),
        (errno.EACCES, ConfigurationError),
        (errno.EBADMSG, FatalStreamError),
    ],
)
def test_the_class_of_an_error_says_whether_a_restart_may_help(
    tmp_path: Path, call: str, number: int, kind: type[Exception]
) -> None:
    storage = LocalStorage(tmp_path, FailingDisk(tmp_path, call, number))
    for name, write in WRITES.items():
        if name == "create" and call == "rename":
            continue
        with pytest.raises(kind, match=f"^{tmp_path}: cannot (write|publish|create) a: ") as raised:
            write(storage, "a")
        assert type(raised.value) is kind
    assert files(tmp_path) == []


def test_an_error_without_better_words_has_those_of_the_system(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path, FailingDisk(tmp_path, "write", errno.EIO))
    with pytest.raises(TransientStreamError) as raised:
        storage.replace("a", b"x")
    assert str(raised.value) == f"{tmp_path}: cannot write a: input/output error (errno {errno.EIO})"


def test_a_creation_whose_answer_was_lost_has_an_unknown_outcome(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path, FailingDisk(tmp_path, "link", errno.ETIMEDOUT))
    with pytest.raises(OutcomeUnknownError) as raised:
        storage.create("log/1", b"x")
    assert str(raised.value) == (
        f"{tmp_path}: it is not known whether log/1 was created: connection timed out (errno {errno.ETIMEDOUT})"
    )
    assert files(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_hard_links_is_found_by_the_probe(small_mount: Path, number: int) -> None:
    folder = small_mount / "lake"
    with pytest.raises(ConfigurationError) as raised:
        LocalStorage(folder, FailingDisk(folder, "link", number)).probe()
    assert str(raised.value) == (
        f"{folder}: the file system mounted at {small_mount} does not support hard links, "
        "which commits need (SMB shares do not have them); use a local disk or NFS"
    )
    assert files(small_mount) == []


def test_a_file_system_whose_links_overwrite_is_found_by_the_probe(small_mount: Path) -> None:
    class OverwritingDisk(Disk):
        def link(self, source: Segments, target: Segments) -> None:
            if target[-1] not in {entry.name for entry in self.entries(target[:-1])}:
                super().link(source, target)

    with pytest.raises(ConfigurationError) as raised:
        LocalStorage(small_mount, OverwritingDisk(str(small_mount))).probe()
    assert str(raised.value) == (
        f"{small_mount}: the file system mounted at {small_mount} lets a hard link replace a file, "
        "which would let two runners overwrite each other's commits; use a local disk or NFS"
    )
    assert files(small_mount) == []


def test_a_location_over_two_file_systems_is_refused(small_mount: Path) -> None:
    storage = LocalStorage(small_mount.parent)
    with pytest.raises(ConfigurationError) as raised:
        storage.create("mount/a", b"x")
    assert str(raised.value) == (
        f"{small_mount.parent}: cannot create mount/a: the location spans several file systems; "
        "mount one file system over the whole of it"
    )

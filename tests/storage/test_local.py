"""What only a storage on a disk can do or get wrong."""

import multiprocessing
import os
import signal
import stat
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.storage import PublishHandle, check_name
from arcane_framework.storage.disk import Disk
from arcane_framework.storage.local import LocalStorage
from arcane_framework.storage.staging_area import Segments

SPAWN = multiprocessing.get_context("spawn")


class RecordingDisk(Disk):
    """A real disk that notes what changes it, in order."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self.changes: list[str] = []
        self._names: dict[int, str] = {}

    def create_file(self, path: Segments) -> int:
        descriptor = super().create_file(path)
        self._names[descriptor] = self._shown(path)
        self.changes.append(f"create {self._names[descriptor]}")
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        self.changes.append(f"write {len(data)}")
        return super().write(descriptor, data)

    def sync_file(self, descriptor: int) -> None:
        self.changes.append(f"sync {self._names[descriptor]}")
        super().sync_file(descriptor)

    def link(self, source: Segments, target: Segments) -> None:
        self.changes.append(f"link {self._shown(source)} {self._shown(target)}")
        super().link(source, target)

    def rename(self, source: Segments, target: Segments) -> None:
        self.changes.append(f"rename {self._shown(source)} {self._shown(target)}")
        super().rename(source, target)

    def remove(self, path: Segments) -> None:
        self.changes.append(f"remove {self._shown(path)}")
        super().remove(path)

    def make_folder(self, path: Segments) -> None:
        self.changes.append(f"folder {self._shown(path)}")
        super().make_folder(path)

    def sync_folder(self, path: Segments) -> None:
        self.changes.append(f"sync {self._shown(path)}/")
        super().sync_folder(path)

    def _shown(self, path: Segments) -> str:
        return "/".join(".tmp" if segment.startswith(".tmp-") else segment for segment in path)


def recorded(tmp_path: Path, act: Callable[[LocalStorage], object]) -> list[str]:
    disk = RecordingDisk(tmp_path)
    storage = LocalStorage(tmp_path, disk)
    storage.probe()
    storage.create("log/0", b"")
    disk.changes.clear()
    act(storage)
    return disk.changes


def test_create_syncs_the_file_before_it_has_its_name_and_the_folder_after(tmp_path: Path) -> None:
    assert recorded(tmp_path, lambda storage: storage.create("log/1", b"one")) == [
        "create _arcane/stage/.tmp",
        "write 3",
        "sync _arcane/stage/.tmp",
        "link _arcane/stage/.tmp log/1",
        "remove _arcane/stage/.tmp",
        "sync log/",
    ]


def test_replace_syncs_the_file_before_it_has_its_name_and_the_folder_after(tmp_path: Path) -> None:
    assert recorded(tmp_path, lambda storage: storage.replace("log/0", b"one")) == [
        "create _arcane/stage/.tmp",
        "write 3",
        "sync _arcane/stage/.tmp",
        "rename _arcane/stage/.tmp log/0",
        "sync log/",
    ]


def test_publish_syncs_the_new_name_before_the_old_one_is_durably_gone(tmp_path: Path) -> None:
    def act(storage: LocalStorage) -> None:
        upload = storage.stage("log/part-1")
        upload.write(b"one")
        storage.publish("log/part-1", upload.finish(), 3)

    assert recorded(tmp_path, act) == [
        "create _arcane/stage/part-1",
        "write 3",
        "sync _arcane/stage/part-1",
        "sync _arcane/stage/",
        "rename _arcane/stage/part-1 log/part-1",
        "sync log/",
        "sync _arcane/stage/",
    ]


def test_a_published_object_that_is_found_is_synced_again(tmp_path: Path) -> None:
    changes = recorded(tmp_path, lambda storage: storage.publish("log/0", {"stage": "0"}, 0))
    assert changes == ["sync log/", "sync _arcane/stage/"]


def test_each_new_folder_is_synced_into_its_parent_before_anything_is_in_it(tmp_path: Path) -> None:
    changes = recorded(tmp_path, lambda storage: storage.create("data/day=1/a", b""))
    wanted = ["folder data", "sync /", "folder data/day=1", "sync data/"]
    assert [change for change in changes if change in wanted] == wanted
    assert changes.index("sync data/") < changes.index("link _arcane/stage/.tmp data/day=1/a")


def test_small_writes_are_gathered_and_large_ones_pass_through(tmp_path: Path) -> None:
    def act(storage: LocalStorage) -> None:
        upload = storage.stage("log/part-1")
        for _ in range(2048):
            upload.write(b"x" * 1024)
        upload.write(b"x" * 10)
        upload.write(b"x" * 5_000_000)
        upload.finish()

    writes = [change for change in recorded(tmp_path, act) if change.startswith("write")]
    assert writes == ["write 1048576", "write 1048576", "write 10", "write 5000000"]


def test_a_probe_leaves_no_file_behind(tmp_path: Path) -> None:
    LocalStorage(tmp_path / "new" / "lake").probe()
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


def umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_files_are_private_while_they_are_written_and_readable_afterwards(tmp_path: Path) -> None:
    modes = set()

    class LookingDisk(Disk):
        def sync_file(self, descriptor: int) -> None:
            modes.add(stat.S_IMODE(os.fstat(descriptor).st_mode))
            super().sync_file(descriptor)

    storage = LocalStorage(tmp_path, LookingDisk(str(tmp_path)))
    storage.create("a", b"")
    storage.replace("b", b"")
    upload = storage.stage("c")
    storage.publish("c", upload.finish(), 0)
    assert modes == {0o600}
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "abc"} == {0o666 & ~umask()}


def test_temporary_names_cannot_be_foreseen(tmp_path: Path) -> None:
    names = []

    class LookingDisk(Disk):
        def create_file(self, path: Segments) -> int:
            names.append(path[-1])
            return super().create_file(path)

    storage = LocalStorage(tmp_path, LookingDisk(str(tmp_path)))
    for n in range(20):
        storage.create(f"log/{n}", b"")
    assert len({*names}) == 20
    assert all(len(name) == len(".tmp-") + 32 for name in names)


def test_names_that_look_like_temporary_files_cannot_be_staged(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        LocalStorage(tmp_path).stage("data/.tmp-1")
    assert str(raised.value) == (
        "'.tmp-1' cannot be the name of a staged object: it has a slash or begins with .tmp-, "
        "which is kept for temporary files"
    )


def test_the_root_may_be_a_link_that_the_operator_made(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "lake").symlink_to("disk")
    storage = LocalStorage(tmp_path / "lake")
    storage.probe()
    assert storage.create("a", b"x")
    assert (tmp_path / "disk" / "a").read_bytes() == b"x"
    assert storage.location == f"{tmp_path}/lake"


def test_a_folder_removed_meanwhile_is_made_again(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "lake")
    storage.create("data/a", b"")
    (tmp_path / "lake").rename(tmp_path / "away")
    assert storage.create("data/a", b"")
    (tmp_path / "lake").rename(tmp_path / "away2")
    storage.replace("data/a", b"")
    (tmp_path / "lake").rename(tmp_path / "away3")
    storage.stage("data/b").finish()
    assert storage.publish("data/b", {"stage": "b"}, 0)


def test_a_listing_passes_over_what_vanishes_meanwhile(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    for name in ("a", "b", "c/d", "e"):
        storage.create(name, b"")
    listing = storage.list()
    assert next(listing).name == "a"
    storage.delete("b")
    storage.delete("c/d")
    (tmp_path / "c").rmdir()
    assert [found.name for found in listing] == ["e"]


def test_a_link_whose_answer_was_lost_is_recognised_as_ones_own(tmp_path: Path) -> None:
    class RepeatingDisk(Disk):
        def link(self, source: Segments, target: Segments) -> None:
            super().link(source, target)
            super().link(source, target)

    assert LocalStorage(tmp_path, RepeatingDisk(str(tmp_path))).create("log/1", b"one")


class KilledDisk(Disk):
    def link(self, source: Segments, target: Segments) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def create_and_die(root: str) -> None:
    LocalStorage(root, KilledDisk(root)).create("log/1", b"one")


def test_the_temporary_file_of_a_killed_process_is_cleared_away_by_the_next_probe(tmp_path: Path) -> None:
    process = SPAWN.Process(target=create_and_die, args=(str(tmp_path),))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    storage = LocalStorage(tmp_path)
    assert len([*(tmp_path / "_arcane" / "stage").iterdir()]) == 1
    assert [*storage.staged()] == []
    storage.probe()
    assert [*(tmp_path / "_arcane" / "stage").iterdir()] == []


@pytest.mark.parametrize("act", [lambda storage: storage.create("a", b"x"), lambda storage: storage.replace("a", b"x")])
def test_the_probe_of_another_runner_does_not_make_a_write_fail(
    tmp_path: Path, act: Callable[[LocalStorage], object]
) -> None:
    probes: list[int] = []

    class ProbedDisk(Disk):
        def close_file(self, descriptor: int) -> None:
            super().close_file(descriptor)
            if len(probes) < 3:
                LocalStorage(tmp_path).probe()
                probes.append(descriptor)

    storage = LocalStorage(tmp_path, ProbedDisk(str(tmp_path)))
    act(storage)
    assert len(probes) == 3
    assert storage.read("a") == b"x"


NAMES = [f"log/{n:03}" for n in range(150)]


def race(act: str, root: str, barrier: Barrier, results: Any, handles: dict[str, PublishHandle]) -> None:
    storage = LocalStorage(root)
    barrier.wait()
    if act == "create":
        won = [name for name in NAMES if storage.create(name, f"{os.getpid()}".encode())]
    else:
        won = [name for name in NAMES if storage.publish(name, handles[name], len(name))]
    results.put((os.getpid(), won))


def raced(act: str, root: Path, handles: dict[str, PublishHandle]) -> dict[int, list[str]]:
    barrier, results = SPAWN.Barrier(2), SPAWN.Queue()
    processes = [SPAWN.Process(target=race, args=(act, str(root), barrier, results, handles)) for _ in range(2)]
    for process in processes:
        process.start()
    won = dict(results.get(timeout=50) for _ in processes)
    for process in processes:
        process.join()
    results.close()
    return won


def test_of_two_processes_that_create_one_name_exactly_one_succeeds(tmp_path: Path) -> None:
    won = raced("create", tmp_path, {})
    assert sorted(name for names in won.values() for name in names) == NAMES
    storage = LocalStorage(tmp_path)
    assert {name: int(storage.read(name)) for name in NAMES} == {
        name: writer for writer, names in won.items() for name in names
    }


def test_two_processes_that_publish_the_same_objects_both_succeed(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    handles = {}
    for name in NAMES:
        upload = storage.stage(name)
        upload.write(name.encode())
        handles[name] = upload.finish()
    won = raced("publish", tmp_path, handles)
    assert [*won.values()] == [NAMES, NAMES]
    assert {found.name: storage.read(found.name) for found in storage.list()} == {name: name.encode() for name in NAMES}
    assert [*storage.staged()] == []


def test_a_name_that_no_file_system_can_hold_is_refused(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    with pytest.raises(ConfigurationError) as raised:
        storage.create(check_name("a" * 300), b"")
    assert str(raised.value) == (
        f"{tmp_path}: cannot create {'a' * 300}: the name is too long for this file system; choose a shorter one"
    )
    with pytest.raises(ConfigurationError, match=r"the name is not valid Unicode$"):
        storage.create("\ud800", b"")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

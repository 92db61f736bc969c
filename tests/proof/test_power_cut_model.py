"""The power-cut model, and what a local storage keeps of its promises on it."""

from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest

from arcane_framework._core.storage import PublishHandle
from arcane_framework.storage.disk import Disk
from arcane_framework.storage.local import LocalStorage
from tests.proof.power_cut import PowerCut, PowerCutDisk

CRASHES = 500


def on(disk: PowerCutDisk) -> LocalStorage:
    return LocalStorage("/power-cut", disk)


def file_with(disk: PowerCutDisk, name: str, content: bytes, *, synced: bool) -> None:
    descriptor = disk.create_file((name,))
    disk.write(descriptor, memoryview(content))
    if synced:
        disk.sync_file(descriptor)
    disk.close_file(descriptor)


def states(disk: PowerCutDisk, look: Callable[[PowerCutDisk], object]) -> set[object]:
    return {look(disk.crash(Random(seed))) for seed in range(CRASHES)}


def names(disk: PowerCutDisk) -> frozenset[str]:
    return frozenset(entry.name for entry in disk.entries(()))


def content(disk: PowerCutDisk) -> bytes | None:
    with suppress(FileNotFoundError):
        return disk.open_file(("a",)).read()
    return None


def test_the_model_replaces_every_call_of_the_disk() -> None:
    calls = {name for name in vars(Disk) if not name.startswith("_")}
    assert calls <= vars(PowerCutDisk).keys()


def test_a_name_that_was_not_synced_may_survive_or_not() -> None:
    disk = PowerCutDisk()
    file_with(disk, "a", b"rows", synced=True)
    assert states(disk, content) == {None, b"rows"}


def test_content_that_was_not_synced_may_be_whole_cut_zeroed_or_gone() -> None:
    disk = PowerCutDisk()
    file_with(disk, "a", b"row", synced=False)
    disk.sync_folder(())
    assert states(disk, content) == {b"", b"r", b"ro", b"row", b"\0\0\0", b"r\0\0", b"ro\0"}


def test_what_was_synced_survives_every_time() -> None:
    disk = PowerCutDisk()
    file_with(disk, "a", b"rows", synced=True)
    disk.sync_folder(())
    assert states(disk, content) == {b"rows"}
    assert states(disk.crash(Random(1)), content) == {b"rows"}


def test_changes_of_one_folder_may_survive_in_any_mixture() -> None:
    disk = PowerCutDisk()
    for name in ("a", "b"):
        file_with(disk, name, b"", synced=True)
    assert states(disk, names) == {frozenset(), frozenset("a"), frozenset("b"), frozenset("ab")}


def test_a_removal_that_was_not_synced_may_be_undone() -> None:
    disk = PowerCutDisk()
    file_with(disk, "a", b"rows", synced=True)
    disk.sync_folder(())
    disk.remove(("a",))
    assert states(disk, content) == {None, b"rows"}


def test_a_rename_between_folders_keeps_one_name_at_least() -> None:
    disk = PowerCutDisk()
    disk.make_folder(("stage",))
    file_with(disk, "a", b"rows", synced=True)
    disk.sync_folder(())
    disk.rename(("a",), ("stage", "a"))

    def places(after: PowerCutDisk) -> tuple[bool, bool]:
        return "a" in names(after), bool(after.entries(("stage",)))

    assert states(disk, places) == {(True, False), (True, True), (False, True)}


def test_a_folder_that_was_not_synced_takes_what_is_in_it_along() -> None:
    disk = PowerCutDisk()
    disk.make_folder(("day",))
    file_with(disk, "a", b"", synced=True)
    disk.link(("a",), ("day", "b"))
    disk.sync_folder(("day",))
    assert any("day" not in names(disk.crash(Random(seed))) for seed in range(CRASHES))


def test_nothing_gets_further_once_the_power_is_gone() -> None:
    disk = PowerCutDisk()
    disk.cut_before = 3
    storage = on(disk)
    with pytest.raises(PowerCut):
        storage.create("log/1.json", b"one")
    with pytest.raises(PowerCut):
        storage.stat("log/1.json")
    assert disk.calls == 3


def create(storage: LocalStorage) -> None:
    assert storage.create("_arcane/log/1.json", b"one")


def staged_and_published(storage: LocalStorage) -> None:
    upload = storage.stage("data/day=1/part-1")
    upload.write(b"one")
    assert storage.publish("data/day=1/part-1", upload.finish(), 3)


def replaced(storage: LocalStorage) -> None:
    storage.replace("metadata/v0/partitions.json", b"one")


PROMISES = {
    "_arcane/log/1.json": create,
    "data/day=1/part-1": staged_and_published,
    "metadata/v0/partitions.json": replaced,
}


def survives(disk: PowerCutDisk, name: str, crashes: int = CRASHES) -> int:
    """In how many crashes the object is there, whole."""
    return sum(
        storage.stat(name) is not None and storage.read(name) == b"one"
        for storage in (on(disk.crash(Random(seed))) for seed in range(crashes))
    )


@pytest.mark.parametrize("name", PROMISES)
def test_what_the_storage_has_returned_for_survives_every_crash(name: str) -> None:
    disk = PowerCutDisk()
    PROMISES[name](on(disk))
    assert survives(disk, name) == CRASHES


@pytest.mark.parametrize("name", PROMISES)
@pytest.mark.parametrize(("files", "folders"), [(False, True), (True, False), (False, False)])
def test_red_control_without_a_sync_it_does_not_survive(name: str, files: bool, folders: bool) -> None:
    disk = PowerCutDisk(syncs_files=files, syncs_folders=folders)
    PROMISES[name](on(disk))
    assert survives(disk, name) < CRASHES


def test_a_deleted_object_never_comes_back() -> None:
    disk = PowerCutDisk()
    storage = on(disk)
    create(storage)
    storage.delete("_arcane/log/1.json")
    assert survives(disk, "_arcane/log/1.json") == 0


def test_a_finished_upload_survives_and_can_be_published_after_the_crash() -> None:
    disk = PowerCutDisk()
    upload = on(disk).stage("data/part-1")
    upload.write(b"one")
    handle = upload.finish()
    for seed in range(CRASHES):
        after = on(disk.crash(Random(seed)))
        assert [found.name for found in after.staged()] == ["part-1"]
        assert after.publish("data/part-1", handle, 3)
        assert after.read("data/part-1") == b"one"


def prepared(*, finished: bool = False) -> tuple[PowerCutDisk, PublishHandle]:
    disk = PowerCutDisk()
    handle: PublishHandle = {"stage": "part-1"}
    if finished:
        upload = on(disk).stage("data/part-1")
        upload.write(b"one")
        handle = upload.finish()
    return disk, handle


def calls_of(finished: bool, act: Callable[[LocalStorage, PublishHandle], object]) -> range:
    disk, handle = prepared(finished=finished)
    first = disk.calls
    act(on(disk), handle)
    return range(first, disk.calls)


def publish(storage: LocalStorage, handle: PublishHandle) -> bool:
    return storage.publish("data/part-1", handle, 3)


def test_a_publication_cut_at_any_call_is_completed_by_the_next_one() -> None:
    cuts = calls_of(True, publish)
    assert len(cuts) > 5
    for cut in cuts:
        disk, handle = prepared(finished=True)
        disk.cut_before = cut
        with pytest.raises(PowerCut):
            publish(on(disk), handle)
        for seed in range(100):
            after = disk.crash(Random(seed))
            storage = on(after)
            assert publish(storage, handle)
            again = on(after.crash(Random(seed)))
            assert [(found.name, again.read(found.name)) for found in again.list()] == [("data/part-1", b"one")]
            assert [*again.staged()] == []


def test_a_creation_cut_at_any_call_is_whole_or_not_there() -> None:
    cuts = calls_of(False, lambda storage, _: create(storage))
    assert len(cuts) > 10
    seen = set()
    for cut in cuts:
        disk, _ = prepared()
        disk.cut_before = cut
        with pytest.raises(PowerCut):
            create(on(disk))
        for seed in range(50):
            storage = on(disk.crash(Random(seed)))
            seen.add(tuple((found.name, storage.read(found.name)) for found in storage.list()))
    assert seen == {(), (("_arcane/log/1.json", b"one"),)}


def test_an_object_that_another_creator_left_unsynced_is_durable_once_create_has_found_it() -> None:
    disk, _ = prepared()
    with suppress(PowerCut):
        disk.cut_before = calls_of(False, lambda storage, _: create(storage))[-1]
        create(on(disk))
    assert survives(disk, "_arcane/log/1.json") < CRASHES
    disk.cut_before = None
    assert not on(disk).create("_arcane/log/1.json", b"two")
    assert survives(disk, "_arcane/log/1.json") == CRASHES


def test_an_object_that_another_publisher_left_unsynced_is_durable_once_publish_has_found_it() -> None:
    disk, handle = prepared(finished=True)
    with suppress(PowerCut):
        disk.cut_before = calls_of(True, publish)[-2]
        publish(on(disk), handle)
    disk.cut_before = None
    assert publish(on(disk), handle)
    assert survives(disk, "data/part-1") == CRASHES

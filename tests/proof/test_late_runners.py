"""What a runner may find that was frozen, or that starts beside others."""

from collections.abc import Iterator

import pytest

from arcane_framework._core.clock import SystemClock
from arcane_framework._core.errors import ConfigurationError, FatalStreamError, FencedError
from arcane_framework._core.position import Position
from arcane_framework._core.services import StreamIdentity
from arcane_framework._core.storage import StoredObject
from arcane_framework.commits import StreamState, layout
from arcane_framework.commits.log import MAX_UNRECORDED, CommitLog
from arcane_framework.storage.local import LocalStorage
from arcane_framework.storage.memory import MemoryStorage
from arcane_framework.storage.staging_area import Segments
from tests.proof.lake import Lake
from tests.proof.power_cut import PowerCutDisk
from tests.proof.power_cuts import Delivery, NoLog, snapshot
from tests.proof.stores import STREAM_ID
from tests.proof.table_cells import CELLS

BACKFILL = CELLS[0]


def log_of(storage: MemoryStorage) -> CommitLog:
    return CommitLog(storage, StreamIdentity(STREAM_ID, "Proof"), "0000000", SystemClock(), NoLog())


def lake_of(disk: PowerCutDisk) -> Lake:
    return Lake(snapshot(disk), BACKFILL.expected)


@pytest.mark.parametrize("backfilling", [True, False])
def test_a_token_that_a_late_runner_has_removed_is_committed_again_by_the_next_start(backfilling: bool) -> None:
    disk = PowerCutDisk()
    Delivery(disk, BACKFILL).run()
    stream = LocalStorage(disk.root, disk).folder(STREAM_ID)
    (token,) = [entry.name for entry in stream.list("backfill") if entry.name.endswith(".COMPLETED")]
    stream.delete(token)

    Delivery(disk, BACKFILL, backfilling=backfilling).run()

    assert lake_of(disk).token_is_visible
    assert not lake_of(disk).end_problems(backfill=True, stream=not backfilling)
    assert not [*StreamState(stream).verify()]


def test_a_token_that_is_there_is_not_committed_again() -> None:
    disk = PowerCutDisk()
    Delivery(disk, BACKFILL).run()
    before = len(lake_of(disk).entries)
    Delivery(disk, BACKFILL).run()
    assert [entry["parts"] for entry in lake_of(disk).entries[before:]] == [[]]


def test_a_runner_that_another_one_has_replaced_is_told_before_it_removes_anything() -> None:
    storage = MemoryStorage("lake")
    first, second = log_of(storage), log_of(storage)
    first.open()
    first.must_be_newest()
    second.open()
    second.must_be_newest()
    with pytest.raises(FencedError, match=r"^memory://lake: another runner \(orders/[0-9a-f]{12}\) has committed 2; "):
        first.must_be_newest()


class SlowListing(MemoryStorage):
    """Misses one object, as a folder may that is read while names are added to it."""

    missed = ""

    def list(self, prefix: str = "", *, starting: str = "") -> Iterator[StoredObject]:
        return (found for found in super().list(prefix, starting=starting) if found.name != self.missed)


def test_a_log_entry_that_a_listing_has_missed_is_no_gap() -> None:
    storage = SlowListing()
    log = log_of(storage)
    log.open()
    log.append(Position(stream={"stamp": 1}))
    log.append(Position(stream={"stamp": 2}))
    storage.missed = layout.manifest_name(2)
    assert [entry.seq for entry in StreamState(storage).commits()] == [1, 2, 3]


def test_a_log_entry_that_is_gone_is_a_gap() -> None:
    storage = MemoryStorage("lake")
    log = log_of(storage)
    log.open()
    log.append(Position(stream={"stamp": 1}))
    log.append(Position(stream={"stamp": 2}))
    storage.delete(layout.manifest_name(2))
    with pytest.raises(FatalStreamError) as error:
        [*StreamState(storage).commits()]
    assert str(error.value) == (
        f"memory://lake/{layout.manifest_name(2)} is missing from the commit log: restore it from a backup"
    )


class CountingReads(MemoryStorage):
    """Counts the objects that are read."""

    reads = 0

    def read(self, name: str) -> bytes:
        self.reads += 1
        return super().read(name)


def test_a_stream_that_starts_often_and_commits_nothing_reads_no_more_of_its_log_each_time() -> None:
    storage = CountingReads()
    reads = []
    for _ in range(100):
        before = storage.reads
        log_of(storage).open()
        reads.append(storage.reads - before)
    assert max(reads) <= MAX_UNRECORDED + 1


def test_parts_of_a_commit_sort_by_name_in_the_order_of_their_rows() -> None:
    names = [layout.part_name(7, index, "0000000", ".json") for index in range(1200)]
    assert sorted(names) == names


class CrowdedDisk(PowerCutDisk):
    """Another runner clears temporary files away right after the first hard link was made."""

    cleared = False

    def link(self, source: Segments, target: Segments) -> None:
        super().link(source, target)
        if not self.cleared:
            self.cleared = True
            self.remove(target)


class ReplacingDisk(PowerCutDisk):
    """Links over existing files."""

    def link(self, source: Segments, target: Segments) -> None:
        if any(entry.name == target[-1] for entry in self.entries(target[:-1])):
            self.remove(target)
        super().link(source, target)


def test_a_probe_beside_the_probe_of_another_runner_does_not_blame_the_file_system() -> None:
    disk = CrowdedDisk()
    LocalStorage(disk.root, disk).probe()
    assert disk.cleared


def test_a_probe_finds_a_file_system_that_replaces_files_by_links() -> None:
    disk = ReplacingDisk()
    with pytest.raises(ConfigurationError, match="lets a hard link replace a file"):
        LocalStorage(disk.root, disk).probe()

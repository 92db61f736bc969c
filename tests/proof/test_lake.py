"""The judge notices what it is there for: each test spoils a good folder in one way."""

import json
from collections.abc import Callable

import pytest

from arcane_framework.storage.disk import Disk
from tests.proof.faults import Fault, FaultyDisk, read_fault
from tests.proof.lake import Lake
from tests.proof.power_cut import PowerCut, PowerCutDisk
from tests.proof.power_cuts import Delivery, snapshot
from tests.proof.snapshots import newest_position
from tests.proof.table_cells import CELLS, TableCell

Files = dict[str, bytes]


def finished(cell: TableCell) -> Files:
    disk = PowerCutDisk()
    Delivery(disk, cell).run()
    return dict(snapshot(disk))


def problems(cell: TableCell, files: Files) -> list[str]:
    return Lake(files, cell.expected).end_problems(backfill=cell.backfilling, stream=not cell.backfilling)


def names(files: Files, folder: str) -> list[str]:
    return sorted(name for name in files if name.startswith(f"{folder}/") and "part-" in name)


def token(files: Files) -> str:
    return next(name for name in files if name.endswith(".COMPLETED"))


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_a_finished_stream_has_no_problem(cell: TableCell) -> None:
    assert not problems(cell, finished(cell))


def doubled(files: Files) -> None:
    name = names(files, "backfill")[-1]
    files[name.replace("part-", "part-9")] = files[name]


def lost(files: Files) -> None:
    del files[names(files, "backfill")[3]]


def cut(files: Files) -> None:
    name = names(files, "backfill")[3]
    files[name] = files[name][:-1]


def zeroed(files: Files) -> None:
    name = names(files, "backfill")[3]
    files[name] = bytes(len(files[name]))


def swapped(files: Files) -> None:
    first, second = names(files, "backfill")[:2]
    files[first], files[second] = files[second], files[first]


def without_a_token(files: Files) -> None:
    del files[token(files)]


def without_a_log_entry(files: Files) -> None:
    del files["_arcane/log/00000000000000000003.json"]


def with_a_changed_log_entry(files: Files) -> None:
    files["_arcane/log/00000000000000000003.json"] += b" "


def with_a_temporary_file(files: Files) -> None:
    files["backfill/.tmp-1"] = b""


def with_a_stranger(files: Files) -> None:
    files["notes.txt"] = b""


SPOILED: dict[Callable[[Files], None], str] = {
    doubled: "is visible and not committed",
    lost: "and neither visible nor staged",
    cut: "is visible and not what was committed",
    zeroed: "is visible and not what was committed",
    swapped: "visible is no beginning of what is committed",
    without_a_token: "there is no completion token after a complete backfill",
    without_a_log_entry: "where 3 should be",
    with_a_changed_log_entry: "does not follow from the entry before it",
    with_a_temporary_file: "is visible and not committed",
    with_a_stranger: "has no business in the folder",
}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_a_spoiled_folder_is_noticed(spoil: Callable[[Files], None]) -> None:
    cell = CELLS[1]
    files = finished(cell)
    spoil(files)
    assert SPOILED[spoil] in "\n".join(problems(cell, files))


def archived(files: Files, last: int, *, removed: range) -> None:
    """Put the first `last` entries into a checkpoint, and remove some."""
    names = [f"_arcane/log/{number:020}.json" for number in range(1, last + 1)]
    checkpoint = {"first": 1, "last": last, "entries": [files[name].decode() for name in names]}
    files[f"_arcane/log/{last:020}.checkpoint.json"] = json.dumps(checkpoint).encode()
    files["_arcane/checkpoint.json"] = json.dumps({"last": last}).encode()
    for number in removed:
        del files[names[number - 1]]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
@pytest.mark.parametrize("removed", [range(0), range(2, 4), range(1, 4)])
def test_a_log_whose_beginning_is_in_a_checkpoint_has_no_problem(cell: TableCell, removed: range) -> None:
    files = finished(cell)
    archived(files, 3, removed=removed)
    assert not problems(cell, files)


def test_an_entry_of_a_late_runner_below_a_checkpoint_does_not_count() -> None:
    files = finished(CELLS[0])
    archived(files, 3, removed=range(2, 4))
    files["_arcane/log/00000000000000000002.json"] = b"{}"
    assert not problems(CELLS[0], files)


def test_a_checkpoint_with_an_entry_that_was_changed_is_noticed() -> None:
    files = finished(CELLS[0])
    files["_arcane/log/00000000000000000002.json"] += b" "
    archived(files, 3, removed=range(2, 4))
    assert "entry 3 does not follow from the entry before it" in problems(CELLS[0], files)


def test_an_entry_that_is_missing_after_a_checkpoint_is_noticed() -> None:
    files = finished(CELLS[0])
    archived(files, 3, removed=range(1, 4))
    del files["_arcane/log/00000000000000000004.json"]
    assert "where 4 should be" in "\n".join(problems(CELLS[0], files))


def test_a_checkpoint_that_does_not_hold_what_its_name_says_cannot_be_read() -> None:
    files = finished(CELLS[0])
    archived(files, 3, removed=range(2, 4))
    files["_arcane/log/00000000000000000004.checkpoint.json"] = files.pop(
        "_arcane/log/00000000000000000003.checkpoint.json"
    )
    with pytest.raises(ValueError, match="does not hold the entries that it should"):
        Lake(files, CELLS[0].expected)


def test_the_newest_position_is_that_of_the_newest_entry_or_of_the_checkpoint() -> None:
    files = finished(CELLS[0])
    wanted = Lake(files, CELLS[0].expected).position
    assert newest_position(files, files.__getitem__) == wanted
    archived(files, len(files_of_the_log(files)), removed=range(2, len(files_of_the_log(files)) + 1))
    assert newest_position(files, files.__getitem__) == wanted
    assert newest_position([], files.__getitem__) == {"stream": None, "backfill": None}


def files_of_the_log(files: Files) -> list[str]:
    return [name for name in files if name.startswith("_arcane/log/")]


def test_a_token_in_an_unfinished_backfill_is_noticed() -> None:
    cell = CELLS[0]
    files = finished(cell)
    name = token(files)
    disk = PowerCutDisk()
    disk.cut_before = 250
    with pytest.raises(PowerCut):
        Delivery(disk, cell).run()
    disk.cut_before = None
    unfinished = dict(snapshot(disk))
    assert not Lake(unfinished, cell.expected).problems()
    unfinished[name] = files[name]
    assert (
        "the completion token is visible and the backfill is not complete" in Lake(unfinished, cell.expected).problems()
    )


def test_a_faulty_disk_sees_every_call_of_the_disk() -> None:
    calls = {name for name in vars(Disk) if not name.startswith("_")} - {"mount_point"}
    assert calls <= vars(FaultyDisk).keys()


def test_a_fault_survives_the_way_into_another_process() -> None:
    fault = Fault(7, "after", "stop", operation="link", path="_arcane/log")
    assert read_fault(fault.to_json()) == fault

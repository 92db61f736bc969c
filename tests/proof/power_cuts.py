"""The power goes at any call: sink and commit log on a disk that loses what was not synced."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa

from arcane_framework._core.clock import SystemClock
from arcane_framework._core.position import BackfillState, Position
from arcane_framework._core.schema_hash import schema_hash
from arcane_framework._core.services import NoMetrics, StreamIdentity
from arcane_framework._core.sink import Grouping, SinkRun
from arcane_framework.commits import StreamState
from arcane_framework.sinks import JsonLinesSink, ParquetSink
from arcane_framework.sinks.part_sink import PartSink
from arcane_framework.storage.local import LocalStorage
from tests.proof.kills import FIRST, SECOND
from tests.proof.lake import Lake
from tests.proof.power_cut import PowerCut, PowerCutDisk
from tests.proof.snapshots import Snapshot
from tests.proof.stores import STREAM_ID
from tests.proof.table import SCHEMA, Table, change_set
from tests.proof.table_cells import TableCell
from tests.proof.trial import MAX_PROBLEMS, Outcome

GROUP = 3


class NoLog:
    """Nobody reads it."""

    def bind(self, **fields: Any) -> "NoLog":
        return self

    def debug(self, event: str, **fields: Any) -> None: ...
    def info(self, event: str, **fields: Any) -> None: ...
    def warning(self, event: str, **fields: Any) -> None: ...
    def error(self, event: str, **fields: Any) -> None: ...


class Delivery:
    """Feeds the table to a sink as a graph does, on this thread.

    Attributes:
        identity: The run's.
        acknowledged: The last stamp whose commit has returned, -1 before: the source may forget what is before it.
    """

    def __init__(
        self, disk: PowerCutDisk, cell: TableCell, backfill_id: str = FIRST, backfilling: bool | None = None
    ) -> None:
        self._disk = disk
        self._cell = cell
        self._backfilling = cell.backfilling if backfilling is None else backfilling
        self.identity = StreamIdentity(
            STREAM_ID, "Proof", self._backfilling, backfill_id if self._backfilling else None
        )
        self.acknowledged = -1

    def run(self) -> None:
        """To the end of the table, or until the power goes.

        Raises:
            PowerCut: It has gone.
        """
        sink_type = ParquetSink if self._cell.file_format == "parquet" else JsonLinesSink
        sink = sink_type(LocalStorage(self._disk.root, self._disk), grouping=Grouping(rows=GROUP))
        try:
            self._deliver(sink)
        finally:
            with suppress(PowerCut):
                sink.close()

    def _deliver(self, sink: PartSink) -> None:
        short_name = schema_hash(SCHEMA)
        position = sink.open(SinkRun(self.identity, SCHEMA, short_name, SystemClock(), NoLog(), NoMetrics()))
        expected = self._cell.expected
        last = expected.backfill_sets if self._backfilling else expected.sets
        if self._backfilling and not position.resumes(self.identity, short_name):
            position = position.begun(self.identity, short_name, {"stamp": last - 1})
            sink.begin_backfill(position)
        backfill = position.backfill if self._backfilling else None
        if backfill is not None and backfill.state is BackfillState.COMPLETED:
            return
        watermark = position.stream if backfill is None else backfill.watermark
        self._write_sets(sink, position, -1 if watermark is None else watermark["stamp"], last)

    def _write_sets(self, sink: PartSink, position: Position, after: int, last: int) -> None:
        rows = 0
        for stamp in range(after + 1, last):
            for group in _groups(stamp):
                sink.write(group)
                rows += group.num_rows
            position = position.moved({"stamp": stamp}, backfilling=self._backfilling)
            if rows >= GROUP or stamp == last - 1:
                if self._backfilling and stamp == last - 1:
                    position = position.completed({"stamp": stamp})
                sink.commit(position)
                self.acknowledged, rows = stamp, 0


def _groups(stamp: int) -> Iterator[pa.Table]:
    rows = list(change_set(stamp))
    for start in range(0, len(rows), GROUP):
        yield pa.Table.from_pylist(rows[start : start + GROUP], SCHEMA)


def at_every_call(
    folder: Path,
    cell: TableCell,
    calls: range,
    outcomes: int,
    seed: int,
    *,
    anew: bool = False,
    new_disk: Callable[[], PowerCutDisk] = PowerCutDisk,
) -> Outcome:
    """Cut the power before each call of `calls`, and go on from several of the states that the disk may be in.

    Args:
        folder: Not used, the disk is in memory.
        cell: How the stream is run.
        calls: Where the power goes.
        outcomes: States of the disk that are tried for each cut.
        seed: Of the dice.
        anew: Cut a second backfill, which replaces a complete one.
        new_disk: Makes the disk of the interrupted run; another one for red controls.
    """
    outcome, dice = Outcome(), Random(seed)
    for cut in calls:
        disk, delivery = _prepared(cell, anew, new_disk())
        disk.cut_before = disk.calls + cut
        try:
            delivery.run()
        except PowerCut:
            outcome.counts["cuts"] += outcomes
        for _ in range(outcomes):
            _recover(cell, disk.crash(dice), delivery, dice, outcome, f"{cell.name}: power cut before call {cut}")
    return outcome


def calls_of(cell: TableCell, *, anew: bool = False) -> int:
    """The number of calls of a clean run."""
    disk, delivery = _prepared(cell, anew, PowerCutDisk())
    before = disk.calls
    delivery.run()
    return disk.calls - before


def _prepared(cell: TableCell, anew: bool, disk: PowerCutDisk) -> tuple[PowerCutDisk, Delivery]:
    if anew:
        Delivery(disk, cell, FIRST).run()
    return disk, Delivery(disk, cell, SECOND if anew else FIRST)


def _recover(
    cell: TableCell, disk: PowerCutDisk, interrupted: Delivery, dice: Random, outcome: Outcome, title: str
) -> None:
    problems: list[str] = []
    try:
        problems += _story(cell, disk, interrupted, dice, outcome)
    except Exception as error:  # That a stream cannot go on is what is looked for.
        problems.append(f"cannot go on: {error!r}")
    outcome.counts["trials"] += 1
    outcome.bad += bool(problems)
    outcome.problems = [*outcome.problems, *(f"{title}: {text}" for text in problems)][:MAX_PROBLEMS]


def _story(cell: TableCell, disk: PowerCutDisk, interrupted: Delivery, dice: Random, outcome: Outcome) -> Iterator[str]:
    identity = interrupted.identity.backfill_id or FIRST
    seen = Lake(snapshot(disk), cell.expected)
    yield from (f"after the cut: {text}" for text in seen.problems())
    if interrupted.acknowledged >= 0:
        visible = _visible_up_to(seen, cell)
        if visible < interrupted.acknowledged:
            yield f"acknowledged up to {interrupted.acknowledged}, and visible up to {visible}"
    if dice.random() < 0.5:
        # Also the recovery is cut.
        disk.cut_before = disk.calls + dice.randrange(120)
        with suppress(PowerCut):
            Delivery(disk, cell, identity).run()
            outcome.counts["cuts"] -= 1
        outcome.counts["cuts"] += 1
        disk = disk.crash(dice)
        yield from (f"after the second cut: {text}" for text in Lake(snapshot(disk), cell.expected).problems())
    Delivery(disk, cell, identity).run()
    # What has ended well is durable: it outlives one more cut.
    disk = disk.crash(dice)
    seen = Lake(snapshot(disk), cell.expected)
    yield from seen.end_problems(backfill=cell.backfilling, stream=not cell.backfilling)
    Delivery(disk, cell, backfilling=False).run()
    seen = Lake(snapshot(disk.crash(dice)), cell.expected)
    yield from seen.end_problems(backfill=cell.backfilling, stream=True)
    for found in StreamState(LocalStorage(disk.root, disk).folder(STREAM_ID)).verify():
        yield f"verify: {found.path} {found.text}"
    if Lake(snapshot(disk), cell.expected).staged:
        yield "something is left in the staging area"


def _visible_up_to(seen: Lake, cell: TableCell) -> int:
    """The last change set of which readers see all rows, all earlier ones included; -1: none."""
    visible = set(seen.visible_ids("backfill" if cell.backfilling else "data"))
    last = -1
    while last + 1 < cell.expected.sets and visible >= set(Table(last + 1, last + 2).ids()):
        last += 1
    return last


def snapshot(disk: PowerCutDisk) -> Snapshot:
    """The files of the stream's folder."""

    def files(path: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
        for entry in disk.entries(path):
            inner = (*path, entry.name)
            if entry.is_folder:
                yield from files(inner)
            else:
                yield "/".join(inner[1:]), disk.open_file(inner).read()

    return dict(files((STREAM_ID,))) if any(entry.name == STREAM_ID for entry in disk.entries(())) else {}

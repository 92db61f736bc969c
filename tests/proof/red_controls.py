"""Mistakes that the proof must notice, as changes of the product that only a test process makes to itself."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from reactivex import Observable, abc

from arcane_framework._core.batch import Batch
from arcane_framework._core.errors import FencedError, OutcomeUnknownError
from arcane_framework._core.position import Position
from arcane_framework.commits import layout
from arcane_framework.commits.log import CommitLog
from arcane_framework.commits.manifest import Manifest, Part
from arcane_framework.storage.staging_area import Segments
from tests.proof.faults import FaultyDisk
from tests.proof.power_cut import PowerCutDisk

_append = CommitLog.append


def apply(name: str) -> None:
    """Make the mistake `name` in this process; nothing for names of mistakes that are no patches."""
    patch = {
        "usual-order": ("append", _publish_and_then_append),
        "no-nonce-not-happened": ("_create", _create_again_under_another_number),
        "no-nonce-somebody-else": ("_create", _take_the_own_entry_for_a_strangers),
    }.get(name)
    if patch is not None:
        setattr(CommitLog, *patch)
    if name == "no-probe":
        _probe_nothing()


def _probe_nothing() -> None:
    from arcane_framework.storage.azure_blob import AzureBlobStorage
    from arcane_framework.storage.s3 import S3Storage

    for storage in (S3Storage, AzureBlobStorage):
        storage.probe = lambda self: None  # type: ignore[method-assign]


def _publish_and_then_append(
    self: CommitLog, position: Position, parts: Sequence[Part] = (), backfill_since: int | None = None
) -> Manifest:
    for part in parts:
        self._storage.publish(part.path, part.handle, part.bytes)
    return _append(self, position, parts, backfill_since)


def _create_again_under_another_number(self: CommitLog, manifest: Manifest) -> None:
    while True:
        try:
            if self._storage.create(layout.manifest_name(manifest.seq), manifest.to_bytes()):
                return
        except OutcomeUnknownError:
            manifest = manifest.model_copy(update={"seq": manifest.seq + 1})
        else:
            raise FencedError("taken")


def _take_the_own_entry_for_a_strangers(self: CommitLog, manifest: Manifest) -> None:
    while True:
        try:
            if self._storage.create(layout.manifest_name(manifest.seq), manifest.to_bytes()):
                return
        except OutcomeUnknownError:
            continue
        raise FencedError("taken")


class RenamingDisk(FaultyDisk):
    """Gives log entries their names by `rename`, which overwrites."""

    def link(self, source: Segments, target: Segments) -> None:
        if "log" in target:
            self.rename(source, target)
        else:
            super().link(source, target)


class ForgetfulDisk(PowerCutDisk):
    """Does not sync folders of one name.

    Args:
        folder: A segment of their paths.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder_name = folder

    def sync_folder(self, path: Segments) -> None:
        if self._folder_name not in path:
            super().sync_folder(path)


def merge_pairs_keeping_the_first_watermark(source: Observable[Batch]) -> Observable[Batch]:
    """Merges each two batches into one that carries the earlier watermark: less than all of its rows."""

    def subscribe(observer: abc.ObserverBase[Batch], scheduler: abc.SchedulerBase | None = None) -> Any:
        held: list[Batch] = []

        def flush() -> None:
            if held:
                rows = pa.Table.from_batches([batch.data for batch in held]).combine_chunks().to_batches()
                marks = [batch.watermark for batch in held if batch.watermark is not None]
                observer.on_next(Batch(rows[0], marks[0] if marks else None))
                held.clear()

        def on_next(batch: Batch) -> None:
            if not batch.num_rows:
                observer.on_next(batch)
                return
            held.append(batch)
            if len(held) == 2:
                flush()

        def on_completed() -> None:
            flush()
            observer.on_completed()

        return source.subscribe(on_next, observer.on_error, on_completed, scheduler=scheduler)

    return Observable(subscribe)

"""Keeps the log short: complete blocks go into checkpoints, and what is behind a checkpoint is deleted."""

from arcane_framework._core.errors import ArcaneError, FatalStreamError
from arcane_framework._core.services import Logger
from arcane_framework._core.storage import Storage
from arcane_framework.commits import layout
from arcane_framework.commits.checkpoint import (
    Hint,
    deletable,
    read_checkpoint,
    read_hint,
    write_checkpoint,
    write_hint,
)
from arcane_framework.commits.layout import Block
from arcane_framework.commits.manifest import Manifest, read_manifest

KEPT_BYTES = 8 << 20
"""Of the run's own entries, so that they need not be read again."""

CLEANED_AT_ONCE = 2
"""More than are added, so that what a long run has left behind is caught up with."""


class Compaction:
    """What the writer of a log does beside its commits. Used by one thread at a time.

    Args:
        storage: The stream's folder.
        log: For what did not work: it is tried again later, and never ends a run.
        first_open: The first block without a checkpoint.
        claim: The number of the run's claim; only what is below it is deleted.
    """

    def __init__(self, storage: Storage, log: Logger, first_open: Block, claim: int) -> None:
        self._storage = storage
        self._log = log
        self._first_open = first_open
        self._claim = claim
        self._kept: dict[int, bytes] = {}
        self._kept_bytes = 0

    def keep(self, manifest: Manifest) -> None:
        """Take note of an entry that this run has committed."""
        content = manifest.to_bytes()
        if self._kept_bytes + len(content) <= KEPT_BYTES:
            self._kept[manifest.seq] = content
            self._kept_bytes += len(content)

    def step(self, newest: Manifest) -> None:
        """Put the oldest block without a checkpoint into one, if it is complete and, as the log says, published."""
        block = self._first_open
        if block.last > newest.published:
            return
        try:
            texts = self._texts(block)
        except FileNotFoundError:
            # Another runner has done it, and deleted the entries, while this one was frozen; it will be fenced.
            self._forget(block)
            return
        except ArcaneError as error:
            self._postpone(error)
            return
        try:
            write_checkpoint(self._storage, block, texts)
            self._forget(block)
            self._clean(block)
        except (ArcaneError, FileNotFoundError) as error:
            self._postpone(error)

    def _postpone(self, error: Exception) -> None:
        self._log.warning("the commit log was not compacted; it will be tried again", error=str(error))

    def _texts(self, block: Block) -> list[bytes]:
        """The block's entries as they are stored; damage must not get into a checkpoint, which is for ever."""
        texts = [self._kept.get(seq) or self._storage.read(layout.manifest_name(seq)) for seq in block.seqs]
        previous = None
        for seq, text in zip(block.seqs, texts, strict=True):
            location = f"{self._storage.location}/{layout.manifest_name(seq)}"
            entry = read_manifest(text, location)
            if entry.seq != seq or previous not in (None, entry.previous):
                raise FatalStreamError(f"{location} is not what was committed: restore it from a backup")
            previous = entry.hash()
        return texts

    def _forget(self, block: Block) -> None:
        self._first_open = block.next
        for seq in block.seqs:
            self._kept_bytes -= len(self._kept.pop(seq, b""))

    def _clean(self, newest: Block) -> None:
        """Write the hint, and delete what is behind checkpoints, some blocks at a time."""
        hint = read_hint(self._storage)
        cleaned = 0 if hint is None else hint.cleaned
        # Before the deletions, which a store may refuse: a start must find the newest checkpoint all the same.
        write_hint(self._storage, Hint(last=newest.last, cleaned=cleaned))
        for _ in range(CLEANED_AT_ONCE):
            block = layout.block_of(cleaned + 1)
            if block >= self._first_open or block.last >= self._claim:
                break
            self._storage.delete_all(deletable(block, read_checkpoint(self._storage, block)))
            cleaned = block.last
            write_hint(self._storage, Hint(last=newest.last, cleaned=cleaned))

"""Keeps the log short: complete blocks go into checkpoints, and what is behind a checkpoint is deleted."""

from arcane_framework._core.errors import ConfigurationError, TransientStreamError
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
from arcane_framework.commits.manifest import Manifest

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
            write_checkpoint(self._storage, block, [self._text(seq) for seq in block.seqs])
            self._forget(block)
            write_hint(self._storage, Hint(last=block.last, cleaned=self._clean()))
        except FileNotFoundError:
            # Another runner has done it, and deleted the entries, while this one was frozen; it will be fenced.
            self._forget(block)
        except (TransientStreamError, ConfigurationError) as error:
            self._log.warning("the commit log was not compacted; it will be tried again", error=str(error))

    def _text(self, seq: int) -> bytes:
        return self._kept.get(seq) or self._storage.read(layout.manifest_name(seq))

    def _forget(self, block: Block) -> None:
        self._first_open = block.next
        for seq in block.seqs:
            self._kept_bytes -= len(self._kept.pop(seq, b""))

    def _clean(self) -> int:
        """Delete what is behind checkpoints, some blocks at a time; returns the last number of the last one."""
        hint = read_hint(self._storage)
        cleaned = 0 if hint is None else hint.cleaned
        for _ in range(CLEANED_AT_ONCE):
            block = layout.block_of(cleaned + 1)
            if block >= self._first_open or block.last >= self._claim:
                break
            self._storage.delete_all(deletable(block, read_checkpoint(self._storage, block)))
            cleaned = block.last
        return cleaned

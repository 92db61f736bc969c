"""Reading the log: its newest entry, with few requests however old it is; one entry; all of them.

The entries of a block come from its checkpoint, where it has one: what is left of them as objects are
those that late runners must find, and perhaps one that a late runner has created before it was fenced.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from arcane_framework._core.errors import FatalStreamError
from arcane_framework._core.storage import Storage, StoredObject
from arcane_framework.commits import layout
from arcane_framework.commits.checkpoint import read_checkpoint, read_hint
from arcane_framework.commits.layout import Block
from arcane_framework.commits.manifest import Manifest, read_manifest


@dataclass(frozen=True, slots=True)
class Listed:
    """What a listing of the log has shown.

    Attributes:
        newest: The number of the newest entry; 0 when there is none.
        checkpoints: Blocks with a checkpoint, as far as they were looked at.
        first_open: The first block without a checkpoint.
    """

    newest: int
    checkpoints: frozenset[Block]
    first_open: Block


def list_end(storage: Storage) -> Listed:
    """Find the end of the log from where the hint says that a checkpoint is: three listings, or some more.

    Raises:
        FatalStreamError: There is a gap, or something else lies in the log.
    """
    hint = read_hint(storage)
    listed = None if hint is None else _list_from(storage, layout.block_of(hint.last))
    return list_all(storage) if listed is None else listed


def list_all(storage: Storage) -> Listed:
    """List the whole log; see `list_end` for errors."""
    seqs, checkpoints = _sorted_out(storage, storage.list(layout.LOG))
    return _checked(storage, Block(0), seqs, checkpoints)


def read_entry(storage: Storage, seq: int) -> Manifest:
    """Log entry `seq`.

    Raises:
        FileNotFoundError: There is none.
        FatalStreamError: It is unreadable, or not the one that its name says.
    """
    name = layout.manifest_name(seq)
    try:
        content = storage.read(name)
    except FileNotFoundError:
        block = layout.block_of(seq)
        return read_checkpoint(storage, block)[seq - block.first]
    manifest = read_manifest(content, f"{storage.location}/{name}")
    if manifest.seq != seq:
        raise FatalStreamError(f"{storage.location}/{name} says that it is {manifest.seq}: restore it from a backup")
    return manifest


def read_newest(storage: Storage) -> Manifest | None:
    """The newest entry; None for a stream that has never run. See `list_end` for errors."""
    newest = list_end(storage).newest
    return read_entry(storage, newest) if newest else None


def read_all(storage: Storage) -> Iterator[Manifest]:
    """All entries, oldest first, lazily; a request for each block or for each entry that is in no checkpoint yet."""
    listed = list_all(storage)
    for number in range(layout.block_of(listed.newest).number + 1):
        block = Block(number)
        if block in listed.checkpoints:
            yield from read_checkpoint(storage, block)
        else:
            yield from (read_entry(storage, seq) for seq in block.seqs if seq <= listed.newest)


def _list_from(storage: Storage, start: Block) -> Listed | None:
    """List block after block up to the first without anything; None when `start` has no checkpoint."""
    all_seqs: set[int] = set()
    all_checkpoints: set[Block] = set()
    block = start
    while True:
        seqs, checkpoints = _sorted_out(storage, storage.list(layout.LOG, starting=block.starting))
        if not checkpoints and block == start:
            return None
        if not seqs and not checkpoints:
            return _checked(storage, start, all_seqs, all_checkpoints)
        all_seqs |= seqs
        all_checkpoints |= checkpoints
        block = block.next


def _sorted_out(storage: Storage, entries: Iterable[StoredObject]) -> tuple[set[int], set[Block]]:
    seqs: set[int] = set()
    checkpoints: set[Block] = set()
    for entry in entries:
        seq, block = layout.manifest_seq(entry.name), layout.checkpointed(entry.name)
        if seq is not None:
            seqs.add(seq)
        elif block is not None:
            checkpoints.add(block)
        else:
            raise FatalStreamError(f"{storage.location}/{entry.name} does not belong into a commit log: move it away")
    return seqs, checkpoints


def _checked(storage: Storage, start: Block, seqs: set[int], checkpoints: set[Block]) -> Listed:
    """Check that nothing is missing. A listing that others add to or clean up meanwhile may pass over something."""
    newest = max([*seqs, *(block.last for block in checkpoints)], default=0)
    for number in range(start.number, layout.block_of(newest).number + 1):
        block = Block(number)
        missing = [] if block in checkpoints else sorted({*block.seqs} - seqs)
        for seq in missing:
            if seq < newest and storage.stat(layout.manifest_name(seq)) is None:
                if storage.stat(block.checkpoint) is None:
                    raise FatalStreamError(
                        f"{storage.location}/{layout.manifest_name(seq)} is missing from the commit log: "
                        "restore it from a backup"
                    )
                checkpoints = checkpoints | {block}
                break
    first_open = start
    while first_open in checkpoints:
        first_open = first_open.next
    return Listed(newest, frozenset(checkpoints), first_open)

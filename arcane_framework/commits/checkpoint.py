"""Checkpoints: the entries of a block of the log in one object, after which most of them can be deleted."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from arcane_framework._core.errors import FatalStreamError
from arcane_framework._core.storage import Storage
from arcane_framework.commits import layout
from arcane_framework.commits.layout import Block
from arcane_framework.commits.manifest import Manifest, read_manifest


class Checkpoint(BaseModel):
    """What is stored: created once, never changed; whoever writes it writes the same.

    Attributes:
        first: Number of its first entry.
        last: Number of its last entry.
        entries: The texts of all of them, in order, exactly as they were stored.
    """

    model_config = ConfigDict(frozen=True)

    first: int
    last: int
    entries: tuple[str, ...]


class Hint(BaseModel):
    """Where to begin to look for the newest entry. Not to be relied on: a late runner may have put an old one back.

    Attributes:
        last: The last number of a block that has a checkpoint.
        cleaned: The last number of the blocks whose entries have been deleted.
    """

    model_config = ConfigDict(frozen=True)

    last: int = Field(ge=1)
    cleaned: int = Field(default=0, ge=0)


def write_checkpoint(storage: Storage, block: Block, entries: Sequence[bytes]) -> None:
    """Create the checkpoint of a block; it does not matter whether there is one already.

    Raises:
        OutcomeUnknownError: Try again, some time.
    """
    texts = tuple(entry.decode() for entry in entries)
    checkpoint = Checkpoint(first=block.first, last=block.last, entries=texts)
    storage.create(block.checkpoint, checkpoint.model_dump_json(indent=1).encode())


def read_checkpoint(storage: Storage, block: Block) -> list[Manifest]:
    """The entries of a block, in order.

    Raises:
        FileNotFoundError: It has no checkpoint.
        FatalStreamError: That is unreadable; it is never guessed.
    """
    location = f"{storage.location}/{block.checkpoint}"
    try:
        stored = Checkpoint.model_validate_json(storage.read(block.checkpoint))
    except ValidationError:
        raise FatalStreamError(f"{location} is not a readable checkpoint: restore it from a backup") from None
    entries = [read_manifest(text.encode(), f"{location}, entry {n}") for n, text in enumerate(stored.entries, start=1)]
    if [entry.seq for entry in entries] != [*block.seqs]:
        raise FatalStreamError(f"{location} does not hold all entries of its block: restore it from a backup")
    return entries


def read_hint(storage: Storage) -> Hint | None:
    """The hint; None when there is none, or nothing that could be one."""
    try:
        return Hint.model_validate_json(storage.read(layout.CHECKPOINT_HINT))
    except (FileNotFoundError, ValidationError):
        return None


def write_hint(storage: Storage, hint: Hint) -> None:
    """Replace the hint."""
    storage.replace(layout.CHECKPOINT_HINT, hint.model_dump_json().encode())


def deletable(block: Block, entries: Sequence[Manifest]) -> list[str]:
    """The names of a block's entries that can be deleted once they are in a checkpoint.

    Kept is the first of each writer, and of the block: a runner that was frozen may still want the number
    behind its own last one, and must find it taken. It is always the first of another writer.
    """
    writers = ["", *(entry.writer for entry in entries)]
    return [
        layout.manifest_name(entry.seq)
        for entry, before in zip(entries, writers, strict=False)
        if entry.writer == before and entry.seq != block.first
    ]

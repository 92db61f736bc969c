"""Names of everything below a stream's folder; pure. The layout is that of existing lakes."""

import re
from dataclasses import dataclass
from datetime import date
from uuid import uuid4

from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.services import Mode
from arcane_framework._core.storage import check_name

LOG = "_arcane/log"
CHECKPOINT_HINT = "_arcane/checkpoint.json"
QUARANTINE = "_arcane/quarantine"
BACKFILL = "backfill"
SEQUENCE_DIGITS = 20
BLOCK_DIGITS = 2
"""Log entries are put into checkpoints by blocks of a hundred, whose numbers differ in these last digits only."""
INDEX_DIGITS = 6

_PART = re.compile(rf"part-(?P<seq>\d{{{SEQUENCE_DIGITS}}})-\d+-[0-9a-f]{{32}}-")
_TOKEN = re.compile(r"[0-9a-z]+\.COMPLETED")
_MANIFEST = re.compile(rf"{LOG}/(?P<seq>\d{{{SEQUENCE_DIGITS}}})\.json")
_CHECKPOINT = re.compile(rf"{LOG}/(?P<last>\d{{{SEQUENCE_DIGITS}}})\.checkpoint\.json")


@dataclass(frozen=True, slots=True)
class Segments:
    """The folder names that a sink's settings may change."""

    data: str = "data"
    schema: str = "schema"
    metadata: str = "metadata"

    def __post_init__(self) -> None:
        names = (self.data, self.schema, self.metadata)
        for name in names:
            check_name(name)
        if len({BACKFILL, "_arcane", *(name.split("/")[0] for name in names)}) < len(names) + 2:
            raise ConfigurationError(
                f"the segments {', '.join(names)} must be different folders, and neither {BACKFILL!r} nor '_arcane'"
            )

    def folder(self, mode: Mode, batch_date: date | None) -> str:
        """Where parts of `mode` go: `data` or `backfill`, with a `_batch_date=` folder if a date is given."""
        base = BACKFILL if mode is Mode.BACKFILL else self.data
        return base if batch_date is None else f"{base}/_batch_date={batch_date:%Y-%m-%d}"


def part_name(seq: int, index: int, schema_hash: str, suffix: str) -> str:
    """A part's file name: sorts in order of commit, within a commit in order of rows, and is never used twice."""
    return f"part-{seq:0{SEQUENCE_DIGITS}}-{index:0{INDEX_DIGITS}}-{uuid4().hex}-{schema_hash}{suffix}"


def part_seq(name: str) -> int | None:
    """The sequence number in a part's name; None when the name is not ours."""
    found = _PART.match(name.rsplit("/", 1)[-1])
    return int(found["seq"]) if found else None


def manifest_name(seq: int) -> str:
    """The log entry `seq`."""
    return f"{LOG}/{seq:0{SEQUENCE_DIGITS}}.json"


def manifest_seq(name: str) -> int | None:
    """The sequence number of a log entry; None when the name is not one of the log."""
    found = _MANIFEST.fullmatch(name)
    return int(found["seq"]) if found else None


@dataclass(frozen=True, slots=True, order=True)
class Block:
    """The numbers of log entries that one checkpoint covers; the first block has no 0."""

    number: int

    @property
    def first(self) -> int:
        """The lowest number."""
        return max(1, self.number * 10**BLOCK_DIGITS)

    @property
    def last(self) -> int:
        """The highest number."""
        return (self.number + 1) * 10**BLOCK_DIGITS - 1

    @property
    def seqs(self) -> range:
        """All numbers."""
        return range(self.first, self.last + 1)

    @property
    def next(self) -> "Block":
        """The block that follows."""
        return Block(self.number + 1)

    @property
    def starting(self) -> str:
        """What the names of its entries and of its checkpoint begin with in the log's folder."""
        return f"{self.last:0{SEQUENCE_DIGITS}}"[:-BLOCK_DIGITS]

    @property
    def checkpoint(self) -> str:
        """The name of its checkpoint."""
        return f"{LOG}/{self.last:0{SEQUENCE_DIGITS}}.checkpoint.json"


def block_of(seq: int) -> Block:
    """The block that a log entry belongs to."""
    return Block(seq // 10**BLOCK_DIGITS)


def checkpointed(name: str) -> Block | None:
    """The block whose checkpoint an object is; None when it is none."""
    found = _CHECKPOINT.fullmatch(name)
    block = block_of(int(found["last"])) if found else None
    return block if block is not None and block.checkpoint == name else None


def completion_token(schema_hash: str) -> str:
    """The object that says that a backfill has completed."""
    return f"{BACKFILL}/{schema_hash}.COMPLETED"


def is_completion_token(name: str) -> bool:
    """Whether a name, with or without its folder, is that of a completion token."""
    return _TOKEN.fullmatch(name.rsplit("/", 1)[-1]) is not None


def schema_file(segment: str, schema_hash: str) -> str:
    """The empty Parquet file that holds a schema; one name for each, so that it is written once."""
    return f"{segment}/schema-v0-{schema_hash}.parquet"

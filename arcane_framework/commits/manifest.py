"""A log entry: created once, never changed."""

import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from arcane_framework._core.errors import FatalStreamError
from arcane_framework._core.position import Position


class Part(BaseModel):
    """An object that a commit makes visible.

    Attributes:
        kind: `data`, `quarantine` (rows set aside) or `token` (the backfill's completion token).
        path: Its final name below the stream's folder.
        handle: What the store needs to publish it.
        rows: Its rows; 0 for a token.
        bytes: Its size.
        sha256: Its content's hash, in hex.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["data", "quarantine", "token"] = "data"
    path: str
    handle: dict[str, JsonValue]
    rows: int
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """One commit.

    Attributes:
        seq: Its number, from 1, without gaps.
        epoch: Raised by each claim; a runner that finds a higher one than its own is fenced.
        id: A nonce of the attempt: settles whether a create whose answer was lost was ours.
        writer: Who wrote it, for people.
        mode: The run's mode.
        time: When, ISO 8601, UTC.
        position: The stream's position after this commit.
        schema_hash: The schema of the run.
        parts: What becomes visible.
        rows_in: Rows that came in since the commit before: those in the parts, quarantined ones included.
        backfill_since: The first seq whose parts belong to the newest backfill; older ones are removed.
        published: The last seq whose parts are known to be published.
        lost: Paths of committed parts whose loss somebody has accepted with this entry.
        previous: Hash of the entry before, in hex; empty for the first.
    """

    model_config = ConfigDict(frozen=True)

    seq: int
    epoch: int
    id: str
    writer: str
    mode: Literal["backfill", "stream"]
    time: str
    position: Position
    schema_hash: str
    parts: tuple[Part, ...] = ()
    rows_in: int = 0
    backfill_since: int = 0
    published: int = 0
    lost: tuple[str, ...] = ()
    previous: str = ""

    def to_bytes(self) -> bytes:
        """The entry as stored."""
        return self.model_dump_json(indent=1).encode()

    def hash(self) -> str:
        """What the next entry's `previous` holds."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def read_manifest(data: bytes, location: str) -> Manifest:
    """Parse a log entry.

    Raises:
        FatalStreamError: It is not one, or its rows do not add up; it is never guessed.
    """
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise FatalStreamError(
            f"{location} is not a readable commit record ({error.error_count()} errors, first: "
            f"{error.errors(include_input=False, include_url=False)[0]['msg']}): restore it from a backup"
        ) from None
    if manifest.rows_in != sum(part.rows for part in manifest.parts):
        raise FatalStreamError(f"{location}: rows_in is not the sum of its parts' rows: restore it from a backup")
    return manifest

"""Judges a stream's folder with tools of other people: json, hashlib and pyarrow, never the product's own reader.

It works on a snapshot, path to content, so that a real folder and a disk model are judged alike.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.proof.cells import Expected
from tests.proof.snapshots import LOG, NOTHING, STAGE, Snapshot, log_texts

_TOKEN = re.compile(r"backfill/[0-9a-z]{7}\.COMPLETED")
_HINT = "_arcane/checkpoint.json"
"""Says where the newest checkpoint may be; nothing depends on it."""
_UNREADABLE = -1
_SCHEMA_FILE = re.compile(r"schema/schema-.*-[0-9a-z]{7}\.parquet")


@dataclass(frozen=True, slots=True)
class _Part:
    seq: int
    kind: str
    path: str
    staged: str
    size: int
    sha256: str
    rows: int


class Lake:
    """A snapshot and what is wrong with it.

    Attributes:
        entries: The log's entries, in order, as JSON.
    """

    def __init__(self, snapshot: Snapshot, expected: Expected) -> None:
        self._snapshot = snapshot
        self._expected = expected
        self._log = log_texts(snapshot)
        self.entries: list[dict[str, Any]] = [json.loads(text) for text in self._log.values()]

    @property
    def position(self) -> Mapping[str, Any]:
        """The newest entry's position."""
        position: Mapping[str, Any] = self.entries[-1]["position"] if self.entries else NOTHING
        return position

    @property
    def backfill_completed(self) -> bool:
        """Whether the newest backfill has completed, as the log says."""
        backfill = self.position["backfill"]
        return backfill is not None and backfill["state"] == "completed"

    @property
    def token_is_visible(self) -> bool:
        """Whether readers see a completed backfill."""
        return any(_TOKEN.fullmatch(name) for name in self._snapshot)

    @property
    def staged(self) -> list[str]:
        """What lies in the staging area."""
        return sorted(name for name in self._snapshot if name.startswith(STAGE))

    @property
    def garbage(self) -> list[str]:
        """What lies in the staging area and is named by no entry of the log; files that are being written left out."""
        committed = {part.staged for part in self._parts}
        return [name for name in self.staged if name not in committed and not name.startswith(f"{STAGE}.tmp-")]

    def problems(self) -> list[str]:
        """What must not be at any instant."""
        return [*self._log_problems(), *self._committed_problems(), *self._visible_problems(), *self._token_problems()]

    def end_problems(self, *, backfill: bool, stream: bool) -> list[str]:
        """What must not be after `backfill`, `stream` or both have come to their ends."""
        found = self.problems()
        folders = [("backfill", self._expected.backfilled())] if backfill else []
        folders += [("data", self._expected.streamed())] if stream else []
        for folder, wanted in folders:
            visible = self.visible_ids(folder)
            if visible != wanted:
                found.append(f"{folder}: in the end {_differing(visible, wanted)}")
        if backfill and not self.token_is_visible:
            found.append("there is no completion token after a complete backfill")
        return found

    def visible_ids(self, folder: str) -> list[int]:
        """The rows that readers of a folder see."""
        return [number for name in self._visible_names(folder) for number in _ids(name, self._snapshot[name])]

    # The log.

    def _log_problems(self) -> Iterator[str]:
        previous = ""
        for number, ((named, text), entry) in enumerate(zip(self._log.items(), self.entries, strict=True), start=1):
            if named != number or entry["seq"] != number:
                yield f"the log has {named} (seq {entry['seq']}) where {number} should be"
            if entry["previous"] != previous:
                yield f"entry {named} does not follow from the entry before it"
            if entry["rows_in"] != sum(part["rows"] for part in entry["parts"]):
                yield f"entry {named}: rows in are not rows in parts"
            previous = hashlib.sha256(text).hexdigest()

    @cached_property
    def _since(self) -> int:
        return int(self.entries[-1]["backfill_since"]) if self.entries else 0

    @cached_property
    def _parts(self) -> list[_Part]:
        return [
            _Part(
                entry["seq"],
                part["kind"],
                part["path"],
                STAGE + _staged_key(part["handle"]),
                part["bytes"],
                part["sha256"],
                part["rows"],
            )
            for entry in self.entries
            for part in entry["parts"]
        ]

    def _is_replaced(self, part: _Part) -> bool:
        return part.path.startswith("backfill/") and part.seq < self._since

    # What is committed.

    def _committed_problems(self) -> Iterator[str]:
        for part in self._parts:
            if not self._is_replaced(part) and self._content(part) is None and part.kind != "token":
                yield f"{part.path} is committed ({part.seq}) and neither visible nor staged"
        for folder, wanted in (("data", self._streamed()), ("backfill", self._backfilled())):
            committed = self._committed_ids(folder)
            if committed != wanted:
                yield f"{folder}: committed is not what the position says: {_differing(committed, wanted)}"

    def _content(self, part: _Part) -> bytes | None:
        for name in (part.path, part.staged):
            content = self._snapshot.get(name)
            if content is not None and len(content) == part.size:
                return content if hashlib.sha256(content).hexdigest() == part.sha256 else None
        return None

    def _committed_ids(self, folder: str) -> list[int]:
        parts = [p for p in self._parts if p.kind == "data" and p.path.startswith(f"{folder}/")]
        found = ((part, self._content(part)) for part in parts if not self._is_replaced(part))
        return [number for part, content in found if content is not None for number in _ids(part.path, content)]

    def _streamed(self) -> list[int]:
        """What the stream's position says that is committed."""
        return self._expected.covered(self.position["stream"], backfill=False)

    def _backfilled(self) -> list[int]:
        backfill = self.position["backfill"]
        if backfill is None:
            return []
        if backfill["state"] == "completed":
            return self._expected.backfilled()
        return self._expected.covered(backfill["watermark"], backfill=True)

    # What readers see.

    def _visible_names(self, folder: str) -> list[str]:
        return sorted(n for n in self._snapshot if n.startswith(f"{folder}/") and not _TOKEN.fullmatch(n))

    def _visible_problems(self) -> Iterator[str]:
        committed = {part.path: part for part in self._parts}
        for name, content in self._snapshot.items():
            if name.startswith(("data/", "backfill/")):
                part = committed.get(name)
                if part is None:
                    yield f"{name} is visible and not committed"
                elif len(content) != part.size or hashlib.sha256(content).hexdigest() != part.sha256:
                    yield f"{name} is visible and not what was committed"
                elif part.kind == "data" and len(_ids(name, content)) != part.rows:
                    yield f"{name} has {len(_ids(name, content))} rows and should have {part.rows}"
            elif not name.startswith((LOG, STAGE)) and name != _HINT and not _SCHEMA_FILE.fullmatch(name):
                yield f"{name} has no business in the folder"
            elif _SCHEMA_FILE.fullmatch(name):
                pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
        yield from self._order_problems("data", self._visible_names("data"))
        current = [name for name in self._visible_names("backfill") if not self._of_an_older_backfill(name)]
        yield from self._order_problems("backfill", current)
        if current and len(current) < len(self._visible_names("backfill")):
            yield "parts of two backfills are visible at once"

    def _of_an_older_backfill(self, name: str) -> bool:
        return any(part.path == name and self._is_replaced(part) for part in self._parts)

    def _order_problems(self, folder: str, names: list[str]) -> Iterator[str]:
        seen = [number for name in names for number in _ids(name, self._snapshot[name])]
        committed = self._committed_ids(folder)
        if seen != committed[: len(seen)]:
            yield f"{folder}: visible is no beginning of what is committed: {_differing(seen, committed)}"

    def _token_problems(self) -> Iterator[str]:
        if not self.token_is_visible:
            return
        # Also between the begin of a new backfill and the removal of its predecessor's token.
        if self.visible_ids("backfill") != self._expected.backfilled():
            yield "the completion token is visible and the backfill is not complete"


def _staged_key(handle: Mapping[str, Any]) -> str:
    """What is staged is known by: a nonce on Azure, the upload's id on S3, a file's name on a disk."""
    return str(handle.get("nonce") or handle.get("upload") or handle["stage"])


def _ids(name: str, content: bytes) -> list[int]:
    try:
        if name.endswith(".parquet"):
            return pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)["id"].to_pylist()
        return [json.loads(line)["id"] for line in content.decode().splitlines()]
    except (ValueError, KeyError, TypeError):
        return [_UNREADABLE]


def _differing(found: list[int], wanted: list[int]) -> str:
    doubled = len(found) - len(set(found))
    missing, strange = len(set(wanted) - set(found)), len(set(found) - set(wanted))
    if not doubled and not missing and not strange:
        return "the order is wrong"
    return f"{len(found)} rows for {len(wanted)}, {doubled} doubled, {missing} missing, {strange} too many"

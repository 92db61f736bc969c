"""What a stream has left in storage, as a reader of the lake sees it."""

import io
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from arcane_framework._core.position import Position
from arcane_framework._core.storage import Storage
from arcane_framework.commits import StreamState
from arcane_framework.commits.layout import BACKFILL, LOG, QUARANTINE, Segments
from arcane_framework.commits.manifest import Manifest, Part
from arcane_framework.testing.memory_lake import MemoryLake

_INTERNAL = "_arcane/"
_USUAL_FOLDERS = (Segments().data, BACKFILL, QUARANTINE)


class StreamOutput:
    """Reads a stream's folder; what was never written is empty. Only while the stream is at rest.

    Args:
        lake: Where the stream writes.
        stream_id: Names its folder.
    """

    def __init__(self, lake: MemoryLake, stream_id: str) -> None:
        self._lake = lake
        self._stream_id = stream_id

    def rows(self, folder: str, location: str | None) -> list[dict[str, Any]]:
        """The rows of all committed parts in `folder`, in order of commit.

        Raises:
            AssertionError: It is neither one of the usual folders nor one that is there.
        """
        return [row for part, content in self._parts(folder, location) for row in _rows(part, content)]

    def table(self, folder: str, location: str | None) -> pa.Table:
        """The same as one table.

        Raises:
            AssertionError: There are no parts, so there is no schema.
        """
        tables = [_table(part, content) for part, content in self._parts(folder, location)]
        if not tables:
            raise AssertionError(f"nothing has been committed to {folder}/; there are: {self.files(location)}")
        return pa.concat_tables(tables, promote_options="default")

    def files(self, location: str | None) -> list[str]:
        """The names of all visible objects but those of the commit log, sorted."""
        storage = self._folder(location)
        names = [] if storage is None else [entry.name for entry in storage.list()]
        return [name for name in names if not name.startswith(_INTERNAL)]

    def position(self, location: str | None) -> Position:
        """The stored position."""
        storage = self._folder(location)
        return Position() if storage is None else StreamState(storage).position()

    def commits(self, location: str | None) -> list[Manifest]:
        """All entries of the commit log, claims included."""
        storage = self._folder(location)
        return [] if storage is None else list(StreamState(storage).commits())

    def _parts(self, folder: str, location: str | None) -> list[tuple[Part, bytes]]:
        folder = folder.rstrip("/")
        storage = self._folder(location)
        if folder not in _USUAL_FOLDERS and (storage is None or not _any(storage, folder)):
            raise AssertionError(self._no_folder(folder, location))
        if storage is None:
            return []
        parts = [part for part in StreamState(storage).parts() if part.path.startswith(f"{folder}/")]
        return [(part, _read(storage, part)) for part in parts if part.kind != "token"]

    def _no_folder(self, folder: str, location: str | None) -> str:
        usual = ", ".join(map(repr, _USUAL_FOLDERS))
        there = sorted({name.rpartition("/")[0] for name in self.files(location)})
        found = ", ".join(map(repr, there)) or "none"
        return f"stream {self._stream_id!r} has no folder {folder!r}: rows are in {usual}; folders there now: {found}"

    def _folder(self, location: str | None) -> Storage | None:
        if location is not None:
            return self._lake.peek(location).folder(self._stream_id)
        folders = {each: self._lake.peek(each).folder(self._stream_id) for each in self._lake.opened}
        # The same folder may have been opened by several names.
        used = {storage.location: storage for storage in folders.values() if _any(storage, "")}
        logs = {name: storage for name, storage in used.items() if _any(storage, LOG)}
        candidates = logs or used
        if len(candidates) > 1:
            raise AssertionError(
                f"stream {self._stream_id!r} has several folders ({', '.join(sorted(candidates))}): "
                "say which one with location=..."
            )
        return next(iter(candidates.values()), None)


def _any(storage: Storage, prefix: str) -> bool:
    return next(iter(storage.list(prefix)), None) is not None


def _read(storage: Storage, part: Part) -> bytes:
    try:
        return storage.read(part.path)
    except FileNotFoundError:
        raise AssertionError(
            f"{part.path} ({part.rows} rows) is committed but not visible; a restart publishes it"
        ) from None


def _rows(part: Part, content: bytes) -> Sequence[dict[str, Any]]:
    if part.path.endswith(".parquet"):
        found: list[dict[str, Any]] = _table(part, content).to_pylist()
        return found
    # A text may hold U+2028 and other characters that end a line for `str.splitlines`.
    return [json.loads(line) for line in content.split(b"\n") if line]


def _table(part: Part, content: bytes) -> pa.Table:
    if part.path.endswith(".parquet"):
        return pq.read_table(io.BytesIO(content))
    return pa.Table.from_pylist(list(_rows(part, content)))

"""Reading a stream's log: commits, positions, parts, and whether everything committed is there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from arcane_framework._core.position import Position
from arcane_framework._core.storage import Storage
from arcane_framework.commits import layout
from arcane_framework.commits.log import log_seqs, read_entry
from arcane_framework.commits.manifest import Manifest, Part


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a verification found; `text` says what and where."""

    path: str
    text: str


class StreamState:
    """A stream's folder, read only: safe beside a running stream.

    Args:
        storage: The stream's folder, `<sinkLocation>/<streamId>`.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def commits(self) -> Iterator[Manifest]:
        """All log entries, oldest first, claims (entries without parts) included.

        Raises:
            FatalStreamError: The log has a gap or an unreadable entry.
        """
        for seq in log_seqs(self._storage):
            yield read_entry(self._storage, seq)

    def newest(self) -> Manifest | None:
        """The newest log entry; None for a stream that has never run."""
        seqs = log_seqs(self._storage)
        return read_entry(self._storage, seqs[-1]) if seqs else None

    def position(self) -> Position:
        """Where the stream is."""
        newest = self.newest()
        return newest.position if newest else Position()

    def parts(self, commits: Sequence[Manifest] | None = None) -> Iterator[Part]:
        """All committed objects that must be there now, oldest first.

        Parts and tokens of a backfill that a newer one has replaced are left out.

        Args:
            commits: What `commits` gave, when it has been read already; None reads the log.
        """
        newest = self.newest() if commits is None else next(reversed(commits), None)
        if newest is None:
            return
        for manifest in self.commits() if commits is None else commits:
            for part in manifest.parts:
                replaced = part.path.startswith(f"{layout.BACKFILL}/") and manifest.seq < newest.backfill_since
                if not replaced:
                    yield part

    def verify(self, commits: Sequence[Manifest] | None = None) -> Iterator[Problem]:
        """Every committed object that is not there with its size, and every part that nobody committed.

        Args:
            commits: As for `parts`.
        """
        committed: set[str] = set()
        for part in self.parts(commits):
            committed.add(part.path)
            problem = self._missing(part)
            if problem is not None:
                yield problem
        for entry in self._storage.list():
            if layout.part_seq(entry.name) is not None and entry.name not in committed:
                yield Problem(entry.name, "was not committed by this stream")

    def _missing(self, part: Part) -> Problem | None:
        found = self._storage.stat(part.path)
        if found is None:
            return Problem(part.path, f"is missing ({part.rows} rows, {part.bytes} bytes); the next start publishes it")
        if found.size != part.bytes:
            return Problem(part.path, f"has {found.size} bytes instead of {part.bytes}")
        return None

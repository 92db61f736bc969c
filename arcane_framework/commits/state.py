"""Reading a stream's log: commits, positions, parts, and whether everything committed is there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from arcane_framework._core.position import Position
from arcane_framework._core.storage import Storage
from arcane_framework.commits import layout
from arcane_framework.commits.log_reader import read_all, read_newest
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
        yield from read_all(self._storage)

    def newest(self) -> Manifest | None:
        """The newest log entry; None for a stream that has never run."""
        return read_newest(self._storage)

    def position(self) -> Position:
        """Where the stream is."""
        newest = self.newest()
        return newest.position if newest else Position()

    def parts(self, commits: Sequence[Manifest] | None = None) -> Iterator[Part]:
        """All committed objects that must be there now, oldest first.

        Left out are parts and tokens of a backfill that a newer one has replaced, and parts whose loss was accepted.

        Args:
            commits: What `commits` gave, when it has been read already; None reads the log.
        """
        commits = list(self.commits()) if commits is None else commits
        lost = {path for manifest in commits for path in manifest.lost}
        return (part for part in self._current(commits) if part.path not in lost)

    def lost(self, commits: Sequence[Manifest] | None = None) -> Iterator[Part]:
        """Parts whose loss was accepted, oldest first.

        Args:
            commits: As for `parts`.
        """
        commits = list(self.commits()) if commits is None else commits
        lost = {path for manifest in commits for path in manifest.lost}
        return (part for part in self._current(commits) if part.path in lost)

    def verify(self, commits: Sequence[Manifest] | None = None) -> Iterator[Problem]:
        """Every committed object that is not there with its size, and every part that nobody committed.

        Args:
            commits: As for `parts`.
        """
        commits = list(self.commits()) if commits is None else commits
        # A part whose loss was accepted may have come back from a backup.
        committed = {part.path for part in self.lost(commits)}
        published = commits[-1].published if commits else 0
        waiting = {part.path for manifest in commits[published:] for part in manifest.parts}
        for part in self.parts(commits):
            committed.add(part.path)
            problem = self._missing(part, may_be_staged=part.path in waiting)
            if problem is not None:
                yield problem
        for entry in self._storage.list():
            if layout.part_seq(entry.name) is not None and entry.name not in committed:
                yield Problem(entry.name, "was not committed by this stream")

    def _current(self, commits: Sequence[Manifest]) -> Iterator[Part]:
        for manifest in commits:
            for part in manifest.parts:
                replaced = part.path.startswith(f"{layout.BACKFILL}/") and manifest.seq < commits[-1].backfill_since
                if not replaced:
                    yield part

    def _missing(self, part: Part, *, may_be_staged: bool) -> Problem | None:
        found = self._storage.stat(part.path)
        if found is None:
            remedy = (
                "the next start publishes it if it is staged"
                if may_be_staged
                else "restore it from a backup, or go on without it by --accept-loss"
            )
            return Problem(part.path, f"is missing ({part.rows} rows, {part.bytes} bytes); {remedy}")
        if found.size != part.bytes:
            return Problem(part.path, f"has {found.size} bytes instead of {part.bytes}")
        return None

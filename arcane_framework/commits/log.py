"""The commit protocol: recover, claim, commit, publish, collect garbage.

A log entry is created only if it is absent; that is the one atomic step. Everything before it (staging)
is invisible, everything after it (publishing) is idempotent and repeated by the next start if need be.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise
from uuid import uuid4

from arcane_framework._core.clock import Clock
from arcane_framework._core.errors import FatalStreamError, FencedError, OutcomeUnknownError, TransientStreamError
from arcane_framework._core.position import Position
from arcane_framework._core.services import Logger, Mode, StreamIdentity
from arcane_framework._core.storage import Storage
from arcane_framework.commits import layout
from arcane_framework.commits.compaction import Compaction
from arcane_framework.commits.log_reader import list_end, read_entry, read_newest
from arcane_framework.commits.manifest import Manifest, Part

CREATE_ATTEMPTS = 8
MAX_UNRECORDED = 16
"""Entries that a start may find published without an entry that says so; more, and it commits one."""


class CommitLog:
    """The log of one stream, as its only writer. Used by one thread at a time.

    Attributes:
        newest: The newest entry that this writer knows; None before the first.
    """

    def __init__(self, storage: Storage, stream: StreamIdentity, schema_hash: str, clock: Clock, log: Logger) -> None:
        self._storage = storage
        self._stream = stream
        self._schema_hash = schema_hash
        self._clock = clock
        self._log = log
        self._writer = f"{stream.stream_id}/{uuid4().hex[:12]}"
        self._published = 0
        self._compaction: Compaction | None = None
        self.newest: Manifest | None = None

    @property
    def position(self) -> Position:
        """The newest entry's position."""
        return self.newest.position if self.newest else Position()

    @property
    def next_seq(self) -> int:
        """The number of the entry to come; parts staged for it carry it in their names."""
        return self.newest.seq + 1 if self.newest else 1

    def open(self) -> None:
        """Fence an earlier runner, roll its commits forward, and remove what it left staged.

        Claiming comes first: it makes the entries before it durable, where one may have been seen whose
        writer was killed before the disk had it; publishing on its strength could outlive it in a power cut.

        Raises:
            FencedError: Another runner has claimed the stream at the same time.
            FatalStreamError: The log has a gap or an unreadable entry, or a committed part is gone.
        """
        listed = list_end(self._storage)
        before = self.newest = read_entry(self._storage, listed.newest) if listed.newest else None
        self._published = before.published if before else 0
        claimed = self._append(self.position, (), epoch=before.epoch + 1 if before else 1)
        self._must_not_be_late(claimed)
        self._compaction = Compaction(self._storage, self._log, listed.first_open, claimed.seq)
        if before is not None:
            self._roll_forward(before)
        self._published = claimed.seq
        if claimed.seq - claimed.published > MAX_UNRECORDED:
            # Or a stream that starts often and has nothing to commit would read more of its log each time.
            self._append(self.position, ())
        self._collect_garbage(claimed.seq)

    def append(self, position: Position, parts: Sequence[Part] = (), backfill_since: int | None = None) -> Manifest:
        """Commit `parts` and `position` in one step; `publish` makes the parts visible afterwards.

        Args:
            position: The stream's position after this commit.
            parts: What is staged and shall become visible.
            backfill_since: Given by the entry that begins a backfill anew: its own number.

        Raises:
            FencedError: Another runner has taken over; nothing of this commit is or will be visible.
            TransientStreamError: It is not known whether the commit has happened.
        """
        return self._append(position, parts, backfill_since=backfill_since)

    def publish(self, manifest: Manifest, lost: Collection[str] = ()) -> None:
        """Make a committed entry's parts visible, in order; idempotent.

        A token that is gone is passed over: it holds no rows, and the sink's next start commits another one.

        Args:
            manifest: The entry.
            lost: Paths of parts whose loss was accepted; they are passed over.

        Raises:
            FencedError: A part is gone because another runner has taken over meanwhile.
            FatalStreamError: A committed part is neither staged nor visible.
        """
        for part in manifest.parts:
            if part.path not in lost and not self._storage.publish(part.path, part.handle, part.bytes):
                self._explain_lost_part(manifest, part)
        self._published = manifest.seq

    def compact(self) -> None:
        """Keep the log short; after a commit is published. At most one block of entries a call."""
        if self._compaction is not None and self.newest is not None:
            self._compaction.step(self.newest)

    def accept_loss(self, before: Manifest, paths: Sequence[str]) -> Manifest:
        """Commit that parts are lost, so that starts pass them over. A runner that is at work is fenced by it.

        Args:
            before: The newest entry when the caller checked the parts.
            paths: Of committed parts that are gone.

        Raises:
            FencedError: Another runner has committed since.
        """
        self.newest = before
        self._published = before.published
        entry = self._append(self.position, (), epoch=before.epoch + 1, lost=paths)
        self._must_not_be_late(entry)
        return entry

    def must_be_newest(self) -> None:
        """Check that nobody has committed since; for what a late runner must not do, as far as a look can say.

        Raises:
            FencedError: Another runner has taken over.
        """
        following = self._stored(self.next_seq)
        if following is not None:
            raise self._fenced_by(following)

    def _must_not_be_late(self, claimed: Manifest) -> None:
        """A number can be free because its entry was deleted: then a checkpoint has taken its place."""
        if self._storage.stat(layout.block_of(claimed.seq).checkpoint) is not None:
            raise FencedError(
                f"{self._storage.location}: other runners have committed beyond {claimed.seq} while this one started"
            )

    def _roll_forward(self, newest: Manifest) -> None:
        unpublished = [read_entry(self._storage, seq) for seq in range(newest.published + 1, newest.seq)] + [newest]
        for manifest, following in pairwise(unpublished):
            if following.previous != manifest.hash():
                self._must_not_be_replaced()
                raise FatalStreamError(
                    f"{self._storage.location}/{layout.manifest_name(manifest.seq)} was changed after it was "
                    "committed: restore it from a backup"
                )
        lost = {path for manifest in unpublished for path in manifest.lost}
        for manifest in unpublished:
            self.publish(manifest, lost)

    def _append(
        self,
        position: Position,
        parts: Sequence[Part],
        *,
        epoch: int | None = None,
        backfill_since: int | None = None,
        lost: Sequence[str] = (),
    ) -> Manifest:
        before = self.newest
        mode: Mode = self._stream.mode
        manifest = Manifest(
            seq=self.next_seq,
            epoch=epoch or (before.epoch if before else 1),
            id=uuid4().hex,
            writer=self._writer,
            mode=mode.value,
            time=self._clock.now().isoformat(),
            position=position,
            schema_hash=self._schema_hash,
            parts=tuple(parts),
            rows_in=sum(part.rows for part in parts),
            backfill_since=backfill_since or (before.backfill_since if before else 0),
            published=self._published,
            lost=tuple(lost),
            previous=before.hash() if before else "",
        )
        self._create(manifest)
        if self._compaction is not None:
            self._compaction.keep(manifest)
        self.newest = manifest
        return manifest

    def _create(self, manifest: Manifest) -> None:
        name = layout.manifest_name(manifest.seq)
        for _ in range(CREATE_ATTEMPTS):
            try:
                if self._storage.create(name, manifest.to_bytes()):
                    return
            except OutcomeUnknownError:
                self._log.warning("the answer to a commit was lost, reading the log", seq=manifest.seq)
            stored = self._stored(manifest.seq)
            if stored is None:
                continue
            if stored.id == manifest.id:
                return
            raise self._fenced_by(stored)
        raise TransientStreamError(
            f"{self._storage.location}: commit {manifest.seq} got no answer {CREATE_ATTEMPTS} times"
        )

    def _fenced_by(self, other: Manifest) -> FencedError:
        return FencedError(
            f"{self._storage.location}: another runner ({other.writer}) has committed {other.seq}; "
            "this one stops, its staged rows are dropped and read again by the other"
        )

    def _stored(self, seq: int) -> Manifest | None:
        try:
            return read_entry(self._storage, seq)
        except FileNotFoundError:
            return None

    def _explain_lost_part(self, manifest: Manifest, part: Part) -> None:
        self._must_not_be_replaced()
        if part.kind == "token":
            return
        raise FatalStreamError(
            f"{self._storage.location}/{part.path} was committed ({manifest.seq}, {part.rows} rows) but is neither "
            "staged nor there with its size: restore it from a backup, or go on without its rows after "
            f"arcane state --accept-loss {part.path}"
        )

    def _must_not_be_replaced(self) -> None:
        newest = read_newest(self._storage)
        if newest is not None and (self.newest is None or newest.epoch > self.newest.epoch):
            raise FencedError(f"{self._storage.location}: another runner ({newest.writer}) has taken over")

    def _collect_garbage(self, claimed: int) -> None:
        # Only what carries a number up to one's own claim: all of those are taken, so nobody can commit it
        # any more. A runner that was frozen here must not touch what its successor is staging.
        if self._storage.forgets_staged:
            return
        nameless = []
        for staged in self._storage.staged():
            seq = layout.part_seq(staged.name)
            if seq is not None and seq <= claimed:
                self._storage.abort(staged.handle)
            elif seq is None and layout.is_completion_token(staged.name):
                nameless.append(staged)
        # On S3 a token whose runner was killed right after it began the upload has no name of its own yet. All that
        # were there when they were listed are an earlier runner's, as long as nobody has claimed the stream since.
        if nameless and self._stored(self.next_seq) is None:
            for staged in nameless:
                self._storage.abort(staged.handle)

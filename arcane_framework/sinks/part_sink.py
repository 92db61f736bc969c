"""The sink that all file formats share: parts are staged, committed through the log, then published."""

import json
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from arcane_framework._core.batch import QuarantinedRow
from arcane_framework._core.errors import FatalStreamError
from arcane_framework._core.position import BackfillState, Position
from arcane_framework._core.raw_json import declared_schema
from arcane_framework._core.rows import no_rows, without_dictionaries
from arcane_framework._core.schema_hash import schema_hash
from arcane_framework._core.services import Mode
from arcane_framework._core.sink import Committed, Grouping, Sink, SinkRun
from arcane_framework._core.storage import Storage
from arcane_framework.commits import layout
from arcane_framework.commits.log import CommitLog
from arcane_framework.sinks.background_writer import BackgroundWriter
from arcane_framework.sinks.committer import Committer, abort
from arcane_framework.sinks.layout_settings import PartLayout
from arcane_framework.sinks.part_file import Encoder, PartFile
from arcane_framework.sinks.storable import check_nulls, check_schema

WRITER_BYTES = 16 << 20
"""Encoded bytes that may wait to be staged."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a sink has from `open` on."""

    run: SinkRun
    storage: Storage
    log: CommitLog
    writer: BackgroundWriter
    committer: Committer


class PartSink(Sink):
    """Writes parts below `<location>/<stream id>/`; a format adds its encoder.

    Args:
        storage: The sink's location, as `services.storage(location)` gives it.
        grouping: How rows are cut into groups and when they are committed.
        part_layout: Where parts go and what is written beside them.
    """

    suffix: str
    """What the names of parts end in, after the schema's hash."""

    def __init__(
        self,
        storage: Storage,
        *,
        grouping: Grouping = Grouping(),
        part_layout: PartLayout = PartLayout(),
    ) -> None:
        self.grouping = grouping
        self.location = storage.location
        self._root = storage
        self._schema_files: set[str] = set()
        self._layout = part_layout
        self._state: _Opened | None = None
        self._open_part: PartFile | None = None
        self._staged: list[PartFile] = []
        self._newest: PartFile | None = None
        self._position = Position()
        self._next_seq = 0
        self._number = 0
        self._index = 0

    @abstractmethod
    def encoder(self, schema: pa.Schema, target: PartFile) -> Encoder:
        """An encoder that writes groups of `schema` to `target`."""

    # Called by the graph.

    def open(self, run: SinkRun) -> Position:
        check_schema(declared_schema(run.schema) or run.schema)
        storage = self._root.folder(run.stream.stream_id)
        storage.probe()
        log = CommitLog(storage, run.stream, run.schema_hash, run.clock, run.log)
        log.open()
        writer = BackgroundWriter(run.clock, WRITER_BYTES)
        self._state = _Opened(run, storage, log, writer, Committer(run.clock, log, writer))
        if run.stream.mode is Mode.BACKFILL:
            self._remove_replaced_backfill()
        self._number_parts(log.next_seq)
        self._restore_token()
        log.must_be_newest()
        self._write_metadata()
        self._write_schema(run.schema)
        self._position = log.position
        self._number_parts(log.next_seq)
        return self._resumable(log.position)

    def _resumable(self, position: Position) -> Position:
        """The position without an unfinished backfill of another file format: two formats are never mixed."""
        newest, backfill = self._opened.log.newest, position.backfill
        if newest is None or backfill is None or backfill.state is not BackfillState.RUNNING:
            return position
        if self._opened.run.stream.mode is not Mode.BACKFILL:
            return position
        since = newest.backfill_since
        parts = (entry.name for entry in self._opened.storage.list(layout.BACKFILL))
        others = any((layout.part_seq(name) or 0) >= since and not name.endswith(self.suffix) for name in parts)
        return position.model_copy(update={"backfill": None}) if others else position

    def begin_backfill(self, position: Position) -> None:
        log = self._opened.log
        log.append(position, backfill_since=log.next_seq)
        self._remove_replaced_backfill()
        self._position = log.position
        self._number_parts(log.next_seq)

    def write(self, group: pa.Table) -> None:
        check_nulls(group)
        group = without_dictionaries(group)
        part = self._open_part
        if part is not None and not part.schema.equals(group.schema):
            self._finish_part()
            part = None
        if part is None:
            self._write_schema(group.schema)
            part = self._open_part = self._new_part(self._part_path(group.schema), group.schema)
        part.add(group)
        if part.groups >= self.grouping.groups_per_file:
            self._finish_part()

    def quarantine(self, rows: Sequence[QuarantinedRow]) -> None:
        name = self._next_name(self._opened.run.schema_hash, ".jsonl")
        part = PartFile(self._opened.storage, f"{layout.QUARANTINE}/{name}", self._opened.writer, kind="quarantine")
        part.write(b"".join(json.dumps(asdict(row)).encode() + b"\n" for row in rows))
        self._finish(part, rows=len(rows))

    def commit(self, position: Position) -> "Committed | Future[Committed]":
        self._finish_part()
        opened = self._opened
        if self._completes(position):
            self._finish(self._token(opened.run.schema_hash), rows=0)
        commit = opened.committer.commit(position, self._staged)
        self._staged, self._position = [], position
        if not opened.run.background:
            opened.committer.wait()
        self._number_parts(self._next_seq + 1, opened.committer.unfinished)
        return commit if opened.run.background else commit.result()

    def discard(self) -> None:
        self._opened.writer.wait()
        self._abort_uncommitted()

    def close(self) -> None:
        # A thread that hangs in the store still has its uploads in hand: they are left to the next start.
        if self._state is None:
            return
        staged, waiting = self._state.writer.close(), self._state.committer.close()
        if staged and waiting is not None:
            abort(waiting)
            self._abort_uncommitted()

    def _abort_uncommitted(self) -> None:
        parts = [*self._staged, *([self._open_part] if self._open_part is not None else [])]
        self._staged, self._open_part, self._newest = [], None, None
        abort(parts)

    # Parts.

    @property
    def _opened(self) -> _Opened:
        if self._state is None:
            raise FatalStreamError(f"{type(self).__name__} was used before it was opened")
        return self._state

    def _part_path(self, schema: pa.Schema) -> str:
        run = self._opened.run
        batch_date = run.clock.now().date() if self._layout.partition_by_date else None
        folder = self._layout.segments.folder(run.stream.mode, batch_date)
        return f"{folder}/{self._next_name(self._hash(schema), self.suffix)}"

    def _number_parts(self, next_seq: int, unfinished: int = 0) -> None:
        """Let the parts to come carry the number of the first commit that may not be in the log yet.

        Whoever takes over claims that number or a later one, and removes everything staged up to its claim: what is
        staged for commits that can never come is among it, because one before them has not.
        """
        self._next_seq = next_seq
        if self._number != next_seq - unfinished:
            self._number, self._index = next_seq - unfinished, 0

    def _next_name(self, schema_hash: str, suffix: str) -> str:
        self._index += 1
        return layout.part_name(self._number, self._index - 1, schema_hash, suffix)

    def _new_part(self, path: str, schema: pa.Schema) -> PartFile:
        part = PartFile(self._opened.storage, path, self._opened.writer, schema=schema)
        part.encode_with(self.encoder(schema, part))
        return part

    def _finish_part(self) -> None:
        if self._open_part is not None:
            part, self._open_part = self._open_part, None
            self._finish(part)

    def _finish(self, part: PartFile, rows: int | None = None) -> None:
        self._staged.append(part.finish(rows, after=self._newest))
        self._newest = part

    def _hash(self, schema: pa.Schema) -> str:
        run = self._opened.run
        return run.schema_hash if schema.equals(run.schema) else schema_hash(schema)

    # Backfills.

    def _completes(self, position: Position) -> bool:
        stored = self._position.backfill
        return (
            position.backfill is not None
            and position.backfill.state is BackfillState.COMPLETED
            and (stored is None or stored.state is not BackfillState.COMPLETED)
        )

    def _token(self, schema_hash: str) -> PartFile:
        # Staged and published like a part, so that a runner that was frozen before it wrote the token
        # cannot write it into its successor's backfill: a staged object can be published once.
        opened = self._opened
        staged_as = self._next_name(schema_hash, ".COMPLETED")
        path = layout.completion_token(schema_hash)
        token = PartFile(opened.storage, path, opened.writer, kind="token", staged_as=staged_as)
        token.write(b"\x00")
        return token

    def _restore_token(self) -> None:
        """Commit the newest backfill's token once more if it is gone.

        All backfills of a schema have one token path. A runner that was frozen while it removed its predecessor's
        token removes its successor's when it goes on; no store can delete the one and not the other.
        """
        opened = self._opened
        position = opened.log.position
        backfill = position.backfill
        if backfill is None or backfill.state is not BackfillState.COMPLETED:
            return
        if opened.storage.stat(layout.completion_token(backfill.schema_hash)) is None:
            token = self._token(backfill.schema_hash)
            token.finish(rows=0)
            opened.writer.wait()
            token.complete()
            opened.log.publish(opened.log.append(position, [token.committed()]))

    def _remove_replaced_backfill(self) -> None:
        """Remove the token, then the parts, of backfills older than the newest; repeated by each start."""
        newest = self._opened.log.newest
        backfill = self._opened.log.position.backfill
        if newest is None or backfill is None:
            return
        storage = self._opened.storage
        running = backfill.state is BackfillState.RUNNING
        entries = list(storage.list(layout.BACKFILL))
        tokens = [entry.name for entry in entries if running and entry.name.endswith(".COMPLETED")]
        if tokens:
            self._opened.log.must_be_newest()
        since = newest.backfill_since
        replaced = [entry.name for entry in entries if (layout.part_seq(entry.name) or since) < since]
        for name in tokens:
            storage.delete(name)
        storage.delete_all(replaced)

    # Beside the parts.

    def _write_schema(self, schema: pa.Schema) -> None:
        name = layout.schema_file(self._layout.segments.schema, self._hash(schema))
        if not self._layout.schema_file or name in self._schema_files:
            return
        self._schema_files.add(name)
        if self._opened.storage.stat(name) is None:
            metadata = {} if self._layout.merge_key is None else {"ARCANE_MERGE_KEY_NAME": self._layout.merge_key}
            target = pa.BufferOutputStream()
            stored = (declared_schema(schema) or schema).with_metadata(metadata)
            pq.write_table(without_dictionaries(pa.Table.from_batches([no_rows(stored)])), target)
            self._opened.storage.create(name, target.getvalue().to_pybytes())

    def _write_metadata(self) -> None:
        name = f"{self._layout.segments.metadata}/v0/partitions.json"
        storage = self._opened.storage
        if self._layout.partitions:
            text = json.dumps([asdict(partition) for partition in self._layout.partitions], indent=1)
            storage.replace(name, text.encode())
        else:
            storage.delete(name)

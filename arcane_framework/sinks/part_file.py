"""One part while it is being written: encoded on the graph's thread, hashed and staged on the writer's."""

import hashlib
from collections.abc import Sequence
from threading import Lock
from typing import Literal, Protocol

import pyarrow as pa

from arcane_framework._core.storage import PublishHandle, Storage
from arcane_framework.commits.manifest import Part
from arcane_framework.sinks.background_writer import BackgroundWriter

SUBMIT_BYTES = 1 << 20
"""Encoded bytes that are handed to the writer at a time."""


class Encoder(Protocol):
    """Turns groups into the bytes of a file format. Raises `SchemaInconsistentError` for rows that do not fit."""

    def write(self, group: pa.Table) -> None:
        """Encode one group."""
        ...

    def close(self) -> None:
        """Write what ends the file; the target stays open."""
        ...


class PartFile:
    """A writable file object for encoders, and the part that it becomes.

    Attributes:
        kind: What it is.
        schema: The schema of its rows; empty for what holds none.
        groups: Groups written so far.
        rows: Rows written so far.
        nbytes: Bytes written so far.
    """

    closed = False

    def __init__(
        self,
        storage: Storage,
        path: str,
        writer: BackgroundWriter,
        *,
        kind: Literal["data", "quarantine", "token"] = "data",
        schema: pa.Schema | None = None,
        staged_as: str | None = None,
    ) -> None:
        self.kind = kind
        self.schema = pa.schema([]) if schema is None else schema
        self.groups = 0
        self.rows = 0
        self.nbytes = 0
        self._path = path
        self._writer = writer
        self._upload = storage.stage(path, staged_as)
        self._chunks: list[memoryview] = []
        self._chunk_bytes = 0
        self._sha256 = hashlib.sha256()
        self._encoder: Encoder | None = None
        self._handle: PublishHandle | None = None
        self._error: BaseException | None = None
        self._completing = Lock()

    def encode_with(self, encoder: Encoder) -> None:
        """Say which encoder `write` uses."""
        self._encoder = encoder

    def add(self, group: pa.Table) -> None:
        """Encode a group."""
        assert self._encoder is not None
        self._encoder.write(group)
        self.groups += 1
        self.rows += group.num_rows

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes to the file; called by encoders."""
        view = memoryview(data).cast("B")
        self._chunks.append(view)
        self._chunk_bytes += view.nbytes
        self.nbytes += view.nbytes
        if self._chunk_bytes >= SUBMIT_BYTES:
            self._submit()
        return view.nbytes

    def flush(self) -> None:
        """Nothing to do: `finish` makes the file durable."""

    def tell(self) -> int:
        """The file position, for encoders that ask."""
        return self.nbytes

    def close(self) -> None:
        """Ignored: the part, not the encoder, decides when the file ends."""

    def finish(self, rows: int | None = None, after: "PartFile | None" = None) -> "PartFile":
        """End the file; the writer sends it, and `complete` waits until it is durable, still invisible.

        Args:
            rows: For what is no data.
            after: The part finished before, which the writer completes then.
        """
        if self._encoder is not None:
            self._encoder.close()
        if rows is not None:
            self.rows = rows
        self._submit()
        self._writer.submit(lambda: self._begin_to_finish(after))
        return self

    def abort(self) -> None:
        """Leave nothing behind; only when the writer has nothing left to do."""
        self._upload.abort()

    def _submit(self) -> None:
        chunks, self._chunks = self._chunks, []
        nbytes, self._chunk_bytes = self._chunk_bytes, 0
        if chunks:
            self._writer.submit(lambda: self._stage(chunks), nbytes)

    def _stage(self, chunks: Sequence[memoryview]) -> None:
        for chunk in chunks:
            self._sha256.update(chunk)
            self._upload.write(chunk)

    def _begin_to_finish(self, after: "PartFile | None") -> None:
        self._upload.begin_to_finish()
        # That one was sent meanwhile: of two parts at most something is under way.
        if after is not None:
            after.complete()

    def complete(self) -> None:
        """Wait until it is durable, on any thread; only when the writer has done what `finish` told it to."""
        with self._completing:
            if self._error is not None:
                raise self._error
            if self._handle is None:
                try:
                    self._handle = self._upload.finish()
                except BaseException as error:
                    self._error = error
                    raise

    def committed(self) -> Part:
        """The part as the log names it; only after `complete`."""
        assert self._handle is not None
        return Part(
            kind=self.kind,
            path=self._path,
            handle=dict(self._handle),
            rows=self.rows,
            bytes=self.nbytes,
            sha256=self._sha256.hexdigest(),
        )

"""An object being written to S3 where no reader sees it: a multipart upload that nobody has completed yet."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from arcane_framework._core.errors import FatalStreamError
from arcane_framework._core.storage import PublishHandle, StagedUpload, check_name
from arcane_framework.storage.s3_errors import NO_SUCH_UPLOAD, error_code, plain_errors

PART_BYTES: Final = 8 << 20
"""All parts but the last have this size; the server wants at least 5 MiB. It allows 10,000 parts: 78 GiB."""

IN_FLIGHT: Final = 2
"""Parts that are sent at the same time; one more is being filled."""


@dataclass(frozen=True, slots=True)
class StagedKey:
    """What a publish handle holds, checked: handles are read back from files.

    Attributes:
        stage: The name under which it is staged.
        name: Its final name in the storage's folder.
        upload: The server's id of the upload.
        parts: The etags of its parts, in order.
        size: Its bytes.
    """

    stage: str
    name: str
    upload: str
    parts: tuple[str, ...] = ()
    size: int = 0

    @classmethod
    def of(cls, handle: PublishHandle) -> "StagedKey":
        """Read a publish handle.

        Raises:
            FatalStreamError: It is not one of S3.
        """
        stage, name, upload = (handle.get(key) for key in ("stage", "key", "upload"))
        parts, size = handle.get("parts", []), handle.get("size", 0)
        texts = isinstance(stage, str) and isinstance(name, str) and isinstance(upload, str) and upload
        if not texts or not isinstance(size, int) or not isinstance(parts, (list, tuple)):
            raise FatalStreamError(f"{dict(handle)!r} is not a publish handle of S3")
        return cls(check_name(str(stage)), check_name(str(name)), str(upload), tuple(map(str, parts)), size)

    def handle(self) -> dict[str, Any]:
        """As JSON."""
        found = {"stage": self.stage, "key": self.name, "upload": self.upload}
        return {**found, "parts": [*self.parts], "size": self.size}

    @property
    def has_marker(self) -> bool:
        """Whether its staged name cannot be told from its final one and is kept in an object of its own."""
        return self.stage != self.name.rpartition("/")[2]


class PartSender:
    """Sends parts on threads of their own, at most `IN_FLIGHT` at a time over all uploads of a storage."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(IN_FLIGHT)

    def send(self, request: Callable[[], str]) -> "Future[str]":
        """Run `request` on another thread; waits while too many are being run."""
        sent: Future[str] = Future()

        def run() -> None:
            try:
                sent.set_result(request())
            except BaseException as error:
                sent.set_exception(error)
            finally:
                self._free.release()

        self._free.acquire()
        # No pool: Python waits for a pool's threads when it ends, and a server that hangs would hold up the exit.
        threading.Thread(target=run, name="arcane-s3", daemon=True).start()
        return sent


class S3Upload(StagedUpload):
    """Gathers parts of 8 MiB and sends them while the next one is being filled.

    An error of the server aborts the upload. Holds one part, and those that are being sent.
    """

    def __init__(
        self,
        client: Any,
        target: Mapping[str, str],
        sender: PartSender,
        location: str,
        staged: StagedKey,
        forget: Callable[[StagedKey], None],
    ) -> None:
        self._client = client
        self._target = {**target, "UploadId": staged.upload}
        self._sender = sender
        self._location = location
        self._staged = staged
        self._forget = forget
        self._buffer: bytearray | None = bytearray()
        self._sent: list[Future[str]] = []
        self._size = 0
        self._ended = False

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append; see `StagedUpload.write`. Takes any contiguous buffer; waits for the server when it is slower."""
        self._open_buffer()
        if self._ended:
            raise self._closed_error()
        view = memoryview(data).cast("B") if memoryview(data).nbytes else memoryview(b"")
        nbytes = view.nbytes
        while view.nbytes:
            buffer = self._open_buffer()
            taken = min(view.nbytes, PART_BYTES - len(buffer))
            buffer += view[:taken]
            view = view[taken:]
            if len(buffer) == PART_BYTES:
                self._buffer = bytearray()
                self._send(buffer)
        self._size += nbytes
        return nbytes

    def begin_to_finish(self) -> None:
        """See `StagedUpload.begin_to_finish`; waits for a free place among the requests that are being sent."""
        buffer = self._open_buffer()
        if not self._ended and (buffer or not self._sent):
            self._buffer = bytearray()
            self._send(buffer)
        self._ended = True

    def finish(self) -> PublishHandle:
        """See `StagedUpload.finish`; blocks until the server has all parts."""
        self.begin_to_finish()
        parts = self._wait()
        self._buffer = None
        done = StagedKey(self._staged.stage, self._staged.name, self._staged.upload, tuple(parts), self._size)
        return done.handle()

    def abort(self) -> None:
        """See `StagedUpload.abort`."""
        self._buffer = None
        sent, self._sent = self._sent, []
        for part in sent:
            # A part that arrives after the upload was aborted would stay for ever.
            with suppress(Exception):
                part.result()
        with plain_errors(self._location, f"remove what was staged for {self._staged.name}"):
            abort_upload(self._client, self._target)
            self._forget(self._staged)

    def _send(self, part: bytearray) -> None:
        number = len(self._sent) + 1
        self._raise_failed([sent for sent in self._sent if sent.done()])
        self._sent.append(self._sender.send(lambda: self._upload_part(number, part)))

    def _upload_part(self, number: int, part: bytearray) -> str:
        with plain_errors(self._location, f"write {self._staged.name}"):
            answer = self._client.upload_part(**self._target, PartNumber=number, Body=part)
        return str(answer["ETag"])

    def _wait(self) -> list[str]:
        self._raise_failed(self._sent)
        return [sent.result() for sent in self._sent]

    def _raise_failed(self, parts: Sequence["Future[str]"]) -> None:
        for sent in parts:
            error = sent.exception()
            if error is not None:
                with suppress(Exception):
                    self.abort()
                raise error

    def _open_buffer(self) -> bytearray:
        if self._buffer is None:
            raise self._closed_error()
        return self._buffer

    def _closed_error(self) -> ValueError:
        return ValueError(f"{self._staged.name} is finished or aborted; nothing can be written to it")


def abort_upload(client: Any, target: Mapping[str, str]) -> None:
    """Abort an upload; none there is fine."""
    try:
        client.abort_multipart_upload(**target)
    except Exception as error:
        if error_code(error) != NO_SUCH_UPLOAD:
            raise

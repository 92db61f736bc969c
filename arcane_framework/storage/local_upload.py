"""An object being written to a staging area on disk."""

from contextlib import suppress

from arcane_framework._core.storage import PublishHandle, StagedUpload
from arcane_framework.storage.disk import Disk
from arcane_framework.storage.disk_errors import plain_errors
from arcane_framework.storage.staging_area import Segments, handle_of

BUFFER_BYTES = 1 << 20


def write_all(disk: Disk, descriptor: int, data: memoryview) -> None:
    """Write `data` in as many calls as it takes."""
    while data:
        data = data[disk.write(descriptor, data) :]


class LocalUpload(StagedUpload):
    """Gathers small writes up to 1 MiB; a larger one goes to the disk without being copied.

    An error of the disk aborts the upload: what the system has lost of it is not known.
    """

    def __init__(self, disk: Disk, path: Segments, descriptor: int, location: str, name: str) -> None:
        self._disk = disk
        self._path = path
        self._descriptor: int | None = descriptor
        self._location = location
        self._name = name
        self._buffer = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append; see `StagedUpload.write`. Takes any contiguous buffer, those of pyarrow included."""
        descriptor = self._open_descriptor()
        view = memoryview(data)
        if view.nbytes < BUFFER_BYTES:
            self._buffer += view
            if len(self._buffer) >= BUFFER_BYTES:
                self._write(descriptor, None)
        else:
            self._write(descriptor, view.cast("B"))
        return view.nbytes

    def finish(self) -> PublishHandle:
        """See `StagedUpload.finish`; blocks until the disk has everything."""
        descriptor = self._open_descriptor()
        self._write(descriptor, None)
        try:
            with plain_errors(self._location, f"write {self._name}"):
                self._disk.sync_file(descriptor)
                self._close()
                self._disk.sync_folder(self._path[:-1])
        except BaseException:
            self.abort()
            raise
        return handle_of(self._path[-1])

    def abort(self) -> None:
        """See `StagedUpload.abort`."""
        self._buffer = bytearray()
        with plain_errors(self._location, f"remove what was staged for {self._name}"):
            try:
                self._close()
            finally:
                with suppress(FileNotFoundError):
                    self._disk.remove(self._path)

    def _write(self, descriptor: int, data: memoryview | None) -> None:
        try:
            with plain_errors(self._location, f"write {self._name}"):
                buffered, self._buffer = self._buffer, bytearray()
                write_all(self._disk, descriptor, memoryview(buffered))
                if data is not None:
                    write_all(self._disk, descriptor, data)
        except BaseException:
            self.abort()
            raise

    def _open_descriptor(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"{self._name} is finished or aborted; nothing can be written to it")
        return self._descriptor

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._disk.close_file(descriptor)

"""A storage in memory, for tests and for trying things out."""

import copy
import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Self

from arcane_framework._core.clock import SystemClock
from arcane_framework._core.storage import (
    PublishHandle,
    StagedObject,
    StagedUpload,
    Storage,
    StoredObject,
    check_name,
)
from arcane_framework.storage.staging_area import (
    Segments,
    already_staged,
    handle_of,
    object_path,
    staged_by,
    staged_name,
    wrong_size,
)


@dataclass(frozen=True, slots=True)
class _Object:
    content: bytes
    modified: datetime
    version: int


@dataclass
class _Shelf:
    """What all folders of one memory storage share; to be touched with the lock held."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    objects: dict[Segments, _Object] = field(default_factory=dict)
    staged: dict[Segments, bytes] = field(default_factory=dict)
    version: int = 0


class MemoryStorage(Storage):
    """See `Storage`. What is in it lives as long as this object or one of its folders."""

    def __init__(self, name: str = "memory", now: Callable[[], datetime] | None = None) -> None:
        """An empty storage.

        Args:
            name: For the location, `memory://<name>`.
            now: What time an object is said to be modified at; aware, UTC.
        """
        self.location = f"memory://{name}"
        self._now = now or SystemClock().now
        self._base: Segments = ()
        self._shelf = _Shelf()

    def probe(self) -> None:
        """Nothing can be wrong with memory."""

    def folder(self, name: str) -> Self:
        """See `Storage.folder`."""
        path = self._path(name)
        child = copy.copy(self)
        child.location = f"{self.location}/{name}"
        child._base = path
        return child

    def list(self, prefix: str = "", *, starting: str = "") -> Iterator[StoredObject]:
        """See `Storage.list`. Objects that come or go meanwhile may be missed."""
        below = self._base + (tuple(check_name(prefix).split("/")) if prefix else ())
        with self._shelf.lock:
            names = sorted(
                "/".join(path[len(self._base) :])
                for path in self._shelf.objects
                if path[: len(below)] == below and "/".join(path[len(below) :]).startswith(starting) and path != below
            )
        return (found for found in map(self.stat, names) if found is not None)

    def folders(self, prefix: str = "") -> Iterator[str]:
        """See `Storage.folders`."""
        below = self._base + (tuple(check_name(prefix).split("/")) if prefix else ())
        with self._shelf.lock:
            paths = [path for path in self._shelf.objects if path[: len(below)] == below]
        names = {path[len(below)] for path in paths if len(path) > len(below) + 1}
        return iter(sorted(names, key=lambda name: f"{name}/"))

    def stat(self, name: str) -> StoredObject | None:
        """See `Storage.stat`."""
        path = self._path(name)
        with self._shelf.lock:
            found = self._shelf.objects.get(path)
        return None if found is None else StoredObject(name, len(found.content), found.modified, str(found.version))

    def open(self, name: str) -> BinaryIO:
        """See `Storage.open`."""
        path = self._path(name)
        with self._shelf.lock:
            found = self._shelf.objects.get(path)
        if found is None:
            raise FileNotFoundError(f"{self.location}: there is no {name}")
        return io.BytesIO(found.content)

    def create(self, name: str, data: bytes) -> bool:
        """See `Storage.create`."""
        path = self._path(name)
        with self._shelf.lock:
            if path in self._shelf.objects:
                return False
            self._put(path, data)
        return True

    def replace(self, name: str, data: bytes) -> None:
        """See `Storage.replace`."""
        path = self._path(name)
        with self._shelf.lock:
            self._put(path, data)

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        path = self._path(name)
        with self._shelf.lock:
            self._shelf.objects.pop(path, None)

    def stage(self, name: str, staged_as: str | None = None) -> StagedUpload:
        """See `Storage.stage`."""
        self._path(name)
        path = (*self._base, staged_name(name, staged_as))
        with self._shelf.lock:
            if path in self._shelf.staged:
                raise already_staged(self.location, name)
            self._shelf.staged[path] = b""
        return _MemoryUpload(self._shelf, path, name)

    def publish(self, name: str, handle: PublishHandle, size: int) -> bool:
        """See `Storage.publish`.

        Raises:
            FatalStreamError: What is staged or there has another size.
        """
        path = self._path(name)
        staged = (*self._base, staged_by(handle))
        with self._shelf.lock:
            there = self._shelf.objects.get(path)
            content = there.content if there else self._shelf.staged.get(staged)
            if content is None:
                return False
            if len(content) != size:
                raise wrong_size(self.location, name, len(content), size)
            if there is None:
                self._put(path, self._shelf.staged.pop(staged))
        return True

    def staged(self) -> Iterator[StagedObject]:
        """See `Storage.staged`."""
        with self._shelf.lock:
            names = sorted(path[-1] for path in self._shelf.staged if path[:-1] == self._base)
        return (StagedObject(name, handle_of(name)) for name in names)

    def abort(self, handle: PublishHandle) -> None:
        """See `Storage.abort`."""
        staged = (*self._base, staged_by(handle))
        with self._shelf.lock:
            self._shelf.staged.pop(staged, None)

    def _path(self, name: str) -> Segments:
        return object_path(name, self._base)

    def _put(self, path: Segments, data: bytes) -> None:
        self._shelf.version += 1
        self._shelf.objects[path] = _Object(bytes(data), self._now(), self._shelf.version)


class _MemoryUpload(StagedUpload):
    def __init__(self, shelf: _Shelf, path: Segments, name: str) -> None:
        self._shelf = shelf
        self._path = path
        self._name = name
        self._content: bytearray | None = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> int:
        view = memoryview(data)
        self._open_content().extend(view.tobytes())
        return view.nbytes

    def finish(self) -> PublishHandle:
        content, self._content = self._open_content(), None
        with self._shelf.lock:
            # As on a disk, what somebody has aborted meanwhile stays away.
            if self._path in self._shelf.staged:
                self._shelf.staged[self._path] = bytes(content)
        return handle_of(self._path[-1])

    def abort(self) -> None:
        self._content = None
        with self._shelf.lock:
            self._shelf.staged.pop(self._path, None)

    def _open_content(self) -> bytearray:
        if self._content is None:
            raise ValueError(f"{self._name} is finished or aborted; nothing can be written to it")
        return self._content

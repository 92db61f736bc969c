"""A folder of this machine as a storage.

Durability: what a method has returned for is on the disk, names included. Objects appear by
`link` or `rename` only, so that no reader ever sees a part of one.
"""

import builtins
import copy
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from errno import EISDIR, ELOOP
from pathlib import Path
from typing import BinaryIO, Self, TypeVar
from uuid import uuid4

from arcane_framework._core.errors import ConfigurationError, OutcomeUnknownError
from arcane_framework._core.storage import PublishHandle, StagedObject, Storage, StoredObject, check_name
from arcane_framework.storage.disk import Disk, Entry, FileStatus
from arcane_framework.storage.disk_errors import NO_HARD_LINKS, TRANSIENT, plain_errors, reason_of
from arcane_framework.storage.durable_folders import DurableFolders
from arcane_framework.storage.local_upload import LocalUpload, write_all
from arcane_framework.storage.staging_area import (
    STAGE,
    TEMPORARY_PREFIX,
    Segments,
    already_staged,
    handle_of,
    in_staging_area,
    object_path,
    staged_by,
    staged_name,
    wrong_size,
)

_T = TypeVar("_T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ATTEMPTS = 5


class LocalStorage(Storage):
    """See `Storage`. Needs a POSIX file system with hard links.

    Files have mode 0600 while they are written, then what the umask leaves. Symbolic links below the root are
    never followed: reading or writing through one is a `ConfigurationError`, listings leave them out. On a disk,
    unlike in a bucket, `a` and `a/b` cannot both exist; a folder stays when its last object is deleted.
    """

    def __init__(self, root: str | os.PathLike[str], disk: Disk | None = None) -> None:
        """Nothing is touched before the first call.

        Args:
            root: The folder; a relative one counts from the current folder. It may be a symbolic link.
            disk: The file system calls to use; those of this machine by default.
        """
        self.location = str(Path.cwd() / root)
        self._disk = disk or Disk(self.location)
        self._base: Segments = ()
        self._folders = DurableFolders(self._disk)

    def probe(self) -> None:
        """See `Storage.probe`. Also clears away the temporary files of runs that were killed."""
        with plain_errors(self.location, "use this folder"):
            self._folders.make(self._stage)
            self._remove_temporary_files()
            self._again_if_removed(self._probe_hard_links)

    def folder(self, name: str) -> Self:
        """See `Storage.folder`. The folder has its own staging area."""
        path = self._path(name)
        child = copy.copy(self)
        child.location = f"{self.location}/{name}"
        child._base = path
        return child

    def list(self, prefix: str = "", *, starting: str = "") -> Iterator[StoredObject]:
        """See `Storage.list`. Ordered like keys of a bucket: by code point of the whole name."""
        path = self._base + (tuple(check_name(prefix).split("/")) if prefix else ())
        return self._walk(path, prefix, starting)

    def folders(self, prefix: str = "") -> Iterator[str]:
        """See `Storage.folders`."""
        path = self._base + (tuple(check_name(prefix).split("/")) if prefix else ())
        with plain_errors(self.location, f"list {prefix or 'the folder'}"):
            names = sorted((entry.name for entry in self._entries(path) if entry.is_folder), key=_with_slash)
        return (name for name in names if not in_staging_area((*path, name)))

    def stat(self, name: str) -> StoredObject | None:
        """See `Storage.stat`."""
        path = self._path(name)
        with plain_errors(self.location, f"look at {name}"):
            found = self._status(path)
        return _stored(name, found) if found is not None and found.is_file else None

    def open(self, name: str) -> BinaryIO:
        """See `Storage.open`. Later errors of the disk come from the reader as `OSError`."""
        path = self._path(name)
        with plain_errors(self.location, f"read {name}"):
            try:
                return self._disk.open_file(path)
            except (FileNotFoundError, NotADirectoryError):
                pass
        raise FileNotFoundError(f"{self.location}: there is no {name}")

    def read(self, name: str) -> bytes:
        """See `Storage.read`."""
        with self.open(name) as stream, plain_errors(self.location, f"read {name}"):
            return stream.read()

    def create(self, name: str, data: bytes) -> bool:
        """See `Storage.create`. The object is durable when this returns, whoever created it."""
        path = self._path(name)
        with plain_errors(self.location, f"create {name}"):
            return self._again_if_removed(lambda: self._create(path, name, data))

    def replace(self, name: str, data: bytes) -> None:
        """See `Storage.replace`."""
        path = self._path(name)
        with plain_errors(self.location, f"write {name}"):
            self._again_if_removed(lambda: self._replace(path, data))

    def delete(self, name: str) -> None:
        """See `Storage.delete`. Durable when it returns, as order matters between deletions."""
        path = self._path(name)
        with plain_errors(self.location, f"delete {name}"), suppress(FileNotFoundError, NotADirectoryError):
            with suppress(FileNotFoundError):
                self._disk.remove(path)
            self._disk.sync_folder(path[:-1])

    def stage(self, name: str, staged_as: str | None = None) -> LocalUpload:
        """See `Storage.stage`."""
        self._path(name)
        path = (*self._stage, staged_name(name, staged_as))
        with plain_errors(self.location, f"stage {name}"):
            try:
                descriptor = self._again_if_removed(lambda: self._new_file(path))
            except FileExistsError:
                raise already_staged(self.location, name) from None
        return LocalUpload(self._disk, path, descriptor, self.location, name)

    def publish(self, name: str, handle: PublishHandle, size: int) -> bool:
        """See `Storage.publish`. Durable when it returns True, whoever published it.

        Raises:
            FatalStreamError: What is staged or there has another size.
        """
        path = self._path(name)
        staged = (*self._stage, staged_by(handle))
        with plain_errors(self.location, f"publish {name}"):
            return self._again_if_removed(lambda: self._publish(path, name, staged, size))

    def staged(self) -> Iterator[StagedObject]:
        """See `Storage.staged`. An upload that is still being written is among them."""
        with plain_errors(self.location, "list what is staged"):
            names = sorted(entry.name for entry in self._entries(self._stage) if entry.is_file)
        return (StagedObject(name, handle_of(name)) for name in names if not name.startswith(TEMPORARY_PREFIX))

    def abort(self, handle: PublishHandle) -> None:
        """See `Storage.abort`."""
        staged = staged_by(handle)
        with plain_errors(self.location, f"remove the staged {staged}"), suppress(FileNotFoundError):
            self._disk.remove((*self._stage, staged))

    @property
    def _stage(self) -> Segments:
        return self._base + STAGE

    def _path(self, name: str) -> Segments:
        return object_path(name, self._base)

    def _create(self, path: Segments, name: str, data: bytes) -> bool:
        temporary = self._temporary_file(data)
        try:
            self._folders.make(path[:-1])
            created = self._link(temporary, path, name)
        finally:
            self._remove(temporary)
        # Also for a stranger's object: its creator may be dead, and the caller will act on its being there.
        self._disk.sync_folder(path[:-1])
        return created

    def _link(self, temporary: Segments, path: Segments, name: str) -> bool:
        try:
            self._disk.link(temporary, path)
        except FileExistsError:
            # NFS repeats a request whose answer was lost, and then finds what it has itself created.
            ours, there = self._status(temporary), self._status(path)
            if there is not None and not there.is_file:
                number = ELOOP if there.is_link else EISDIR
                raise OSError(number, os.strerror(number)) from None
            return ours is not None and there is not None and ours.inode == there.inode
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in TRANSIENT:
                raise OutcomeUnknownError(
                    f"{self.location}: it is not known whether {name} was created: {reason_of(error)}"
                ) from error
            raise
        return True

    def _replace(self, path: Segments, data: bytes) -> None:
        temporary = self._temporary_file(data)
        try:
            self._folders.make(path[:-1])
            self._disk.rename(temporary, path)
        except BaseException:
            self._remove(temporary)
            raise
        self._disk.sync_folder(path[:-1])

    def _publish(self, path: Segments, name: str, staged: Segments, size: int) -> bool:
        self._folders.make(path[:-1])
        there, waiting = self._status(path), self._status(staged)
        if there is None and waiting is None:
            # Another process may have published it between the two looks.
            there = self._status(path)
        found = there or waiting
        if found is None:
            return False
        if not found.is_file:
            raise ConfigurationError(
                f"{self.location}: cannot publish {name}: something that is no file is in its place"
            )
        if found.size != size:
            raise wrong_size(self.location, name, found.size, size)
        if there is None:
            self._disk.rename(staged, path)
        elif waiting is not None and waiting.inode == there.inode:
            # A power cut has kept the new name and brought the old one back.
            self._remove(staged)
        # This order, or a power cut in between could take both names away.
        self._disk.sync_folder(path[:-1])
        self._sync_stage()
        return True

    def _sync_stage(self) -> None:
        with suppress(FileNotFoundError):
            self._disk.sync_folder(self._stage)

    def _temporary_file(self, data: bytes) -> Segments:
        path = (*self._stage, f"{TEMPORARY_PREFIX}{uuid4().hex}")
        descriptor = self._new_file(path)
        try:
            try:
                write_all(self._disk, descriptor, memoryview(data))
                self._disk.sync_file(descriptor)
            finally:
                self._disk.close_file(descriptor)
        except BaseException:
            self._remove(path)
            raise
        return path

    def _new_file(self, path: Segments) -> int:
        self._folders.make(path[:-1])
        return self._disk.create_file(path)

    def _remove(self, path: Segments) -> None:
        with suppress(FileNotFoundError):
            self._disk.remove(path)

    def _remove_temporary_files(self) -> None:
        for entry in self._entries(self._stage):
            if entry.is_file and entry.name.startswith(TEMPORARY_PREFIX):
                self._remove((*self._stage, entry.name))

    def _probe_hard_links(self) -> None:
        first = self._temporary_file(b"\0")
        second = (*self._stage, f"{TEMPORARY_PREFIX}{uuid4().hex}")
        try:
            self._disk.link(first, second)
            if not self._refuses_to_replace(first, second):
                raise ConfigurationError(
                    f"{self.location}: the file system mounted at {self._disk.mount_point()} lets a hard link replace "
                    "a file, which would let two runners overwrite each other's commits; use a local disk or NFS"
                )
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            raise ConfigurationError(
                f"{self.location}: the file system mounted at {self._disk.mount_point()} does not support hard links, "
                "which commits need (SMB shares do not have them); use a local disk or NFS"
            ) from error
        finally:
            self._remove(first)
            self._remove(second)

    def _refuses_to_replace(self, source: Segments, target: Segments) -> bool:
        # More than once: the probe of another runner may have removed the target just before.
        for _ in range(_ATTEMPTS):
            try:
                self._disk.link(source, target)
            except FileExistsError:
                return True
        return False

    def _again_if_removed(self, attempt: Callable[[], _T]) -> _T:
        """Try again when a folder, or a temporary file (`probe` of another runner), was removed meanwhile."""
        for _ in range(_ATTEMPTS - 1):
            with suppress(FileNotFoundError):
                return attempt()
            self._folders.forget()
        return attempt()

    def _walk(self, path: Segments, name: str, starting: str = "") -> Iterator[StoredObject]:
        if in_staging_area(path):
            return
        with plain_errors(self.location, f"list {name or 'the folder'}"):
            entries = [entry for entry in self._entries(path) if entry.name.startswith(starting)]
        for entry in sorted(entries, key=lambda entry: _with_slash(entry.name) if entry.is_folder else entry.name):
            child = f"{name}/{entry.name}" if name else entry.name
            if entry.is_folder:
                yield from self._walk((*path, entry.name), child)
            elif entry.is_file:
                with plain_errors(self.location, f"look at {child}"):
                    found = self._status((*path, entry.name))
                if found is not None and found.is_file:
                    yield _stored(child, found)

    def _entries(self, path: Segments) -> builtins.list[Entry]:
        try:
            return [*self._disk.entries(path)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _status(self, path: Segments) -> FileStatus | None:
        try:
            return self._disk.status(path)
        except (FileNotFoundError, NotADirectoryError):
            return None


def _with_slash(folder: str) -> str:
    # So do the names of what is in it go on, by which everything is sorted.
    return f"{folder}/"


def _stored(name: str, found: FileStatus) -> StoredObject:
    modified = _EPOCH + timedelta(microseconds=found.modified_ns // 1000)
    return StoredObject(name, found.size, modified, f"{found.inode:x}-{found.modified_ns:x}-{found.size:x}")

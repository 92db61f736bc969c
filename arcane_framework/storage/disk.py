"""The raw file system calls of a local storage, and nothing else.

Every path is a tuple of segments below the root. Each segment is opened relative to the descriptor
of the one before and without following symbolic links, so that a planted link leads nowhere. The root
itself is the operator's choice and may be a link. Errors are those of the system: `OSError`.
This class is also the seam of the fault tests: they count, kill or replace its calls.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import ELOOP, ENOTDIR
from pathlib import Path
from typing import BinaryIO

from arcane_framework.storage.staging_area import Segments

_ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FOLDER = _ROOT | os.O_NOFOLLOW
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK a planted FIFO would block its reader for ever.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def _umask() -> int:
    # There is no other way to ask for it than to set it.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


_UMASK = _umask()
"""Read once, when nothing else is running yet."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder. A symbolic link is neither a file nor a folder."""

    name: str
    is_file: bool
    is_folder: bool


@dataclass(frozen=True, slots=True)
class FileStatus:
    """What the system knows of a name: bytes, nanoseconds since 1970, the inode behind it."""

    size: int
    modified_ns: int
    inode: int
    is_file: bool
    is_link: bool


class Disk:
    """The folder `root` of this machine. Safe to use from several threads; every method may block."""

    def __init__(self, root: str) -> None:
        self.root = root

    def make_root(self) -> None:
        """Create the root and its missing parents, durably."""
        root = Path(self.root)
        missing = [folder for folder in (root, *root.parents) if not folder.is_dir()]
        for folder in reversed(missing):
            with suppress(FileExistsError):
                folder.mkdir()
            if not folder.is_dir():
                raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), str(folder))
            _sync_folder(folder.parent)
        if not missing:
            # Its creator may have died before making it durable; a root that somebody
            # else prepared need not have a readable parent.
            with suppress(PermissionError):
                _sync_folder(root.parent)

    def create_file(self, path: Segments) -> int:
        """A new file of mode 0600, open for writing; gives its descriptor."""
        with self._folder(path[:-1]) as parent:
            return os.open(path[-1], _NEW_FILE, 0o600, dir_fd=parent)

    def write(self, descriptor: int, data: memoryview) -> int:
        """Append; gives the number of bytes taken, which may be fewer than all."""
        return os.write(descriptor, data)

    def sync_file(self, descriptor: int) -> None:
        """The file is complete: give it its final mode and make the content durable."""
        # Private while it is written; finished, it is for readers of the lake, who may be other users.
        os.fchmod(descriptor, 0o666 & ~_UMASK)
        os.fsync(descriptor)

    def close_file(self, descriptor: int) -> None:
        """Close what `create_file` gave."""
        os.close(descriptor)

    def link(self, source: Segments, target: Segments) -> None:
        """A second name for a file; fails when `target` exists."""
        with self._folder(source[:-1]) as old, self._folder(target[:-1]) as new:
            os.link(source[-1], target[-1], src_dir_fd=old, dst_dir_fd=new, follow_symlinks=False)

    def rename(self, source: Segments, target: Segments) -> None:
        """Move a file, over an existing one if need be."""
        with self._folder(source[:-1]) as old, self._folder(target[:-1]) as new:
            os.rename(source[-1], target[-1], src_dir_fd=old, dst_dir_fd=new)

    def remove(self, path: Segments) -> None:
        """Remove the name of a file."""
        with self._folder(path[:-1]) as parent:
            os.unlink(path[-1], dir_fd=parent)

    def make_folder(self, path: Segments) -> None:
        """A new folder in an existing one."""
        with self._folder(path[:-1]) as parent:
            os.mkdir(path[-1], dir_fd=parent)

    def sync_folder(self, path: Segments) -> None:
        """Make the names in a folder durable."""
        with self._folder(path) as descriptor:
            os.fsync(descriptor)

    def entries(self, path: Segments) -> Sequence[Entry]:
        """The names in a folder, in no order."""
        with self._folder(path) as descriptor, os.scandir(descriptor) as entries:
            return [
                Entry(entry.name, entry.is_file(follow_symlinks=False), entry.is_dir(follow_symlinks=False))
                for entry in entries
            ]

    def status(self, path: Segments) -> FileStatus:
        """What is behind a name, a symbolic link itself included."""
        with self._folder(path[:-1]) as parent:
            found = os.stat(path[-1], dir_fd=parent, follow_symlinks=False)
        mode = found.st_mode
        return FileStatus(found.st_size, found.st_mtime_ns, found.st_ino, stat.S_ISREG(mode), stat.S_ISLNK(mode))

    def open_file(self, path: Segments) -> BinaryIO:
        """A reader of a file; what is no file is not found."""
        with self._folder(path[:-1]) as parent:
            descriptor = os.open(path[-1], _READ, dir_fd=parent)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return os.fdopen(descriptor, "rb")
        os.close(descriptor)
        raise FileNotFoundError(path[-1])

    def mount_point(self) -> str:
        """Where the file system that holds the root is mounted; for messages."""
        folder = Path(self.root).resolve()
        while not folder.is_mount():
            folder = folder.parent
        return str(folder)

    @contextmanager
    def _folder(self, path: Segments) -> Iterator[int]:
        descriptor = os.open(self.root, _ROOT)
        try:
            for segment in path:
                inner = _enter(descriptor, segment)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)


def _enter(parent: int, segment: str) -> int:
    try:
        return os.open(segment, _FOLDER, dir_fd=parent)
    except NotADirectoryError:
        # Linux gives the same error for a link and for a file.
        if stat.S_ISLNK(os.stat(segment, dir_fd=parent, follow_symlinks=False).st_mode):
            raise OSError(ELOOP, os.strerror(ELOOP), segment) from None
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, _ROOT)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

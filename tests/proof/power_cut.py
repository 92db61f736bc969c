"""A disk with a volatile cache, and every state that a power cut may leave it in.

It gives no more than POSIX promises: a file's content is durable after `sync_file`, a name (made by create,
link, rename, remove or make_folder) after `sync_folder` of its folder. What is not durable may survive
all the same, in any mixture. One promise of every journaling file system is kept: a rename never takes
the old name away unless the new one is there.
"""

import errno
import io
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import BinaryIO

from arcane_framework.storage.disk import Disk, Entry, FileStatus
from arcane_framework.storage.staging_area import Segments


class PowerCut(BaseException):
    """The power is gone: nothing that runs on this disk gets any further."""


@dataclass(eq=False)
class _File:
    inode: int
    modified_ns: int
    content: bytearray = field(default_factory=bytearray)
    durable: bytes = b""


@dataclass(eq=False)
class _Change:
    """One change of a folder: `name` stands for `node` from now on, or for nothing."""

    name: str
    node: "_File | _Folder | None"
    durable: bool = False
    # The change without which this one cannot survive: the other half of a rename.
    only_with: "_Change | None" = None


@dataclass(eq=False)
class _Folder:
    inode: int
    names: "dict[str, _File | _Folder]" = field(default_factory=dict)
    changes: list[_Change] = field(default_factory=list)

    def change(self, name: str, node: "_File | _Folder | None", only_with: _Change | None = None) -> _Change:
        made = _Change(name, node, only_with=only_with)
        self.changes.append(made)
        if node is None:
            del self.names[name]
        else:
            self.names[name] = node
        return made


class PowerCutDisk(Disk):
    """Stands in for `Disk`. Safe to use from several threads.

    Attributes:
        calls: How many calls there have been; each one is a point at which the power can go.
        cut_before: The power goes before the call of this number (the first is 0); None: never.
    """

    def __init__(self, *, syncs_files: bool = True, syncs_folders: bool = True) -> None:
        """An empty disk, root included.

        Args:
            syncs_files: False makes `sync_file` do nothing: a red control.
            syncs_folders: False makes `sync_folder` do nothing: another one.
        """
        super().__init__("/power-cut")
        self.calls = 0
        self.cut_before: int | None = None
        self._syncs_files = syncs_files
        self._syncs_folders = syncs_folders
        self._root = _Folder(1)
        self._next_inode = 2
        self._open: dict[int, _File] = {}
        self._next_descriptor = 3
        self._lock = threading.RLock()

    def crash(self, random: Random) -> "PowerCutDisk":
        """A new disk in one of the states that this one could be found in after a power cut now."""
        with self._lock:
            after = PowerCutDisk(syncs_files=self._syncs_files, syncs_folders=self._syncs_folders)
            after._root = _Survival(random).disk(self._root)
            after._next_inode = self._next_inode
            return after

    def make_root(self) -> None:
        with self._call():
            pass

    def create_file(self, path: Segments) -> int:
        with self._call():
            parent = self._parent(path)
            self._must_be_free(parent, path)
            made = _File(self._new_inode(), self.calls)
            parent.change(path[-1], made)
            descriptor, self._next_descriptor = self._next_descriptor, self._next_descriptor + 1
            self._open[descriptor] = made
            return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        with self._call():
            self._open[descriptor].content += data
            return len(data)

    def sync_file(self, descriptor: int) -> None:
        with self._call():
            if self._syncs_files:
                self._open[descriptor].durable = bytes(self._open[descriptor].content)

    def close_file(self, descriptor: int) -> None:
        with self._call():
            del self._open[descriptor]

    def link(self, source: Segments, target: Segments) -> None:
        with self._call():
            node, parent = self._file(source), self._parent(target)
            self._must_be_free(parent, target)
            parent.change(target[-1], node)

    def rename(self, source: Segments, target: Segments) -> None:
        with self._call():
            node, parent = self._file(source), self._parent(target)
            there = parent.names.get(target[-1])
            if isinstance(there, _Folder):
                raise _error(errno.EISDIR, target)
            if there is not node:  # Two names of one file: the system does nothing.
                added = parent.change(target[-1], node)
                self._parent(source).change(source[-1], None, only_with=added)

    def remove(self, path: Segments) -> None:
        with self._call():
            self._file(path)
            self._parent(path).change(path[-1], None)

    def make_folder(self, path: Segments) -> None:
        with self._call():
            parent = self._parent(path)
            self._must_be_free(parent, path)
            parent.change(path[-1], _Folder(self._new_inode()))

    def sync_folder(self, path: Segments) -> None:
        with self._call():
            if self._syncs_folders:
                for change in self._folder_at(path).changes:
                    change.durable = True

    def entries(self, path: Segments) -> Sequence[Entry]:
        with self._call():
            names = self._folder_at(path).names
            return [Entry(name, isinstance(node, _File), isinstance(node, _Folder)) for name, node in names.items()]

    def status(self, path: Segments) -> FileStatus:
        with self._call():
            node = self._node(path)
            if isinstance(node, _Folder):
                return FileStatus(0, 0, node.inode, is_file=False, is_link=False)
            return FileStatus(len(node.content), node.modified_ns, node.inode, is_file=True, is_link=False)

    def open_file(self, path: Segments) -> BinaryIO:
        with self._call():
            node = self._node(path)
            if isinstance(node, _Folder):
                raise _error(errno.ENOENT, path)
            return io.BytesIO(node.content)

    def mount_point(self) -> str:
        return self.root

    @contextmanager
    def _call(self) -> Iterator[None]:
        with self._lock:
            if self.cut_before is not None and self.calls >= self.cut_before:
                raise PowerCut
            self.calls += 1
            yield

    def _new_inode(self) -> int:
        self._next_inode += 1
        return self._next_inode - 1

    def _node(self, path: Segments) -> _File | _Folder:
        node: _File | _Folder = self._root
        for segment in path:
            if not isinstance(node, _Folder):
                raise _error(errno.ENOTDIR, path)
            if segment not in node.names:
                raise _error(errno.ENOENT, path)
            node = node.names[segment]
        return node

    def _folder_at(self, path: Segments) -> _Folder:
        node = self._node(path)
        if not isinstance(node, _Folder):
            raise _error(errno.ENOTDIR, path)
        return node

    def _parent(self, path: Segments) -> _Folder:
        return self._folder_at(path[:-1])

    def _file(self, path: Segments) -> _File:
        node = self._node(path)
        if not isinstance(node, _File):
            raise _error(errno.EISDIR, path)
        return node

    def _must_be_free(self, parent: _Folder, path: Segments) -> None:
        if path[-1] in parent.names:
            raise _error(errno.EEXIST, path)


class _Survival:
    """One roll of the dice over a whole disk."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._copies: dict[_File | _Folder, _File | _Folder] = {}
        self._kept: dict[_Change, bool] = {}

    def disk(self, root: _Folder) -> _Folder:
        # All dice first: the halves of a rename lie in two folders.
        self._roll(root)
        return self._folder(root)

    def _folder(self, folder: _Folder) -> _Folder:
        after = _Folder(folder.inode)
        self._copies[folder] = after
        names: dict[str, _File | _Folder] = {}
        for change in folder.changes:
            if self._survives(change):
                names.pop(change.name, None)
                if change.node is not None:
                    names[change.name] = change.node
        for name, node in names.items():
            after.names[name] = self._copy(node)
            after.changes.append(_Change(name, after.names[name], durable=True))
        return after

    def _copy(self, node: _File | _Folder) -> _File | _Folder:
        if node not in self._copies:
            self._copies[node] = self._folder(node) if isinstance(node, _Folder) else self._file(node)
        return self._copies[node]

    def _file(self, file: _File) -> _File:
        content = self._content(file)
        return _File(file.inode, file.modified_ns, bytearray(content), content)

    def _content(self, file: _File) -> bytes:
        now, durable = bytes(file.content), file.durable
        if now == durable:
            return now
        cut = self._random.randint(len(durable), len(now))
        # The length may be written before the blocks are: the rest is zeros then.
        zeros = now[:cut] + bytes(len(now) - cut)
        return self._random.choice([durable, now[:cut], zeros, now])

    def _roll(self, folder: _Folder) -> None:
        pending = [change for change in folder.changes if not change.durable]
        if self._random.random() < 0.5:
            length = self._random.randint(0, len(pending))
            self._kept |= {change: index < length for index, change in enumerate(pending)}
        else:
            chance = self._random.random()
            self._kept |= {change: self._random.random() < chance for change in pending}
        for change in folder.changes:
            if isinstance(change.node, _Folder):
                self._roll(change.node)

    def _survives(self, change: _Change) -> bool:
        if change.only_with is not None and not self._survives(change.only_with):
            return False
        return change.durable or self._kept[change]


def _error(number: int, path: Segments) -> OSError:
    return OSError(number, os.strerror(number), "/".join(path))

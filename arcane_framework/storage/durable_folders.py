"""Folders that are known to survive a power cut."""

from contextlib import suppress

from arcane_framework.storage.disk import Disk
from arcane_framework.storage.staging_area import Segments


class DurableFolders:
    """Makes folders and remembers which ones are durable. Safe to use from several threads.

    A folder that is there already is made durable, too, once: its maker may have died before doing so.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._durable: set[Segments] = set()

    def make(self, path: Segments) -> None:
        """Make `path` and its parents, the root included; costs nothing when they are known."""
        if path in self._durable:
            return
        if path:
            self.make(path[:-1])
            with suppress(FileExistsError):
                self._disk.make_folder(path)
            self._disk.sync_folder(path[:-1])
        else:
            self._disk.make_root()
        self._durable.add(path)

    def forget(self) -> None:
        """Look again at everything: a folder was removed from outside."""
        self._durable.clear()

"""Every location in memory: what a spec says about storage stays as it is, and no test writes outside of itself."""

import posixpath
import re
from collections.abc import Callable
from datetime import datetime

from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.storage import Storage
from arcane_framework.storage import StorageOpener

_CLOUD = re.compile(r"(?P<scheme>s3a?|abfss?|wasbs?)://(?P<root>[^/]+)(?P<path>/.*)?", re.IGNORECASE)
_CONTAINER = re.compile(r"(?P<root>[a-z0-9$][a-z0-9-]*)@(?P<path>.*)")


class MemoryLake:
    """Opens locations like `StorageOpener`, but all of them in memory. Safe to use from several threads.

    Two locations are the same folder when they would be outside: `/lake/orders` lies in `/lake` and is
    `file:///lake/orders`; `s3a://bucket/x` is `s3://bucket/x`. A location that is none is refused as usual.

    Args:
        now: The wall time that objects are modified at; aware, UTC.
        real_folders: Leave paths and file URLs to the disk, for tests with a temporary folder.

    Attributes:
        opened: The locations that were opened, in order, each once.
    """

    def __init__(self, now: Callable[[], datetime], *, real_folders: bool = False) -> None:
        self._opener = StorageOpener(now)
        self._real_folders = real_folders
        self.opened: list[str] = []

    def __call__(self, location: str) -> Storage:
        """The folder at `location`.

        Raises:
            ConfigurationError: It is no location.
        """
        storage = self.peek(location)
        if location not in self.opened:
            self.opened.append(location)
        return storage

    def peek(self, location: str) -> Storage:
        """The same, without a note in `opened`: for the test's own looks."""
        target = _in_memory(location)
        if target is not None:
            return self._opener(target)
        found = self._opener(location)
        if self._real_folders or location.lower().startswith("memory:"):
            return found
        disk = self._opener("memory://disk")
        path = posixpath.normpath(found.location).strip("/")
        return disk.folder(path) if path else disk


def _in_memory(location: str) -> str | None:
    """Where a location of a cloud goes; None for all others."""
    cloud = _CLOUD.fullmatch(location)
    if cloud is not None:
        kind = "s3" if cloud["scheme"].lower().startswith("s3") else "azure"
        return f"memory://{kind}:{cloud['root'].partition('@')[0]}{_folder(location, cloud['path'] or '')}"
    container = _CONTAINER.fullmatch(location)
    if container is not None:
        return f"memory://azure:{container['root']}{_folder(location, container['path'])}"
    return None


def _folder(location: str, path: str) -> str:
    if "//" in path or ".." in path.split("/"):
        raise ConfigurationError(f"{location!r} is not a storage location: its path has an empty segment or '..'")
    path = path.strip("/")
    return f"/{path}" if path else ""

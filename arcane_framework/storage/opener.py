"""From a location, as a person writes it, to a storage."""

import os
import re
import threading
from collections.abc import Callable
from datetime import datetime
from urllib.parse import unquote_to_bytes

from arcane_framework._core.clock import SystemClock
from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.storage import Storage
from arcane_framework.storage.local import LocalStorage
from arcane_framework.storage.memory import MemoryStorage

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?=/)(?://)?")
_AZURE_CONTAINER = re.compile(r"(\$root|[a-z0-9](-?[a-z0-9])*)@")
_PASSWORD = re.compile(r"(?<=//)([^/@]*):[^/@]*@")

_LATER = {
    "s3": ("S3", "s3"),
    "s3a": ("S3", "s3"),
    "abfs": ("Azure Blob", "azure"),
    "abfss": ("Azure Blob", "azure"),
    "wasb": ("Azure Blob", "azure"),
    "wasbs": ("Azure Blob", "azure"),
}


class StorageOpener:
    """Opens locations: `file:///lake`, `/lake`, `lake`, `memory://lake`. Safe to use from several threads.

    One opener gives the same memory storage for the same name each time; two openers share nothing.
    """

    def __init__(self, now: Callable[[], datetime] | None = None) -> None:
        """Nothing is opened yet.

        Args:
            now: The wall time for memory storages; aware, UTC.
        """
        self._now = now or SystemClock().now
        self._memory: dict[str, MemoryStorage] = {}
        self._lock = threading.Lock()

    def __call__(self, location: str) -> Storage:
        """The folder at `location`, which is not touched and need not exist.

        A path may be relative; `~` has no meaning in it. A file URL may be percent-encoded.

        Raises:
            ConfigurationError: Nothing can be opened there.
        """
        if not location or any(ord(character) < 32 or ord(character) == 127 for character in location):
            raise ConfigurationError(f"{location!r} is not a storage location: it is empty or has control characters")
        match = _SCHEME.match(location)
        if match is None:
            if _AZURE_CONTAINER.match(location):
                raise _not_available(location, "abfss")
            return LocalStorage(location)
        scheme, rest = match[1].lower(), location[match.end() :]
        if scheme == "file":
            return LocalStorage(_file_path(location, rest))
        if scheme == "memory":
            return self._open_memory(location, rest)
        if scheme in _LATER:
            raise _not_available(location, scheme)
        raise ConfigurationError(
            f"{_shown(location)}: locations of the kind {scheme}:// are not known; "
            "use file:///folder, a path or memory://name"
        )

    def _open_memory(self, location: str, rest: str) -> Storage:
        name, _, folder = rest.rstrip("/").partition("/")
        if not name:
            raise ConfigurationError(f"{location}: a memory location needs a name, as in memory://lake")
        with self._lock:
            storage = self._memory.setdefault(name, MemoryStorage(name, self._now))
        return storage.folder(folder) if folder else storage


def _file_path(location: str, rest: str) -> str:
    if not rest.startswith("/"):
        raise ConfigurationError(f"{location}: a file location cannot name a host; write file:///{rest} for a folder")
    path = unquote_to_bytes(rest)
    if b"\0" in path:
        raise ConfigurationError(f"{location}: a file location cannot have a NUL character")
    return os.fsdecode(path)


def _not_available(location: str, scheme: str) -> ConfigurationError:
    store, extra = _LATER[scheme]
    return ConfigurationError(
        f"{_shown(location)}: storage on {store} is not available in this version "
        f"(a later one brings it with the extra {extra!r}); use a local folder"
    )


def _shown(location: str) -> str:
    """`location` without what may be a secret in it."""
    return _PASSWORD.sub(r"\1@", location.partition("?")[0])

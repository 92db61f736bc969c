"""From a location, as a person writes it, to a storage."""

import os
import re
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from urllib.parse import unquote_to_bytes

from arcane_framework._core.clock import SystemClock
from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.storage import Storage
from arcane_framework.storage.local import LocalStorage
from arcane_framework.storage.memory import MemoryStorage

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?=/)(?://)?")
_AZURE_CONTAINER = re.compile(r"[^/@]+@")
_NO_SLASHES = re.compile(r"(s3a?|abfss?|wasbs?|file|memory):", re.IGNORECASE)
_PASSWORD = re.compile(r"(?<=//)([^/@]*):[^/@]*@")

_S3 = ("s3", "s3a")
_AZURE = ("abfs", "abfss", "wasb", "wasbs")


class StorageOpener:
    """Opens locations, as a person writes them.

    They are `file:///lake`, `/lake`, `lake`, `memory://lake`, `s3://bucket/lake` (or `s3a://`),
    `abfss://container@account.dfs.core.windows.net/lake` (or `wasbs://`) and `container@lake`.

    Safe to use from several threads. One opener gives the same memory storage for the same name each time; two openers
    share nothing.
    """

    def __init__(
        self, now: Callable[[], datetime] | None = None, settings: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Nothing is opened yet.

        Args:
            now: The wall time for memory storages; aware, UTC.
            settings: Keys and endpoints for the clouds, by names such as `AWS_ENDPOINT_URL` and
                `AZURE_STORAGE_ACCOUNT`; they go before what the clouds' SDKs find by themselves.
        """
        self._now = now or SystemClock().now
        self._settings = settings
        self._memory: dict[str, MemoryStorage] = {}
        self._lock = threading.Lock()

    def __call__(self, location: str) -> Storage:
        """The folder at `location`, which is not touched and need not exist.

        A path may be relative; `~` has no meaning in it. A file URL may be percent-encoded. A relative path whose
        first folder has an `@` begins with `./`: without that, it is a container on Azure.

        Raises:
            ConfigurationError: Nothing can be opened there.
        """
        if not location or any(ord(character) < 32 or ord(character) == 127 for character in location):
            raise ConfigurationError(f"{location!r} is not a storage location: it is empty or has control characters")
        match = _SCHEME.match(location)
        if match is None:
            return self._open_without_scheme(location)
        scheme, rest = match[1].lower(), location[match.end() :]
        if scheme == "file":
            return LocalStorage(_file_path(location, rest))
        if scheme == "memory":
            return self._open_memory(location, rest)
        if scheme in _S3:
            return self._open_s3(location)
        if scheme in _AZURE:
            return self._open_azure(location)
        raise ConfigurationError(
            f"{_shown(location)}: locations of the kind {scheme}:// are not known; "
            "use s3://bucket/folder, abfss://container@account.dfs.core.windows.net/folder, file:///folder or a path"
        )

    def _open_without_scheme(self, location: str) -> Storage:
        if _AZURE_CONTAINER.match(location):
            return self._open_azure(location)
        if _NO_SLASHES.match(location):
            # Taken for a folder, it would fill the disk of a pod, and go with it.
            raise ConfigurationError(
                f"{_shown(location)}: the slashes after the colon are missing; write s3://bucket/folder, "
                "abfss://container@account.dfs.core.windows.net/folder or file:///folder, or begin a path with ./"
            )
        return LocalStorage(location)

    # Imported where they are used: nobody else needs the clouds' SDKs.

    def _open_s3(self, location: str) -> Storage:
        from arcane_framework.storage.s3 import open_s3
        from arcane_framework.storage.s3_settings import s3_settings

        return open_s3(location, s3_settings(self._settings))

    def _open_azure(self, location: str) -> Storage:
        from arcane_framework.storage.azure_location import open_azure
        from arcane_framework.storage.azure_settings import azure_settings

        return open_azure(location, azure_settings(self._settings))

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


def _shown(location: str) -> str:
    """`location` without what may be a secret in it."""
    return _PASSWORD.sub(r"\1@", location.partition("?")[0])

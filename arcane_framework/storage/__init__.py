"""Storages: folders on a disk and in memory behind the one protocol of `_core.storage`."""

from arcane_framework.storage.local import LocalStorage
from arcane_framework.storage.memory import MemoryStorage
from arcane_framework.storage.opener import StorageOpener

__all__ = ["LocalStorage", "MemoryStorage", "StorageOpener"]

"""The storage protocol: one small set of operations that S3, Azure Blob, a disk and memory all have.

Names are keys relative to the storage's folder, with `/` between segments; `check_name` holds the rules.
Errors: `ConfigurationError` when it cannot work as configured (denied, missing, read-only),
`TransientStreamError` when a later try may work, `FatalStreamError` for the rest; each names the location.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Self

from pydantic import JsonValue

from arcane_framework._core.errors import ConfigurationError

PublishHandle = Mapping[str, JsonValue]
"""What a store needs to publish a staged object later, from another process: JSON."""

MAX_NAME_BYTES = 1024


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One visible object. `modified` is aware UTC, `etag` an opaque text that changes with the content."""

    name: str
    size: int
    modified: datetime
    etag: str


@dataclass(frozen=True, slots=True)
class StagedObject:
    """One object that was staged and is neither published nor aborted. `name` is the final name's last segment."""

    name: str
    handle: PublishHandle


def check_name(name: str) -> str:
    """Return `name` if it is safe as an object's name on every store.

    Raises:
        ConfigurationError: It is empty, absolute, too long, or holds `..`, `.`, an empty
            segment, a backslash or a control character.
    """
    bad_segment = any(segment in ("", ".", "..") for segment in name.split("/"))
    bad_character = any(character == "\\" or ord(character) < 32 or ord(character) == 127 for character in name)
    if bad_segment or bad_character or len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        raise ConfigurationError(
            f"{name!r} cannot be used as a storage path: no absolute path, '..', empty segment, backslash "
            f"or control character is allowed, and at most {MAX_NAME_BYTES} bytes"
        )
    return name


class StagedUpload(ABC):
    """An object being written where no reader sees it. Used by one thread at a time, which may change."""

    @abstractmethod
    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append; returns the number of bytes taken, which is all of them."""

    def begin_to_finish(self) -> None:
        """Nothing more will be written: send what is left without waiting for it; `finish` follows."""

    @abstractmethod
    def finish(self) -> PublishHandle:
        """Make what was written durable, still invisible; nothing may be written afterwards."""

    @abstractmethod
    def abort(self) -> None:
        """Give up; leaves nothing behind. Also allowed after `finish`."""


class Storage(ABC):
    """A folder on a store. Safe to use from several threads.

    Attributes:
        location: The folder as a person would write it, without credentials; for messages.
        forgets_staged: Whether the store itself removes what is staged and never published, so that nobody need look.
    """

    location: str
    forgets_staged: bool = False

    @abstractmethod
    def probe(self) -> None:
        """Check that the folder can be used for commits: reachable, writable, `create` is conditional.

        Called once when a stream opens. Creates the folder where the store has folders.

        Raises:
            ConfigurationError: It cannot; names the location and the reason.
        """

    @abstractmethod
    def folder(self, name: str) -> Self:
        """The same store, one folder down."""

    @abstractmethod
    def list(self, prefix: str = "", *, starting: str = "") -> Iterator[StoredObject]:
        """All objects below a folder, recursively, by name; lazily.

        Args:
            prefix: The folder, never a sibling that begins alike.
            starting: What names begin with in it, without a slash: only so much is asked for, on stores that can.
        """

    @abstractmethod
    def folders(self, prefix: str = "") -> Iterator[str]:
        """The names of all folders right below the folder `prefix`, one segment each, in the order of `list`; lazily.

        Nothing below them is looked at. A disk has empty folders, too.
        """

    @abstractmethod
    def stat(self, name: str) -> StoredObject | None:
        """The object, or None when there is none."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """A seekable reader of the object.

        Raises:
            FileNotFoundError: There is no such object.
        """

    def read(self, name: str) -> bytes:
        """The whole object; see `open` for errors."""
        with self.open(name) as stream:
            return stream.read()

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Create a durable object if there is none of that name: the commit step.

        Returns:
            True when this call created it, False when there is one already.

        Raises:
            OutcomeUnknownError: The answer was lost; read the object to know.
        """

    @abstractmethod
    def replace(self, name: str, data: bytes) -> None:
        """Create or overwrite an object, atomically for readers."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete the object; none there is fine."""

    def delete_all(self, names: Iterable[str]) -> None:
        """Delete objects in any order, with fewer requests where the store has a way; none there is fine."""
        for name in names:
            self.delete(name)

    @abstractmethod
    def stage(self, name: str, staged_as: str | None = None) -> StagedUpload:
        """Begin an object that will be published as `name`.

        Args:
            name: Its final name.
            staged_as: A name that is used once and never again, for stores that keep what is staged in
                a place of its own, and for `staged`; by default the last segment of `name`.
        """

    @abstractmethod
    def publish(self, name: str, handle: PublishHandle, size: int) -> bool:
        """Make a staged object visible as `name`; idempotent, also when several processes do it.

        Returns:
            True when the object is there with `size` bytes; False when it is neither staged nor there.
        """

    @abstractmethod
    def staged(self) -> Iterator[StagedObject]:
        """What is staged in this folder, for garbage collection."""

    @abstractmethod
    def abort(self, handle: PublishHandle) -> None:
        """Delete a staged object; none there is fine."""

"""Where the streams of the proof write to, and what has to be known of it: see `Store`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol

from arcane_framework import Storage
from arcane_framework.storage.local import LocalStorage
from tests.proof.faults import Action, Fault, When
from tests.proof.snapshots import Snapshot, newest_position, take

STREAM_ID = "orders"

Moment = Literal["staging", "committing", "publishing", "collecting", "removing", "token"]


class Place(Protocol):
    """The location of one trial's stream.

    Attributes:
        location: As the spec says it.
        variables: What leads a runner there, beside the location.
        injected: So many requests have gone wrong so far.
    """

    injected: int

    @property
    def location(self) -> str: ...

    @property
    def variables(self) -> Mapping[str, str]: ...

    def snapshot(self) -> Snapshot:
        """The stream's folder as it is; waits until what runners have sent is carried out."""
        ...

    def newest_position(self) -> Mapping[str, Any]:
        """The newest log entry's position; runners may be busy in the folder."""
        ...

    def storage(self) -> Storage:
        """The stream's folder, as the product reads it."""
        ...

    def set_faults(self, *, on: bool) -> None:
        """Whether requests to the store go wrong."""
        ...

    def remove(self) -> None:
        """Called at a trial's end."""
        ...


class Store(ABC):
    """A kind of store.

    Attributes:
        name: For people.
        kind: For runners; empty: the machine's disk.
        tolerated: Exit codes that a runner may end with at any time, beside those that a trial expects.
        haste: How soon a runner that another one has replaced is started again: the chance each few milliseconds. Where
            a run takes long, three that always start at once would replace each other for ever.
        keeps_abandoned: Whether what is staged and given up stays there.
    """

    name: ClassVar[str]
    kind: ClassVar[str] = ""
    tolerated: ClassVar[frozenset[int]] = frozenset()
    haste: ClassVar[float] = 1.0
    keeps_abandoned: ClassVar[bool] = False

    @abstractmethod
    def place(self, folder: Path, seed: int) -> Place:
        """A place for one trial.

        Args:
            folder: The trial's own, not there yet.
            seed: Of whatever happens by chance.
        """

    @abstractmethod
    def at(self, moment: Moment, nth: int, when: When = "before", action: Action = "kill", path: str = "") -> Fault:
        """A fault at the n-th call of those that do something.

        Args:
            moment: What they do. `staging`: part of a part is staged. `token`: one of several, by `nth`.
            nth: From 0.
            when: See `Fault`.
            action: See `Fault`.
            path: Only of objects with this in their path.
        """


class LocalPlace:
    """A folder on the machine's disk."""

    variables: Mapping[str, str] = MappingProxyType({})

    def __init__(self, folder: Path) -> None:
        self.injected = 0
        self.location = str(folder)
        self._stream = folder / STREAM_ID

    def snapshot(self) -> Snapshot:
        return take(self._stream)

    def newest_position(self) -> Mapping[str, Any]:
        log = self._stream / "_arcane" / "log"
        while True:
            names = [f"_arcane/log/{file.name}" for file in log.iterdir()] if log.exists() else []
            try:
                return newest_position(names, lambda name: (self._stream / name).read_bytes())
            except FileNotFoundError:
                continue  # There is a newer one by now.

    def storage(self) -> Storage:
        return LocalStorage(self._stream)

    def set_faults(self, *, on: bool) -> None:
        """There are none."""

    def remove(self) -> None:
        """The job's folder is removed as a whole."""


class LocalDisk(Store):
    """The machine's disk."""

    name = "local disk"
    _MOMENTS: ClassVar[Mapping[Moment, tuple[str, str]]] = {
        "staging": ("create_file", "stage/part-"),
        "committing": ("link", "_arcane/log"),
        "publishing": ("rename", ""),
        "collecting": ("remove", "stage/part-"),
        "removing": ("remove", "/backfill/"),
    }

    def place(self, folder: Path, seed: int) -> Place:
        return LocalPlace(folder)

    def at(self, moment: Moment, nth: int, when: When = "before", action: Action = "kill", path: str = "") -> Fault:
        if moment == "token":
            operation = ("rename", "create_file", "status")[nth % 3]
            return Fault(0, when, action, operation, ".COMPLETED")
        operation, known = self._MOMENTS[moment]
        return Fault(nth, when, action, operation, path or known)


LOCAL = LocalDisk()

"""Where every storage keeps what is not visible yet, and which names that leaves for objects."""

from itertools import pairwise

from arcane_framework._core.errors import ConfigurationError, FatalStreamError
from arcane_framework._core.storage import PublishHandle, check_name

Segments = tuple[str, ...]
"""A name split at its slashes; the empty tuple is the root."""

STAGE = ("_arcane", "stage")

TEMPORARY_PREFIX = ".tmp-"


def object_path(name: str, base: Segments = ()) -> Segments:
    """The segments of an object's name below those of the folder that it is in.

    Raises:
        ConfigurationError: The name is unsafe (`check_name`) or lies in a staging area.
    """
    path = (*base, *check_name(name).split("/"))
    if in_staging_area(path):
        raise ConfigurationError(f"{name!r} cannot be used as a storage path: _arcane/stage is kept for staged objects")
    return path


def in_staging_area(path: Segments) -> bool:
    """Whether `path` is a staging area or lies in one, of this storage or of a folder below."""
    return STAGE in pairwise(path)


def staged_name(name: str, staged_as: str | None = None) -> str:
    """The name under which an object is staged: `staged_as`, or the last segment of its final one.

    Raises:
        ConfigurationError: The name is unsafe, is no single segment or could be taken for a temporary file.
    """
    staged = object_path(name)[-1] if staged_as is None else check_name(staged_as)
    if "/" in staged or staged.startswith(TEMPORARY_PREFIX):
        raise ConfigurationError(
            f"{staged!r} cannot be the name of a staged object: it has a slash or begins with {TEMPORARY_PREFIX}, "
            "which is kept for temporary files"
        )
    return staged


def handle_of(staged: str) -> PublishHandle:
    """The publish handle of a staged object."""
    return {"stage": staged}


def staged_by(handle: PublishHandle) -> str:
    """The staged name in a publish handle, checked: handles are read back from files.

    Raises:
        FatalStreamError: It is not the handle of a folder on a disk or in memory.
    """
    name = handle.get("stage")
    if not isinstance(name, str) or "/" in name or name.startswith(TEMPORARY_PREFIX):
        raise FatalStreamError(f"{dict(handle)!r} is not a publish handle of a folder on a disk or in memory")
    return check_name(name)


def wrong_size(location: str, name: str, found: int, expected: int) -> FatalStreamError:
    """The error for an object whose bytes are not those that were staged; it is never published or passed over."""
    return FatalStreamError(
        f"{location}: {name} has {found} bytes where {expected} were staged: the storage lost or changed data"
    )


def already_staged(location: str, name: str) -> FatalStreamError:
    """The error for a second object staged under the same last segment."""
    return FatalStreamError(f"{location}: cannot stage {name}: an object of that name is staged already")

"""System errors in plain words, as the error class that says what the runner does with them."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from arcane_framework._core.errors import ArcaneError, ConfigurationError, FatalStreamError, TransientStreamError

_CONFIGURATION = {
    errno.EACCES: "access is denied; give the user of this process read and write access",
    errno.EPERM: "the operation is not permitted; give the user of this process read and write access",
    errno.EROFS: "the file system is read-only; mount it writable or choose another location",
    errno.ENOSPC: "the disk is full; free some space or choose another location",
    errno.EDQUOT: "the disk quota is used up; raise it or choose another location",
    errno.EFBIG: "the file is too large for this file system; choose smaller parts",
    errno.ENAMETOOLONG: "the name is too long for this file system; choose a shorter one",
    errno.ENOTDIR: "a part of the path is a file where a folder is needed; remove it or choose another location",
    errno.EISDIR: "a folder of that name is in the way; remove it or choose another location",
    errno.ELOOP: "the path has a symbolic link, which is never followed below the location; remove the link",
    errno.EXDEV: "the location spans several file systems; mount one file system over the whole of it",
}

TRANSIENT = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EINTR,
        errno.EIO,
        errno.EMFILE,
        # Nothing missing is expected where this table is asked: somebody has removed it meanwhile.
        errno.ENOENT,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENFILE,
        errno.ENOLCK,
        errno.ENOMEM,
        errno.ENOTCONN,
        errno.ESHUTDOWN,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)

NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL})


def reason_of(error: OSError) -> str:
    """What the system says, lower case, with its number where there are no better words."""
    number = error.errno
    if number is None:
        return str(error)
    return _CONFIGURATION.get(number) or f"{os.strerror(number).lower()} (errno {number})"


def translated(message: str, error: OSError) -> ArcaneError:
    """The package's error for `error`: `message`, a colon, the reason."""
    text = f"{message}: {reason_of(error)}"
    if error.errno in _CONFIGURATION:
        return ConfigurationError(text)
    return TransientStreamError(text) if error.errno in TRANSIENT else FatalStreamError(text)


@contextmanager
def plain_errors(location: str, action: str) -> Iterator[None]:
    """Raise the package's errors instead of the system's.

    Args:
        location: The storage's location.
        action: What was tried, with the object's name: `write data/part-1.parquet`.
    """
    try:
        yield
    except OSError as error:
        raise translated(f"{location}: cannot {action}", error) from error
    except UnicodeEncodeError as error:
        raise ConfigurationError(f"{location}: cannot {action}: the name is not valid Unicode") from error

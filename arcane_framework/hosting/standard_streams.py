"""Standard output and standard error that are closed, or whose reader has gone, are no reason for a stream to end."""

import os
import sys
from contextlib import suppress


def open_missing_streams() -> None:
    """Lead the standard streams that the process was started without to the null device. Call it first.

    Otherwise a file of the lake would get the number of standard error, and what a library writes there.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def drop_unwritable_output() -> None:
    """Forget output that nobody takes. Call it last: the interpreter's own attempt would end the process with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)

"""A plugin with a library that aborts while the process exits, and an exit handler of its own."""

import atexit
import ctypes
import os
from pathlib import Path

from tests.runner.plugins.numbers_stream import Numbers

__all__ = ["Numbers"]

_libc = ctypes.CDLL(None)
_libc.on_exit(ctypes.cast(_libc.abort, ctypes.c_void_p), None)


def _note() -> None:
    Path(os.environ["NOTE_AT_EXIT"]).write_text("left")


atexit.register(_note)

"""Which exit code the operator sees (hosting contract, section 3)."""

from typing import Final

from arcane_framework._core.errors import (
    SchemaInconsistentError,
    SchemaMismatchError,
    StreamStopped,
    TransientStreamError,
)

SUCCESS: Final = 0
FAILED: Final = 1
"""A restart would not help."""
RESTART: Final = 2
"""A restart may help; the charts' pod failure policy restarts without counting."""

_LARGEST = 255


def exit_code(
    error: BaseException | None,
    *,
    interrupted: bool,
    backfilling: bool,
    completed: bool = False,
    mismatch_reported: bool = False,
    handled: int | None = None,
) -> int:
    """Map how a run ended to its exit code; pure.

    Args:
        error: What the graph ended with; None when it ended without an error.
        interrupted: Whether a signal had asked it to stop.
        backfilling: Whether the run was a backfill.
        completed: The backfill had completed before the signal took effect, so nothing was cut short.
        mismatch_reported: For a `SchemaMismatchError`: the Job has been annotated. Without the
            annotation a 0 would hide the mismatch for ever.
        handled: What the plugin's own exception handler returned; it wins. A code that the
            operating system would cut (256 becomes 0) counts as a failure.
    """
    if handled is not None:
        return handled if 0 <= handled <= _LARGEST else FAILED
    if error is None or isinstance(error, (StreamStopped, KeyboardInterrupt)):
        stopped_early = interrupted or error is not None
        return RESTART if stopped_early and backfilling and not completed else SUCCESS
    if isinstance(error, SchemaMismatchError):
        return SUCCESS if mismatch_reported else RESTART
    if isinstance(error, (TransientStreamError, SchemaInconsistentError)):
        return RESTART
    return FAILED

"""Which exit code the operator sees: the rules of `docs/how-to/run-in-kubernetes.md`, section "Exit codes"."""

from typing import Final

from arcane_framework._core.errors import SchemaInconsistentError, SchemaMismatchError, TransientStreamError

SUCCESS: Final = 0
FAILED: Final = 1
"""A restart would not help."""
RESTART: Final = 2
"""A restart may help; the charts' pod failure policy restarts without counting."""

_LARGEST = 255


def exit_code(
    error: Exception | None,
    *,
    backfilling: bool,
    completed: bool = False,
    mismatch_reported: bool = False,
    handled: int | None = None,
) -> int:
    """Map how a run ended to its exit code; pure.

    Args:
        error: What the graph ended with; None when it ended without an error, by itself or because it was told to.
        backfilling: Whether the run was a backfill.
        completed: The source had ended by itself. A backfill that ends without that was cut short, and no later
            run would go on with it after a 0.
        mismatch_reported: For a `SchemaMismatchError`: the Job has been annotated. Without the
            annotation a 0 would hide the mismatch for ever.
        handled: What the plugin's own exception handler returned; it wins. A code that the
            operating system would cut (256 becomes 0) counts as a failure.
    """
    if handled is not None:
        return handled if 0 <= handled <= _LARGEST else FAILED
    if error is None:
        return RESTART if backfilling and not completed else SUCCESS
    if isinstance(error, SchemaMismatchError):
        return SUCCESS if mismatch_reported else RESTART
    if isinstance(error, (TransientStreamError, SchemaInconsistentError)):
        return RESTART
    return FAILED

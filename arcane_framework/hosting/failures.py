"""What a plugin's code raises: kept from ending the process, put into words, and never in the way of the end."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from arcane_framework._core.errors import (
    ArcaneError,
    ConfigurationError,
    FatalStreamError,
    SchemaMismatchError,
    StreamStopped,
)
from arcane_framework._core.services import Logger
from arcane_framework.hosting.redaction import describe_error


@runtime_checkable
class Closable(Protocol):
    """A part that holds something until a run ends. The host calls `close` once, on the thread of the run."""

    def close(self) -> None: ...


@contextmanager
def exits_as_errors() -> Iterator[None]:
    """Let errors, `StreamStopped` and `KeyboardInterrupt` pass; anything else that is raised becomes an error.

    The code of a plugin's `sys.exit` would reach the operator as if the stream had ended so.

    Raises:
        FatalStreamError: The code in the block has tried to end the process.
    """
    try:
        yield
    except (Exception, StreamStopped, KeyboardInterrupt):
        raise
    except BaseException as failure:
        raise FatalStreamError(f"the plugin ended the process ({failure!r}): raise an error instead") from None


def log_error(log: Logger, error: BaseException) -> None:
    """One line for the error that ended a run; with a trace when it is nobody's message."""
    if isinstance(error, ConfigurationError):
        log.error("configuration error", error=str(error))
    elif isinstance(error, SchemaMismatchError):
        log.warning("the stream ends, its source has another schema now", error=str(error))
    elif isinstance(error, ArcaneError):
        log.error("the stream has failed", error_type=type(error).__name__, exc_info=error)
    else:
        # A defect of the plugin or of the framework: only the trace says where.
        trace = "".join(traceback.format_exception(error))
        log.error("unexpected error", error_type=type(error).__name__, error=describe_error(error), traceback=trace)


def close_all(log: Logger, *parts: object) -> None:
    """Close those parts that can be closed; what one raises becomes a warning."""
    for part in parts:
        if not isinstance(part, Closable):
            continue
        try:
            with exits_as_errors():
                part.close()
        except Exception as error:
            log.warning(f"{type(part).__name__} was not closed cleanly", exc_info=error)

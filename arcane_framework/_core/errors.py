"""The package's errors, one class for each thing that the runner does with an error.

`arcane_framework.hosting.exit_codes` maps them to exit codes.
A message names the field, file, table or location (never a secret) and the remedy.
"""

from collections.abc import Sequence


class ArcaneError(Exception):
    """Root of all errors that this package raises on purpose."""


class ConfigurationError(ArcaneError):
    """The stream cannot run as it is configured: exit code 1, no stack trace.

    Attributes:
        problems: One line for each wrong field; the message holds them all.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__("\n".join([message, *(f"  {problem}" for problem in problems)]))
        self.problems = tuple(problems)


class FatalStreamError(ArcaneError):
    """The stream cannot go on and a restart would not help: exit code 1."""


class TransientStreamError(ArcaneError):
    """The stream cannot go on now, a restart may help: exit code 2."""


class FencedError(TransientStreamError):
    """Another runner of the same stream has taken over: exit code 2 after a jittered pause."""


class OutcomeUnknownError(TransientStreamError):
    """A conditional write was sent and its answer was lost: it may or may not have happened."""


class SchemaMismatchError(ArcaneError):
    """The source's schema has changed: the Job is annotated, exit code 0, the operator reloads."""


class SchemaInconsistentError(ArcaneError):
    """Rows do not fit the declared schema: exit code 2, nothing of that batch is visible."""


class StreamStopped(BaseException):
    """Raised inside a wait of a source that has been told to stop.

    Like `GeneratorExit` it is no `Exception`, so that a retry loop's `except Exception` lets it through.
    """

"""Keeps credentials out of what the clouds' SDKs log, also when somebody has set their loggers to debug.

Records are changed or dropped on the loggers that make them, before any handler: a logger's filters do not see what
the loggers below it make.
"""

import logging
import re
from typing import Final

_SIGNED: Final = ("botocore.auth", "botocore.endpoint", "botocore.parsers")
"""Log headers with signatures and session tokens, and what a role is given."""

_CONNECTIONS: Final = "urllib3.connectionpool"
"""Logs paths with their queries, in which a SAS token is."""

_SIGNATURE = re.compile(r"(?<=[?&]sig=)[^&\s\"']+")


class _OnlyWarnings(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING


class _WithoutSignatures(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        hidden = _SIGNATURE.sub("***", text)
        if hidden != text:
            record.msg, record.args = hidden, None
        return True


_ONLY_WARNINGS: Final = _OnlyWarnings()
_WITHOUT_SIGNATURES: Final = _WithoutSignatures()


def hide_credentials() -> None:
    """Filter the SDKs' loggers from now on; again changes nothing. Called before the first request."""
    for name in _SIGNED:
        logging.getLogger(name).addFilter(_ONLY_WARNINGS)
    logging.getLogger(_CONNECTIONS).addFilter(_WITHOUT_SIGNATURES)

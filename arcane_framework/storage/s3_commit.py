"""The two conditional steps of a commit on S3: creating an object once, and completing an upload once."""

from collections.abc import Callable
from typing import Any, Final

from arcane_framework._core.clock import Clock
from arcane_framework._core.errors import OutcomeUnknownError, TransientStreamError
from arcane_framework.storage.s3_errors import (
    CONFLICT,
    EXISTS,
    NO_SUCH_UPLOAD,
    NOT_IMPLEMENTED,
    THROTTLED,
    error_code,
    plain_errors,
    was_not_connected,
    was_sent,
)
from arcane_framework.storage.s3_pauses import pause

ATTEMPTS: Final = 6
"""With the pauses between them, about six seconds."""


def create_once(client: Any, target: dict[str, str], data: bytes, location: str, name: str, clock: Clock) -> bool:
    """Put an object if there is none. `client` must not repeat requests by itself.

    A repeated request finds the object that its own first try has made, and would call it somebody else's;
    so "exists" is an answer only as long as no try before it may have happened.

    Returns:
        True when this call created it, False when there was one before.

    Raises:
        OutcomeUnknownError: A request was sent, and it is not known whether it happened.
    """
    uncertain = False
    for attempt in range(1, ATTEMPTS + 1):
        try:
            client.put_object(**target, Body=data, IfNoneMatch="*")
        except Exception as error:
            code, sent = error_code(error), was_sent(error)
            if code in EXISTS and not uncertain:
                return False
            # What a server in between says of a failure does not tell what the one behind it has done.
            uncertain = uncertain or (sent and code not in THROTTLED)
            again = sent or code in CONFLICT | THROTTLED or was_not_connected(error)
            lost = code in EXISTS or (sent and not code)
            if lost or (uncertain and attempt == ATTEMPTS):
                raise OutcomeUnknownError(
                    f"{location}: it is not known whether {name} was created: the answer was lost"
                ) from None
            if not again or attempt == ATTEMPTS:
                with plain_errors(location, f"create {name}"):
                    raise
        else:
            return True
        pause(clock, attempt)
    raise AssertionError("the last attempt returns or raises")


def complete_once(
    complete: Callable[[bool], None], is_there: Callable[[], bool], location: str, name: str, clock: Clock
) -> bool:
    """Complete an upload; idempotent, so requests may be repeated.

    Args:
        complete: Sends the request; its argument says whether to refuse when there is an object already.
        is_there: Whether the object is there; raises when it is another one.
        location: For messages.
        name: For messages.
        clock: For the pauses between attempts.

    Returns:
        True when the object is there; False when there is neither an upload nor an object.
    """
    conditional = True
    for attempt in range(1, ATTEMPTS + 1):
        try:
            complete(conditional)
        except Exception as error:
            code = error_code(error)
            if code not in {NO_SUCH_UPLOAD, NOT_IMPLEMENTED} | EXISTS | CONFLICT:
                raise
            if is_there():
                return True
            if code == NO_SUCH_UPLOAD:
                return False
            # Names of parts are used once, so that without the condition nothing is overwritten either.
            conditional = code != NOT_IMPLEMENTED
        else:
            return True
        pause(clock, attempt)
    raise TransientStreamError(f"{location}: cannot publish {name}: the server refused it {ATTEMPTS} times")

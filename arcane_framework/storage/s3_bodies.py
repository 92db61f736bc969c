"""Reading the bodies of answers of S3, which may break off."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from arcane_framework._core.clock import Clock
from arcane_framework._core.errors import TransientStreamError
from arcane_framework.storage.s3_errors import plain_errors
from arcane_framework.storage.s3_pauses import pause

BODY_ATTEMPTS: Final = 4

_T = TypeVar("_T")


def body_again(read: Callable[[], _T], location: str, action: str, clock: Clock) -> _T:
    """Run `read`, which gets an answer and reads its body, again when the body breaks off: the SDK does not."""
    for attempt in range(1, BODY_ATTEMPTS):
        try:
            with plain_errors(location, action):
                return read()
        except TransientStreamError:
            pause(clock, attempt)
    with plain_errors(location, action):
        return read()


def body_of(answer: Mapping[str, Any]) -> bytes:
    """The whole body of an answer; one that breaks off is one of the SDK's errors."""
    body = answer["Body"]
    try:
        # Not by `with`: that gives the connection itself, which does not check the length.
        content: bytes = body.read()
    finally:
        body.close()
    return content

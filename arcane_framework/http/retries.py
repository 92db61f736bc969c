"""When a request is repeated: the back-off, what the server asks for, and the time for it all."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

from arcane_framework._core.clock import Clock
from arcane_framework._core.errors import TransientStreamError
from arcane_framework._core.services import Logger, Metrics
from arcane_framework.http.errors import TryAgainError
from arcane_framework.http.request import HttpRequest

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")

BACKOFF_SECONDS: Final = (1.0, 60.0)
"""Of the first wait, and the most that a wait doubles to; up to a second is added at random."""

_RETRIED: Final = frozenset({408, 425, 429})
_SERVER_REFUSES: Final = frozenset({501, 505})
_SECONDS = re.compile(r"\d{1,12}", re.ASCII)


def is_retried(status: int) -> bool:
    """Whether an answer of this status may be another one soon."""
    return status in _RETRIED or (500 <= status <= 599 and status not in _SERVER_REFUSES)


def describe_status(status: int) -> str:
    """`HTTP status 503 (Service Unavailable)`, in the standard's words and not the server's."""
    try:
        return f"HTTP status {status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return f"HTTP status {status}"


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """The seconds that a `Retry-After` header asks to wait: a number of seconds, or an HTTP date.

    Args:
        value: The header's value, if there is one.
        now: The wall time, aware.

    Returns:
        None when there is none, it cannot be read, or it asks for no wait: the back-off is used then, because
        a server that always says 0 must not be asked in a tight loop.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text) or None
    try:
        date = parsedate_to_datetime(text)
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return seconds if seconds > 0 else None


@dataclass(frozen=True)
class RetryPolicy:
    """Repeats attempts within a time.

    Attributes:
        clock: Its monotonic time counts.
        wait: Waits for so many seconds; what it raises passes through.
        log: Gets a warning for each repetition.
        metrics: Counts them as `retries`.
        seconds: From the beginning of the first attempt on; a wait that would end later is not begun.
    """

    clock: Clock
    wait: Callable[[float], None]
    log: Logger
    metrics: Metrics
    seconds: float

    def run(self, request: HttpRequest, attempt: Callable[[], T], started: Callable[[], float | None]) -> T:
        """Call `attempt` until it does not raise `TryAgainError`, and return its result.

        Args:
            request: For messages.
            attempt: One attempt.
            started: When the first attempt began, in monotonic seconds.

        Raises:
            TransientStreamError: The time would be over.
        """
        return _Run(self, request, started).run(attempt)


class _Run:
    def __init__(self, policy: RetryPolicy, request: HttpRequest, started: Callable[[], float | None]) -> None:
        self._policy = policy
        self._request = request
        self._started = started

    def run(self, attempt: Callable[[], T]) -> T:
        import tenacity

        first, longest = BACKOFF_SECONDS
        self._backoff = tenacity.wait_exponential_jitter(multiplier=first, max=longest, jitter=1.0)
        retrying = tenacity.Retrying(
            sleep=self._policy.wait,
            retry=tenacity.retry_if_exception_type(TryAgainError),
            wait=self._pause,
            stop=self._is_over,
            before_sleep=self._announce,
            retry_error_callback=lambda state: state,
        )
        outcome = retrying(attempt)
        if isinstance(outcome, tenacity.RetryCallState):
            # Not from within the callback: the library's exceptions would be chained to ours.
            raise TransientStreamError(self._failure(outcome))
        return outcome

    def _pause(self, state: "RetryCallState") -> float:
        asked = _failure_of(state).retry_after
        return self._backoff(state) if asked is None else asked

    def _elapsed(self) -> float:
        started = self._started()
        return 0.0 if started is None else self._policy.clock.monotonic() - started

    def _is_over(self, state: "RetryCallState") -> bool:
        return self._elapsed() + state.upcoming_sleep > self._policy.seconds

    def _announce(self, state: "RetryCallState") -> None:
        self._policy.metrics.increment("retries")
        self._policy.log.warning(
            f"{self._request.what} failed and is tried again",
            reason=_failure_of(state).reason,
            seconds=round(state.upcoming_sleep, 1),
            attempt=state.attempt_number,
            url=self._request.shown_as,
        )

    def _failure(self, state: "RetryCallState") -> str:
        failure = _failure_of(state)
        attempts = f"{state.attempt_number} attempt{'s' if state.attempt_number > 1 else ''}"
        asked = (
            "" if failure.retry_after is None else f"; the server asks to wait {failure.retry_after:.0f} seconds more"
        )
        return (
            f"{self._request.what}: {self._request.method} {self._request.shown_as} failed, last with "
            f"{failure.reason}, in {attempts} within {self._elapsed():.0f} seconds{asked}. "
            f"Check that the host is right and up; to try for longer, raise retrySeconds (now {self._policy.seconds:g})"
        )


def _failure_of(state: "RetryCallState") -> TryAgainError:
    error = None if state.outcome is None else state.outcome.exception()
    assert isinstance(error, TryAgainError)
    return error

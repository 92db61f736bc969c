"""What can become of a request, beyond the errors of the core."""

from arcane_framework._core.errors import FatalStreamError


class HttpStatusError(FatalStreamError):
    """The server's answer is a status that a repetition would not change.

    Attributes:
        status: The HTTP status code.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class TruncatedBodyError(Exception):
    """Raised by a `read` function: the body ends before what it holds does. The request is repeated.

    Its text is the reason that messages give: it must not quote the body.
    """


class TryAgainError(Exception):
    """Inside this package: an attempt has failed in a way that another one may not.

    Attributes:
        reason: For a person, without anything from the request or the body.
        retry_after: Seconds that the server asks to wait, if it does.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class ForbiddenAddressError(Exception):
    """Inside this package: a connection was not made, because of where it would have gone.

    Attributes:
        host: As the URL names it.
        reason: Which address, and what it is.
        only_public: Whether another rule, for a host that the spec trusts, would have let it pass.
    """

    def __init__(self, host: str, reason: str, *, only_public: bool) -> None:
        super().__init__(f"{host}: {reason}")
        self.host = host
        self.reason = reason
        self.only_public = only_public

"""What an error of a connection means: try again, or give up, in words that quote nothing."""

import os
import socket
import ssl
from collections.abc import Iterator

import httpx2

from arcane_framework._core.errors import FatalStreamError
from arcane_framework.http.errors import TryAgainError

_CERTIFICATE_PROBLEMS = {
    9: ("is not valid yet", "check the clock of this machine and the server's certificate"),
    10: ("has expired", "have the server's certificate renewed"),
    62: ("is for another host", "correct the host in the URL, or the server's certificate"),
    64: ("is for another address", "use the host name of the certificate in the URL"),
} | dict.fromkeys(
    (2, 18, 19, 20, 21),
    (
        "is signed by nobody this machine trusts",
        "if it is meant to be trusted, add its authority to the PEM file that SSL_CERT_FILE names",
    ),
)


def failure_of(error: httpx2.RequestError, what: str, shown: str, timeout: float) -> TryAgainError | FatalStreamError:
    """The error of an attempt as one of ours; pure.

    Args:
        error: As raised by the client.
        what: The request, for messages.
        shown: Its URL, without anything secret.
        timeout: Seconds that the attempt had.
    """
    cause = _system_error(error)
    if isinstance(error, httpx2.ConnectError) and isinstance(cause, ssl.SSLError) and not _is_cut(cause):
        return _tls_failure(cause, what, shown)
    if isinstance(error, httpx2.LocalProtocolError | httpx2.UnsupportedProtocol):
        return FatalStreamError(f"{what}: the request for {shown} cannot be sent as HTTP: check its URL and headers")
    return TryAgainError(_reason(error, cause, timeout))


def timed_out(timeout: float) -> TryAgainError:
    """The error of an attempt whose time is over."""
    return TryAgainError(f"no complete answer within {timeout:g} seconds (httpTimeout)")


def _reason(error: httpx2.RequestError, cause: OSError | None, timeout: float) -> str:
    match error:
        case httpx2.TimeoutException():
            return timed_out(timeout).reason
        case httpx2.ConnectError() if isinstance(cause, socket.gaierror):
            return "a host name that could not be resolved"
        case httpx2.ConnectError():
            return f"a connection that could not be made{_detail(cause)}"
        case httpx2.NetworkError():
            return f"a connection that was cut{_detail(cause)}"
        case httpx2.ProxyError():
            return "a proxy that refused the connection"
        case httpx2.RemoteProtocolError():
            return "an answer that was cut or is not valid HTTP"
        case httpx2.DecodingError():
            return "compressed data that is damaged"
    return "a connection that failed"


def _detail(cause: OSError | None) -> str:
    known = cause is not None and cause.errno is not None and not isinstance(cause, ssl.SSLError)
    return f" ({os.strerror(cause.errno)})" if known and cause is not None and cause.errno is not None else ""


def _is_cut(error: ssl.SSLError) -> bool:
    return isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError)


def _tls_failure(error: ssl.SSLError, what: str, shown: str) -> FatalStreamError:
    if isinstance(error, ssl.SSLCertVerificationError):
        problem, remedy = _CERTIFICATE_PROBLEMS.get(
            error.verify_code,
            (f"is not accepted (OpenSSL's reason {error.verify_code})", "correct the server's certificate"),
        )
        return FatalStreamError(f"{what}: the TLS certificate of {shown} {problem}: {remedy}")
    reason = (error.reason or "unknown").lower().replace("_", " ")
    return FatalStreamError(
        f"{what}: no encrypted connection to {shown} ({reason}): the server has to speak TLS 1.2 or newer "
        "at this port; check the URL's scheme and port, and the server"
    )


def _system_error(error: BaseException) -> OSError | None:
    return next((each for each in _origins(error) if isinstance(each, OSError)), None)


def _origins(error: BaseException) -> Iterator[BaseException]:
    """What an error was made of. The connection pool cuts the chain, and keeps the cause as an argument."""
    seen: list[BaseException] = []
    queue = [error]
    while queue:
        current = queue.pop(0)
        if any(current is each for each in seen):
            continue
        seen.append(current)
        yield current
        linked = (current.__cause__, *current.args, current.__context__)
        queue.extend(each for each in linked if isinstance(each, BaseException))

"""Errors of the Azure SDK in plain words, as the error class that says what the runner does with them.

The SDK's own texts are never shown and never chained: some hold the URL with the SAS token in it.
"""

import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from requests.exceptions import SSLError
from urllib3.exceptions import NameResolutionError, NewConnectionError

from arcane_framework._core.errors import (
    ArcaneError,
    ConfigurationError,
    FatalStreamError,
    OutcomeUnknownError,
    TransientStreamError,
)

_T = TypeVar("_T")

EXISTS = frozenset({"BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet"})
"""What a request with `If-None-Match: *` is refused with when there is an object."""
NO_BLOCKS = frozenset({"InvalidBlockList", "InvalidBlockId"})
"""What the commit of blocks that are not there any more is refused with."""

_DENIED = "access is denied; give this identity the role Storage Blob Data Contributor, or the SAS token sp=racwdl"
_CONFIGURATION = {
    "AccountIsDisabled": "the storage account is disabled; enable it or choose another",
    "AuthenticationFailed": (
        "the credential was refused; check that the key or token belongs to this account and has not expired, "
        "and that this machine's clock is right"
    ),
    "AuthorizationFailure": (
        "access is denied; check that the key or token belongs to this account and has not expired, "
        "and the account's network rules"
    ),
    "AuthorizationPermissionMismatch": _DENIED,
    "AuthorizationProtocolMismatch": "the SAS token allows another protocol only; use an https endpoint",
    "AuthorizationResourceTypeMismatch": "the SAS token is for other resources; it needs srt=co, or sr=c",
    "AuthorizationServiceMismatch": "the SAS token is for another service; it needs ss=b",
    "AuthorizationSourceIPMismatch": "the SAS token does not allow this machine's address; make one with another sip",
    "BlobImmutableDueToPolicy": "an immutability policy of the container forbids it; choose another container",
    "ContainerBeingDeleted": "the container is being deleted; create it again or choose another",
    "ContainerDisabled": "the container is disabled; enable it or choose another",
    "ContainerNotFound": "there is no such container, and none is created by itself; create it or correct its name",
    "FeatureNotYetSupportedForHierarchicalNamespaceAccounts": "the account does not support it; choose another",
    "InsufficientAccountPermissions": _DENIED,
    "InvalidAuthenticationInfo": "the credential was refused; check the key or token",
    "KeyBasedAuthenticationNotPermitted": "the account forbids keys and SAS tokens made with them; use an identity",
    "PublicAccessNotPermitted": _DENIED,
    "ResourceNotFound": "there is no such container; create it or correct the account's name",
}
_LEASED = frozenset({"LeaseIdMissing", "LeaseIdMismatchWithBlobOperation", "LeaseIdMismatchWithContainerOperation"})
_BUSY = frozenset({408, 429, 500, 502, 503, 504})


def code_of(error: AzureError) -> str:
    """The service's code for an error, such as `BlobNotFound`; empty when it gave none."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def status_of(error: AzureError) -> int | None:
    """The answer's HTTP status; None when there was no answer."""
    return getattr(error, "status_code", None)


def asked(location: str, action: str, request: Callable[[], _T], *, once: bool = False) -> _T:
    """Run `request`; the SDK's errors come out as the package's, without the SDK's text.

    Args:
        location: The storage's location.
        action: What is tried, with the object's name: `write data/part-1.parquet`.
        request: Calls the SDK.
        once: It must not happen twice: what may have reached the service raises `OutcomeUnknownError`.
    """
    try:
        return request()
    except (AzureError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        failure = _translated(f"{location}: cannot {action}", error, once=once)
    # Here and not above, or the SDK's error would be this one's context.
    raise failure


def _translated(what: str, error: AzureError | OSError, *, once: bool) -> ArcaneError:
    if not isinstance(error, AzureError):
        return TransientStreamError(f"{what}: the connection failed")
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        return _answer(what, error, once=once)
    if isinstance(error, ClientAuthenticationError):
        return ConfigurationError(f"{what}: no token could be had for this identity; check it, or set a key")
    return _no_answer(what, error, once=once)


def _answer(what: str, error: HttpResponseError, *, once: bool) -> ArcaneError:
    status, code = error.status_code, code_of(error)
    shown = f"({status} {code})" if code else f"({status})"
    if code in _CONFIGURATION:
        return ConfigurationError(f"{what}: {_CONFIGURATION[code]} {shown}")
    if status in (401, 403):
        return ConfigurationError(f"{what}: {_DENIED} {shown}")
    if code in _LEASED:
        return ConfigurationError(f"{what}: somebody holds a lease on it; break the lease {shown}")
    if status in _BUSY:
        if once:
            return OutcomeUnknownError(f"{what}: the service failed, it is not known whether it was done {shown}")
        return TransientStreamError(f"{what}: the service is busy or failing {shown}")
    if status == HTTPStatus.INSUFFICIENT_STORAGE:
        return ConfigurationError(f"{what}: the storage is full; free some space or choose another location {shown}")
    if 300 <= (status or 0) < 400:
        return ConfigurationError(f"{what}: the endpoint answers with a redirect, so it is not Azure's {shown}")
    return FatalStreamError(f"{what}: the service refuses it {shown}")


def _no_answer(what: str, error: AzureError, *, once: bool) -> ArcaneError:
    causes = _causes(error)
    if tls_is_refused(error):
        return ConfigurationError(
            f"{what}: the server's certificate or TLS version is refused; "
            "check the endpoint, or name the certificates to trust in AZURE_STORAGE_CA_BUNDLE"
        )
    if any(isinstance(cause, NewConnectionError) for cause in causes):
        if any(isinstance(cause, NameResolutionError) for cause in causes):
            return TransientStreamError(f"{what}: the host's name cannot be resolved; check the account's name")
        return TransientStreamError(f"{what}: there is no connection to the endpoint")
    if once and isinstance(error, (ServiceRequestError, ServiceResponseError)):
        return OutcomeUnknownError(f"{what}: the answer was lost, it is not known whether it was done")
    return TransientStreamError(f"{what}: the connection failed or the answer was cut off")


def tls_is_refused(error: BaseException) -> bool:
    """Whether the connection failed on the server's certificate or TLS version, which no repetition changes."""
    return any(isinstance(cause, SSLError) for cause in _causes(error))


def host_is_unknown(host: str) -> bool:
    """Whether the name service says that there is no such host, and not only that it cannot tell now. Blocks."""
    try:
        socket.getaddrinfo(host, None)
    except socket.gaierror as error:
        return error.errno == socket.EAI_NONAME
    return False


def _causes(error: BaseException) -> list[BaseException]:
    """`error` and everything that led to it; libraries hide causes in arguments and attributes."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(found) < 20:
        cause = waiting.pop()
        if isinstance(cause, BaseException) and not any(cause is known for known in found):
            found.append(cause)
            inner = [getattr(cause, name, None) for name in ("inner_exception", "reason", "__cause__", "__context__")]
            waiting += [*inner, *cause.args]
    return found

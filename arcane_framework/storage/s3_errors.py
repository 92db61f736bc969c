"""The SDK's errors in plain words, as the error class that says what the runner does with them.

Nothing of the SDK's own texts gets into a message, and its error is not kept as the cause: they hold
URLs, and what servers answer may hold anything.
"""

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

from arcane_framework._core.errors import ArcaneError, ConfigurationError, FatalStreamError, TransientStreamError

MISSING: Final = frozenset({"404", "NoSuchKey", "NotFound"})
CONFLICT: Final = frozenset({"409", "ConditionalRequestConflict", "OperationAborted"})
EXISTS: Final = frozenset({"412", "PreconditionFailed"})
THROTTLED: Final = frozenset({"429", "SlowDown", "TooManyRequests", "Throttling", "ThrottlingException"})
NO_SUCH_UPLOAD: Final = "NoSuchUpload"
NOT_IMPLEMENTED: Final = "NotImplemented"

_PERMISSIONS: Final = {
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "DeleteObject": "s3:DeleteObject",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject and s3:ListBucket",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListObjectsV2": "s3:ListBucket",
    "ListParts": "s3:ListMultipartUploadParts",
}
_DENIED: Final = frozenset({"403", "AccessDenied", "Forbidden", "AllAccessDisabled", "AccountProblem", "Unauthorized"})
_REDIRECTED: Final = frozenset(
    {"301", "307", "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
_FULL: Final = "the storage is full; free some space or choose another location"
_CONFIGURATION: Final = {
    "NoSuchBucket": "the bucket does not exist; create it or correct the location",
    "InvalidBucketName": "the server does not accept the bucket's name; correct the location",
    "InvalidAccessKeyId": "the access key is not known; correct AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the signature is wrong; correct AWS_SECRET_ACCESS_KEY",
    "InvalidToken": "the session token is not valid; renew AWS_SESSION_TOKEN and its keys",
    "InvalidClientTokenId": "the access key is not known; correct AWS_ACCESS_KEY_ID",
    "ExpiredToken": "the session token has expired; renew it and its keys, or use a role",
    "ExpiredTokenException": "the identity's token has expired; renew it",
    "InvalidIdentityToken": "the identity's token is not valid; check the service account's role",
    "TokenRefreshRequired": "the session token has expired; renew it and its keys, or use a role",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
    "KeyTooLongError": "the name is too long; choose a shorter folder",
    NOT_IMPLEMENTED: "the server does not know this kind of request; use a server that does",
    "XMinioStorageFull": _FULL,
    "QuotaExceeded": "the storage's quota is used up; raise it or choose another location",
    "400": (
        "the server refuses the request; check the keys, whether the session token has expired, "
        "and the region (AWS_REGION)"
    ),
}
_TRANSIENT: Final = {
    **dict.fromkeys(THROTTLED, "the server asks to slow down"),
    **dict.fromkeys(CONFLICT, "another request for the same object is in progress"),
    **dict.fromkeys(EXISTS, "the object was changed meanwhile"),
    NO_SUCH_UPLOAD: "what was staged is gone; another runner may have removed it",
    "BadDigest": "the data was damaged on the way",
    "XAmzContentSHA256Mismatch": "the data was damaged on the way",
    "IncompleteBody": "the data did not arrive completely",
    "RequestTimeout": "the data did not arrive in time",
    "RequestTimeoutException": "the data did not arrive in time",
}
_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def error_code(error: Exception) -> str:
    """The code of the server's answer; empty when the error is no answer of it."""
    answer = getattr(error, "response", None)
    code = answer.get("Error", {}).get("Code", "") if isinstance(answer, dict) else ""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def was_sent(error: Exception) -> bool:
    """Whether a request may have reached the server and been carried out although it failed."""
    from botocore.exceptions import ClientError, HTTPClientError, SSLError
    from botocore.parsers import ResponseParserError

    if isinstance(error, ClientError):
        return _status(error) >= 500 and not _is_refusal(error)
    if isinstance(error, SSLError):
        return not _is_refused_certificate(error)
    return isinstance(error, (HTTPClientError, ResponseParserError))


def was_not_connected(error: Exception) -> bool:
    """Whether there was no connection to send a request on, so that trying again is safe."""
    from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError

    if isinstance(error, EndpointConnectionError):
        return not _unknown_host(error)
    return isinstance(error, ConnectTimeoutError)


def translated(message: str, error: Exception) -> ArcaneError | None:
    """The package's error for one of the SDK's: `message`, a colon, the reason; None for an error of others."""
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if "urllib3" in modules:
        return TransientStreamError(f"{message}: the connection broke off")
    if "botocore" not in modules:
        return None
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    if isinstance(error, ClientError):
        kind, reason = _answer(error)
    elif isinstance(error, BotoCoreError):
        kind, reason = _failure(error)
    elif isinstance(error, ResponseParserError):
        kind, reason = TransientStreamError, "the server's answer cannot be read"
    else:
        return None
    return kind(f"{message}: {reason}")


@contextmanager
def plain_errors(location: str, action: str) -> Iterator[None]:
    """Raise the package's errors instead of the SDK's.

    Args:
        location: The storage's location.
        action: What was tried, with the object's name: `write data/part-1.parquet`.
    """
    try:
        yield
    except Exception as error:
        plain = translated(f"{location}: cannot {action}", error)
        if plain is None:
            raise
        raise plain from None


def required(answer: Mapping[str, Any], field: str) -> Any:
    """A field that an answer must have. One whose body has got lost looks like an empty one to the SDK."""
    from botocore.parsers import ResponseParserError

    if field not in answer:
        raise ResponseParserError(f"no {field} in the answer")
    return answer[field]


def _answer(error: Exception) -> tuple[type[ArcaneError], str]:
    code, status = error_code(error), _status(error)
    shown = code or str(status)
    if code in _REDIRECTED or status in (301, 307):
        return ConfigurationError, _wrong_region(error, shown)
    if _is_refusal(error):
        return ConfigurationError, f"{_CONFIGURATION.get(code, _FULL)} ({shown})"
    if code in _TRANSIENT or status in (408, 429) or status >= 500:
        return TransientStreamError, f"{_TRANSIENT.get(code, 'the server fails at the moment')} ({shown})"
    if code in _DENIED or status in (401, 403):
        permission = _PERMISSIONS.get(getattr(error, "operation_name", ""), "s3:PutObject")
        return ConfigurationError, f"access is denied; the credentials need {permission} ({shown})"
    if code.startswith("KMS"):
        return ConfigurationError, f"the bucket's encryption key cannot be used; check its policy ({shown})"
    return FatalStreamError, (
        f"the server refuses the request ({shown}, status {status}); servers other than AWS may need "
        "AWS_REQUEST_CHECKSUM_CALCULATION=when_required"
    )


def _is_refusal(error: Exception) -> bool:
    """Whether a server says that it cannot do what it was asked for, whatever the status."""
    return error_code(error) in _CONFIGURATION or _status(error) == HTTPStatus.INSUFFICIENT_STORAGE


def _failure(error: Exception) -> tuple[type[ArcaneError], str]:
    import botocore.exceptions as sdk

    if isinstance(error, sdk.SSLError) and _is_refused_certificate(error):
        return ConfigurationError, (
            "the server's certificate is not accepted; set AWS_CA_BUNDLE to the authorities to trust"
        )
    if isinstance(error, (sdk.NoCredentialsError, sdk.PartialCredentialsError)):
        return ConfigurationError, (
            "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this process a role"
        )
    if isinstance(error, sdk.EndpointConnectionError) and _unknown_host(error):
        return ConfigurationError, "the server's name is not known; correct AWS_ENDPOINT_URL or AWS_REGION"
    if isinstance(error, sdk.EndpointConnectionError):
        return TransientStreamError, "the server cannot be reached"
    if isinstance(error, (sdk.ReadTimeoutError, sdk.ConnectTimeoutError)):
        return TransientStreamError, "the server did not answer in time"
    streaming = (
        sdk.HTTPClientError,
        sdk.SSLError,
        sdk.ProxyConnectionError,
        sdk.ResponseStreamingError,
        sdk.IncompleteReadError,
    )
    if isinstance(error, (*streaming, sdk.FlexibleChecksumError)):
        return TransientStreamError, "the connection broke off"
    if isinstance(error, (sdk.CredentialRetrievalError, sdk.MetadataRetrievalError)):
        return TransientStreamError, "the credentials cannot be fetched; check this process's role"
    # What is left is about the SDK's own settings: profiles, files, parameters.
    return ConfigurationError, f"the SDK cannot work with its settings ({type(error).__name__})"


def _wrong_region(error: Exception, shown: str) -> str:
    answer = getattr(error, "response", {})
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = answer.get("Error", {}).get("Region") or headers.get("x-amz-bucket-region")
    if isinstance(region, str) and _CODE.fullmatch(region):
        return f"the bucket is in the region {region}; set AWS_REGION={region} ({shown})"
    return f"the bucket is in another region; set AWS_REGION ({shown})"


def _status(error: Exception) -> int:
    answer = getattr(error, "response", {})
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status if isinstance(status, int) else 0


def _unknown_host(error: Exception) -> bool:
    names = [cause for cause in _causes(error) if isinstance(cause, socket.gaierror)]
    return any(cause.errno in (socket.EAI_NONAME, socket.EAI_NODATA) for cause in names)


def _is_refused_certificate(error: Exception) -> bool:
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    inner = getattr(error, "kwargs", {}).get("error")
    for cause in (inner, error.__cause__, *error.args):
        if isinstance(cause, BaseException) and cause is not error:
            yield cause
            yield from _causes(cause)

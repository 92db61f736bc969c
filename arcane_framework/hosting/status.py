"""Tells the operator that a source's schema has changed: the rules of `docs/compatibility.md`."""

import http.client
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol
from urllib.parse import quote

from arcane_framework._core.errors import ConfigurationError, StreamStopped, TransientStreamError
from arcane_framework._core.services import Logger
from arcane_framework.hosting.redaction import redact

SCHEMA_MISMATCH: Final = "schema-mismatch"
ANNOTATIONS: Final = ("arcane/state", "arcane.streaming.sneaksanddata.com/state")
"""Documents and deployed operators differ in the key: both are written."""

ACCOUNT_FOLDER: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
BUDGET_SECONDS: Final = 60.0
TIMEOUT_SECONDS: Final = 10.0

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 10.0
_MAX_REPLY = 64 * 1024
_REMEDIES: Mapping[int, str] = MappingProxyType(
    {
        401: "the service account's token was not accepted",
        403: "the pod's service account needs a role that allows 'patch' on 'jobs' of the API group 'batch'",
        404: "the Job's name must equal the stream id",
    }
)


class StatusService(Protocol):
    """Reports a stream's state to whoever started it. Called by the runner, after the graph has ended."""

    def report_schema_mismatch(self, detail: str) -> None:
        """Report that the stream must be reloaded with its new schema; may block for its budget.

        Args:
            detail: What has changed, for the log.

        Raises:
            TransientStreamError: It could not be reported; names the reason and the remedy.
        """
        ...


class LocalStatus:
    """The status service outside a cluster: a warning in the log, and a mark on the service itself.

    It writes no file: without an operator nobody would read it, and there may be no folder to write to.

    Attributes:
        mismatch: The detail reported last, for whoever holds the service; None when nothing was.

    Args:
        log: Gets the warning.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self.mismatch: str | None = None

    def report_schema_mismatch(self, detail: str) -> None:
        """See `StatusService`."""
        self.mismatch = detail
        self._log.warning("the schema has changed, start a backfill to reload the stream", detail=detail)


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    message: str
    retry_after: float


class KubernetesJobStatus:
    """Annotates the Job of the stream through the Kubernetes API, as the pod's service account.

    Args:
        stream_id: Also the Job's name.
        log: Gets a line for each try that failed and one for the success.
        host: `KUBERNETES_SERVICE_HOST`: a name or an address, IPv6 with or without brackets.
        port: `KUBERNETES_SERVICE_PORT`.
        wait: Waits that many seconds between two tries, for instance `KillSwitch.wait`.
        account_folder: Holds `token`, `ca.crt` and `namespace`; all are read anew at each try, as they rotate.
        budget_seconds: No new try begins after that time.
        timeout_seconds: Of one connection, read or write.
        monotonic: Measures the budget.
    """

    def __init__(
        self,
        stream_id: str,
        log: Logger,
        *,
        host: str,
        port: int,
        wait: Callable[[float], None],
        monotonic: Callable[[], float],
        account_folder: Path = ACCOUNT_FOLDER,
        budget_seconds: float = BUDGET_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._job = stream_id
        self._log = log
        self._host = host.strip("[]")
        self._port = port
        self._wait = wait
        self._folder = account_folder
        self._budget = budget_seconds
        self._timeout = timeout_seconds
        self._monotonic = monotonic

    def report_schema_mismatch(self, detail: str) -> None:
        """See `StatusService`. Connection errors, 429 and 5xx are tried again; a 401 once, with the token read anew."""
        self._log.warning("the schema has changed, annotating the Job", detail=detail)
        body = json.dumps({"metadata": {"annotations": dict.fromkeys(ANNOTATIONS, SCHEMA_MISMATCH)}}).encode()
        deadline = self._monotonic() + self._budget
        pause, renewed = _FIRST_WAIT, False
        while True:
            reply = self._try(body)
            if reply.status == http.client.OK:
                self._log.info("the Job is annotated", annotation=ANNOTATIONS[0], state=SCHEMA_MISMATCH)
                return
            if reply.status == http.client.UNAUTHORIZED and not renewed:
                renewed = True
                continue
            seconds = min(max(pause, reply.retry_after), _LONGEST_WAIT)
            if not _worth_a_retry(reply.status) or self._monotonic() + seconds >= deadline:
                raise self._failed(_describe(reply))
            self._log.warning("the Job could not be annotated, trying again", reason=_describe(reply), seconds=seconds)
            self._pause(seconds)
            pause = min(pause * 2, _LONGEST_WAIT)

    def _try(self, body: bytes) -> _Reply:
        """One request; status 0 when the connection failed."""
        namespace, token = self._read("namespace"), self._read("token")
        if not (token.isascii() and token.isprintable() and token):
            # http.client would show the token in its error.
            raise self._failed(f"{self._folder / 'token'} holds no token")
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout, context=self._tls_context()
        )
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/merge-patch+json",
            "Accept": "application/json",
        }
        path = f"/apis/batch/v1/namespaces/{quote(namespace, safe='')}/jobs/{quote(self._job, safe='')}"
        try:
            connection.request("PATCH", path, body=body, headers=headers)
            response = connection.getresponse()
            message = _status_message(response.read(_MAX_REPLY))
            return _Reply(response.status, redact(message, (token,)), _seconds(response.getheader("Retry-After")))
        except ssl.SSLCertVerificationError as error:
            raise self._failed(
                f"the server's certificate is not trusted ({error.verify_message}); "
                f"{self._folder / 'ca.crt'} must hold the cluster's CA"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            return _Reply(0, str(error) or type(error).__name__, 0)
        finally:
            connection.close()

    def _tls_context(self) -> ssl.SSLContext:
        path = self._folder / "ca.crt"
        try:
            context = ssl.create_default_context(cafile=str(path))
        except OSError as error:  # includes ssl.SSLError
            raise self._failed(f"{path} cannot be read as certificates: {error.strerror or error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _read(self, name: str) -> str:
        path = self._folder / name
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise self._failed(
                f"{path} cannot be read; the pod needs a service account with automountServiceAccountToken: true"
            ) from error

    def _pause(self, seconds: float) -> None:
        try:
            self._wait(seconds)
        except StreamStopped as stopped:
            raise self._failed("the stream was told to stop before it succeeded") from stopped

    def _failed(self, reason: str) -> TransientStreamError:
        return TransientStreamError(
            f"The schema has changed, and the Job {self._job!r} could not be annotated at "
            f"https://{_bracketed(self._host)}:{self._port}: {reason}"
        )


def choose_status(
    environ: Mapping[str, str],
    *,
    stream_id: str,
    log: Logger,
    wait: Callable[[float], None],
    monotonic: Callable[[], float],
    account_folder: Path = ACCOUNT_FOLDER,
) -> StatusService:
    """The status service of this process: the Job's in a cluster, the local one elsewhere.

    In a cluster without a mounted service account it is still the Job's: its report then fails
    instead of hiding the mismatch.

    Raises:
        ConfigurationError: `KUBERNETES_SERVICE_PORT` is no port.
    """
    host = environ.get("KUBERNETES_SERVICE_HOST", "").strip()
    if not host:
        return LocalStatus(log)
    text = environ.get("KUBERNETES_SERVICE_PORT", "").strip() or "443"
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ConfigurationError(f"KUBERNETES_SERVICE_PORT must be a port's number, not {text!r}")
    return KubernetesJobStatus(
        stream_id, log, host=host, port=int(text), wait=wait, monotonic=monotonic, account_folder=account_folder
    )


def _worth_a_retry(status: int) -> bool:
    return status in (0, http.client.TOO_MANY_REQUESTS) or status >= http.client.INTERNAL_SERVER_ERROR


def _describe(reply: _Reply) -> str:
    said = f": {reply.message}" if reply.message else ""
    if reply.status == 0:
        return f"the connection failed{said}"
    remedy = _REMEDIES.get(reply.status)
    return f"status {reply.status}" + (f", {remedy}" if remedy else "") + said


def _status_message(body: bytes) -> str:
    """The `message` of the `Status` object that the Kubernetes API answers errors with."""
    try:
        message = json.loads(body)["message"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return " ".join(str(message).split())[:300]


def _seconds(text: str | None) -> float:
    return float(text) if text is not None and text.isascii() and text.isdigit() else 0.0


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host

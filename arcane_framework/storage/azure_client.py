"""Makes a client of azure-storage-blob: credential, bounded retries, TLS. Imported only when a location needs it."""

import base64
import random
from typing import Any

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential, TokenCredential
from azure.core.pipeline.transport import HttpTransport
from azure.storage.blob import ContainerClient, ExponentialRetry
from pydantic import SecretStr

from arcane_framework._core.errors import ConfigurationError
from arcane_framework.storage.azure_errors import tls_is_refused
from arcane_framework.storage.azure_settings import ACCOUNT, KEY, SAS_TOKEN, AzureAccess, AzureSettings
from arcane_framework.storage.sdk_logs import hide_credentials

MAX_PAUSE_SECONDS = 15.0
# The service takes up to 5,000 MiB in one request. Above this, the SDK would cut an upload into blocks under ids of
# its own, and the request that commits them is not the one that `create` asks for.
_SINGLE_PUT_BYTES = 1 << 30


class BoundedRetry(ExponentialRetry):
    """Pauses that double from `first` seconds up to 15 s, each times 0.5 to 1.5."""

    def __init__(self, retries: int, first: float) -> None:
        super().__init__(retry_total=retries)
        self.connect_retries = self.read_retries = self.status_retries = retries
        self._first = first

    def increment(self, settings: dict[str, Any], request: Any, response: Any = None, error: Any = None) -> bool:
        """Called by the SDK after a failure; whether to repeat the request."""
        if error is not None and tls_is_refused(error):
            return False
        return super().increment(settings, request, response, error)

    def get_backoff_time(self, settings: dict[str, Any]) -> float:
        """Called by the SDK with the number of attempts so far."""
        pause = min(self._first * 2 ** min(int(settings["count"]), 10), MAX_PAUSE_SECONDS)
        return pause * random.uniform(0.5, 1.5)  # noqa: S311 - jitter


def make_container_client(
    location: str,
    endpoint: str,
    container: str,
    access: AzureAccess,
    settings: AzureSettings,
    *,
    transport: HttpTransport[Any, Any] | None = None,
) -> ContainerClient:
    """A client for one container; makes no request.

    Args:
        location: For messages.
        endpoint: The account's Blob endpoint.
        container: The container.
        access: The credential.
        settings: Retries, time limits, certificates.
        transport: What sends the requests, instead of the SDK's own.

    Raises:
        ConfigurationError: There is no credential, or it cannot be used.
    """
    hide_credentials()
    options: dict[str, Any] = {} if transport is None else {"transport": transport}
    if settings.ca_bundle is not None:
        options["connection_verify"] = settings.ca_bundle
    return ContainerClient(
        endpoint,
        container,
        credential=_credential(location, access),
        retry_policy=BoundedRetry(settings.retries, settings.pause_seconds),
        connection_timeout=min(settings.timeout_seconds, 20.0),
        read_timeout=settings.timeout_seconds,
        max_single_put_size=_SINGLE_PUT_BYTES,
        # The service does not redirect; whoever does must not be sent a signed request.
        permit_redirects=False,
        **options,
    )


def _credential(location: str, access: AzureAccess) -> AzureNamedKeyCredential | AzureSasCredential | TokenCredential:
    if access.key is not None:
        if access.account is None:
            raise ConfigurationError(f"{location}: {KEY[0]} needs the account's name in {ACCOUNT[0]}")
        return AzureNamedKeyCredential(access.account, _checked_key(location, access.key))
    if access.sas_token is not None:
        return AzureSasCredential(access.sas_token.get_secret_value().lstrip("?"))
    try:
        from azure.identity import DefaultAzureCredential
    except ModuleNotFoundError:
        raise ConfigurationError(
            f"{location}: there is no credential: set AZURE_STORAGE_CONNECTION_STRING, {KEY[0]} or {SAS_TOKEN}, "
            "or install azure-identity to use the identity of the Pod"
        ) from None
    return DefaultAzureCredential()


def _checked_key(location: str, key: SecretStr) -> str:
    text = key.get_secret_value()
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        raise ConfigurationError(
            f"{location}: the account's key is not Base64; copy it again from the portal"
        ) from None
    return text

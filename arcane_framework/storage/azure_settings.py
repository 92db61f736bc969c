"""What a stream's environment says about Azure Storage: the account, a credential, the endpoint, the retries."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import SecretStr

from arcane_framework._core.errors import ConfigurationError

CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"
ACCOUNT = ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME")
KEY = ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY")
SAS_TOKEN = "AZURE_STORAGE_SAS_TOKEN"  # noqa: S105 - a name
ENDPOINT = ("AZURE_STORAGE_ENDPOINT", "AZURE_STORAGE_BLOB_ENDPOINT")
RETRIES = "AZURE_STORAGE_RETRIES"
TIMEOUT = "AZURE_STORAGE_TIMEOUT_SECONDS"
CA_BUNDLE = "AZURE_STORAGE_CA_BUNDLE"

DEFAULT_SUFFIX = "core.windows.net"


@dataclass(frozen=True, slots=True)
class AzureSettings:
    """How to reach an account; see `azure_settings` for the names of the variables.

    Attributes:
        connection_string: Of the portal; goes before the other credentials.
        account: The account's name; needed for locations that do not name it.
        account_key: Its shared key, Base64.
        sas_token: A shared access signature for the container or the account, with or without `?`.
        endpoint: The Blob endpoint where it is not `https://<account>.blob.core.windows.net`: sovereign clouds,
            private links, an emulator. `http` only for this machine.
        retries: How often a request that may be repeated is repeated.
        pause_seconds: Before the first repetition; doubles with each one, up to 15 s, with jitter.
        timeout_seconds: How long to wait for a connection or for the next bytes.
        ca_bundle: A file of certificates to trust instead of the usual ones.
    """

    connection_string: SecretStr | None = None
    account: str | None = None
    account_key: SecretStr | None = None
    sas_token: SecretStr | None = None
    endpoint: str | None = None
    retries: int = 5
    pause_seconds: float = 0.5
    timeout_seconds: float = 60.0
    ca_bundle: str | None = None

    def __post_init__(self) -> None:
        if self.endpoint is not None:
            check_endpoint(self.endpoint)
        if not 0 <= self.retries <= 20:
            raise ConfigurationError(f"{RETRIES} must be between 0 and 20, not {self.retries}")
        if not 0 < self.timeout_seconds <= 3600:
            raise ConfigurationError(f"{TIMEOUT} must be above 0 and at most 3600, not {self.timeout_seconds}")


@dataclass(frozen=True, slots=True)
class AzureAccess:
    """One way into an account, whichever variables it came from. Without key and token: an identity."""

    account: str | None = None
    key: SecretStr | None = field(default=None, repr=False)
    sas_token: SecretStr | None = field(default=None, repr=False)
    endpoint: str | None = None
    suffix: str = DEFAULT_SUFFIX


def azure_settings(variables: Mapping[str, str]) -> AzureSettings:
    """Settings from a run's storage variables; an empty value counts as not given.

    Args:
        variables: By name, without the prefix `ARCANE__`: `AZURE_STORAGE_CONNECTION_STRING`,
            `AZURE_STORAGE_ACCOUNT`, `AZURE_STORAGE_KEY`, `AZURE_STORAGE_SAS_TOKEN`, `AZURE_STORAGE_ENDPOINT`,
            `AZURE_STORAGE_RETRIES`, `AZURE_STORAGE_TIMEOUT_SECONDS`, `AZURE_STORAGE_CA_BUNDLE`.

    Raises:
        ConfigurationError: A value cannot be used, or two of a credential's names have different values.
    """
    defaults = AzureSettings()
    return AzureSettings(
        connection_string=_secret(_value(variables, CONNECTION_STRING)),
        account=_value(variables, *ACCOUNT),
        account_key=_secret(_value(variables, *KEY)),
        sas_token=_secret(_value(variables, SAS_TOKEN)),
        endpoint=_value(variables, *ENDPOINT),
        retries=int(_number(variables, RETRIES, defaults.retries)),
        timeout_seconds=_number(variables, TIMEOUT, defaults.timeout_seconds),
        ca_bundle=_value(variables, CA_BUNDLE),
    )


def access_of(settings: AzureSettings) -> AzureAccess:
    """The credential that goes first: connection string, account key, SAS token, else an identity.

    Raises:
        ConfigurationError: The connection string cannot be read, or a key has no account.
    """
    if settings.connection_string is not None:
        return _from_connection_string(settings.connection_string, settings)
    if settings.account_key is not None:
        return AzureAccess(settings.account, settings.account_key, endpoint=settings.endpoint)
    return AzureAccess(settings.account, sas_token=settings.sas_token, endpoint=settings.endpoint)


def check_endpoint(endpoint: str, name: str = ENDPOINT[0]) -> None:
    """Refuse an endpoint that is no plain URL, or that is not encrypted and not on this machine.

    Raises:
        ConfigurationError: It is refused; the message does not show it, as it may hold a token.
    """
    try:
        url = urlsplit(endpoint)
        usable = bool(url.hostname) and url.port != 0
    except ValueError:
        raise ConfigurationError(f"{name} is not a URL such as https://account.blob.core.windows.net") from None
    if url.scheme not in ("http", "https") or not usable:
        raise ConfigurationError(f"{name} is not a URL such as https://account.blob.core.windows.net")
    if url.query or url.fragment or url.username is not None or url.password is not None:
        raise ConfigurationError(
            f"{name} must not hold a credential or a query; give a SAS token in {SAS_TOKEN} instead"
        )
    if url.scheme == "http" and not _is_loopback(url.hostname or ""):
        raise ConfigurationError(f"{name} must begin with https://; http:// is for an emulator on this machine only")


def _from_connection_string(text: SecretStr, settings: AzureSettings) -> AzureAccess:
    pairs = [pair.partition("=") for pair in text.get_secret_value().strip().split(";") if pair.strip()]
    fields = {name.strip().casefold(): value.strip() for name, _, value in pairs}
    if not all(equals for _, equals, _ in pairs) or not {"accountname", "blobendpoint"} & fields.keys():
        raise ConfigurationError(
            f"{CONNECTION_STRING} cannot be read: it needs AccountName and AccountKey, "
            "or BlobEndpoint and SharedAccessSignature"
        )
    endpoint = settings.endpoint or fields.get("blobendpoint")
    if endpoint is not None:
        check_endpoint(endpoint, f"BlobEndpoint in {CONNECTION_STRING}")
    elif fields.get("defaultendpointsprotocol", "https").casefold() != "https":
        raise ConfigurationError(f"DefaultEndpointsProtocol in {CONNECTION_STRING} must be https")
    return AzureAccess(
        fields.get("accountname") or settings.account,
        _secret(fields.get("accountkey")),
        _secret(fields.get("sharedaccesssignature")),
        endpoint,
        fields.get("endpointsuffix") or DEFAULT_SUFFIX,
    )


def _value(variables: Mapping[str, str], *names: str) -> str | None:
    given = {name: variables[name].strip() for name in names if variables.get(name, "").strip()}
    if len(set(given.values())) > 1:
        raise ConfigurationError(f"{' and '.join(given)} have different values; set one of them")
    return next(iter(given.values()), None)


def _secret(value: str | None) -> SecretStr | None:
    return None if not value else SecretStr(value)


def _number(variables: Mapping[str, str], name: str, default: float) -> float:
    text = _value(variables, name)
    try:
        return default if text is None else float(int(text))
    except ValueError:
        raise ConfigurationError(f"{name} must be a whole number, not {text!r}") from None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.casefold() == "localhost"

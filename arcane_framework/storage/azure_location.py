"""Locations on Azure, as people write them, and how they become a storage."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.storage import Storage, check_name
from arcane_framework.storage.azure_settings import ACCOUNT, CONNECTION_STRING, ENDPOINT, KEY, AzureSettings, access_of

if TYPE_CHECKING:
    from arcane_framework.storage.azure_settings import AzureAccess

_URL = re.compile(r"(?P<scheme>abfss?|wasbs?)://(?P<container>[^@/]*)@(?P<host>[^@/]*)(?P<path>/.*)?", re.IGNORECASE)
_SHORT = re.compile(r"(?P<container>[^@/:]+)@(?P<path>.*)")
_CONTAINER = re.compile(r"\$root|(?=.{3,63}\Z)[a-z0-9](-?[a-z0-9])*")
_HOST = re.compile(
    r"(?P<account>[a-z0-9-]{3,63})(?P<zone>\.z\d+)?\.(?:dfs|blob)\."
    r"(?P<suffix>core\.windows\.net|core\.usgovcloudapi\.net|core\.chinacloudapi\.cn|storage\.azure\.net)"
)


@dataclass(frozen=True, slots=True)
class AzureLocation:
    """A location taken apart.

    Attributes:
        shown: The location for messages, without a slash at its end.
        container: The container.
        path: The folder in it; empty for all of it.
        account: The account that the location names, None in `container@path`.
        endpoint: The account's Blob endpoint; None in `container@path`.
    """

    shown: str
    container: str
    path: str
    account: str | None
    endpoint: str | None


def parse_azure_location(location: str) -> AzureLocation:
    """Take `location` apart: `abfss://container@account.dfs.core.windows.net/path`, `wasbs://`, `container@path`.

    Paths are taken as they are, nothing in them is percent-decoded.

    Raises:
        ConfigurationError: It is none of them, names a host that is not Azure's (the credential would be sent
            to it) or seems to hold a credential.
    """
    if "?" in location or "#" in location:
        raise ConfigurationError(
            f"{_shown(location)}: a location on Azure cannot have '?' or '#'; "
            "give a SAS token in AZURE_STORAGE_SAS_TOKEN, never in a location"
        )
    url = _URL.fullmatch(location)
    found = url or (_SHORT.fullmatch(location) if "://" not in location else None)
    if found is None:
        raise ConfigurationError(
            f"{_shown(location)} is not a location on Azure: write "
            "abfss://container@account.dfs.core.windows.net/path or container@path"
        )
    container, path = found["container"], (found["path"] or "").strip("/")
    if not _CONTAINER.fullmatch(container):
        raise ConfigurationError(
            f"{_shown(location)}: the part before '@' is not a container's name: "
            "3 to 63 lower-case letters, digits and single hyphens, and never a credential"
        )
    if path:
        check_name(path)
    shown = location.rstrip("/")
    if url is None:
        return AzureLocation(shown, container, path, None, None)
    return AzureLocation(shown, container, path, *_account_of(url["host"], shown))


def open_azure(location: str, settings: AzureSettings) -> Storage:
    """The folder at `location`, which is not touched and need not exist.

    Raises:
        ConfigurationError: It is no location on Azure, the settings do not lead to its account, or
            azure-storage-blob is not installed.
    """
    parsed = parse_azure_location(location)
    access = access_of(settings)
    endpoint = _endpoint(parsed, access)
    try:
        from arcane_framework.storage.azure_blob import AzureBlobStorage
        from arcane_framework.storage.azure_client import make_container_client
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("azure"):
            raise
        raise ConfigurationError(
            f"{parsed.shown}: storage on Azure Blob needs azure-storage-blob: install arcane-framework[azure]"
        ) from None
    client = make_container_client(parsed.shown, endpoint, parsed.container, access, settings)
    return AzureBlobStorage(parsed.container, parsed.path, client, location=parsed.shown)


def _account_of(host: str, shown: str) -> tuple[str, str]:
    match = _HOST.fullmatch(host.lower())
    if match is None:
        raise ConfigurationError(
            f"{_shown(shown)}: the part after '@' is not the host of a storage account such as "
            f"account.dfs.core.windows.net; an endpoint of another kind goes into {ENDPOINT[0]}"
        )
    zone = match["zone"] or ""
    return match["account"], f"https://{match['account']}{zone}.blob.{match['suffix']}"


def _endpoint(location: AzureLocation, access: "AzureAccess") -> str:
    if location.account and access.account and location.account != access.account:
        raise ConfigurationError(
            f"{location.shown}: the location names the account {location.account}, "
            f"the settings are for {access.account}; change one of them"
        )
    account = access.account or location.account
    if access.key is not None and account is None:
        raise ConfigurationError(f"{location.shown}: {KEY[0]} needs the account's name in {ACCOUNT[0]}")
    if access.endpoint is not None:
        return access.endpoint.rstrip("/")
    if location.endpoint is not None:
        return location.endpoint
    if account is None:
        raise ConfigurationError(
            f"{location.shown}: the location does not name an account; set {ACCOUNT[0]} or {CONNECTION_STRING}, "
            "or write abfss://container@account.dfs.core.windows.net/path"
        )
    if not re.fullmatch(r"[a-z0-9-]{3,63}", account) or not re.fullmatch(r"[a-z0-9.-]+", access.suffix):
        raise ConfigurationError(f"{location.shown}: {account!r} is not the name of a storage account")
    return f"https://{account}.blob.{access.suffix}"


def _shown(location: str) -> str:
    """`location` without what may be a secret in it."""
    return re.sub(r"((?<=//)|\A)([^/@:]*):[^/]*@", r"\2@", re.split(r"[?#]", location, maxsplit=1)[0])

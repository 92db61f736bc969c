"""Locations on Azure and the variables that lead to an account; no server."""

import subprocess
import sys

import pytest
from pydantic import SecretStr

from arcane_framework._core.errors import ConfigurationError
from arcane_framework.storage.azure_location import AzureLocation, open_azure, parse_azure_location
from arcane_framework.storage.azure_settings import AzureSettings, access_of, azure_settings

KEY = "a2V5a2V5"


@pytest.mark.parametrize(
    ("location", "parsed"),
    [
        (
            "abfss://lake@acct.dfs.core.windows.net/a/b/",
            AzureLocation(
                "abfss://lake@acct.dfs.core.windows.net/a/b",
                "lake",
                "a/b",
                "acct",
                "https://acct.blob.core.windows.net",
            ),
        ),
        (
            "ABFS://lake@acct.dfs.core.chinacloudapi.cn",
            AzureLocation(
                "ABFS://lake@acct.dfs.core.chinacloudapi.cn",
                "lake",
                "",
                "acct",
                "https://acct.blob.core.chinacloudapi.cn",
            ),
        ),
        (
            "wasbs://$root@acct.z12.blob.storage.azure.net/100%25",
            AzureLocation(
                "wasbs://$root@acct.z12.blob.storage.azure.net/100%25",
                "$root",
                "100%25",
                "acct",
                "https://acct.z12.blob.storage.azure.net",
            ),
        ),
        ("lake@a/b", AzureLocation("lake@a/b", "lake", "a/b", None, None)),
        ("lake@", AzureLocation("lake@", "lake", "", None, None)),
    ],
)
def test_locations_are_taken_apart(location: str, parsed: AzureLocation) -> None:
    assert parse_azure_location(location) == parsed


HOST = (
    "the part after '@' is not the host of a storage account such as account.dfs.core.windows.net; "
    "an endpoint of another kind goes into AZURE_STORAGE_ENDPOINT"
)
CONTAINER = (
    "the part before '@' is not a container's name: 3 to 63 lower-case letters, digits and single hyphens, "
    "and never a credential"
)
QUERY = "a location on Azure cannot have '?' or '#'; give a SAS token in AZURE_STORAGE_SAS_TOKEN, never in a location"


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("abfss://lake@evil.example/a", f"abfss://lake@evil.example/a: {HOST}"),
        (
            "abfss://lake@acct.dfs.core.windows.net.evil.example",
            f"abfss://lake@acct.dfs.core.windows.net.evil.example: {HOST}",
        ),
        ("abfss://lake@acct.dfs.core.windows.net:444/a", f"abfss://lake@acct.dfs.core.windows.net:444/a: {HOST}"),
        ("abfss://lake:canary@acct.dfs.core.windows.net/a", f"abfss://lake@acct.dfs.core.windows.net/a: {CONTAINER}"),
        ("abfss://Lake@acct.dfs.core.windows.net/a", f"abfss://Lake@acct.dfs.core.windows.net/a: {CONTAINER}"),
        ("lake@a?sig=canary", f"lake@a: {QUERY}"),
        (
            "wasbs://lake@acct.blob.core.windows.net/?sv=1&sig=canary",
            f"wasbs://lake@acct.blob.core.windows.net/: {QUERY}",
        ),
        (
            "abfss://acct.dfs.core.windows.net/lake",
            "abfss://acct.dfs.core.windows.net/lake is not a location on Azure: write "
            "abfss://container@account.dfs.core.windows.net/path or container@path",
        ),
        ("lake@a/../b", None),
        ("lake@a//b", None),
    ],
)
def test_other_locations_are_refused_without_what_may_be_secret(location: str, message: str | None) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_azure_location(location)
    assert message is None or str(raised.value) == message
    assert "canary" not in str(raised.value)


def test_settings_come_from_variables() -> None:
    settings = azure_settings(
        {
            "AZURE_STORAGE_ACCOUNT": " acct ",
            "AZURE_STORAGE_KEY": KEY,
            "AZURE_STORAGE_SAS_TOKEN": "",
            "AZURE_STORAGE_ENDPOINT": "https://blob.internal.example/acct",
            "AZURE_STORAGE_RETRIES": "2",
            "AZURE_STORAGE_TIMEOUT_SECONDS": "7",
            "AWS_REGION": "x",
        }
    )
    assert settings == AzureSettings(
        account="acct",
        account_key=SecretStr(KEY),
        endpoint="https://blob.internal.example/acct",
        retries=2,
        timeout_seconds=7,
    )
    assert KEY not in repr(settings)
    assert KEY not in repr(access_of(settings))
    assert azure_settings({}) == AzureSettings()


def test_a_connection_string_goes_first() -> None:
    text = f"DefaultEndpointsProtocol=https;AccountName=acct;AccountKey={KEY}==;EndpointSuffix=core.usgovcloudapi.net;"
    access = access_of(azure_settings({"AZURE_STORAGE_CONNECTION_STRING": text, "AZURE_STORAGE_SAS_TOKEN": "sig=x"}))
    assert access.account == "acct"
    assert access.key == SecretStr(f"{KEY}==")
    assert access.sas_token is None
    storage = open_azure("lake@a", azure_settings({"AZURE_STORAGE_CONNECTION_STRING": text.replace("==;", ";")}))
    assert storage.location == "lake@a"
    assert storage._client.url == "https://acct.blob.core.usgovcloudapi.net/lake"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"AZURE_STORAGE_RETRIES": "many"}, "AZURE_STORAGE_RETRIES must be a whole number, not 'many'"),
        ({"AZURE_STORAGE_RETRIES": "99"}, "AZURE_STORAGE_RETRIES must be between 0 and 20, not 99"),
        (
            {"AZURE_STORAGE_TIMEOUT_SECONDS": "0"},
            "AZURE_STORAGE_TIMEOUT_SECONDS must be above 0 and at most 3600, not 0.0",
        ),
        (
            {"AZURE_STORAGE_ENDPOINT": "http://blob.internal.example"},
            "AZURE_STORAGE_ENDPOINT must begin with https://; http:// is for an emulator on this machine only",
        ),
        (
            {"AZURE_STORAGE_ENDPOINT": "https://blob.internal.example/?sig=canary"},
            "AZURE_STORAGE_ENDPOINT must not hold a credential or a query; "
            "give a SAS token in AZURE_STORAGE_SAS_TOKEN instead",
        ),
        (
            {"AZURE_STORAGE_ENDPOINT": "ftp://canary"},
            "AZURE_STORAGE_ENDPOINT is not a URL such as https://account.blob.core.windows.net",
        ),
        (
            {"AZURE_STORAGE_KEY": "canary1", "AZURE_STORAGE_ACCOUNT_KEY": "canary2"},
            "AZURE_STORAGE_KEY and AZURE_STORAGE_ACCOUNT_KEY have different values; set one of them",
        ),
    ],
)
def test_settings_that_cannot_be_used_are_refused(variables: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        azure_settings(variables)
    assert str(raised.value) == message


UNREADABLE = (
    "AZURE_STORAGE_CONNECTION_STRING cannot be read: it needs AccountName and AccountKey, "
    "or BlobEndpoint and SharedAccessSignature"
)


@pytest.mark.parametrize(
    ("location", "variables", "message"),
    [
        ("lake@a", {"AZURE_STORAGE_CONNECTION_STRING": "canary"}, UNREADABLE),
        ("lake@a", {"AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true"}, UNREADABLE),
        (
            "lake@a",
            {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=a;AccountKey=canary;BlobEndpoint=http://x.example"},
            "BlobEndpoint in AZURE_STORAGE_CONNECTION_STRING must begin with https://; "
            "http:// is for an emulator on this machine only",
        ),
        (
            "lake@a",
            {"AZURE_STORAGE_CONNECTION_STRING": "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=canary"},
            "DefaultEndpointsProtocol in AZURE_STORAGE_CONNECTION_STRING must be https",
        ),
        (
            "lake@a",
            {"AZURE_STORAGE_SAS_TOKEN": "canary"},
            "lake@a: the location does not name an account; set AZURE_STORAGE_ACCOUNT or "
            "AZURE_STORAGE_CONNECTION_STRING, or write abfss://container@account.dfs.core.windows.net/path",
        ),
        (
            "lake@a",
            {"AZURE_STORAGE_KEY": "canary", "AZURE_STORAGE_ENDPOINT": "https://x.example"},
            "lake@a: AZURE_STORAGE_KEY needs the account's name in AZURE_STORAGE_ACCOUNT",
        ),
        (
            "lake@a",
            {"AZURE_STORAGE_ACCOUNT": "evil.example/", "AZURE_STORAGE_KEY": "canary"},
            "lake@a: 'evil.example/' is not the name of a storage account",
        ),
        (
            "abfss://lake@one.dfs.core.windows.net/a",
            {"AZURE_STORAGE_ACCOUNT": "two", "AZURE_STORAGE_KEY": "canary"},
            "abfss://lake@one.dfs.core.windows.net/a: the location names the account one, "
            "the settings are for two; change one of them",
        ),
    ],
)
def test_settings_that_do_not_lead_to_the_account_are_refused(
    location: str, variables: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        open_azure(location, azure_settings(variables))
    assert str(raised.value) == message


def test_the_sdk_is_loaded_when_a_location_needs_it_and_its_absence_names_the_extra() -> None:
    program = """
import sys
import arcane_framework.storage.azure_location as azure
from arcane_framework import ConfigurationError
assert not [name for name in sys.modules if name.split(".")[0] == "azure"]
sys.modules["azure"] = None
settings = azure.AzureSettings(account="acct")
try:
    azure.open_azure("lake@a", settings)
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == ("lake@a: storage on Azure Blob needs azure-storage-blob: install arcane-framework[azure]\n")


def test_without_azure_identity_a_credential_must_be_set() -> None:
    program = """
import sys
import arcane_framework.storage.azure_location as azure
from arcane_framework import ConfigurationError
sys.modules["azure.identity"] = None
try:
    azure.open_azure("abfss://lake@acct.dfs.core.windows.net/a", azure.AzureSettings())
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "abfss://lake@acct.dfs.core.windows.net/a: there is no credential: set AZURE_STORAGE_CONNECTION_STRING, "
        "AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or install azure-identity to use the identity of the Pod\n"
    )


def test_with_azure_identity_an_identity_is_used() -> None:
    storage = open_azure("abfss://lake@acct.dfs.core.windows.net/a", AzureSettings())
    assert type(storage._client.credential).__name__ == "DefaultAzureCredential"  # type: ignore[attr-defined]

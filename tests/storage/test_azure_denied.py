"""What Azure refuses, in plain words, and that no credential gets into messages, tracebacks or logs."""

import base64
import io
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from azure.storage.blob import ContainerClient
from pydantic import SecretStr

from arcane_framework._core.errors import ConfigurationError
from arcane_framework.hosting.logging import capture_library_logs, make_logger
from arcane_framework.storage.azure_blob import AzureBlobStorage
from arcane_framework.storage.azure_location import open_azure
from arcane_framework.storage.azure_settings import AzureSettings
from tests.storage.azurite import ACCOUNT, Azurite
from tests.storage.fault_proxy import fault_proxy

NOW = datetime.now(UTC)


def with_sas(azurite: Azurite, container: ContainerClient, permission: str, **options: Any) -> AzureBlobStorage:
    times = {"start": NOW - timedelta(days=2), "expiry": NOW + timedelta(days=1), **options}
    token = azurite.sas(container.container_name, permission=permission, **times)
    settings = replace(azurite.settings, account_key=None, sas_token=SecretStr(f"?{token}"))
    return azurite.storage(container.container_name, settings=settings)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ConfigurationError) as raised:
        call()
    assert raised.value.__cause__ is None
    context = raised.value.__context__
    # A cause that is suppressed is not shown, but whoever pickles or walks errors finds it.
    assert context is None or raised.value.__suppress_context__
    assert not type(context).__module__.startswith(("azure", "requests", "urllib3"))
    return str(raised.value)


DENIED = "access is denied; give this identity the role Storage Blob Data Contributor, or the SAS token sp=racwdl"


def test_a_missing_container_is_named_and_not_created(azurite: Azurite) -> None:
    storage = azurite.storage("missing")
    message = "there is no such container, and none is created by itself; create it or correct its name"
    assert refusal(storage.probe) == f"missing: cannot list the folder: {message} (404 ContainerNotFound)"
    for call, action in (
        (lambda: storage.create("a", b""), "create a"),
        (lambda: storage.read("a"), "read a"),
        (lambda: storage.open("a"), "read a"),
        (lambda: storage.stat("a"), "look at a"),
        (lambda: storage.delete("a"), "delete a"),
        (lambda: storage.replace("a", b""), "write a"),
        (lambda: [*storage.list()], "list the folder"),
    ):
        assert refusal(call) == f"missing: cannot {action}: {message} (404 ContainerNotFound)"
    upload = storage.stage("a")
    upload.write(b"x")
    assert refusal(upload.finish) == f"missing: cannot stage a: {message} (404 ContainerNotFound)"


def test_a_sas_token_with_all_rights_is_enough(azurite: Azurite, container: ContainerClient) -> None:
    storage = with_sas(azurite, container, "racwdl")
    storage.probe()
    upload = storage.stage("a")
    upload.write(b"x")
    assert storage.publish("a", upload.finish(), 1)
    assert storage.read("a") == b"x"


def test_a_sas_token_without_write_is_found_by_the_probe(azurite: Azurite, container: ContainerClient) -> None:
    storage = with_sas(azurite, container, "rl")
    message = refusal(storage.probe)
    assert message == f"{storage.location}: cannot write to the folder: {DENIED} (403 AuthorizationPermissionMismatch)"


def test_a_sas_token_without_list_is_found_by_the_probe(azurite: Azurite, container: ContainerClient) -> None:
    storage = with_sas(azurite, container, "racwd")
    assert refusal(storage.probe).startswith(f"{storage.location}: cannot list the folder: {DENIED} (403 ")


def test_a_sas_token_without_delete_is_found_by_the_probe(azurite: Azurite, container: ContainerClient) -> None:
    storage = with_sas(azurite, container, "racwl")
    assert refusal(storage.probe).startswith(f"{storage.location}: cannot delete from the folder: {DENIED} (403 ")


REFUSED = (
    "access is denied; check that the key or token belongs to this account and has not expired, "
    "and the account's network rules"
)


def test_an_expired_sas_token_is_said_to_be_one(azurite: Azurite, container: ContainerClient) -> None:
    storage = with_sas(azurite, container, "racwdl", expiry=NOW - timedelta(days=1))
    assert refusal(storage.probe) == f"{storage.location}: cannot list the folder: {REFUSED} (403 AuthorizationFailure)"


def test_a_wrong_key_is_refused(azurite: Azurite, container: ContainerClient) -> None:
    key = SecretStr(base64.b64encode(b"k" * 64).decode())
    storage = azurite.storage(container.container_name, settings=replace(azurite.settings, account_key=key))
    assert refusal(storage.probe).startswith(f"{storage.location}: cannot list the folder: ")


def test_a_key_that_is_not_base64_is_refused(azurite: Azurite) -> None:
    settings = replace(azurite.settings, account_key=SecretStr("not a key"))
    message = "lake@orders: the account's key is not Base64; copy it again from the portal"
    assert refusal(lambda: open_azure("lake@orders", settings)) == message


def test_a_server_that_ignores_conditions_is_refused(azurite: Azurite, container: ContainerClient) -> None:
    with fault_proxy(azurite.url) as proxy:
        proxy.drop_conditions = True
        # A token, as a key would sign the condition that is dropped.
        storage = with_sas(Azurite(proxy.url, azurite.key), container, "racwdl")
        assert refusal(storage.probe) == (
            f"{container.container_name}: the server does not honour conditional writes (If-None-Match: *), "
            "so two runners could overwrite each other's commits; use Azure Blob Storage itself"
        )
    assert [*container.list_blobs()] == []


CANARY_KEY = base64.b64encode(b"canary" * 11).decode()
CANARY_SIGNATURE = base64.b64encode(b"canary" * 5 + b"ca").decode()
CANARIES = [CANARY_KEY, CANARY_SIGNATURE, quote(CANARY_KEY, safe=""), quote(CANARY_SIGNATURE, safe="")]


def settings_with_canaries(endpoint: str) -> list[AzureSettings]:
    few: dict[str, Any] = {"retries": 1, "pause_seconds": 0.0}
    sas = f"sv=2024-11-04&sr=c&sp=rl&se=2099-01-01&sig={quote(CANARY_SIGNATURE, safe='')}"
    text = f"DefaultEndpointsProtocol=https;AccountName={ACCOUNT};AccountKey={CANARY_KEY};BlobEndpoint={endpoint}"
    return [
        AzureSettings(account=ACCOUNT, account_key=SecretStr(CANARY_KEY), endpoint=endpoint, **few),
        AzureSettings(sas_token=SecretStr(sas), endpoint=endpoint, **few),
        AzureSettings(connection_string=SecretStr(text), **few),
    ]


@pytest.mark.parametrize("reachable", [True, False])
def test_no_credential_comes_out_at_debug(azurite: Azurite, reachable: bool, container: ContainerClient) -> None:
    written = io.StringIO()
    with fault_proxy(azurite.url) as proxy:
        endpoint = f"{proxy.url}/{ACCOUNT}"
        texts = _failures(written, endpoint, container.container_name) if reachable else []
    if not reachable:
        texts = _failures(written, endpoint, container.container_name)
    output = written.getvalue() + "".join(texts)
    assert "urllib3" in output
    assert len(texts) > 20
    assert [canary for canary in CANARIES if canary in output] == []


def _failures(written: io.StringIO, endpoint: str, container: str) -> list[str]:
    texts = []
    for name in ("azure", "urllib3"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    with capture_library_logs(make_logger(level="debug", stream=written), "debug"):
        for settings in settings_with_canaries(endpoint):
            storage = open_azure(f"{container}@lake", settings)
            upload = storage.stage("a")
            upload.write(b"x")
            texts += [repr(settings), str(settings), storage.location, repr(storage)]
            for call in (
                storage.probe,
                lambda storage=storage: storage.create("a", b""),
                lambda storage=storage: storage.read("a"),
                lambda storage=storage: [*storage.list()],
                upload.finish,
            ):
                try:
                    call()
                except Exception as error:
                    texts += ["".join(traceback.format_exception(error)), repr(error), repr(pickle.dumps(error))]
    for name in ("azure", "urllib3"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    return texts

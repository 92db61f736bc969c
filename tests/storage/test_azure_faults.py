"""Lost requests, lost answers and a busy service, on the wire between the SDK and Azurite."""

import json

import pytest
from azure.storage.blob import ContainerClient

from arcane_framework._core.errors import OutcomeUnknownError, TransientStreamError
from arcane_framework.storage.azure_blob import AzureBlobStorage
from tests.storage.azurite import Azurite
from tests.storage.fault_proxy import FaultProxy, fault_proxy
from tests.storage.fault_rules import Fault


@pytest.fixture
def storage(azurite: Azurite, proxy: FaultProxy, container: ContainerClient) -> AzureBlobStorage:
    return Azurite(proxy.url, azurite.key).storage(container.container_name)


@pytest.mark.parametrize(
    ("fault", "happened", "reason"),
    [
        ("lose the answer", True, "the answer was lost, it is not known whether it was done"),
        ("lose the request", False, "the answer was lost, it is not known whether it was done"),
        ("503 after", True, "the service failed, it is not known whether it was done (503 ServerBusy)"),
        ("503 before", False, "the service failed, it is not known whether it was done (503 ServerBusy)"),
    ],
)
def test_a_create_without_an_answer_is_sent_once_and_its_outcome_unknown(
    storage: AzureBlobStorage, proxy: FaultProxy, fault: Fault, happened: bool, reason: str
) -> None:
    proxy.once(fault, "PUT", "log/1.json")
    with pytest.raises(OutcomeUnknownError) as raised:
        storage.create("log/1.json", b"mine")
    assert str(raised.value) == f"{storage.location}: cannot create log/1.json: {reason}"
    assert raised.value.__context__ is None
    assert proxy.count("PUT") == 1
    assert (storage.stat("log/1.json") is not None) == happened


@pytest.mark.parametrize("fault", ["lose the answer", "lose the request", "503 after", "503 before"])
def test_what_may_be_repeated_is_repeated(storage: AzureBlobStorage, proxy: FaultProxy, fault: Fault) -> None:
    proxy.once(fault, "PUT", "comp=block&")
    upload = storage.stage("data/part-1")
    upload.write(b"one")
    handle = upload.finish()
    proxy.once(fault, "PUT", "comp=blocklist")
    assert storage.publish("data/part-1", handle, 3)
    proxy.once(fault, "GET", "comp=list")
    assert [found.name for found in storage.list()] == ["data/part-1"]
    proxy.once(fault, "HEAD", "part-1")
    assert storage.stat("data/part-1") is not None
    proxy.once(fault, "GET", "part-1")
    assert storage.read("data/part-1") == b"one"
    proxy.once(fault, "PUT", "part-1")
    storage.replace("data/part-1", b"two")
    proxy.once(fault, "DELETE", "part-1")
    storage.delete("data/part-1")
    assert storage.stat("data/part-1") is None


def test_an_answer_that_is_cut_off_is_read_again(storage: AzureBlobStorage, proxy: FaultProxy) -> None:
    content = bytes(range(256)) * 2000
    storage.create("big", content)
    proxy.once("cut the answer", "GET", "big")
    assert storage.read("big") == content
    with storage.open("big") as stream:
        proxy.once("cut the answer", "GET", "big")
        stream.seek(300_000)
        assert stream.read() == content[300_000:]


def test_a_publication_whose_answer_was_lost_is_found_by_another_process(
    storage: AzureBlobStorage, azurite: Azurite, proxy: FaultProxy, container: ContainerClient
) -> None:
    upload = storage.stage("data/part-1")
    upload.write(b"one")
    handle = json.loads(json.dumps(upload.finish()))
    # The request does its work, and the service falls silent.
    proxy.always("lose the answer", fragment="part-1")
    with pytest.raises(TransientStreamError) as raised:
        storage.publish("data/part-1", handle, 3)
    assert str(raised.value) == (
        f"{storage.location}: cannot publish data/part-1: the connection failed or the answer was cut off"
    )
    other = azurite.storage(container.container_name)
    assert other.publish("data/part-1", handle, 3)
    assert other.read("data/part-1") == b"one"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("503 before", "the service is busy or failing (503 ServerBusy)"),
        ("lose the request", "the connection failed or the answer was cut off"),
    ],
)
def test_repetitions_end(storage: AzureBlobStorage, proxy: FaultProxy, fault: Fault, reason: str) -> None:
    proxy.always(fault)
    with pytest.raises(TransientStreamError) as raised:
        storage.stat("a")
    assert str(raised.value) == f"{storage.location}: cannot look at a: {reason}"
    assert proxy.count("HEAD") == 4
    assert not isinstance(raised.value, OutcomeUnknownError)


def test_an_endpoint_that_is_down_is_no_unknown_outcome(azurite: Azurite) -> None:
    with fault_proxy(azurite.url) as proxy:
        storage = Azurite(proxy.url, azurite.key).storage("lake")
    for call in (storage.probe, lambda: storage.create("a", b"")):
        with pytest.raises(TransientStreamError, match=r"there is no connection to the endpoint$") as raised:
            call()
        assert not isinstance(raised.value, OutcomeUnknownError)

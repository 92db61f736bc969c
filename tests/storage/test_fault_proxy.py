"""The fault proxy does what its rules say, and knows what is in the air; in front of a real server."""

import http.client
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from arcane_framework.storage.s3 import S3Storage
from tests.storage.fault_proxy import FaultProxy, fault_proxy
from tests.storage.fault_rules import Dice, Fault
from tests.storage.operations import azure_operation, s3_operation
from tests.storage.s3_server import S3Server


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[FaultProxy]:
    with fault_proxy(s3.url, "s3") as proxy:
        yield proxy


@pytest.fixture
def target(s3: S3Server) -> str:
    """An object that is not there."""
    return f"/{s3.bucket()}/_arcane/log/1.json"


class Client:
    """A connection to the proxy."""

    def __init__(self, proxy: FaultProxy) -> None:
        url = urlsplit(proxy.url)
        self.connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=10)

    def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        # The server wants to know who asks and checks nothing.
        named["Authorization"] = "AWS4-HMAC-SHA256 Credential=nobody/20240101/us-east-1/s3/aws4_request"
        self.connection.request(method, target, body, named)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def put(self, target: str) -> tuple[int, bytes]:
        return self.ask("PUT", target, b"content", If_None_Match="*")


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[Client]:
    client = Client(proxy)
    yield client
    client.connection.close()


def is_there(s3: S3Server, target: str) -> bool:
    bucket, _, key = target[1:].partition("/")
    found = s3.clients.retrying.list_objects_v2(Bucket=bucket).get("Contents", ())
    return key in [entry["Key"] for entry in found]


def sent(proxy: FaultProxy, target: str, body: bytes, length: int) -> socket.socket:
    url = urlsplit(proxy.url)
    connection = socket.create_connection((url.hostname or "", url.port or 0))
    connection.sendall(f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode() + body)
    return connection


def test_a_connection_is_kept_for_many_requests(client: Client, target: str) -> None:
    assert client.put(target)[0] == 200
    before = client.connection.sock
    assert client.ask("GET", target) == (200, b"content")
    assert client.ask("HEAD", target) == (200, b"")
    assert client.put(target)[0] == 412
    assert client.connection.sock is before


@pytest.mark.parametrize(
    ("fault", "answer", "happened"),
    [
        ("503 before", (503, b"SlowDown"), False),
        ("503 after", (503, b"InternalError"), True),
        ("409 before", (409, b"ConditionalRequestConflict"), False),
        ("twice", (412, b"PreconditionFailed"), True),
        ("slow", (200, b""), True),
    ],
)
def test_a_fault_gives_its_answer(
    s3: S3Server,
    proxy: FaultProxy,
    client: Client,
    target: str,
    fault: Fault,
    answer: tuple[int, bytes],
    happened: bool,
) -> None:
    proxy.once(fault, "PUT", "_arcane/log")
    status, content = client.put(target)
    assert status == answer[0]
    assert answer[1] in content
    assert is_there(s3, target) == happened


@pytest.mark.parametrize(("fault", "happened"), [("lose the request", False), ("lose the answer", True)])
def test_a_fault_without_an_answer_ends_the_connection(
    s3: S3Server, proxy: FaultProxy, client: Client, target: str, fault: Fault, happened: bool
) -> None:
    proxy.once(fault, "PUT", "_arcane/log")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        client.put(target)
    assert is_there(s3, target) == happened


def test_an_answer_that_is_cut_ends_too_early(proxy: FaultProxy, client: Client, target: str) -> None:
    client.put(target)
    proxy.once("cut the answer", "GET", "_arcane/log")
    with pytest.raises(http.client.IncompleteRead) as error:
        client.ask("GET", target)
    assert error.value.partial == b"con"


def test_a_server_without_conditions_overwrites(proxy: FaultProxy, client: Client, target: str) -> None:
    proxy.drop_conditions = True
    assert [client.put(target)[0], client.put(target)[0]] == [200, 200]


def test_what_a_client_has_sent_before_it_went_is_carried_out_before_the_proxy_is_idle(
    s3: S3Server, proxy: FaultProxy, target: str
) -> None:
    for number in range(20):
        sent(proxy, f"{target}{number}", b"content", 7).close()
    assert proxy.wait_until_idle()
    assert all(is_there(s3, f"{target}{number}") for number in range(20))


def test_a_client_that_stops_in_the_middle_of_a_request_is_no_work(
    s3: S3Server, proxy: FaultProxy, target: str
) -> None:
    with sent(proxy, target, b"con", 7) as connection:
        assert proxy.wait_until_idle()
        assert not is_there(s3, target)
        connection.sendall(b"tent")
        assert proxy.wait_until_idle()
        assert is_there(s3, target)


def test_a_request_that_is_cut_off_is_not_passed_on(s3: S3Server, proxy: FaultProxy, target: str) -> None:
    sent(proxy, target, b"con", 7).close()
    assert proxy.wait_until_idle()
    assert not is_there(s3, target)


def test_a_proxy_with_work_is_not_idle(s3: S3Server, proxy: FaultProxy, target: str) -> None:
    with s3.lock, sent(proxy, target, b"content", 7):
        assert not proxy.wait_until_idle(0.05)
    assert proxy.wait_until_idle()


def test_staged_parts_are_remembered_until_they_are_published_or_given_up(s3: S3Server, proxy: FaultProxy) -> None:
    bucket = s3.bucket()
    storage = S3Storage(bucket, "lake", s3.settings(endpoint=proxy.url))
    handles = []
    for name in ("data/a", "data/b", "data/c"):
        upload = storage.stage(name)
        upload.write(name.encode())
        handles.append(upload.finish())
    assert [(name, content) for name, _, _, content in proxy.staged.below(bucket)] == [
        (f"{bucket}/lake/data/a", b"data/a"),
        (f"{bucket}/lake/data/b", b"data/b"),
        (f"{bucket}/lake/data/c", b"data/c"),
    ]
    storage.publish("data/a", handles[0], 6)
    storage.abort(handles[1])
    assert [content for _, _, _, content in proxy.staged.below(bucket)] == [b"data/c"]
    proxy.staged.forget(bucket)
    assert not proxy.staged.below(bucket)


def faults_of(kind: str, method: str, target: str) -> set[Fault]:
    dice = Dice(kind, 1.0, 1)
    return {dice(method, target) for _ in range(300)}


def test_dice_of_one_seed_fall_alike_and_count_what_they_show() -> None:
    first, second = Dice("s3", 0.3, 7), Dice("s3", 0.3, 7)
    fallen = [first("GET", "/b/k") for _ in range(100)]
    assert fallen == [second("GET", "/b/k") for _ in range(100)]
    assert sum(first.counts.values()) == sum(fault is not None for fault in fallen)
    assert 10 < sum(first.counts.values()) < 60


def test_dice_throw_only_faults_that_a_request_can_have() -> None:
    everywhere = {"lose the request", "503 before", "503 after", "lose the answer", "slow"}
    commit = "/b/_arcane/log/1.json"
    assert faults_of("s3", "GET", "/b/k") == everywhere | {"cut the answer"}
    assert faults_of("s3", "PUT", "/b/k") == everywhere
    assert faults_of("s3", "PUT", commit) == everywhere | {"twice", "409 before"}
    assert faults_of("s3", "POST", "/b/k?uploadId=1") == everywhere | {"twice", "409 before"}
    assert faults_of("azure", "PUT", f"/account{commit}") == everywhere | {"twice"}
    assert faults_of("azure", "PUT", "/a/b/k?comp=blocklist") == everywhere | {"twice"}


def test_dice_for_some_requests_leave_the_others_alone() -> None:
    dice = Dice("s3", 1.0, 1, ["503 after"], "_arcane/log")
    assert dice("PUT", "/b/data/k") is None
    assert dice("PUT", "/b/_arcane/log/1.json") == "503 after"


@pytest.mark.parametrize(
    ("method", "target", "name"),
    [
        ("GET", "/b?list-type=2", "ListObjectsV2"),
        ("GET", "/b?uploads", "ListMultipartUploads"),
        ("POST", "/b/k?uploads", "CreateMultipartUpload"),
        ("PUT", "/b/k?uploadId=1&partNumber=1", "UploadPart"),
        ("POST", "/b/k?uploadId=1", "CompleteMultipartUpload"),
        ("DELETE", "/b/k?uploadId=1", "AbortMultipartUpload"),
        ("PUT", "/b/k", "PutObject"),
    ],
)
def test_requests_to_s3_have_their_names(method: str, target: str, name: str) -> None:
    assert s3_operation(method, target) == name


@pytest.mark.parametrize(
    ("method", "target", "name"),
    [
        ("PUT", "/a/c/k?comp=block&blockid=1", "PutBlock"),
        ("PUT", "/a/c/k?comp=blocklist", "PutBlockList"),
        ("PUT", "/a/c/k", "PutBlob"),
        ("GET", "/a/c?restype=container&comp=list", "ListBlobs"),
        ("HEAD", "/a/c/k", "GetBlobProperties"),
        ("DELETE", "/a/c/k", "DeleteBlob"),
        ("POST", "/a/c?comp=batch", "POST batch"),
    ],
)
def test_requests_to_azure_have_their_names(method: str, target: str, name: str) -> None:
    assert azure_operation(method, target) == name

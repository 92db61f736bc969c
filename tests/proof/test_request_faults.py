"""Where a fault at a request to a store happens; what it does is left out."""

from collections.abc import Iterator

import pytest
import urllib3.connectionpool

from arcane_framework.storage.s3 import S3Storage
from tests.proof.faults import Calls, Fault, When
from tests.proof.request_faults import RequestFaults
from tests.storage.fault_proxy import FaultProxy, fault_proxy
from tests.storage.s3_server import S3Server, running_server


class Watched(Calls):
    """Looks at what the server has done so far instead of ending the process."""

    def __init__(self, fault: Fault, proxy: FaultProxy, server: S3Server, calls_file: str | None = None) -> None:
        super().__init__(fault, calls_file)
        self.proxy, self.server = proxy, server
        self.seen: list[list[str]] = []

    def install(self) -> None:
        RequestFaults("s3", self).install()

    def act(self) -> None:
        assert self.proxy.wait_until_idle()
        self.seen.append([*self.server.requests])


@pytest.fixture
def server() -> Iterator[S3Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def proxy(server: S3Server) -> Iterator[FaultProxy]:
    with fault_proxy(server.url, "s3") as proxy:
        yield proxy


@pytest.fixture
def storage(server: S3Server, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> S3Storage:
    # Whatever a test installs goes away with it.
    pool = urllib3.connectionpool.HTTPConnectionPool
    monkeypatch.setattr(pool, "_make_request", pool._make_request)
    bucket = server.bucket()
    server.requests.clear()
    return S3Storage(bucket, "lake", server.settings(endpoint=proxy.url))


@pytest.mark.parametrize(
    ("when", "done"),
    [
        ("before", ["PutObject"]),
        ("during", ["PutObject", "PutObject"]),
        ("after", ["PutObject", "PutObject"]),
    ],
)
def test_a_fault_happens_once_before_or_after_the_server_has_the_request(
    server: S3Server, proxy: FaultProxy, storage: S3Storage, when: When, done: list[str]
) -> None:
    faults = Watched(Fault(1, when, operation="PutObject", path="lake/log/"), proxy, server)
    faults.install()
    assert storage.create("log/1", b"one")
    assert storage.create("log/2", b"two")
    assert storage.create("log/3", b"three")
    assert faults.seen == [done]
    assert storage.read("log/2") == b"two"


def test_only_requests_with_the_operation_and_the_path_of_a_fault_count(
    server: S3Server, proxy: FaultProxy, storage: S3Storage, tmp_path: object
) -> None:
    calls_file = f"{tmp_path}/calls"
    faults = Watched(Fault(0, operation="GetObject", path="data/b"), proxy, server, calls_file)
    faults.install()
    storage.replace("data/a", b"")
    storage.replace("data/b", b"")
    storage.read("data/a")
    assert not faults.seen
    storage.read("data/b")
    assert faults.seen == [["PutObject", "PutObject", "GetObject"]]
    with open(calls_file) as calls:
        assert [line.split()[0] for line in calls] == ["PutObject", "PutObject", "GetObject", "GetObject"]

"""The commit log and the sinks over Azurite: streams, two runners, crashes with blocks left behind, lost answers."""

import json
import time
from typing import Any

import pyarrow.parquet as pq
import pytest
from azure.storage.blob import ContainerClient

from arcane_framework import (
    Batch,
    FatalStreamError,
    FencedError,
    Grouping,
    KillSwitch,
    Position,
    Services,
    Sink,
    StreamContext,
    StreamGraphBuilder,
    StreamIdentity,
    Wait,
    to_sink,
)
from arcane_framework._core.clock import SystemClock
from arcane_framework._core.schema_hash import schema_hash
from arcane_framework._core.storage import Storage
from arcane_framework.commits import Part, StreamState
from arcane_framework.commits.layout import manifest_name, part_name
from arcane_framework.commits.log import CommitLog
from arcane_framework.hosting.logging import make_logger
from arcane_framework.sinks import JsonLinesSink, ParquetSink
from arcane_framework.sinks.part_sink import PartSink
from arcane_framework.storage.azure_blob import AzureBlobStorage
from arcane_framework.testing.virtual_clock import VirtualClock
from tests.core.graphs import NUMBERS, Script, numbers
from tests.storage.azurite import Azurite
from tests.storage.fault_proxy import FaultProxy
from tests.storage.fault_rules import Fault

SINKS: list[type[PartSink]] = [ParquetSink, JsonLinesSink]
HASH = schema_hash(NUMBERS)


@pytest.fixture
def storage(azurite: Azurite, proxy: FaultProxy, container: ContainerClient) -> AzureBlobStorage:
    return Azurite(proxy.url, azurite.key).storage(container.container_name, "lake")


def run(sink: Sink, *steps: Batch, backfill_id: str | None = None) -> None:
    """Run a stream in real time, as sockets know no other: until its steps are through, or the backfill is."""
    backfilling = backfill_id is not None
    source = Script([*steps] if backfilling else [*steps, Wait(None)])
    clock = SystemClock()
    services = Services(
        stream=StreamIdentity("s", "Numbers", backfilling, backfill_id),
        clock=clock,
        kill_switch=KillSwitch(clock),
        storage=no_service,
        http=no_service,
        log=make_logger(level="critical"),
    )

    class Builder(StreamGraphBuilder[StreamContext]):
        def build_graph(self, context: StreamContext) -> Any:
            return self.start(source).pipe(to_sink(sink))

    result = Builder(services).build_graph(StreamContext()).run()[1]
    while not backfilling and source.pulled <= len(steps) and not result.done():
        time.sleep(0.005)
    if not backfilling:
        services.kill_switch.stop()
    result.result(timeout=20)


def no_service(*arguments: object) -> Any:
    raise AssertionError("no other store and no HTTP in these tests")


def values(storage: Storage, folder: str = "s/data") -> list[int]:
    rows: list[int] = []
    for found in storage.list(folder):
        name = found.name.rsplit("/", 1)[-1]
        if name.endswith(".parquet"):
            with storage.open(found.name) as stream:
                rows += pq.read_table(stream).column("n").to_pylist()
        elif name.startswith("part-"):
            rows += [json.loads(line)["n"] for line in storage.read(found.name).splitlines()]
    return rows


def log_of(storage: Storage) -> CommitLog:
    return CommitLog(storage, StreamIdentity("s", "Numbers"), HASH, VirtualClock(), make_logger(level="critical"))


def opened(storage: Storage) -> CommitLog:
    log = log_of(storage)
    log.open()
    return log


def staged_part(storage: Storage, seq: int, content: bytes = b"rows") -> Part:
    path = f"data/{part_name(seq, 0, HASH, '.json')}"
    upload = storage.stage(path)
    upload.write(content)
    return Part(path=path, handle=dict(upload.finish()), rows=2, bytes=len(content), sha256="")


def test_a_start_asks_for_a_few_things_and_never_for_all_parts(storage: AzureBlobStorage, proxy: FaultProxy) -> None:
    opened(storage)
    asked = len(proxy.requests)
    opened(storage)
    listings = [path for method, path in proxy.requests[asked:] if method == "GET" and "comp=list" in path]
    assert len(listings) == 1
    assert "prefix=lake%2F_arcane%2Flog%2F" in listings[0]
    assert len(proxy.requests) - asked <= 6


@pytest.mark.parametrize("sink_type", SINKS)
def test_a_stream_is_read_back(storage: AzureBlobStorage, sink_type: type[PartSink]) -> None:
    run(sink_type(storage, grouping=Grouping(rows=10)), numbers(0, 7, 7), numbers(7, 14, 14), numbers(14, 30, 30))
    run(sink_type(storage, grouping=Grouping(rows=10)), numbers(30, 41, 41))
    assert values(storage) == list(range(41))
    assert [*storage.folder("s").staged()] == []
    assert [*StreamState(storage.folder("s")).verify()] == []
    assert storage.stat(f"s/schema/schema-v0-{HASH}.parquet") is not None


@pytest.mark.parametrize("sink_type", SINKS)
def test_a_backfill_ends_with_its_token_and_another_one_replaces_it(
    storage: AzureBlobStorage, sink_type: type[PartSink]
) -> None:
    for backfill_id, stop in (("one", 5), ("two", 8)):
        sink = sink_type(storage, grouping=Grouping(rows=10))
        run(sink, numbers(0, stop), backfill_id=backfill_id)
        assert values(storage, "s/backfill") == list(range(stop))
        assert storage.read(f"s/backfill/{HASH}.COMPLETED") == b"\0"


@pytest.mark.parametrize("fault", ["lose the answer", "503 before"])
@pytest.mark.parametrize(
    ("method", "fragment"),
    [("PUT", "log/00000000000000000002"), ("PUT", "comp=blocklist"), ("PUT", "comp=block&"), ("GET", "comp=list")],
)
def test_rows_are_there_once_whatever_one_request_or_answer_is_lost(
    storage: AzureBlobStorage, proxy: FaultProxy, fault: Fault, method: str, fragment: str
) -> None:
    proxy.once(fault, method, fragment)
    run(ParquetSink(storage, grouping=Grouping(rows=10)), numbers(0, 12, 12), numbers(12, 24, 24))
    assert values(storage) == list(range(24))
    assert [*StreamState(storage.folder("s")).verify()] == []


def test_an_older_runner_is_fenced_and_its_blocks_are_never_seen(storage: AzureBlobStorage) -> None:
    older = opened(storage)
    part = staged_part(storage, older.next_seq)
    newer = opened(storage)
    with pytest.raises(FencedError):
        older.append(Position(stream={"n": 1}), [part])
    storage.abort(part.handle)
    own = staged_part(storage, newer.next_seq, b"newer")
    newer.publish(newer.append(Position(stream={"n": 2}), [own]))
    assert [found.name for found in storage.list("data")] == [own.path]


def test_of_two_runners_that_start_at_once_one_is_fenced(storage: AzureBlobStorage, proxy: FaultProxy) -> None:
    other: list[CommitLog] = []

    def rule(method: str, path: str) -> Fault:
        if method == "PUT" and manifest_name(1) in path and not other:
            other.append(log_of(storage))
            other[0].open()
        return None

    # The proxy asks under its lock.
    proxy.lock = _NoLock()  # type: ignore[assignment]
    proxy.rule = rule
    with pytest.raises(FencedError):
        opened(storage)
    assert other[0].next_seq == 2


class _NoLock:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


def test_what_a_killed_runner_had_committed_is_published_and_what_it_had_not_is_not(
    storage: AzureBlobStorage, azurite: Azurite, container: ContainerClient
) -> None:
    first = opened(storage)
    committed = staged_part(storage, first.next_seq, b"committed")
    first.append(Position(stream={"n": 1}), [committed])
    lost = staged_part(storage, first.next_seq, b"lost")
    # It is killed here. The next one has nothing but the container.
    storage = azurite.storage(container.container_name, "lake")
    second = opened(storage)
    assert second.position == Position(stream={"n": 1})
    assert [found.name for found in storage.list("data")] == [committed.path]
    assert storage.read(committed.path) == b"committed"
    assert [found.name for found in storage.staged()] == [lost.path.rpartition("/")[2]]


def test_a_committed_part_that_is_gone_is_said_to_be(storage: AzureBlobStorage) -> None:
    log = opened(storage)
    part = staged_part(storage, log.next_seq)
    manifest = log.append(Position(stream={"n": 1}), [part])
    log.publish(manifest)
    storage.delete(part.path)
    with pytest.raises(FatalStreamError, match="neither staged nor there with its size"):
        log.publish(manifest)


def test_a_late_token_does_not_get_into_a_new_backfill(storage: AzureBlobStorage) -> None:
    token = f"backfill/{HASH}.COMPLETED"
    late = storage.stage(token, part_name(5, 0, HASH, ".COMPLETED"))
    late.write(b"\0")
    handle = late.finish()
    # A successor rolls it forward and begins anew, which removes it.
    assert storage.publish(token, handle, 1)
    storage.delete(token)
    # The new backfill's own token is staged when the late runner wakes up.
    own = storage.stage(token, part_name(9, 0, HASH, ".COMPLETED"))
    own.write(b"\0")
    own_handle = own.finish()
    assert not storage.publish(token, handle, 1)
    assert storage.stat(token) is None
    assert storage.publish(token, own_handle, 1)

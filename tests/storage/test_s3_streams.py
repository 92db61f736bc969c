"""Streams whose sink is on S3: what is committed, what a restart finds, and what two runners do to each other."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

import pyarrow.parquet as pq
import pytest

from arcane_framework import (
    FatalStreamError,
    FencedError,
    Grouping,
    KillSwitch,
    Position,
    RunSummary,
    Services,
    Sink,
    StreamContext,
    StreamGraphBuilder,
    StreamIdentity,
    Wait,
    to_sink,
)
from arcane_framework._core.clock import SystemClock
from arcane_framework.commits import Part, StreamState
from arcane_framework.commits.layout import manifest_name, part_name
from arcane_framework.commits.log import CommitLog
from arcane_framework.hosting.logging import make_logger
from arcane_framework.sinks import JsonLinesSink, ParquetSink
from arcane_framework.sinks.part_sink import PartSink
from arcane_framework.storage import StorageOpener
from arcane_framework.storage.s3 import S3Storage
from arcane_framework.testing.virtual_clock import VirtualClock
from tests.core.graphs import Script, numbers
from tests.storage.s3_server import Fault, S3Server

SINKS: list[type[PartSink]] = [ParquetSink, JsonLinesSink]
STEPS = [numbers(0, 7, 7), numbers(7, 14, 14), numbers(14, 30, 30)]


@pytest.fixture
def storage(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Storage:
    real = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: real(min(seconds, 0.01)))
    return s3.storage()


def run(sink: Sink, steps: Iterable[Any], *, backfilling: bool = False) -> None:
    """Run a stream in real time, as the SDK knows no other, until its script is through; raises its error."""
    clock = SystemClock()
    kill_switch = KillSwitch(clock)
    services = Services(
        stream=StreamIdentity("s", "Numbers", backfilling),
        clock=clock,
        kill_switch=kill_switch,
        storage=StorageOpener(),
        http=lambda: pytest.fail("no HTTP in these tests"),
        log=make_logger(level="critical"),
    )

    def script() -> Iterator[Any]:
        yield from steps
        if not backfilling:
            kill_switch.stop()
            yield Wait(None)

    class Builder(StreamGraphBuilder[StreamContext]):
        def build_graph(self, context: StreamContext) -> Any:
            return self.start(Script(script())).pipe(to_sink(sink))

    result: Future[RunSummary] = Builder(services).build_graph(StreamContext()).run()[1]
    result.result(timeout=30)


def values(storage: S3Storage, folder: str = "s/data") -> list[int]:
    rows: list[int] = []
    for entry in storage.list(folder):
        if entry.name.endswith(".parquet"):
            with storage.open(entry.name) as stream:
                rows += pq.read_table(stream).column("n").to_pylist()
        else:
            rows += [json.loads(line)["n"] for line in storage.read(entry.name).splitlines()]
    return rows


def log_of(storage: S3Storage) -> CommitLog:
    return CommitLog(storage, StreamIdentity("s", "Numbers"), "abcdefg", VirtualClock(), make_logger(level="critical"))


def opened(storage: S3Storage) -> CommitLog:
    log = log_of(storage)
    log.open()
    return log


def staged(storage: S3Storage, seq: int, content: bytes = b"rows") -> Part:
    path = f"data/{part_name(seq, 0, 'abcdefg', '-chunk.parquet')}"
    upload = storage.stage(path)
    upload.write(content)
    return Part(path=path, handle=dict(upload.finish()), rows=2, bytes=len(content), sha256="")


def handles(storage: S3Storage) -> list[str]:
    return [found.name for found in storage.staged()]


def at(n: int) -> Position:
    return Position(stream={"n": n})


@pytest.mark.parametrize("sink_type", SINKS)
def test_a_stream_to_s3_is_read_back_and_verified(storage: S3Storage, sink_type: type[PartSink]) -> None:
    run(sink_type(storage, grouping=Grouping(rows=10)), STEPS)
    assert values(storage) == list(range(30))
    state = StreamState(storage.folder("s"))
    assert list(state.verify()) == []
    assert handles(storage.folder("s")) == []
    storage.delete(f"s/{[*state.parts()][1].path}")
    assert [problem.text.partition(" (")[0] for problem in state.verify()] == ["is missing"]


@pytest.mark.parametrize("sink_type", SINKS)
def test_a_backfill_ends_with_its_token_and_a_new_one_replaces_it(
    storage: S3Storage, sink_type: type[PartSink]
) -> None:
    for stop in (5, 8):
        run(sink_type(storage), [numbers(0, stop)], backfilling=True)
        (token,) = [entry for entry in storage.list("s/backfill") if entry.name.endswith(".COMPLETED")]
        assert storage.read(token.name) == b"\x00"
        storage.delete(token.name)
        assert values(storage, "s/backfill") == list(range(stop))
        assert handles(storage.folder("s")) == []


@pytest.mark.parametrize("sink_type", SINKS)
def test_a_second_runner_takes_over_and_fences_the_first(storage: S3Storage, sink_type: type[PartSink]) -> None:
    def steps() -> Iterator[Any]:
        yield numbers(0, 5, 5)
        while values(storage) != list(range(5)):
            yield Wait(0.01)
        run(sink_type(storage, grouping=Grouping(rows=5)), [numbers(5, 10, 10)])
        yield numbers(5, 11, 11)

    with pytest.raises(FencedError):
        run(sink_type(storage, grouping=Grouping(rows=5)), steps())
    assert values(storage) == list(range(10))
    assert list(StreamState(storage.folder("s")).verify()) == []
    assert handles(storage.folder("s")) == []


@pytest.mark.parametrize("happens", [True, False], ids=["it happened", "it did not happen"])
@pytest.mark.parametrize("operation", ["PutObject", "CompleteMultipartUpload", "UploadPart", "CreateMultipartUpload"])
def test_lost_answers_double_and_lose_nothing(s3: S3Server, storage: S3Storage, operation: str, happens: bool) -> None:
    def steps() -> Iterator[Any]:
        s3.faults.append(Fault(operation, times=1, happens=happens))
        yield from STEPS

    run(ParquetSink(storage, grouping=Grouping(rows=10)), steps())
    assert values(storage) == list(range(30))
    assert list(StreamState(storage.folder("s")).verify()) == []
    assert not s3.faults[0].times


def test_a_restart_publishes_what_was_committed_and_removes_what_was_only_staged(storage: S3Storage) -> None:
    log = opened(storage)
    committed = staged(storage, log.next_seq)
    log.append(at(1), [committed])
    staged(storage, log.next_seq, b"more rows")
    later = staged(storage, log.next_seq + 9)
    assert [entry.name for entry in storage.list("data")] == []
    assert opened(storage).position == at(1)
    assert [entry.name for entry in storage.list("data")] == [committed.path]
    assert handles(storage) == [later.path.removeprefix("data/")]


def test_a_restart_removes_a_token_whose_upload_had_just_begun(storage: S3Storage) -> None:
    name = "backfill/abcdefg.COMPLETED"
    storage._client.create_multipart_upload(**storage._target(name))
    assert handles(storage) == ["abcdefg.COMPLETED"]
    opened(storage)
    assert handles(storage) == []


def test_a_commit_whose_answer_was_lost_is_found_by_its_nonce(s3: S3Server, storage: S3Storage) -> None:
    log = opened(storage)
    part = staged(storage, log.next_seq)
    s3.faults.append(Fault("PutObject", times=1, happens=True))
    with s3.counted() as asked:
        log.publish(log.append(at(1), [part]))
    assert asked == ["PutObject", "GetObject", "CompleteMultipartUpload"]
    assert opened(storage).position == at(1)


def test_a_publish_whose_answer_was_lost_is_found_done(s3: S3Server, storage: S3Storage) -> None:
    log = opened(storage)
    manifest = log.append(at(1), [staged(storage, log.next_seq)])
    s3.faults.append(Fault("CompleteMultipartUpload", times=1, happens=True))
    with s3.counted() as asked:
        log.publish(manifest)
    assert asked == ["CompleteMultipartUpload", "CompleteMultipartUpload", "HeadObject"]
    assert storage.read(manifest.parts[0].path) == b"rows"


def test_two_runners_that_claim_at_once_get_one_claim(storage: S3Storage) -> None:
    first, second = log_of(storage), log_of(storage)
    real: Callable[[str, bytes], bool] = storage.create

    def overtaken(name: str, data: bytes) -> bool:
        storage.create = real  # type: ignore[assignment, method-assign]
        second.open()
        return real(name, data)

    storage.create = overtaken  # type: ignore[method-assign]
    with pytest.raises(FencedError):
        first.open()
    assert second.next_seq == 2
    assert storage.stat(manifest_name(2)) is None


def test_a_committed_part_that_a_lifecycle_rule_has_removed_stops_the_stream(storage: S3Storage) -> None:
    log = opened(storage)
    part = staged(storage, log.next_seq)
    log.append(at(1), [part])
    storage.abort(part.handle)
    with pytest.raises(FatalStreamError, match=r"was committed \(2, 2 rows\) but is neither staged nor there"):
        opened(storage)

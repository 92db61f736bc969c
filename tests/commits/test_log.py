"""The commit log: claims, fencing, lost answers, roll-forward, and what it refuses to guess."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from arcane_framework import FatalStreamError, FencedError, Position, StreamIdentity, TransientStreamError
from arcane_framework._core.errors import OutcomeUnknownError
from arcane_framework._core.storage import StagedObject
from arcane_framework.commits import Part, StreamState
from arcane_framework.commits.layout import manifest_name, part_name
from arcane_framework.commits.log import CommitLog
from arcane_framework.hosting.logging import make_logger
from arcane_framework.storage import MemoryStorage
from arcane_framework.testing.virtual_clock import VirtualClock

IDENTITY = StreamIdentity("orders", "Orders")


class LosingAnswers(MemoryStorage):
    """Loses the answers of creates: `happens` says of each whether the object was created all the same."""

    def __init__(self, happens: list[bool]) -> None:
        super().__init__("lake")
        self.happens = happens
        self.asked = 0

    def create(self, name: str, data: bytes) -> bool:
        self.asked += 1
        if not self.happens:
            return super().create(name, data)
        if self.happens.pop(0):
            super().create(name, data)
        raise OutcomeUnknownError("the connection was reset")


def log_of(storage: MemoryStorage) -> CommitLog:
    return CommitLog(storage, IDENTITY, "abcdefg", VirtualClock(), make_logger(level="critical"))


def opened(storage: MemoryStorage) -> CommitLog:
    log = log_of(storage)
    log.open()
    return log


def staged(storage: MemoryStorage, seq: int, content: bytes = b"rows", rows: int = 2) -> Part:
    path = f"data/{part_name(seq, 0, 'abcdefg', '-chunk.parquet')}"
    upload = storage.stage(path)
    upload.write(content)
    return Part(path=path, handle=dict(upload.finish()), rows=rows, bytes=len(content), sha256="")


def visible(storage: MemoryStorage) -> list[str]:
    return [entry.name for entry in storage.list("data")]


def at(n: int) -> Position:
    return Position(stream={"n": n})


def test_a_commit_moves_the_position_and_publishing_shows_the_part() -> None:
    storage = MemoryStorage("lake")
    log = opened(storage)
    part = staged(storage, log.next_seq)
    manifest = log.append(at(2), [part])
    assert visible(storage) == []
    log.publish(manifest)
    assert visible(storage) == [part.path]
    assert log_of(storage).position == Position()
    assert opened(storage).position == at(2)


def test_the_next_start_publishes_what_was_committed_and_not_published() -> None:
    storage = MemoryStorage("lake")
    log = opened(storage)
    parts = []
    for n in range(3):
        parts.append(staged(storage, log.next_seq))
        log.append(at(n), [parts[-1]])
    assert visible(storage) == []
    assert opened(storage).position == at(2)
    assert visible(storage) == sorted(part.path for part in parts)
    assert list(StreamState(storage).verify()) == []


def test_a_start_removes_what_was_staged_and_never_committed() -> None:
    storage = MemoryStorage("lake")
    log = opened(storage)
    staged(storage, log.next_seq)
    opened(storage)
    assert list(storage.staged()) == []


def test_garbage_above_ones_own_claim_is_left_alone() -> None:
    storage = MemoryStorage("lake")
    log = opened(storage)
    staged(storage, log.next_seq + 5)
    opened(storage)
    opened(storage)
    assert len(list(storage.staged())) == 1


class ReplacedInListing(MemoryStorage):
    """Another runner claims the stream, and stages its token, while this one lists what is staged."""

    claim: Callable[[], object] | None = None

    def staged(self) -> Iterator[StagedObject]:
        claim, self.claim = self.claim, None
        if claim is not None:
            claim()
            token(self)
        return super().staged()


def token(storage: MemoryStorage) -> None:
    upload = storage.stage("backfill/abcdefg.COMPLETED")
    upload.write(b"\0")
    upload.finish()


def test_a_start_removes_a_token_that_was_staged_without_a_number() -> None:
    storage = MemoryStorage("lake")
    token(storage)
    opened(storage)
    assert list(storage.staged()) == []


def test_a_start_leaves_such_a_token_alone_when_another_runner_may_have_staged_it() -> None:
    storage = ReplacedInListing("lake")
    storage.claim = log_of(storage).open
    opened(storage)
    assert [found.name for found in storage.staged()] == ["abcdefg.COMPLETED"]


def test_an_older_runner_is_fenced_by_the_claim_of_a_newer_one() -> None:
    storage = MemoryStorage("lake")
    old = opened(storage)
    part = staged(storage, old.next_seq)
    opened(storage)
    with pytest.raises(FencedError) as caught:
        old.append(at(1), [part])
    assert str(caught.value).startswith("memory://lake: another runner (orders/")
    assert str(caught.value).endswith(
        ") has committed 2; this one stops, its staged rows are dropped and read again by the other"
    )


@pytest.mark.parametrize("happens", [[True], [False], [False, False, True], [False] * 7])
def test_a_lost_answer_is_settled_by_reading_the_log(happens: list[bool]) -> None:
    storage = LosingAnswers([])
    log = opened(storage)
    storage.happens = list(happens)
    part = staged(storage, log.next_seq)
    log.publish(log.append(at(1), [part]))
    assert visible(storage) == [part.path]
    assert opened(storage).position == at(1)


def test_a_lost_answer_to_a_commit_that_another_runner_has_won_is_no_commit() -> None:
    storage = LosingAnswers([])
    log = opened(storage)
    opened(storage)
    storage.happens = [False]
    with pytest.raises(FencedError):
        log.append(at(1))


def test_a_store_that_never_answers_is_transient() -> None:
    storage = LosingAnswers([])
    log = opened(storage)
    storage.happens = [False] * 99
    with pytest.raises(TransientStreamError, match="memory://lake: commit 2 got no answer 8 times"):
        log.append(at(1))


def test_two_that_start_at_once_do_not_both_get_the_claim() -> None:
    storage = MemoryStorage("lake")
    first, second = log_of(storage), log_of(storage)
    real: Callable[..., Any] = storage.create

    def overtaken(name: str, data: bytes) -> bool:
        storage.create = real  # type: ignore[method-assign]
        second.open()
        return bool(real(name, data))

    storage.create = overtaken  # type: ignore[method-assign]
    with pytest.raises(FencedError):
        first.open()
    assert second.next_seq == 2


def test_a_gap_in_the_log_stops_the_stream() -> None:
    storage = MemoryStorage("lake")
    for _ in range(3):
        opened(storage)
    storage.delete(manifest_name(2))
    with pytest.raises(FatalStreamError) as caught:
        opened(storage)
    assert str(caught.value) == (
        "memory://lake/_arcane/log/00000000000000000002.json is missing from the commit log: restore it from a backup"
    )


def test_a_foreign_object_in_the_log_is_named() -> None:
    storage = MemoryStorage("lake")
    storage.create("_arcane/log/notes.txt", b"hello")
    with pytest.raises(FatalStreamError, match=r"_arcane/log/notes.txt does not belong into a commit log"):
        opened(storage)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"seq": 1}', b"\xff\xfe", b'{"seq": "one"}'], ids=repr)
def test_an_unreadable_entry_is_named_and_never_guessed(content: bytes) -> None:
    storage = MemoryStorage("lake")
    storage.create(manifest_name(1), content)
    with pytest.raises(FatalStreamError) as caught:
        opened(storage)
    assert str(caught.value).startswith(
        "memory://lake/_arcane/log/00000000000000000001.json is not a readable commit record ("
    )


def test_an_entry_whose_rows_do_not_add_up_is_refused() -> None:
    storage = MemoryStorage("lake")
    opened(storage)
    content = json.loads(storage.read(manifest_name(1)))
    storage.replace(manifest_name(1), json.dumps({**content, "rows_in": 5}).encode())
    with pytest.raises(FatalStreamError, match="rows_in is not the sum of its parts' rows"):
        opened(storage)


def test_an_entry_under_a_wrong_number_is_refused() -> None:
    storage = MemoryStorage("lake")
    opened(storage)
    storage.create(manifest_name(2), storage.read(manifest_name(1)))
    with pytest.raises(FatalStreamError, match=r"00000000000000000002.json says that it is 1"):
        opened(storage)


def test_an_entry_that_was_changed_later_is_found_when_it_is_rolled_forward() -> None:
    storage = MemoryStorage("lake")
    log = opened(storage)
    for n in range(2):
        log.append(at(n), [staged(storage, log.next_seq)])
    changed = json.loads(storage.read(manifest_name(2)))
    storage.replace(manifest_name(2), json.dumps({**changed, "writer": "someone"}).encode())
    with pytest.raises(FatalStreamError, match=r"00000000000000000002.json was changed after it was committed"):
        opened(storage)


def test_a_committed_part_that_is_gone_stops_the_stream_and_is_named() -> None:
    storage = MemoryStorage("lake")
    log = opened(storage)
    part = staged(storage, log.next_seq)
    log.append(at(1), [part])
    storage.abort(part.handle)
    with pytest.raises(FatalStreamError) as caught:
        opened(storage)
    assert str(caught.value) == (
        f"memory://lake/{part.path} was committed (2, 2 rows) but is neither staged nor there with its size: "
        f"restore it from a backup, or go on without its rows after arcane state --accept-loss {part.path}"
    )


def test_a_runner_whose_part_has_been_removed_by_its_successor_is_fenced_not_failed() -> None:
    storage = MemoryStorage("lake")
    log = opened(storage)
    manifest = log.append(at(1), [staged(storage, log.next_seq)])
    opened(storage)
    storage.delete(manifest.parts[0].path)
    with pytest.raises(FencedError, match="has taken over"):
        log.publish(manifest)


def test_a_start_reads_what_is_unfinished_and_not_the_whole_log() -> None:
    class Counting(MemoryStorage):
        reads = 0

        def read(self, name: str) -> bytes:
            self.reads += 1
            return super().read(name)

    storage = Counting("lake")
    log = opened(storage)
    for n in range(50):
        log.publish(log.append(at(n), [staged(storage, log.next_seq)]))
    storage.reads = 0
    opened(storage)
    assert storage.reads == 2


def test_the_state_tells_commits_position_and_parts() -> None:
    storage = MemoryStorage("lake")
    log = opened(storage)
    part = staged(storage, log.next_seq)
    log.publish(log.append(at(7), [part]))
    state = StreamState(storage)
    assert [(commit.seq, len(commit.parts)) for commit in state.commits()] == [(1, 0), (2, 1)]
    assert state.position() == at(7)
    assert [found.path for found in state.parts()] == [part.path]


def test_verification_finds_a_missing_a_changed_and_an_uncommitted_part() -> None:
    storage = MemoryStorage("lake")
    log = opened(storage)
    gone, changed = staged(storage, log.next_seq), staged(storage, log.next_seq)
    log.publish(log.append(at(7), [gone, changed]))
    storage.delete(gone.path)
    storage.replace(changed.path, b"other rows")
    stray = f"data/{part_name(9, 0, 'abcdefg', '.json')}"
    storage.create(stray, b"{}")
    assert {problem.path: problem.text for problem in StreamState(storage).verify()} == {
        gone.path: "is missing (2 rows, 4 bytes); the next start publishes it if it is staged",
        changed.path: "has 10 bytes instead of 4",
        stray: "was not committed by this stream",
    }


def test_a_stream_that_never_ran_has_an_empty_state() -> None:
    state = StreamState(MemoryStorage("lake"))
    assert (state.newest(), state.position(), list(state.parts()), list(state.verify())) == (None, Position(), [], [])

"""Checkpoints: what a start costs however old the log is, what is deleted, and what late runners find."""

import hashlib
import json
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcane_framework import ConfigurationError, FatalStreamError, FencedError, Position, StreamIdentity
from arcane_framework._core.errors import OutcomeUnknownError, TransientStreamError
from arcane_framework._core.storage import StoredObject
from arcane_framework.commits import Manifest, Part, StreamState, layout
from arcane_framework.commits.log import CommitLog
from arcane_framework.hosting.logging import make_logger
from arcane_framework.storage import MemoryStorage
from arcane_framework.testing.virtual_clock import VirtualClock

HINT = layout.CHECKPOINT_HINT


class Watched(MemoryStorage):
    """Counts what is asked for, and fails at a chosen change."""

    def __init__(self) -> None:
        super().__init__("lake")
        self.read_names: list[str] = []
        self.listed = 0
        self.changes = 0
        self.fails_at = -1
        self.error: Exception = TransientStreamError("the server fails at the moment")

    def read(self, name: str) -> bytes:
        self.read_names.append(name)
        return super().read(name)

    def list(self, prefix: str = "", *, starting: str = "") -> Iterator[StoredObject]:
        for found in super().list(prefix, starting=starting):
            self.listed += 1
            yield found

    def create(self, name: str, data: bytes) -> bool:
        self._change()
        return super().create(name, data)

    def replace(self, name: str, data: bytes) -> None:
        self._change()
        super().replace(name, data)

    def delete_all(self, names: Iterable[str]) -> None:
        for name in names:
            self._change()
            self.delete(name)

    def _change(self) -> None:
        self.changes += 1
        if self.changes == self.fails_at:
            raise self.error


def log_of(storage: MemoryStorage) -> CommitLog:
    return CommitLog(
        storage, StreamIdentity("orders", "Orders"), "abcdefg", VirtualClock(), make_logger(level="critical")
    )


def opened(storage: MemoryStorage) -> CommitLog:
    log = log_of(storage)
    log.open()
    return log


def commit(log: CommitLog, storage: MemoryStorage, number: int) -> Manifest:
    path = f"data/{layout.part_name(log.next_seq, 0, 'abcdefg', '.json')}"
    upload = storage.stage(path)
    upload.write(b"%d" % number)
    part = Part(path=path, handle=dict(upload.finish()), rows=1, bytes=len(b"%d" % number), sha256="")
    manifest = log.append(Position(stream={"n": number}), [part])
    log.publish(manifest)
    log.compact()
    return manifest


def grown(storage: MemoryStorage, commits: int, starts: int = 1) -> CommitLog:
    """A log with so many commits, made by several runs."""
    log = opened(storage)
    for number in range(commits):
        if number and number % (commits // starts) == 0:
            log = opened(storage)
        commit(log, storage, number)
    return log


def entries(storage: MemoryStorage) -> list[int]:
    seqs = (layout.manifest_seq(found.name) for found in storage.list(layout.LOG))
    return sorted(seq for seq in seqs if seq is not None)


def rows(storage: MemoryStorage) -> list[int]:
    return [int(storage.read(found.name)) for found in storage.list("data")]


def test_a_start_reads_a_few_objects_however_many_commits_there_are() -> None:
    storage = Watched()
    grown(storage, 10_000, starts=40)
    storage.read_names, storage.listed = [], 0
    log = opened(storage)
    assert log.position == Position(stream={"n": 9_999})
    assert len(storage.read_names) == 2, storage.read_names
    assert storage.listed < 320


def test_what_is_behind_a_checkpoint_and_below_the_claim_is_deleted_but_for_the_first_of_each_run() -> None:
    storage = MemoryStorage("lake")
    grown(storage, 150)
    assert entries(storage) == [*range(1, 152)]
    log = opened(storage)
    for number in range(150, 300):
        commit(log, storage, number)
    # 1 is the first of the first block and run; 152 is the second run's claim, above which it deletes nothing.
    assert entries(storage) == [1, *range(100, 303)]
    log = opened(storage)
    for number in range(300, 500):
        commit(log, storage, number)
    assert entries(storage) == [1, 100, 152, 200, *range(300, 504)]


def test_the_state_tells_everything_from_the_checkpoints() -> None:
    storage = MemoryStorage("lake")
    grown(storage, 450, starts=3)
    state = StreamState(storage)
    commits = list(state.commits())
    assert [entry.seq for entry in commits] == [*range(1, 454)]
    assert [part.rows for part in state.parts()] == [1] * 450
    assert list(state.verify()) == []
    assert state.newest() == commits[-1]
    previous = [hashlib.sha256(entry.to_bytes()).hexdigest() for entry in commits]
    assert [entry.previous for entry in commits] == ["", *previous[:-1]]


def test_a_checkpoint_holds_the_entries_as_they_were() -> None:
    storage = MemoryStorage("lake")
    log = opened(storage)
    stored = []
    for number in range(101):
        stored.append(storage.read(layout.manifest_name(log.next_seq - 1)).decode())
        commit(log, storage, number)
    block = layout.Block(0)
    assert json.loads(storage.read(block.checkpoint)) == {"first": 1, "last": 99, "entries": stored[:99]}


@pytest.mark.parametrize(
    "hint", [None, b"", b"{}", b'{"last": 0}', b'{"last": -7, "cleaned": -7}', b'{"last": 9999}', b'{"last": 99}']
)
def test_a_hint_that_is_gone_old_or_wrong_costs_a_listing_and_nothing_else(hint: bytes | None) -> None:
    storage = MemoryStorage("lake")
    grown(storage, 350, starts=2)
    if hint is None:
        storage.delete(HINT)
    else:
        storage.replace(HINT, hint)
    log = opened(storage)
    assert log.position == Position(stream={"n": 349})
    commit(log, storage, 350)
    assert rows(storage) == [*range(351)]


class Behind(MemoryStorage):
    """Shows what a storage was like, until something is written to it."""

    def __init__(self, real: MemoryStorage) -> None:
        super().__init__("lake")
        self._real = real
        for found in real.list():
            super().replace(found.name, real.read(found.name))

    def create(self, name: str, data: bytes) -> bool:
        self._shelf = self._real._shelf
        return super().create(name, data)


def test_a_runner_that_was_frozen_before_its_claim_and_finds_its_number_deleted_is_fenced() -> None:
    storage = MemoryStorage("lake")
    log = grown(storage, 40)
    late = log_of(Behind(storage))
    commit(log, storage, 40)
    commit(log, storage, 41)
    grown(storage, 300, starts=2)
    before = list(StreamState(storage).commits())
    assert storage.stat(layout.manifest_name(42)) is None
    with pytest.raises(FencedError) as caught:
        late.open()
    assert str(caught.value) == "memory://lake: other runners have committed beyond 42 while this one started"
    assert list(StreamState(storage).commits()) == before
    assert opened(storage).position == before[-1].position


def test_a_runner_that_was_frozen_for_long_finds_its_number_taken() -> None:
    storage = MemoryStorage("lake")
    for before in (3, 97, 98, 99, 120):
        late = opened(storage)
        for number in range(before):
            commit(late, storage, number)
        grown(storage, 400, starts=2)
        with pytest.raises(FencedError):
            late.append(Position(stream={"n": -1}))


def test_a_commit_whose_answer_was_lost_and_that_was_compacted_meanwhile_is_settled() -> None:
    storage = Watched()
    log = opened(storage)
    before = commit(log, storage, 0)

    real_create = storage.create

    def lose_the_answer(name: str, data: bytes) -> bool:
        real_create(name, data)
        storage.create = real_create  # type: ignore[method-assign]
        # Frozen: meanwhile others make hundreds of commits and delete this entry.
        grown(storage, 400, starts=3)
        assert storage.stat(name) is None
        raise OutcomeUnknownError("the answer was lost")

    storage.create = lose_the_answer  # type: ignore[method-assign]
    manifest = log.append(Position(stream={"n": 1}))
    assert manifest.seq == before.seq + 1
    with pytest.raises(FencedError):
        log.append(Position(stream={"n": 2}))
    assert [entry for entry in StreamState(storage).commits() if entry.seq == manifest.seq] == [manifest]


@settings(max_examples=60, deadline=None)
@given(fails_at=st.integers(0, 230), unknown=st.booleans(), starts=st.integers(1, 4))
def test_a_compaction_that_fails_anywhere_is_made_good_later(fails_at: int, unknown: bool, starts: int) -> None:
    storage = Watched()
    log = grown(storage, 190)
    log = opened(storage)
    storage.changes, storage.fails_at = 0, fails_at
    if unknown:
        storage.error = OutcomeUnknownError("the answer was lost")
    number = 190
    while number < 420:
        try:
            if number % (230 // starts) == 0:
                log = opened(storage)
            commit(log, storage, number)
            number += 1
        except TransientStreamError:
            # A commit or a claim has failed and not the compaction: as a restart does, go on from what is stored.
            log = opened(storage)
            stream = log.position.stream
            assert stream is not None
            number = stream["n"] + 1
    assert rows(storage) == [*range(420)]
    assert list(StreamState(storage).verify()) == []
    assert opened(storage).position == Position(stream={"n": 419})


def test_a_runner_whose_entries_were_compacted_by_others_is_fenced_not_failed() -> None:
    storage = MemoryStorage("lake")
    grown(storage, 60)
    late = opened(storage)
    for number in range(60, 98):
        late.publish(late.append(Position(stream={"n": number})))
    grown(storage, 300, starts=2)
    late.compact()
    with pytest.raises(FencedError):
        late.append(Position(stream={"n": -1}))


def test_a_store_that_refuses_deletions_does_not_end_the_run() -> None:
    storage = Watched()
    grown(storage, 120)
    log = opened(storage)
    refused = 0

    def refuse(names: Iterable[str]) -> None:
        nonlocal refused
        refused += 1
        raise ConfigurationError("memory://lake: cannot delete: access is denied")

    storage.delete_all = refuse  # type: ignore[method-assign]
    for number in range(120, 330):
        commit(log, storage, number)
    assert refused == 2
    assert rows(storage) == [*range(330)]


def test_refused_deletions_do_not_make_starts_dearer() -> None:
    storage = Watched()

    def refuse(names: Iterable[str]) -> None:
        raise ConfigurationError("memory://lake: cannot delete: access is denied")

    storage.delete_all = refuse  # type: ignore[method-assign]
    grown(storage, 1000, starts=10)
    storage.listed = 0
    opened(storage)
    assert storage.listed < 320


@pytest.mark.parametrize("damage", [b'{"broken": ', b"\xff\xfe"])
def test_a_damaged_entry_gets_into_no_checkpoint_and_ends_no_run(damage: bytes) -> None:
    storage = MemoryStorage("lake")
    grown(storage, 60)
    name = layout.manifest_name(30)
    good = storage.read(name)
    storage.replace(name, damage)
    log = opened(storage)
    for number in range(60, 130):
        commit(log, storage, number)
    assert storage.stat(layout.Block(0).checkpoint) is None
    storage.replace(name, good)
    commit(log, storage, 130)
    assert storage.stat(layout.Block(0).checkpoint) is not None
    assert rows(storage) == [*range(131)]
    assert list(StreamState(storage).verify()) == []


def test_an_entry_of_another_log_gets_into_no_checkpoint() -> None:
    storage, other = MemoryStorage("lake"), MemoryStorage("other")
    grown(storage, 60)
    grown(other, 60)
    storage.replace(layout.manifest_name(30), other.read(layout.manifest_name(30)))
    log = opened(storage)
    for number in range(60, 130):
        commit(log, storage, number)
    assert storage.stat(layout.Block(0).checkpoint) is None


def test_a_checkpoint_of_no_block_is_a_stranger() -> None:
    storage = MemoryStorage("lake")
    grown(storage, 10)
    stranger = f"{layout.LOG}/{57:020}.checkpoint.json"
    storage.create(stranger, b"{}")
    with pytest.raises(FatalStreamError, match=rf"{stranger} does not belong into a commit log: move it away$"):
        opened(storage)


def test_a_loss_that_is_accepted_too_late_is_told() -> None:
    storage = MemoryStorage("lake")
    log = opened(storage)
    for number in range(20):
        commit(log, storage, number)
    before = StreamState(storage).newest()
    assert before is not None
    for number in range(20, 150):
        commit(log, storage, number)
    grown(storage, 250)
    assert storage.stat(layout.manifest_name(before.seq + 1)) is None
    with pytest.raises(FencedError):
        log_of(storage).accept_loss(before, ["data/part-1"])


def test_a_gap_behind_the_checkpoints_stops_the_stream() -> None:
    for missing in (200, 205, 299, 303):
        storage = MemoryStorage("lake")
        grown(storage, 305)
        storage.delete(layout.Block(2).checkpoint)
        storage.replace(HINT, b'{"last": 199}')
        storage.delete(layout.manifest_name(missing))
        with pytest.raises(FatalStreamError, match=rf"{missing}\.json is missing from the commit log: restore it"):
            opened(storage)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"first": 1, "last": 99, "entries": []}', b'{"entries": ["x"]}'])
def test_an_unreadable_checkpoint_is_named_and_never_guessed(content: bytes) -> None:
    storage = MemoryStorage("lake")
    grown(storage, 120)
    storage.replace(layout.Block(0).checkpoint, content)
    with pytest.raises(FatalStreamError, match=r"00099\.checkpoint\.json .*: restore it from a backup$"):
        list(StreamState(storage).commits())


def test_a_log_without_checkpoints_gets_them_one_after_the_other() -> None:
    storage = Watched()
    log = opened(storage)
    for number in range(350):
        log.publish(log.append(Position(stream={"n": number})))
    log = opened(storage)
    for number in range(350, 353):
        commit(log, storage, number)
    assert [layout.Block(n).checkpoint for n in range(3)] == [
        found.name for found in storage.list(layout.LOG) if found.name.endswith(".checkpoint.json")
    ]
    assert opened(storage).position == Position(stream={"n": 352})

"""Commits of the part sinks that go on while what comes next is encoded and staged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arcane_framework import Grouping, Wait
from arcane_framework._core.errors import FencedError, TransientStreamError
from arcane_framework.commits import StreamState
from arcane_framework.sinks import JsonLinesSink
from arcane_framework.sinks.committer import IN_FLIGHT
from arcane_framework.storage import LocalStorage
from tests.core.graphs import Run, Script, numbers
from tests.sinks.test_part_sinks import values

FOREVER = Wait(None)
CLAIM = 1


class SlowLog(LocalStorage):
    """A log whose entries take their time; `rule` is asked before each of them, the claim excepted."""

    rule: Callable[[int], None]

    def create(self, name: str, data: bytes) -> bool:
        if name.startswith("_arcane/log/") and not name.endswith(f"{CLAIM:020}.json"):
            self.rule(int(Path(name).stem))
        return super().create(name, data)


def started(folder: Path, *steps: Any, seconds: float = 0, failing: int | None = None) -> Run:
    """A run whose commits take `seconds` each, and of which the entry `failing` cannot be created."""
    storage = SlowLog(folder)
    run = Run(Script(steps), JsonLinesSink(storage, grouping=Grouping(rows=5)), begin=False)

    def rule(seq: int) -> None:
        run.clock.wait_for(lambda: False, until=run.clock.monotonic() + seconds)
        if seq == failing:
            raise TransientStreamError("the lake is not there")

    storage.rule = rule
    run.begin()
    return run


def staged(folder: Path) -> int:
    return len(list((folder / "s/_arcane/stage").iterdir()))


def committed(folder: Path) -> list[int]:
    """The numbers of the entries with parts."""
    return [commit.seq for commit in StreamState(LocalStorage(folder / "s")).commits() if commit.parts]


def test_what_comes_next_is_staged_while_commits_are_under_way(tmp_path: Path) -> None:
    run = started(tmp_path, *(numbers(5 * n, 5 * n + 5, n) for n in range(9)), FOREVER, seconds=10)
    # Two commits, and one part more whose commit has to wait for the first of them.
    assert (staged(tmp_path), committed(tmp_path)) == (IN_FLIGHT + 1, [])
    run.advance(10)
    assert (staged(tmp_path), committed(tmp_path)) == (IN_FLIGHT + 1, [2])
    assert values(tmp_path / "s/data") == [*range(5)]
    run.advance(80)
    assert (staged(tmp_path), committed(tmp_path)) == (0, [*range(2, 11)])
    assert run.stop().rows == 45
    assert values(tmp_path / "s/data") == [*range(45)]


def test_a_stop_waits_for_the_commits_that_are_under_way(tmp_path: Path) -> None:
    run = started(tmp_path, numbers(0, 5, 0), numbers(5, 10, 1), FOREVER, seconds=10)
    run.kill_switch.stop()
    run.advance(10)
    assert not run.result.done()
    run.advance(10)
    assert run.end().rows == 10
    assert values(tmp_path / "s/data") == [*range(10)]


def test_nothing_is_committed_behind_a_commit_that_has_failed(tmp_path: Path) -> None:
    run = started(tmp_path, *(numbers(5 * n, 5 * n + 5, n) for n in range(9)), FOREVER, seconds=10, failing=3)
    run.advance(30)
    with pytest.raises(TransientStreamError, match=r"^the lake is not there$"):
        run.end()
    assert committed(tmp_path) == [2]
    assert values(tmp_path / "s/data") == [*range(5)]


def test_a_commit_that_fails_ends_a_stream_that_has_nothing_else_to_do(tmp_path: Path) -> None:
    run = started(tmp_path, numbers(0, 5, 0), FOREVER, seconds=10, failing=2)
    assert not run.result.done()
    run.advance(10)
    with pytest.raises(TransientStreamError, match=r"^the lake is not there$"):
        run.end()


def test_an_error_of_the_source_does_not_undo_commits_that_are_under_way(tmp_path: Path) -> None:
    run = started(tmp_path, numbers(0, 5, 0), numbers(5, 10, 1), OSError("the source is gone"), seconds=10)
    run.advance(20)
    with pytest.raises(OSError, match=r"^the source is gone$"):
        run.end()
    assert values(tmp_path / "s/data") == [*range(10)]
    assert staged(tmp_path) == 0


def test_the_next_start_removes_what_was_staged_for_commits_that_never_came(tmp_path: Path) -> None:
    steps = [numbers(5 * n, 5 * n + 5, n) for n in range(9)]
    frozen = started(tmp_path, *steps, FOREVER, seconds=1000)
    frozen.advance(3000)
    assert staged(tmp_path) == IN_FLIGHT + 1
    successor = started(tmp_path, numbers(15, 20, 3), FOREVER)
    assert staged(tmp_path) == 0
    assert successor.stop().rows == 5
    frozen.advance(1000)
    with pytest.raises(FencedError, match="another runner"):
        frozen.end()
    assert values(tmp_path / "s/data") == [*range(20)]

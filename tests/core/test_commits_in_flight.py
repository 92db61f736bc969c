"""Sinks whose `commit` gives a future."""

from concurrent.futures import Future
from typing import Any

import pytest

from arcane_framework import Position, Wait
from arcane_framework._core.sink import Committed
from tests.core.graphs import Recorder, Run, Script, numbers

FOREVER = Wait(None)


class Later(Recorder):
    """Commits by futures that the test ends."""

    def __init__(self) -> None:
        super().__init__()
        self.futures: list[Future[Committed]] = []

    def commit(self, position: Position) -> Any:
        super().commit(position)
        self.futures.append(Future())
        return self.futures[-1]


def test_a_run_lets_its_sink_commit_in_the_background() -> None:
    sink = Recorder()
    Run(Script([FOREVER]), sink).stop()
    assert sink.run is not None
    assert sink.run.background


def test_the_source_goes_on_and_commits_are_counted_when_they_are_done_in_their_order() -> None:
    sink = Later()
    run = Run(Script([numbers(0, 10, 1), numbers(10, 20, 2), FOREVER]), sink)
    first, second = sink.futures
    run.kill_switch.stop()
    second.set_result(Committed(parts=2, nbytes=20))
    run.advance(0)
    assert not run.result.done()
    first.set_result(Committed(parts=1, nbytes=10))
    summary = run.end()
    assert (summary.rows, summary.parts, summary.nbytes) == (20, 3, 30)
    assert sink.closed == 1


def test_the_error_of_a_commit_ends_a_run_that_waits() -> None:
    sink = Later()
    run = Run(Script([numbers(0, 10, 1), FOREVER]), sink)
    sink.futures[0].set_exception(OSError("the lake is gone"))
    with pytest.raises(OSError, match=r"^the lake is gone$"):
        run.end()
    assert sink.closed == 1


def test_the_error_of_a_commit_ends_a_run_that_is_being_stopped() -> None:
    sink = Later()
    run = Run(Script([numbers(0, 10, 1), FOREVER]), sink)
    run.kill_switch.stop()
    sink.futures[0].set_exception(OSError("the lake is gone"))
    with pytest.raises(OSError, match=r"^the lake is gone$"):
        run.end()


def test_the_error_of_the_source_waits_for_commits_and_goes_before_theirs() -> None:
    sink = Later()
    run = Run(Script([numbers(0, 10, 1), numbers(10, 20, 2), ValueError("no more")]), sink)
    assert not run.result.done()
    sink.futures[0].set_result(Committed(parts=1, nbytes=10))
    sink.futures[1].set_exception(OSError("the lake is gone"))
    with pytest.raises(ValueError, match=r"^no more$"):
        run.end()
    assert sink.closed == 1

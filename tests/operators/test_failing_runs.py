"""A run that fails in one place ends its threads in all others."""

from collections.abc import Callable, Iterator

import pytest

from arcane_framework import Batch, KillSwitch, Source, TransientStreamError, Wait, Watermark
from arcane_framework.operators import gather, prefetch
from tests.core.graphs import NUMBERS, Recorder, Run, Script, numbers


class Retrying(Source):
    """Waits inside a call, as a retry does."""

    schema = NUMBERS

    def __init__(self, kill_switch: Callable[[], KillSwitch]) -> None:
        self.kill_switch = kill_switch
        self.closed = False

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        try:
            yield numbers(0, 3, 3)
            self.kill_switch().wait(3600)
        finally:
            self.closed = True


def test_a_source_that_waits_for_a_retry_ends_when_another_part_fails() -> None:
    runs: list[Run] = []
    retrying = Retrying(lambda: runs[0].kill_switch)
    failing = Script([Wait(5), TransientStreamError("gone")])
    runs.append(Run(gather([retrying, failing], 1000), Recorder(), begin=False))
    runs[0].begin()
    runs[0].advance(5)
    with pytest.raises(TransientStreamError, match="gone"):
        runs[0].end()
    assert retrying.closed
    assert not runs[0].kill_switch.stopped


def test_a_source_that_waits_for_a_retry_behind_a_prefetch_ends_when_the_sink_fails() -> None:
    runs: list[Run] = []
    retrying = Retrying(lambda: runs[0].kill_switch)
    sink = Recorder()
    sink.fail_on = "commit"
    runs.append(Run(retrying, sink, prefetch(1000), begin=False))
    runs[0].begin()
    runs[0].advance(5)
    with pytest.raises(OSError, match="commit failed"):
        runs[0].end()
    assert retrying.closed

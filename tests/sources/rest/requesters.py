"""Requesters over a script, for tests of one part."""

from arcane_framework._core.kill_switch import KillSwitch
from arcane_framework._core.services import NoMetrics
from arcane_framework.hosting.logging import make_logger
from arcane_framework.http import HttpSettings, Requester
from arcane_framework.testing import ScriptedHttp, VirtualClock


def requester_of(http: ScriptedHttp, clock: VirtualClock, url: str) -> Requester:
    """A requester without a limit of its own."""
    return Requester(
        http.client(),
        clock=clock,
        wait=KillSwitch(clock).wait,
        log=make_logger(),
        metrics=NoMetrics(),
        settings=HttpSettings(timeout=30.0),
        trusted=[url],
        limiter=None,
        authorization=None,
    )

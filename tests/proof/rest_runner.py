"""The ready-made kinds as the proof runs them: `python -m arcane_framework.run tests.proof.rest_runner:host`.

The builder is the product's own. Beside the disk with its faults and faults at requests it gets a source whose
clock moves from window to window, so that every run reads the same windows.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import cache

import httpx2

from arcane_framework import Services, Source
from arcane_framework._core.clock import Clock, SystemClock
from arcane_framework._core.graph import RunnableGraph, Stream
from arcane_framework.hosting import StreamHost
from arcane_framework.plugins.rest_api import RestApiContext, RestApiStream
from tests.proof import rest_red_controls
from tests.proof.faults import HTTP, Fault, act, read_fault
from tests.proof.rest_windows import BACKFILL_END, INSTANTS
from tests.proof.runner import FAULT, RED_CONTROL, with_faults

SPEED = "PROOF_SPEED"


class HastyClock(SystemClock):
    """Time that goes faster where the environment says so: the waits before repetitions are of no interest."""

    def monotonic(self) -> float:
        return time.monotonic() * _speed()

    def wait_for(self, predicate: Callable[[], bool], until: float | None = None) -> bool:
        seconds = None if until is None else max(0.0, until - self.monotonic()) / _speed()
        with self._condition:
            return self._condition.wait_for(predicate, seconds)


class WindowClock(Clock):
    """The clock of a source: it is always at the end of a window, and at that of the next one when it is asked again.

    At its end the process gets SIGTERM. The thread that fetches does not move it: it needs the time to repeat a
    request. All but the wall time is another clock's.

    Args:
        clock: The other one.
        instants: The ends of the windows.
    """

    def __init__(self, clock: Clock, instants: tuple[datetime, ...]) -> None:
        super().__init__()
        self._clock = clock
        self._instants = instants
        self._asked = 0

    def now(self) -> datetime:
        if threading.current_thread().name != "arcane-fetch":
            self._asked += 1
            if self._asked > len(self._instants):
                os.kill(os.getpid(), signal.SIGTERM)
        return self._instants[max(0, min(self._asked, len(self._instants)) - 1)]

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def wait_for(self, predicate: Callable[[], bool], until: float | None = None) -> bool:
        return self._clock.wait_for(predicate, until)

    def spawn(self, target: Callable[[], None], name: str) -> threading.Thread:
        return self._clock.spawn(target, name)

    @contextmanager
    def changing(self) -> Iterator[None]:
        with self._clock.changing():
            yield


class ProofRestStream(RestApiStream):
    """The product's builder; its source has a clock of its own, and nothing else has."""

    def build_graph(self, context: RestApiContext) -> RunnableGraph:
        self._services_of_graph = self.services
        # A stream asks once more, at its start, for how far it looks back.
        ends = (BACKFILL_END,) if context.is_backfilling else (INSTANTS[1], *INSTANTS[1:])
        self.services = replace(self.services, clock=WindowClock(self.services.clock, ends))
        return super().build_graph(context)

    def start(self, source: Source) -> Stream:
        self.services = self._services_of_graph
        return super().start(source)


class _RequestFaults:
    """Kills or freezes the process at one data request: before it is sent, or when the answer's head has come."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._asked = 0
        self._answered = 0

    def before(self, request: httpx2.Request) -> None:
        if _is_data(request):
            self._asked += 1
            if self._fault.when == "before" and self._asked == self._fault.nth + 1:
                act(self._fault)

    def after(self, response: httpx2.Response) -> None:
        if _is_data(response.request):
            self._answered += 1
            if self._fault.when == "after" and self._answered == self._fault.nth + 1:
                act(self._fault)


def warm_up() -> None:
    """In the process that runners are forked from: thousands need not read the authorities' certificates each."""
    httpx2.create_ssl_context = cache(httpx2.create_ssl_context)
    httpx2.create_ssl_context()


def _services(services: Services) -> Services:
    rest_red_controls.apply(os.environ.get(RED_CONTROL, ""))
    services = with_faults(services)
    text = os.environ.get(FAULT)
    fault = read_fault(text) if text else None
    if fault is None or fault.operation != HTTP:
        return services
    faults, make = _RequestFaults(fault), services.http

    def client() -> httpx2.Client:
        made = make()
        made.event_hooks = {"request": [faults.before], "response": [faults.after]}
        return made

    return replace(services, http=client)


def _is_data(request: httpx2.Request) -> bool:
    return not request.url.path.endswith("/token-endpoint")


def _speed() -> float:
    return float(os.environ.get(SPEED, "1"))


host = StreamHost(ProofRestStream, services=_services, clock=HastyClock(), fenced_pause=(0.0, 0.05))

"""REST streams that are stopped and killed in every state: exit codes, what is kept, and where the next run begins."""

import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pytest

from tests.rest_api import Fault, RunningApi, Script, Table, TokenAuth, serve
from tests.runner.processes import Running, Stream
from tests.runner.rest_streams import (
    HEADERS,
    OFFSET,
    PAGED_DYNAMIC,
    PAGED_FIXED,
    PAGED_PATHS,
    TOKEN,
    TOKEN_FIELDS,
    ApiPath,
    Here,
    RestStream,
    wait_until,
    windows,
)

FEW = Table(rows=35)
MANY = Table(rows=800)
HOUR = 3600
END_SECONDS = 3.0
"""Within which a stream has ended after a signal, on a busy machine."""

ALL_AT_ONCE: Mapping[str, Any] = MappingProxyType(
    {"lookBackInterval": "20000 days", "changeCaptureIntervalSeconds": HOUR}
)


@dataclass(frozen=True, slots=True)
class State:
    """A state of a stream, and how a test brings it there.

    Attributes:
        reached: Waits for it.
        faults: Of the server.
        spec: Changes of the spec.
        kind: Of the stream.
        rows: How many have been committed when it is told to stop there; None: any number.
        table: What the server has.
    """

    reached: Callable[[Running | Here, RunningApi], object]
    faults: tuple[Fault, ...] = ()
    spec: Mapping[str, Any] = field(default_factory=dict)
    kind: str = PAGED_FIXED
    rows: int | None = 10
    table: Table = FEW

    def script(self, **settings: Any) -> Script:
        """A server that wants what such a stream sends."""
        own: dict[str, Any] = {"headers": HEADERS}
        if self.kind == PAGED_DYNAMIC:
            own = {"token": TokenAuth(fields=TOKEN_FIELDS)}
        return Script(**{"table": self.table, **own, **settings})


def event(name: str, times: int = 1) -> Callable[[Running | Here, RunningApi], object]:
    return lambda running, api: [running.wait_for(name) for _ in range(times)]


def requests(number: int) -> Callable[[Running | Here, RunningApi], object]:
    return lambda running, api: api.wait_for_requests(number)


STATES = {
    "before the first request": State(event("starting"), (Fault(action="hang"),), rows=0),
    "waiting for the rate": State(event("committed"), spec={"internalRateLimitInterval": HOUR * 1000}),
    "in a request": State(requests(2), (Fault(action="hang", page=2),), {"httpTimeout": HOUR}),
    "in a slow body": State(requests(2), (Fault(action="drip", page=2, seconds=0.05),), {"httpTimeout": HOUR}),
    "waiting for another try": State(
        event('reason":"HTTP status 503 (Service Unavailable)'),
        (Fault(page=2, headers={"Retry-After": str(HOUR)}),),
        {"retrySeconds": 2 * HOUR},
    ),
    "in a token request": State(
        lambda _, api: wait_until(lambda: len(api.journal("token")) == 1, lambda: "no token request"),
        (Fault(action="hang", target="token"),),
        {"httpTimeout": HOUR},
        PAGED_DYNAMIC,
        0,
    ),
    "reading, parsing and writing": State(event("committed", 3), rows=None, table=MANY),
}


def stopped_in(state: State, rest: RestStream, api: RunningApi, backfill: bool, as_process: bool) -> None:
    folder = "backfill" if backfill else "data"
    settings: dict[str, Any] = {"backfill": backfill, "spec": state.spec}
    with (rest.start if as_process else rest.start_here)(**settings) as running:
        state.reached(running, api)
        # The page before may still be on its way through the parsers.
        wait_until(lambda: len(rest.lines(folder)) >= (state.rows or 0), lambda: f"{len(rest.lines(folder))} rows")
        sent = time.monotonic()
        ended = running.stop(signal.SIGTERM) if isinstance(running, Running) else running.stop()
        seconds = time.monotonic() - sent
    assert ended.code == (2 if backfill else 0), ended.stderr
    assert [line for line in ended.log if line["level"] == "error"] == []
    assert rest.stream.tokens() == []
    assert seconds < END_SECONDS
    rows = rest.rows(folder)
    assert rows == state.table.between()[: len(rows)]
    assert state.rows in (None, len(rows))


def reads_all_of(table: Table, rest: RestStream, backfill: bool, **settings: Any) -> None:
    """The next run delivers what the ones before have not."""
    folder = "backfill" if backfill else "data"
    with rest.start_here(backfill=backfill, **settings) as running:
        if not backfill:
            wait_until(lambda: len(rest.rows(folder)) >= table.rows, lambda: f"{len(rest.rows(folder))} rows")
            running.stop()
        assert running.end().code == 0
    assert rest.rows(folder) == table.between()
    assert len(rest.stream.tokens()) == (1 if backfill else 0)


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("backfill", [False, True], ids=["stream", "backfill"])
def test_a_stop_in_any_state_keeps_what_was_read_and_the_next_run_goes_on(
    stream: Stream, name: str, backfill: bool
) -> None:
    state = STATES[name]
    # A process for every state, but not in both modes.
    as_process = (list(STATES).index(name) % 2 == 1) is backfill
    with serve(state.script(faults=state.faults, page_seconds=0.005)) as api:
        rest = RestStream(stream, api.url, state.kind, changes=ALL_AT_ONCE)
        stopped_in(state, rest, api, backfill, as_process)
        api.reset(state.script())
        reads_all_of(state.table, rest, backfill, spec={"rowsPerGroup": 1000})


def test_a_stop_between_two_windows_ends_at_once(stream: Stream) -> None:
    with serve(Script(table=FEW, headers=HEADERS)) as api:
        rest = RestStream(stream, api.url, changes=ALL_AT_ONCE)
        with rest.start(backfill=False) as running:
            for _ in range(4):
                running.wait_for("committed")
            ended = running.stop(signal.SIGTERM)
        assert (ended.code, rest.rows("data")) == (0, FEW.between())
        assert len(windows(api)) == 1


def test_a_stop_while_a_connection_is_encrypted_ends_at_once(stream: Stream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        rest = RestStream(stream, f"https://127.0.0.1:{server.getsockname()[1]}", changes={"httpTimeout": HOUR})
        with rest.start_here() as running, server.accept()[0] as connection:
            assert connection.recv(1)
            sent = time.monotonic()
            ended = running.stop()
            assert time.monotonic() - sent < END_SECONDS
    assert (ended.code, [line["level"] for line in ended.log]) == (2, ["info"] * len(ended.log)), ended.stderr


PAGES = {"first": 1, "second": 2, "middle": 3, "last": 4}


@pytest.mark.parametrize("place", PAGES)
@pytest.mark.parametrize("path", PAGED_PATHS, ids=lambda path: path.name)
def test_a_backfill_that_was_killed_goes_on_at_its_page(stream: Stream, path: ApiPath, place: str) -> None:
    page = PAGES[place] + (1 if path is OFFSET and place == "last" else 0)
    with serve(Script(table=FEW, headers=HEADERS, faults=(Fault(action="hang", page=page),))) as api:
        rest = RestStream(stream, api.url, path=path)
        killed_at(page, rest, api)
        [window] = windows(api)
        asked = len(api.journal())
        reads_all_of(FEW, rest, backfill=True)
        assert [entry.page for entry in api.journal()[asked:]] == [*range(page, 6 if path is OFFSET else 5)]
        # Without a page that was kept there is no window to go on in: that of the next run ends later.
        assert (windows(api, asked) == [window]) is (page > 1)


def killed_at(page: int, rest: RestStream, api: RunningApi, **settings: Any) -> None:
    """Kill it while it waits for a page; the ones before are committed."""
    with rest.start(**settings) as running:
        for _ in range(page - 1):
            running.wait_for("committed")
        wait_until(lambda: any(e.page == page for e in api.journal()), lambda: "the page was not asked for")
        assert running.stop(signal.SIGKILL).code == -signal.SIGKILL
    assert rest.stream.tokens() == []


@pytest.mark.parametrize("path", PAGED_PATHS, ids=lambda path: path.name)
def test_a_backfill_that_was_killed_after_its_token_was_refused_goes_on_at_its_page(
    stream: Stream, path: ApiPath
) -> None:
    auth = TokenAuth(fields=TOKEN_FIELDS, valid_requests=2)
    with serve(Script(table=FEW, token=auth, faults=(Fault(action="hang", page=3),))) as api:
        rest = RestStream(stream, api.url, PAGED_DYNAMIC, path)
        killed_at(3, rest, api)
        assert [entry.status for entry in api.journal()] == [200, 200, 401, 0]
        reads_all_of(FEW, rest, backfill=True)
        resumed = api.journal()[4:]
        assert [entry.page for entry in resumed][:2] == [3, 4]
        # The third one is OFFSET's empty page, for which the second token is no longer good either.
        assert [entry.status for entry in resumed] == [200, 200, *([401, 200] if path is OFFSET else [])]
        assert resumed[0].headers["authorization"] == "Bearer issued-3"
        assert len(windows(api)) == 1


def test_pages_after_the_last_commit_are_read_again_and_their_rows_written_once(stream: Stream) -> None:
    with serve(Script(table=FEW, headers=HEADERS, faults=(Fault(action="hang", page=4),))) as api:
        rest = RestStream(stream, api.url, changes={"rowsPerGroup": 20, "groupingIntervalSeconds": HOUR})
        with rest.start() as running:
            running.wait_for("committed")
            api.wait_for_requests(4)
            running.stop(signal.SIGKILL)
        assert len(rest.rows()) == 20
        reads_all_of(FEW, rest, backfill=True)
        assert [entry.page for entry in api.journal()] == [1, 2, 3, 4, 3, 4]
        assert len(windows(api)) == 1


def test_a_streaming_window_that_was_cut_off_by_a_kill_is_read_to_its_end_before_the_next_one(stream: Stream) -> None:
    with serve(Script(table=FEW, headers=HEADERS, faults=(Fault(action="hang", page=3),))) as api:
        rest = RestStream(stream, api.url, path=TOKEN, changes=ALL_AT_ONCE)
        killed_at(3, rest, api, backfill=False)
        reads_all_of(FEW, rest, backfill=False, spec={"changeCaptureIntervalSeconds": "100 ms"})
        first, *_ = windows(api)
        assert [entry.page for entry in api.journal() if entry.parameters["to"] == first[1]] == [1, 2, 3, 3, 4]


@pytest.mark.parametrize("status", [400, 404, 410])
def test_a_page_token_that_the_api_has_forgotten_ends_the_backfill_and_names_the_remedy(
    stream: Stream, status: int
) -> None:
    with serve(Script(table=FEW, headers=HEADERS, faults=(Fault(action="hang", page=3),))) as api:
        rest = RestStream(stream, api.url, path=TOKEN)
        with rest.start_here() as running:
            running.wait_for("committed", times=2)
            assert running.stop().code == 2
        api.add_fault(Fault(page=3, status=status, times=None))
        ended = rest.run_here()
        stored = rest.position()["backfill"]["watermark"]
        window = f"{stored['from']} to {stored['to']}"
        assert (ended.code, ended.error["error"]) == (
            1,
            f"FatalStreamError: page 3 of the window {window} was refused (HTTP {status}) where an earlier run had "
            "stopped: the API no longer knows the stored page token. Nothing was skipped or read again; "
            "begin a new backfill (another STREAMCONTEXT__BACKFILL_ID, or --backfill-id)",
        )
        assert rest.rows() == FEW.between()[:20]
        # Starting it again changes nothing; a new backfill does.
        api.reset(Script(table=FEW, headers=HEADERS))
        assert rest.run_here(STREAMCONTEXT__BACKFILL_ID="new").code == 0
        assert rest.rows() == FEW.between()

"""Failures of a REST stream as cases: what happens, the exit code, the message word for word, and what is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.rest_api import Fault, RunningApi, Script, Table, TokenAuth, serve
from tests.runner.processes import Ended, Stream
from tests.runner.rest_streams import (
    COUNTER,
    HEADERS,
    PAGED_DYNAMIC,
    PAGED_FIXED,
    TOKEN_FIELDS,
    ApiPath,
    RestStream,
    without_run,
)

FEW = Table(rows=35)
PAGE_1, PAGE_2, PAGE_3 = (f"page {number} of the window WINDOW" for number in (1, 2, 3))
TOKENS = "the token request"
GET = "GET URL/counter"
AGAIN = (
    "in 1 attempt within N seconds. Check that the host is right and up; to try for longer, raise retrySeconds (now 0)"
)


@dataclass(frozen=True, slots=True)
class Case:
    """A failure.

    Attributes:
        code: The exit code.
        message: The error, with its class, WINDOW and URL.
        faults: Of the server.
        path: Is read.
        kind: Of the stream.
        spec: Changes of the spec.
        variables: Changes of the environment.
        rows: So many rows were read before, and are kept.
    """

    code: int
    message: str
    faults: tuple[Fault, ...] = ()
    path: ApiPath = COUNTER
    kind: str = PAGED_FIXED
    spec: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str | None] = field(default_factory=dict)
    rows: int = 0


def script(kind: str, **settings: Any) -> Script:
    """A server that wants what streams of `kind` send."""
    own: dict[str, Any] = {"token": TokenAuth(fields=TOKEN_FIELDS)} if kind == PAGED_DYNAMIC else {"headers": HEADERS}
    return Script(**{"table": FEW, **own, **settings})


def message(ended: Ended, api: RunningApi) -> str:
    """The one error, without what is another one in each run."""
    return without_run(ended.error["error"], api)


def check(stream: Stream, case: Case) -> None:
    """Run a backfill in which the case happens."""
    with serve(script(case.kind, faults=case.faults)) as api:
        rest = RestStream(stream, api.url, case.kind, case.path)
        ended = rest.run_here(spec=case.spec, **case.variables)
        found = (ended.code, message(ended, api))
        assert found == (case.code, case.message), found
        assert "traceback" not in ended.error
        assert len(rest.lines()) == case.rows
        assert stream.tokens() == []


def for_ever(**settings: Any) -> tuple[Fault, ...]:
    """A fault of every request that fits."""
    return (Fault(**{"times": None, **settings}),)


def failed(reason: str, what: str = f"{PAGE_2}: {GET}") -> str:
    """The message of what may be better after a restart, without another try."""
    return f"TransientStreamError: {what} failed, last with {reason}, {AGAIN}"


def refused(status: str, remedy: str, what: str = f"{PAGE_2}: {GET}") -> str:
    """The message of a status that stays."""
    return f"HttpStatusError: {what} was answered with HTTP status {status}: {remedy}"

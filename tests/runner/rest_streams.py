"""Streams of the ready-made REST kinds against a real server: as a process of their own, or on a thread of this one."""

import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

from arcane_framework.hosting import StreamHost, read_environment
from arcane_framework.http import make_client
from arcane_framework.plugins.rest_api import RestApiStream
from tests.rest_api import Row, RunningApi, encoded_schema
from tests.runner.processes import TIMEOUT, Ended, Running, Stream

FIXED = "RestApiFixedAuth"
DYNAMIC = "RestApiDynamicAuth"
PAGED_FIXED = "RestApiPagedFixedAuth"
PAGED_DYNAMIC = "RestApiPagedDynamicAuth"
KINDS = (FIXED, DYNAMIC, PAGED_FIXED, PAGED_DYNAMIC)

FORMAT = "yyyy-MM-ddTHH:mm:ss.fffZ"
START_MILLISECONDS = 1_672_531_200_000
"""The first instant of the server's table: 2023-01-01T00:00:00Z."""

HEADERS: Mapping[str, str] = {"X-Api-Key": "not-a-secret"}
TOKEN_FIELDS: Mapping[str, str] = {"user": "u"}

FROM = {"fieldType": "FILTER_DATE_BETWEEN_FROM", "fieldName": "from", "formatString": FORMAT, "placement": "URL"}
TO = {"fieldType": "FILTER_DATE_BETWEEN_TO", "fieldName": "to", "formatString": FORMAT, "placement": "URL"}
PAGE = {"fieldType": "RESPONSE_PAGE", "fieldName": "page", "formatString": "", "placement": "URL"}

_WINDOW = re.compile(r"the window \S+Z to \S+Z")


@dataclass(frozen=True, slots=True)
class ApiPath:
    """A path of the server, as a spec describes it.

    Attributes:
        name: Its last segment.
        rows_at: Its `responsePropertyKeyChain`.
        resolver: Its `pageResolverConfiguration`; None: it has no pages.
        parameter: Names the page in its query.
    """

    name: str
    rows_at: Sequence[str] = ()
    resolver: Mapping[str, Any] | None = None
    parameter: str = "page"


UNPAGED = ApiPath("unpaged")
NESTED = ApiPath("nested", ("result", "rows"))
COUNTER = ApiPath("counter", ("data", "items"), {"resolverType": "COUNTER", "resolverPropertyKeyChain": ["TotalPages"]})
OFFSET = ApiPath(
    "offset",
    ("items",),
    {"resolverType": "OFFSET", "resolverPropertyKeyChain": ["items"], "responseSize": 10},
    "offset",
)
TOKEN = ApiPath("token", ("items",), {"resolverType": "TOKEN", "resolverPropertyKeyChain": ["next"]})
PAGED_PATHS = (COUNTER, OFFSET, TOKEN)


def variables(kind: str, url: str) -> dict[str, str]:
    """The secrets of a kind, as the operator gives them."""
    if kind in (FIXED, PAGED_FIXED):
        return {"ARCANE__AUTHHEADERS": json.dumps(dict(HEADERS))}
    return {
        "ARCANE__AUTHURL": f"{url}/token-endpoint",
        "ARCANE__TOKENPROPERTYNAME": "token",
        "ARCANE__EXPIRATIONPERIODPROPERTYNAME": "expiresIn",
        "ARCANE__TOKENHTTPMETHOD": "POST",
        "ARCANE__TOKENREQUESTBODY": json.dumps(dict(TOKEN_FIELDS)),
    }


@dataclass(frozen=True, slots=True)
class RestStream:
    """A stream of one kind that reads one path.

    Attributes:
        stream: Its folder, lake and id.
        url: Of the server: scheme, host and port.
        kind: Of the stream.
        path: What it reads.
        changes: Of the spec, for all its runs; None takes a field out.
    """

    stream: Stream
    url: str
    kind: str = PAGED_FIXED
    path: ApiPath = COUNTER
    changes: Mapping[str, Any] = field(default_factory=dict)

    def spec(self, **changes: Any) -> dict[str, Any]:
        """Its spec: a group, and so a commit, for each page of ten rows; None takes a field out."""
        paged = self.path.resolver is not None
        page = f"&{self.path.parameter}=@page" if paged else ""
        given = {
            "urlTemplate": f"{self.url}/{self.path.name}?from=@from&to=@to{page}",
            "templatedFields": [FROM, TO, *([PAGE] if paged else [])],
            "responsePropertyKeyChain": list(self.path.rows_at),
            "pageResolverConfiguration": self.path.resolver,
            "backFillStartDate": START_MILLISECONDS,
            "changeCaptureIntervalSeconds": 1,
            "lookBackInterval": 3600,
            "rowsPerGroup": 10,
            "groupingIntervalSeconds": 1,
            "httpTimeout": 5,
            "retrySeconds": 0,
            "internalRateLimitCount": 1000,
            "internalRateLimitInterval": 1,
            "sinkLocation": str(self.stream.lake),
            "apiSchemaEncoded": encoded_schema(),
            **self.changes,
            **changes,
        }
        return {name: value for name, value in given.items() if value is not None}

    def environment(
        self, *, backfill: bool = True, spec: Mapping[str, Any] = MappingProxyType({}), **more: Any
    ) -> dict[str, str]:
        """As the operator sets it; None takes a variable out."""
        return self.stream.environment(
            None,
            **{
                "STREAMCONTEXT__SPEC": json.dumps(self.spec(**spec)),
                "STREAMCONTEXT__STREAM_KIND": self.kind,
                "STREAMCONTEXT__BACKFILL": "true" if backfill else "false",
                **variables(self.kind, self.url),
                **more,
            },
        )

    # As a process.

    def start(self, **settings: Any) -> Running:
        """Start the runner by its environment alone; see `environment`."""
        return self.stream.start(self.environment(**settings))

    def run(self, **settings: Any) -> Ended:
        """Run it to its end."""
        with self.start(**settings) as running:
            return running.end()

    # On a thread.

    def start_here(self, **settings: Any) -> "Here":
        """The same on a thread of this process, without a signal's way in."""
        return Here(self.environment(**settings))

    def run_here(self, **settings: Any) -> Ended:
        """Run it to its end."""
        with self.start_here(**settings) as running:
            return running.end()

    # What it leaves behind.

    def lines(self, segment: str = "backfill") -> list[bytes]:
        """The lines of all JSON parts, in order of the parts."""
        parts = sorted((self.stream.home / segment).rglob("part-*.json"))
        return [line for part in parts for line in part.read_bytes().splitlines(keepends=True)]

    def rows(self, segment: str = "backfill") -> list[Row]:
        """The same, parsed."""
        return [json.loads(line) for line in self.lines(segment)]

    def log(self) -> list[dict[str, Any]]:
        """All entries of the commit log, in order."""
        return [json.loads(path.read_bytes()) for path in sorted((self.stream.home / "_arcane" / "log").iterdir())]

    def position(self) -> dict[str, Any]:
        """The last committed position."""
        position: dict[str, Any] = self.log()[-1]["position"]
        return position


class Here:
    """A host on a thread of this process; leaving the `with` block stops it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._log = io.StringIO()
        self._stop: Callable[[], None] = lambda: None
        self._codes: list[int] = []
        settings = read_environment(environment)
        # Without the proxies of this process's own environment.
        host = StreamHost(
            RestApiStream,
            lifetime=self,
            log_stream=self._log,
            services=lambda base: replace(base, http=make_client),
        )
        self._thread = threading.Thread(target=lambda: self._codes.append(host.run(settings, environment)))

    def wait_for(self, event: str, times: int = 1) -> None:
        """Until it has logged `event` so often."""
        wait_until(lambda: self._log.getvalue().count(f'"{event}"') >= times, self._log.getvalue)

    def end(self) -> Ended:
        """Wait for its end."""
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive(), self._log.getvalue()
        return Ended(self._codes[0], "", self._log.getvalue())

    def stop(self) -> Ended:
        """Do what a signal does, and wait for the end."""
        self._stop()
        return self.end()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._thread.join(TIMEOUT)

    # The lifetime service that the host asks.

    def start(self, stop: Callable[[], None]) -> None:
        self._stop = stop

    def close(self) -> None:
        pass


def wait_until(reached: Callable[[], bool], describe: Callable[[], str]) -> None:
    """Until something has happened in another thread or process.

    Raises:
        AssertionError: It has not, within the time of a test.
    """
    until = time.monotonic() + TIMEOUT
    while not reached():
        assert time.monotonic() < until, describe()
        time.sleep(0.005)


def windows(api: RunningApi, since: int = 0) -> list[tuple[str, str]]:
    """The windows of the journal, without its first `since` requests; each once, in order."""
    return list(dict.fromkeys((entry.parameters["from"], entry.parameters["to"]) for entry in api.journal()[since:]))


def ids(rows: Iterable[Row]) -> list[int]:
    """The rows' ids."""
    return [row["id"] for row in rows]


def without_run(text: str, api: RunningApi) -> str:
    """A message without what is another one in each run: the server's URL, the window, and how long it took."""
    text = _WINDOW.sub("the window WINDOW", text.replace(api.url, "URL"))
    return re.sub(r"within \d+ seconds", "within N seconds", text)

"""Cells whose source is a REST API, read by a ready-made kind, through each of the ways of paging."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, Literal, Self

from tests.proof.cells import Cell, WatermarkJson
from tests.proof.faults import HTTP, Fault
from tests.proof.rest_requests import RequestWitness, Schedule
from tests.proof.rest_windows import BACKFILL_END, INSTANTS, PAGE_ROWS, ROWS, ids
from tests.rest_api import RunningApi, Script, TokenAuth, encoded_schema, read_instant

Pager = Literal["COUNTER", "OFFSET", "TOKEN"]

_PATHS = {"COUNTER": "counter", "OFFSET": "offset", "TOKEN": "token"}
_PARAMETERS = {"COUNTER": "page", "OFFSET": "offset", "TOKEN": "page"}
_ROWS_AT = {"COUNTER": ["data", "items"], "OFFSET": ["items"], "TOKEN": ["items"]}
_RESOLVERS: Mapping[Pager, Mapping[str, object]] = {
    "COUNTER": {"resolverPropertyKeyChain": ["TotalPages"]},
    "OFFSET": {"resolverPropertyKeyChain": ["items"], "responseSize": PAGE_ROWS, "startOffset": 0},
    "TOKEN": {"resolverPropertyKeyChain": ["next"]},
}
_DATE = {"formatString": "yyyy-MM-ddTHH:mm:ssZ", "placement": "URL"}
_TOKEN_FIELDS = {"user": "proof"}
_HEADERS = {"X-Api-Key": "not-a-secret"}


@dataclass(frozen=True, slots=True)
class ExpectedPages:
    """See `Expected`.

    Attributes:
        backfilling: Whether there is a backfill.
    """

    backfilling: bool

    def backfilled(self) -> list[int]:
        return ids(INSTANTS[0], BACKFILL_END) if self.backfilling else []

    def streamed(self) -> list[int]:
        return ids(self._stream_start, INSTANTS[-1])

    def covered(self, watermark: WatermarkJson | None, *, backfill: bool) -> list[int]:
        if watermark is None:
            return []
        start, end = read_instant(watermark["from"]), read_instant(watermark["to"])
        window = ids(start, end)
        pages = window if "next" not in watermark else window[: watermark["pages"] * PAGE_ROWS]
        before = [] if backfill else ids(self._stream_start, start)
        # After a backfill the stream's position is the end of the backfill's window.
        return before + (pages if backfill or start >= self._stream_start else [])

    @property
    def _stream_start(self) -> datetime:
        return BACKFILL_END if self.backfilling else INSTANTS[0]


@dataclass(frozen=True, slots=True)
class RestCell(Cell):
    """A stream that reads an API.

    Attributes:
        pager: How its pages follow each other.
        page_seconds: The API's delay before each page.
        api: The server; None until a job has started one.
    """

    plugin: ClassVar[str] = "tests.proof.rest_runner:host"
    source: ClassVar[str] = "REST paged"
    pager: Pager = "COUNTER"
    page_seconds: float = 0.0
    api: RunningApi | None = None

    @property
    def with_tokens(self) -> bool:
        """Whether requests are authorised by a token that can be renewed."""
        return self.file_format == "parquet"

    @property
    def expected(self) -> ExpectedPages:
        return ExpectedPages(self.backfilling)

    @property
    def published(self) -> int:
        # Parquet: each page is a commit of three parts. JSON lines: two pages together.
        return 14 if self.file_format == "parquet" else 5

    @property
    def garbage(self) -> Sequence[int]:
        # Of the streams' third page there is one part only.
        return (1, 2, 4, 5, 8) if self.file_format == "parquet" else (1,)

    @property
    def stream_kind(self) -> str:
        return "RestApiPagedDynamicAuth" if self.with_tokens else "RestApiPagedFixedAuth"

    @property
    def schedule(self) -> Schedule:
        """What is to be asked for."""
        return Schedule(INSTANTS, BACKFILL_END, self._pages)

    @property
    def requests(self) -> int:
        """The data requests of a clean run."""
        return len(self.schedule.backfill(None) if self.backfilling else self.schedule.stream(None))

    @property
    def script(self) -> Script:
        """What the server is told."""
        return Script(
            table=ROWS,
            page_size=PAGE_ROWS,
            now="2024-01-01T00:00:00Z",
            headers={} if self.with_tokens else _HEADERS,
            token=TokenAuth(fields=_TOKEN_FIELDS) if self.with_tokens else None,
            next_page="text" if self.with_tokens else "link",
            page_seconds=self.page_seconds,
        )

    @property
    def server(self) -> RunningApi:
        """The running server."""
        assert self.api is not None
        return self.api

    def spec(self, location: str) -> dict[str, object]:
        query = f"from=@from&to=@to&{_PARAMETERS[self.pager]}=@page"
        return {
            "urlTemplate": f"{self.server.url}/{_PATHS[self.pager]}?{query}",
            "templatedFields": [
                {"fieldType": "FILTER_DATE_BETWEEN_FROM", "fieldName": "from", **_DATE},
                {"fieldType": "FILTER_DATE_BETWEEN_TO", "fieldName": "to", **_DATE},
                {"fieldType": "RESPONSE_PAGE", "fieldName": "page", "formatString": "", "placement": "URL"},
            ],
            "pageResolverConfiguration": {"resolverType": self.pager, **_RESOLVERS[self.pager]},
            "responsePropertyKeyChain": _ROWS_AT[self.pager],
            "backFillStartDate": int(INSTANTS[0].timestamp() * 1000),
            "lookBackInterval": int((INSTANTS[1] - INSTANTS[0]).total_seconds()),
            "changeCaptureIntervalSeconds": "PT0.0005S",
            "httpTimeout": 300,
            "internalRateLimitCount": 1000,
            "internalRateLimitInterval": "PT0.1S",
            "apiSchemaEncoded": encoded_schema(),
            "sinkLocation": location,
            "sinkFormat": self.file_format,
            "rowsPerGroup": 3 if self.file_format == "parquet" else 9,
            "groupingIntervalSeconds": 3600,
        } | dict(self.settings)

    def variables(self, runner: int) -> Mapping[str, str]:
        named = {"X-Runner": str(runner)}
        if not self.with_tokens:
            return {"ARCANE__AUTHHEADERS": json.dumps(_HEADERS | named)}
        return {
            "ARCANE__AUTHURL": f"{self.server.url}/token-endpoint",
            "ARCANE__TOKENPROPERTYNAME": "token",
            "ARCANE__EXPIRATIONPERIODPROPERTYNAME": "expiresIn",
            "ARCANE__TOKENHTTPMETHOD": "POST",
            "ARCANE__TOKENREQUESTBODY": json.dumps(_TOKEN_FIELDS),
            "ARCANE__TOKENREQUESTADDITIONALHEADERS": json.dumps(named),
        }

    def slowed(self) -> Self:
        return replace(self, page_seconds=0.006)

    def witness(self) -> RequestWitness:
        self.server.reset(self.script)
        return RequestWitness(self.server, self.schedule, self.page_seconds)

    def more_points(self) -> list[Fault]:
        return [
            Fault(nth, when, "stop", operation=HTTP) for nth in range(self.requests) for when in ("before", "after")
        ]

    def _pages(self, start: datetime, end: datetime) -> int:
        full = -(-len(ids(start, end)) // PAGE_ROWS)
        # OFFSET reads on until a page is empty; the others ask at least once.
        return full + 1 if self.pager == "OFFSET" else max(1, full)


REST_CELLS = tuple(
    RestCell(backfilling=backfilling, file_format=file_format, label=f", {pager}", pager=pager)
    for pager in ("COUNTER", "OFFSET", "TOKEN")
    for backfilling in (True, False)
    for file_format in ("parquet", "json")
)

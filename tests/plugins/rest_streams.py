"""Specs of REST API streams, and streams of them under virtual time."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from arcane_framework.plugins.rest_api import RestApiStream
from arcane_framework.testing import MemoryLake, ScriptedHttp, StreamTest

HOST = "https://api.example"
START = datetime(2024, 5, 8, 12, 0, 0, 500_000, tzinfo=UTC)
SCHEMA = {
    "type": "object",
    "properties": {"id": {"type": "integer"}, "name": {"type": "string"}, "price": {"type": "number"}},
}
FIXED = {"ARCANE__AUTHHEADERS": '{"X-Api-Key": "not-a-secret"}'}
DYNAMIC = {
    "ARCANE__AUTHURL": "https://login.example/token",
    "ARCANE__TOKENPROPERTYNAME": "token",
    "ARCANE__EXPIRATIONPERIODPROPERTYNAME": "expiresIn",
    "ARCANE__TOKENHTTPMETHOD": "POST",
    "ARCANE__TOKENREQUESTBODY": '{"user": "u"}',
}
FROM = {"fieldType": "FILTER_DATE_BETWEEN_FROM", "fieldName": "from", "formatString": "yyyy-MM-ddTHH:mm:ssZ"}
TO = {"fieldType": "FILTER_DATE_BETWEEN_TO", "fieldName": "to", "formatString": "yyyy-MM-ddTHH:mm:ssZ"}
PAGE = {"fieldType": "RESPONSE_PAGE", "fieldName": "page", "formatString": "", "placement": "URL"}


def encoded(schema: object) -> str:
    """As `apiSchemaEncoded` holds it."""
    return base64.b64encode(json.dumps(schema).encode()).decode()


def spec(**changes: Any) -> dict[str, Any]:
    """A spec without pages; None takes a field out."""
    given: dict[str, Any] = {
        "urlTemplate": f"{HOST}/items?from=@from&to=@to",
        "templatedFields": [FROM, TO],
        "backFillStartDate": 1_672_531_200_000,
        "changeCaptureIntervalSeconds": 60,
        "rowsPerGroup": 1000,
        "groupingIntervalSeconds": 1,
        "lookBackInterval": 3600,
        "httpTimeout": 30,
        "sinkLocation": "/lake",
        "internalRateLimitCount": 1000,
        "internalRateLimitInterval": 1,
        "apiSchemaEncoded": encoded(SCHEMA),
    }
    return {name: value for name, value in {**given, **changes}.items() if value is not None}


def paged(resolver: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A spec with pages."""
    return spec(
        **{
            "urlTemplate": f"{HOST}/items?from=@from&to=@to&page=@page",
            "templatedFields": [FROM, TO, PAGE],
            "responsePropertyKeyChain": ["items"],
            "pageResolverConfiguration": resolver,
            **changes,
        }
    )


COUNTER: dict[str, Any] = {"resolverType": "COUNTER", "resolverPropertyKeyChain": ["total"]}
OFFSET: dict[str, Any] = {"resolverType": "OFFSET", "resolverPropertyKeyChain": ["items"], "responseSize": 2}
TOKEN: dict[str, Any] = {"resolverType": "TOKEN", "resolverPropertyKeyChain": ["next"]}


def items(*numbers: int) -> list[dict[str, Any]]:
    """Rows that fit `SCHEMA`."""
    return [{"id": number, "name": f"item {number}", "price": number / 4} for number in numbers]


def ids(stream: StreamTest, folder: str = "data") -> list[int]:
    """The ids of the rows that were written, in order."""
    return [row["id"] for row in stream.rows(folder)]


def queries(http: ScriptedHttp) -> list[str]:
    """What was asked for, without the host."""
    return [request.url.removeprefix(HOST) for request in http.requests if request.url.startswith(HOST)]


def stream(
    kind: str,
    given: Mapping[str, Any],
    http: ScriptedHttp,
    *,
    backfilling: bool = False,
    secrets: Mapping[str, str] | None = None,
    storage: MemoryLake | None = None,
    start: datetime = START,
) -> StreamTest:
    """A stream of a ready-made kind; the caller starts it."""
    if secrets is None:
        secrets = DYNAMIC if "Dynamic" in kind else FIXED
    return StreamTest(
        RestApiStream,
        given,
        stream_kind=kind,
        http=http,
        start=start,
        secrets=secrets,
        backfilling=backfilling,
        storage=storage,
    )

"""Plugins as an author would write them, small enough for one test each."""

from collections.abc import Iterable, Sequence
from typing import Any

import httpx2
import pyarrow as pa
from pydantic import SecretStr

from arcane_framework import (
    Batch,
    NamedOperator,
    PollingSource,
    RunnableGraph,
    SinkContext,
    Source,
    StreamGraphBuilder,
    TransientStreamError,
    Watermark,
    to_sink,
)
from arcane_framework._core.services import Services
from arcane_framework.operators import named
from arcane_framework.sinks import JsonLinesSink, ParquetSink

SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string())])
SPEC = {"sinkLocation": "/lake"}

Builder = type[StreamGraphBuilder[SinkContext]]


def rows(*ids: int) -> list[dict[str, Any]]:
    return [{"id": number, "text": f"text {number}"} for number in ids]


def reading(source: Source, *operators: NamedOperator) -> Builder:
    """A builder of the graph: source, operators, Parquet."""

    class Reading(StreamGraphBuilder[SinkContext]):
        def build_graph(self, context: SinkContext) -> RunnableGraph:
            sink = ParquetSink(self.services.storage(context.sink_location), grouping=context.grouping)
            return self.start(source).pipe(named("operators", *operators), to_sink(sink))

    return Reading


def reading_into_json_lines(source: Source) -> Builder:
    class ReadingJson(StreamGraphBuilder[SinkContext]):
        def build_graph(self, context: SinkContext) -> RunnableGraph:
            sink = JsonLinesSink(self.services.storage(context.sink_location), grouping=context.grouping)
            return self.start(source).pipe(to_sink(sink))

    return ReadingJson


class Counting(PollingSource):
    """One row each hour."""

    schema = SCHEMA
    interval = 3600.0

    def poll(self, watermark: Watermark | None) -> Iterable[Batch]:
        after = 1 + (watermark or {}).get("id", 0)
        yield self.batch(rows(after), {"id": after})


class ApiContext(SinkContext):
    url: str
    auth_token: SecretStr


class ApiSource(PollingSource):
    """Reads pages of an API, and tries a busy one again after the time that it asks for."""

    schema = SCHEMA
    interval = 60.0
    attempts = 3

    def __init__(self, services: Services, url: str, token: str) -> None:
        self._services = services
        self._url = url
        self._token = token

    def poll(self, watermark: Watermark | None) -> Iterable[Batch]:
        page = 1 + (watermark or {}).get("page", 0)
        with self._services.http() as client:
            found: Sequence[dict[str, Any]] = self._get(client, f"{self._url}?page={page}")
        yield self.batch(found, {"page": page})

    def _get(self, client: httpx2.Client, url: str) -> Any:
        for _ in range(self.attempts):
            try:
                reply = client.get(url, headers={"Authorization": self._token}, timeout=20)
            except httpx2.TransportError as error:
                self._services.log.warning("no reply", error=str(error))
                self._services.kill_switch.wait(5)
                continue
            if reply.status_code == 200:
                return reply.json()
            self._services.kill_switch.wait(float(reply.headers.get("Retry-After", 1)))
        raise TransientStreamError(f"{url} did not reply {self.attempts} times")


class Api(StreamGraphBuilder[ApiContext]):
    def build_graph(self, context: ApiContext) -> RunnableGraph:
        source = ApiSource(self.services, context.url, context.auth_token.get_secret_value())
        sink = ParquetSink(self.services.storage(context.sink_location), grouping=context.grouping)
        return self.start(source).pipe(to_sink(sink))

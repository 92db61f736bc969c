"""Shows its secrets at every place where a plugin may fail or speak."""

import base64
import logging
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from pydantic import SecretStr, field_validator

from arcane_framework import (
    Batch,
    FatalStreamError,
    RunnableGraph,
    Services,
    SinkContext,
    Source,
    StreamGraphBuilder,
    TransientStreamError,
    Watermark,
    to_sink,
)
from arcane_framework.sinks import JsonLinesSink
from tests.runner.plugins.numbers_stream import SCHEMA, numbers

PLACE = os.environ.get("TEST_LEAK", "")


def shown(*secrets: str) -> str:
    """The secrets as they are, and as they look in a header and in a URL."""
    texts = [[secret, base64.b64encode(secret.encode()).decode(), quote(secret, safe="")] for secret in secrets]
    return f"LEAK AT {PLACE}: {texts}"


def shown_environment() -> str:
    names = ("ARCANE__PHRASE", "ARCANE__PINNED", "AWS_SECRET_ACCESS_KEY", "connectionString")
    return shown(*(os.environ[name] for name in names))


if PLACE == "import":
    raise RuntimeError(shown_environment())


class LeakyContext(SinkContext):
    phrase: SecretStr
    pinned: SecretStr
    connection_string: SecretStr

    @field_validator("phrase")
    @classmethod
    def check(cls, value: SecretStr) -> SecretStr:
        if PLACE == "validator":
            raise ValueError(shown_environment())
        return value


class LeakySource(Source):
    schema = SCHEMA

    def __init__(self, services: Services, text: str) -> None:
        self._services = services
        self._text = text

    def stream(self, watermark: Watermark | None) -> Iterator[Batch]:
        yield Batch(numbers(0, 3), {"n": 3})
        if PLACE in SPEAKS:
            SPEAKS[PLACE](self._services, self._text)
        elif PLACE == "chain":
            self._chain()
        elif PLACE == "defect":
            raise LookupError(self._text)
        elif PLACE == "transient":
            raise TransientStreamError(self._text)
        yield Batch(numbers(3, 6), {"n": 6})

    def describe(self, watermark: Watermark) -> str:
        return self._text if PLACE == "watermark" else super().describe(watermark)

    def _chain(self) -> None:
        try:
            raise OSError(self._text)
        except OSError as error:
            raise FatalStreamError("the request has failed") from error


def _log(services: Services, text: str) -> None:
    services.log.info("speaks", text=text, nested={"list": [text]}, password=text)


def _library_log(_: Services, text: str) -> None:
    logging.getLogger("library").warning("speaks %s", text)


def _tag(services: Services, text: str) -> None:
    services.metrics.with_tags({"text": text}).increment("leaks")


SPEAKS: dict[str, Any] = {"log": _log, "library log": _library_log, "tag": _tag}


class LeakySink(JsonLinesSink):
    text = ""

    def write(self, group: pa.Table) -> None:
        if PLACE == "sink":
            raise OSError(self.text)
        super().write(group)


class Leaky(StreamGraphBuilder[LeakyContext]):
    def __init__(self, services: Services) -> None:
        super().__init__(services)
        if PLACE == "init":
            raise LookupError(shown_environment())

    def build_graph(self, context: LeakyContext) -> RunnableGraph:
        secrets = (context.phrase, context.pinned, context.connection_string)
        text = shown(os.environ["AWS_SECRET_ACCESS_KEY"], *(secret.get_secret_value() for secret in secrets))
        if PLACE == "build":
            raise LookupError(text, context)
        sink = LeakySink(self.services.storage(context.sink_location))
        sink.text = text
        return self.start(LeakySource(self.services, text)).pipe(to_sink(sink))

"""The source composed by hand."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest

from arcane_framework import ConfigurationError, RunnableGraph, SinkContext, StreamGraphBuilder, to_sink
from arcane_framework.http import HttpSettings
from arcane_framework.sinks import JsonLinesSink, ParquetSink
from arcane_framework.sources.rest import (
    CounterPager,
    FieldType,
    FixedHeaders,
    RequestTemplate,
    RestApi,
    RestApiSource,
    TemplatedField,
)
from arcane_framework.testing import ScriptedHttp, StreamTest

URL = "https://api.example/items"
SECONDS = "yyyy-MM-ddTHH:mm:ssZ"
FIELDS = (
    TemplatedField("from", FieldType.FILTER_DATE_BETWEEN_FROM, SECONDS),
    TemplatedField("to", FieldType.FILTER_DATE_BETWEEN_TO, SECONDS),
)
PAGE = TemplatedField("page", FieldType.RESPONSE_PAGE)
UNPAGED = RequestTemplate(f"{URL}?from=@from&to=@to", fields=FIELDS)
PAGED = RequestTemplate(f"{URL}?from=@from&to=@to&page=@page", fields=(*FIELDS, PAGE))
SCHEMA = pa.schema([("id", pa.int64())])
START = datetime(2024, 5, 8, 12, tzinfo=UTC)


class Context(SinkContext):
    sink_location: str = "/lake"


def run(http: ScriptedHttp, api: RestApi, *, parquet: bool = False, **options: Any) -> StreamTest:
    class Composed(StreamGraphBuilder[Context]):
        def build_graph(self, context: Context) -> RunnableGraph:
            given: dict[str, Any] = {
                "backfill_from": datetime(2024, 1, 1, tzinfo=UTC),
                "interval": timedelta(minutes=1),
                "look_back": timedelta(hours=1),
                **options,
            }
            source = RestApiSource(self.services, api, **given)
            storage = self.services.storage(context.sink_location)
            return self.start(source).pipe(to_sink((ParquetSink if parquet else JsonLinesSink)(storage)))

    return StreamTest(Composed, {}, http=http, backfilling=True, start=START).start()


def test_a_beginning_in_another_zone_is_the_same_instant_for_every_page_and_every_run() -> None:
    window = "from=2023-12-31T22:00:00Z&to=2024-05-08T12:00:00Z"
    http = ScriptedHttp().reply("GET", f"{URL}?{window}&page=1", json={"n": 2, "rows": [{"id": 1}]})
    http.reply("GET", f"{URL}?{window}&page=2", json={}, delay=20)
    api = RestApi(template=PAGED, schema=SCHEMA, rows_at=("rows",), pager=CounterPager(("n",)))
    beginning = datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    with run(http, api, backfill_from=beginning) as test:
        test.advance(15)
        test.stop()
        http.reply("GET", f"{URL}?{window}&page=2", json={"n": 2, "rows": [{"id": 2}]})
        test.restart().advance(5)
        assert test.exit_code == 0
        assert test.rows("backfill") == [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backfill_from": datetime(2024, 1, 1)}, "backfill_from: must name its time zone, such as UTC"),  # noqa: DTZ001
        ({"interval": timedelta(0)}, "Change capture interval must be greater than zero."),
        ({"look_back": timedelta(seconds=-1)}, "look_back: must not be negative"),
        ({"overlap": timedelta(seconds=-1)}, "overlap: must not be negative"),
    ],
)
def test_times_that_would_leave_gaps_are_refused(options: Mapping[str, Any], message: str) -> None:
    with run(ScriptedHttp(), RestApi(template=UNPAGED, schema=SCHEMA), **options) as test:
        assert test.exit_code == 1
        assert test.error == message


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"template": UNPAGED, "pager": CounterPager(("n",))},
            "templatedFields: a paged API needs a field of type RESPONSE_PAGE, which says where the page goes",
        ),
        (
            {"template": PAGED},
            "templatedFields: Cannot return the resolved template as there are unresolved fields: page. "
            "A field of type RESPONSE_PAGE is for kinds with pages",
        ),
        (
            {"template": RequestTemplate("http://169.254.169.254/latest")},
            "urlTemplate would go to 169.254.169.254, and 169.254.169.254 is a link-local address, where clouds keep "
            "their metadata: a stream never connects there; correct the URL",
        ),
        (
            {"template": UNPAGED, "http": HttpSettings(timeout=1, allowed_hosts=("a/b",))},
            "allowedHosts: 'a/b' is no host: write `host` or `host:port`, without a scheme or a path",
        ),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        RestApi(schema=SCHEMA, **parts)
    assert str(error.value) == message


def test_a_header_that_cannot_be_sent_is_refused_without_its_value() -> None:
    with pytest.raises(ConfigurationError) as error:
        FixedHeaders({"X-Key": "hidden-word\n"})
    assert str(error.value) == (
        "ARCANE__AUTHHEADERS: the value of the header X-Key holds a line break or another control character: remove it "
        "(a secret that was made from a file often ends with a line break)"
    )


def test_a_type_that_is_not_read_from_json_is_a_configuration_error() -> None:
    schema = pa.schema([("at", pa.timestamp("ms", "UTC"))])
    with run(ScriptedHttp(), RestApi(template=UNPAGED, schema=schema)) as test:
        assert test.exit_code == 1
        assert str(test.error).startswith("the schema cannot be read from JSON: ")


def test_raw_rows_do_not_go_into_parquet() -> None:
    with run(ScriptedHttp(), RestApi(template=UNPAGED, schema=SCHEMA), parquet=True, raw=True) as test:
        assert test.exit_code == 1
        assert "raw JSON text" in str(test.error)


def test_an_authorization_of_ones_own_is_asked_before_each_attempt() -> None:
    class Signed:
        def __init__(self) -> None:
            self.number = 0

        def headers(self) -> Mapping[str, str]:
            self.number += 1
            return {"X-Signature": f"s{self.number}"}

        def rejected(self) -> bool:
            return True

    http = ScriptedHttp().reply("GET", f"{URL}?*", status=401).reply("GET", f"{URL}?*", json=[{"id": 1}])
    with run(http, RestApi(template=UNPAGED, schema=SCHEMA, authorization=Signed())) as test:
        assert test.exit_code == 0
        assert [request.headers["x-signature"] for request in http.requests] == ["s1", "s2"]


def test_a_pager_of_ones_own_is_remembered_by_its_name() -> None:
    class Letters:
        name = "letters"
        key_chain = ("more",)

        def first(self) -> str:
            return "a"

        def total(self, found: bytes | None) -> int | None:
            return None

        def after(
            self, pointer: int | str, found: bytes | None, *, has_rows: bool, total: int | None = None
        ) -> str | None:
            return chr(ord(str(pointer)) + 1) if found == b"true" else None

    http = ScriptedHttp().reply("GET", f"{URL}?*page=a", json={"more": True, "rows": [{"id": 1}]})
    http.reply("GET", f"{URL}?*page=b", json={"more": False, "rows": [{"id": 2}]}, delay=5)
    api = RestApi(template=PAGED, schema=SCHEMA, rows_at=("rows",), pager=Letters())
    with run(http, api) as test:
        test.advance(11)
        assert test.rows("backfill") == [{"id": 1}, {"id": 2}]


def test_words_that_only_look_like_fields_are_told_in_the_log() -> None:
    template = RequestTemplate(f"{URL}?from=@from&to=@to&x=@fromage", fields=FIELDS)
    http = ScriptedHttp().reply("GET", f"{URL}?*x=@fromage", json=[])
    with run(http, RestApi(template=template, schema=SCHEMA)) as test:
        assert test.exit_code == 0
        (warning,) = [line for line in test.logs if line["level"] == "warning"]
        assert warning["words"] == "@from..."


def test_what_a_window_took_is_measured() -> None:
    http = ScriptedHttp().reply("GET", f"{URL}?*", json=[{"id": 1}], delay=7)
    with run(http, RestApi(template=UNPAGED, schema=SCHEMA)) as test:
        test.advance(10)
        assert test.metrics.values("poll.duration") == [pytest.approx(7)]
        assert test.metrics.tags("poll.duration")["stream_source_location"] == "api.example"


def test_requests_that_do_not_name_the_page_cannot_be_paged() -> None:
    template = RequestTemplate(f"{URL}?from=@from&to=@to", fields=(*FIELDS, PAGE))
    with pytest.raises(ConfigurationError) as error:
        RestApi(template=template, schema=SCHEMA, pager=CounterPager(("n",)))
    assert str(error.value) == (
        "templatedFields: no template holds @page, so every request would be for the same page: write it where the "
        "page goes"
    )


def test_a_backfill_cannot_begin_in_the_future() -> None:
    later = START + timedelta(days=1)
    with run(ScriptedHttp(), RestApi(template=UNPAGED, schema=SCHEMA), backfill_from=later) as test:
        assert test.exit_code == 1
        assert test.error == "backFillStartDate: lies in the future (it is in milliseconds since 1970)"
        assert not any(name.endswith(".COMPLETED") for name in test.files())

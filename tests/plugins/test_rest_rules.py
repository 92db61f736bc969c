"""Rules of the ready-made REST kinds that concern a whole stream: its spec, its secrets, what an answer means."""

from typing import Any

import pytest

from arcane_framework._core.schema_hash import schema_hash
from arcane_framework.plugins.rest_api import RestApiStream
from arcane_framework.schema import schema_from_openapi
from arcane_framework.testing import ScriptedHttp, StreamTest
from tests.plugins.rest_streams import (
    COUNTER,
    DYNAMIC,
    FROM,
    HOST,
    PAGE,
    SCHEMA,
    TO,
    TOKEN,
    encoded,
    ids,
    items,
    paged,
    queries,
    spec,
    stream,
)

FIXED_KIND = "RestApiFixedAuth"
PAGED_KIND = "RestApiPagedFixedAuth"
DYNAMIC_KIND = "RestApiDynamicAuth"
PAGED_DYNAMIC_KIND = "RestApiPagedDynamicAuth"
LOGIN = "https://login.example/token"
WINDOW = "the window 2023-01-01T00:00:00Z to 2024-05-08T12:00:00Z"


def answering(json: Any = None, **reply: Any) -> ScriptedHttp:
    http = ScriptedHttp().reply("POST", LOGIN, json={"token": "t", "expiresIn": 3600}, times=None)
    return http.reply("GET", f"{HOST}/items*", json=json, **{"times": None, **reply})


def backfill(kind: str, given: dict[str, Any], http: ScriptedHttp, **secrets: str) -> StreamTest:
    """A backfill that has had a minute; `secrets` replace all of them."""
    test = stream(kind, given, http, backfilling=True, secrets=secrets or None).start()
    test.advance(60)
    return test


# The spec.


@pytest.mark.parametrize("kind", RestApiStream.contexts)
def test_a_definition_with_the_operators_fields_runs_as_it_is(kind: str) -> None:
    given = paged(COUNTER) if "Paged" in kind else spec(responsePropertyKeyChain=["items"])
    for_the_operator = {
        "suspended": False,
        "credentialSecretRef": {"name": "items"},
        "jobTemplateRef": {"apiGroup": "streaming.sneaksanddata.com", "kind": "StreamingJobTemplate", "name": "job"},
        "backfillJobTemplateRef": {"name": "large-job"},
        "reloadingJobTemplateRef": {"name": "large-job"},
        "rowsPerGroup": 1000,
    }
    with backfill(kind, {**given, **for_the_operator}, answering({"total": 1, "items": items(1)})) as test:
        assert test.error is None
        assert ids(test, "backfill") == [1]


def test_keys_match_in_any_letter_case() -> None:
    given = {name.upper(): value for name, value in spec().items()}
    with backfill(FIXED_KIND, given, answering(items(1))) as test:
        assert test.error is None
        assert ids(test, "backfill") == [1]


def test_a_field_without_a_type_is_the_page_and_without_a_placement_in_the_url() -> None:
    http = answering({"total": 1, "items": items(1)})
    given = paged(COUNTER, templatedFields=[FROM, TO, {"fieldName": "page"}])
    with backfill(PAGED_KIND, given, http) as test:
        assert test.error is None
        assert queries(http)[0].endswith("&page=1")


def test_without_a_rate_it_is_one_request_a_minute() -> None:
    http = answering({"total": 3, "items": items(1)})
    given = paged(COUNTER, internalRateLimitCount=None, internalRateLimitInterval=None)
    with stream(PAGED_KIND, given, http, backfilling=True).start() as test:
        test.advance(130)
        asked = [request.time for request in http.requests]
        assert [(later - asked[0]).total_seconds() for later in asked] == [0, 60, 120]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"httpTimeout": 0}, "httpTimeout: must be greater than 0"),
        ({"internalRateLimitCount": 0}, "internalRateLimitCount: must be greater than 0"),
        ({"internalRateLimitInterval": 0}, "internalRateLimitInterval: must be greater than 0"),
        ({"changeCaptureIntervalSeconds": 0}, "changeCaptureIntervalSeconds: must be greater than 0"),
        ({"rowsPerGroup": "1000"}, "rowsPerGroup: must be a whole number, without quotes"),
        ({"internalRateLimitCount": "5"}, "internalRateLimitCount: must be a whole number, without quotes"),
        ({"urlTemplate": "/items"}, "urlTemplate must be an absolute URL as it stands"),
        ({"apiSchemaEncoded": "no base64!"}, "apiSchemaEncoded is not base64"),
        ({"templatedFields": [FROM, TO, PAGE]}, "unresolved fields: page"),
        ({"templatedFields": [FROM, {**FROM, "fieldName": "since"}]}, "unresolved fields: since"),
    ],
)
def test_a_spec_that_cannot_work_names_the_field_and_sends_nothing(changes: dict[str, Any], problem: str) -> None:
    http = ScriptedHttp()
    with stream(FIXED_KIND, spec(**changes), http).start() as test:
        assert test.exit_code == 1
        assert problem in str(test.error)
        assert http.requests == []


def test_an_api_with_pages_needs_a_field_for_the_page() -> None:
    with stream(PAGED_KIND, paged(COUNTER, templatedFields=[FROM, TO]), ScriptedHttp()).start() as test:
        assert test.exit_code == 1
        assert "templatedFields: a paged API needs a field of type RESPONSE_PAGE" in str(test.error)


def test_a_window_without_pages_can_be_asked_for_in_a_body() -> None:
    http = ScriptedHttp().reply("POST", f"{HOST}/search", json=items(1))
    given = spec(
        urlTemplate=f"{HOST}/search",
        httpMethod="post",
        bodyTemplate='{"from": "@from", "to": "@to"}',
        templatedFields=[{**FROM, "placement": "BODY"}, {**TO, "placement": "BODY"}],
    )
    with backfill(FIXED_KIND, given, http) as test:
        assert test.error is None
        assert http.requests[0].json() == {"from": "2023-01-01T00:00:00Z", "to": "2024-05-08T12:00:00Z"}


# Secrets.


def test_missing_headers_are_named_and_an_empty_object_is_none() -> None:
    with stream(FIXED_KIND, spec(), ScriptedHttp(), secrets={}).start() as test:
        assert test.exit_code == 1
        assert "ARCANE__AUTHHEADERS" in str(test.error)
    http = answering(items(1))
    with backfill(FIXED_KIND, spec(), http, ARCANE__AUTHHEADERS="{}") as test:
        assert test.error is None
        assert "authorization" not in http.requests[0].headers


@pytest.mark.parametrize("kind", [DYNAMIC_KIND, PAGED_DYNAMIC_KIND])
def test_the_header_the_scheme_and_further_headers_are_those_of_data_requests_in_both_kinds(kind: str) -> None:
    secrets = {
        **DYNAMIC,
        "ARCANE__TOKENREQUESTHEADERNAME": "X-Token",
        "ARCANE__TOKENREQUESTTOKENSCHEME": "Key",
        "ARCANE__TOKENREQUESTADDITIONALHEADERS": '{"X-Tenant": "one"}',
    }
    http = answering({"total": 1, "items": items(1)})
    given = paged(COUNTER) if "Paged" in kind else spec(responsePropertyKeyChain=["items"])
    with backfill(kind, given, http, **secrets) as test:
        assert test.error is None
        login, data = http.requests
        assert (data.headers["x-token"], data.headers["x-tenant"]) == ("Key t", "one")
        assert "authorization" not in data.headers
        assert not {"x-token", "x-tenant"} & login.headers.keys()


def test_a_token_is_asked_for_with_get_and_without_a_body_unless_the_variables_with_two_underscores_say_more() -> None:
    http = ScriptedHttp().reply("GET", LOGIN, json={"token": "t", "expiresIn": 60})
    http.reply("GET", f"{HOST}/items*", json=items(1))
    given = {
        name: DYNAMIC[name] for name in DYNAMIC if name not in ("ARCANE__TOKENHTTPMETHOD", "ARCANE__TOKENREQUESTBODY")
    }
    with_one = {"ARCANE_TOKENHTTPMETHOD": "POST", "ARCANE_TOKENREQUESTBODY": "{}"}
    with backfill(DYNAMIC_KIND, spec(), http, **given, **with_one) as test:
        assert test.error is None
        assert (http.requests[0].method, http.requests[0].content) == ("GET", b"")


@pytest.mark.parametrize("period", [None, "soon"])
def test_a_validity_that_is_missing_or_no_length_of_time_is_named(period: str | None) -> None:
    secrets = {**DYNAMIC, "ARCANE__EXPIRATIONPERIOD": period or ""}
    del secrets["ARCANE__EXPIRATIONPERIODPROPERTYNAME"]
    with stream(DYNAMIC_KIND, spec(), ScriptedHttp(), secrets=secrets).start() as test:
        assert test.exit_code == 1
        assert "one of ARCANE__EXPIRATIONPERIODPROPERTYNAME and ARCANE__EXPIRATIONPERIOD is required" in str(test.error)


def test_one_token_serves_many_requests_and_takes_no_permit_of_the_rate() -> None:
    http = answering({"total": 3, "items": items(1)})
    given = paged(COUNTER, internalRateLimitCount=1, internalRateLimitInterval=10)
    with backfill(PAGED_DYNAMIC_KIND, given, http) as test:
        assert test.error is None
        start = http.requests[0].time
        assert [(each.method, (each.time - start).total_seconds()) for each in http.requests] == [
            ("POST", 0),
            ("GET", 0),
            ("GET", 10),
            ("GET", 20),
        ]


def test_a_token_request_that_fails_is_repeated_like_any_other() -> None:
    http = ScriptedHttp().reply("POST", LOGIN, status=503, times=2).fail("POST", LOGIN)
    http.reply("POST", LOGIN, json={"token": "t", "expiresIn": 60}).reply("GET", f"{HOST}/items*", json=items(1))
    with backfill(DYNAMIC_KIND, spec(), http) as test:
        assert test.error is None
        assert test.metrics.count("retries") == 3
        assert ids(test, "backfill") == [1]


# What an answer means.


@pytest.mark.parametrize(
    "answer",
    [
        {"data": {"rows": []}},
        {"data": {"rows": None}},
        {"data": {}},
        {"data": None},
        {},
    ],
)
def test_an_answer_without_rows_is_no_error(answer: dict[str, Any]) -> None:
    with backfill(FIXED_KIND, spec(responsePropertyKeyChain=["data", "rows"]), answering(answer)) as test:
        assert test.error is None
        assert test.exit_code == 0
        assert test.rows("backfill") == []
        assert any(name.endswith(".COMPLETED") for name in test.files())


@pytest.mark.parametrize(
    ("chain", "answer", "problem"),
    [
        (["rows"], {"rows": {"id": 1}}, "rows is an object, not the array of rows: correct responsePropertyKeyChain"),
        (["rows"], {"rows": "none"}, "rows is a text, not the array of rows: correct responsePropertyKeyChain"),
        (["rows"], {"rows": 0}, "rows is a number, not the array of rows: correct responsePropertyKeyChain"),
        ([], {"id": 1}, "the response is an object, not the array of rows: name it in responsePropertyKeyChain"),
    ],
)
def test_something_else_than_an_array_is_an_error_and_no_silent_loss(
    chain: list[str], answer: Any, problem: str
) -> None:
    with backfill(FIXED_KIND, spec(responsePropertyKeyChain=chain), answering(answer)) as test:
        assert test.exit_code == 1
        assert test.error == f"FatalStreamError: {WINDOW}: {problem}"


@pytest.mark.parametrize("answer", [{"data": []}, {"data": "text"}, {"data": 1}, [1]])
def test_a_step_into_something_else_than_an_object_is_an_error(answer: Any) -> None:
    with backfill(FIXED_KIND, spec(responsePropertyKeyChain=["data", "rows"]), answering(answer)) as test:
        assert test.exit_code == 1
        assert str(test.error).startswith(f"FatalStreamError: {WINDOW}: the response cannot be read: ")


def test_an_empty_key_chain_takes_the_answer_itself() -> None:
    with backfill(FIXED_KIND, spec(), answering(items(1, 2))) as test:
        assert ids(test, "backfill") == [1, 2]


def test_after_an_empty_window_the_stream_waits_and_asks_again() -> None:
    http = answering([])
    with stream(FIXED_KIND, spec(changeCaptureIntervalSeconds=60), http).start() as test:
        test.advance(125)
        assert [request.time.minute for request in http.requests] == [0, 1, 2]


# What is written.


def test_json_lines_hold_the_rows_as_they_came_and_the_schema_file_what_the_spec_says() -> None:
    text = '[{"zeta": 1, "id": 1,\r\n "price": "unknown", "name": "\\u00e9<&"}]'
    http = ScriptedHttp().reply("GET", f"{HOST}/items*", text=text)
    with backfill(FIXED_KIND, spec(), http) as test:
        assert test.error is None
        assert test.rows("backfill") == [{"zeta": 1, "id": 1, "price": "unknown", "name": "é<&"}]
        assert list(test.rows("backfill")[0]) == ["zeta", "id", "price", "name"]
        (part,) = [name for name in test.files() if "/part-" in name]
        (token,) = [name for name in test.files() if name.endswith(".COMPLETED")]
        (schema,) = [name for name in test.files() if "schema/schema-" in name]
        assert part.endswith(".json")
        assert token.removesuffix(".COMPLETED").rpartition("/")[2] in part
        assert schema.endswith(".parquet")


def test_the_hash_in_the_names_is_that_of_the_specs_schema_in_both_formats() -> None:
    def hashes(schema: Any, form: str) -> set[str]:
        with backfill(FIXED_KIND, spec(apiSchemaEncoded=encoded(schema), sinkFormat=form), answering(items(1))) as test:
            tokens = [name for name in test.files() if name.endswith(".COMPLETED")]
            return {name.rpartition("/")[2] for name in tokens}

    other = {"type": "object", "properties": {"id": {"type": "integer"}}}
    for schema in (SCHEMA, other):
        expected = {f"{schema_hash(schema_from_openapi(encoded(schema)))}.COMPLETED"}
        assert hashes(schema, "json") == hashes(schema, "parquet") == expected


def test_metrics_are_tagged_with_the_host_and_the_path_of_the_template() -> None:
    http = ScriptedHttp().reply("GET", f"{HOST}/items*", json=items(1, 2), delay=3)
    with backfill(FIXED_KIND, spec(), http) as test:
        assert test.metrics.count("rows.incoming") == 2
        tags = test.metrics.tags("rows.incoming")
        assert tags == {
            "kind": "rest_api_fixed_auth",
            "mode": "backfill",
            "stream_id": "test",
            "stream_source_location": "api.example",
            "stream_source_entity": "/items",
        }
        assert test.metrics.values("poll.duration") == [3.0]
        assert test.metrics.tags("poll.duration") == tags


def test_a_token_that_is_a_number_an_empty_text_or_missing() -> None:
    http = ScriptedHttp()
    for page, following in (("", {"next": 5}), ("5", {"next": "z"}), ("z", {"next": ""})):
        http.reply("GET", f"{HOST}/items?*&page={page}", json={"items": items(1), **following})
    with backfill(PAGED_KIND, paged(TOKEN), http) as test:
        assert test.exit_code == 0
        assert len(http.requests) == 3

"""Settings of a REST stream that cannot work: exit code 1, one message with all of them, and nobody is asked."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.runner.processes import Stream
from tests.runner.rest_streams import (
    DYNAMIC,
    FIXED,
    FROM,
    OFFSET,
    PAGE,
    PAGED_DYNAMIC,
    PAGED_FIXED,
    TO,
    TOKEN,
    UNPAGED,
    RestStream,
    variables,
)

CANNOT_BE_USED = "the spec of stream 'orders-1' cannot be used:"
NOWHERE = "http://127.0.0.1:1"
"""Whoever connects there gets another error than the expected one."""


def test_a_stream_without_a_secret_and_a_location_says_which_and_how_to_give_them(stream: Stream) -> None:
    ended = RestStream(stream, NOWHERE).run(spec={"sinkLocation": None}, ARCANE__AUTHHEADERS=None)
    assert ended.configuration_error.splitlines() == [
        CANNOT_BE_USED,
        "  sinkLocation: is required and missing; add it to the spec",
        "  authHeaders: is a secret and missing; set the environment variable ARCANE__AUTHHEADERS (authHeaders is read "
        "as well)",
    ]
    assert not stream.lake.exists()


def test_a_stream_with_tokens_says_which_of_its_variables_are_missing(stream: Stream) -> None:
    missing = dict.fromkeys(variables(DYNAMIC, NOWHERE))
    ended = RestStream(stream, NOWHERE, DYNAMIC, UNPAGED).run(**missing)
    assert ended.configuration_error.splitlines() == [
        CANNOT_BE_USED,
        "  authUrl: is a secret and missing; set the environment variable ARCANE__AUTHURL (authUrl is read as well)",
        "  tokenPropertyName: is required and missing; set the environment variable ARCANE__TOKENPROPERTYNAME",
    ]


def test_all_wrong_fields_are_listed_at_once(stream: Stream) -> None:
    wrong = {
        "urlTemplate": "",
        "templatedFields": [{**FROM, "fieldType": "DATE"}, {"fieldType": "RESPONSE_PAGE"}],
        "backFillStartDate": "yesterday",
        "changeCaptureIntervalSeconds": 0,
        "lookBackInterval": -1,
        "httpTimeout": 0,
        "retrySeconds": -1,
        "internalRateLimitCount": 0,
        "internalRateLimitInterval": 0,
        "maxResponseBytes": 0,
        "apiSchemaEncoded": None,
        "sinkFormat": "xml",
        "sinkLocation": "",
        "rowsPerGroup": "10",
        "pageResolverConfiguration": {"resolverType": "SEEK", "responseSize": "3"},
    }
    ended = RestStream(stream, NOWHERE).run(spec=wrong, ARCANE__AUTHHEADERS='["hidden"]')
    assert ended.configuration_error.splitlines() == [
        CANNOT_BE_USED,
        '  sinkLocation: must have a length of 1 or more (got "")',
        '  rowsPerGroup: must be a whole number, without quotes (got "10")',
        '  urlTemplate: must have a length of 1 or more (got "")',
        "  templatedFields[0].fieldType: must be 'RESPONSE_PAGE', 'FILTER_DATE_FROM', 'FILTER_DATE_BETWEEN_FROM' or "
        "'FILTER_DATE_BETWEEN_TO' (got \"DATE\")",
        "  templatedFields[1].fieldName: is required and missing; add it to the spec",
        "  backFillStartDate: must be a whole number of milliseconds since 1970, or a text such as "
        "'2024-05-08T12:00:00Z' (got \"yesterday\")",
        "  changeCaptureIntervalSeconds: must be greater than 0 seconds (got 0)",
        "  lookBackInterval: must not be negative (got -1)",
        "  httpTimeout: must be greater than 0 seconds (got 0)",
        "  retrySeconds: must not be negative (got -1)",
        "  internalRateLimitCount: must be greater than 0 (got 0)",
        "  internalRateLimitInterval: must be greater than 0 seconds (got 0)",
        "  maxResponseBytes: must be greater than 0 (got 0)",
        "  apiSchemaEncoded: is required and missing; add it to the spec",
        "  sinkFormat: must be 'json' or 'parquet' (got \"xml\")",
        "  authHeaders: must be an object",
        "  pageResolverConfiguration.resolverType: must be 'COUNTER', 'OFFSET' or 'TOKEN' (got \"SEEK\")",
        '  pageResolverConfiguration.responseSize: must be a whole number, without quotes (got "3")',
    ]
    assert not stream.lake.exists()


def test_what_only_shows_when_the_parts_are_made_is_listed_at_once_too(stream: Stream) -> None:
    ended = RestStream(stream, NOWHERE, PAGED_DYNAMIC).run_here(
        spec={
            "urlTemplate": "/items?page=@page",
            "templatedFields": [{**FROM, "formatString": "U"}, {**TO, "fieldName": "a b"}, PAGE],
            "apiSchemaEncoded": "%%%",
            "pageResolverConfiguration": {"resolverType": "OFFSET", "resolverPropertyKeyChain": ["items"]},
        },
        ARCANE__EXPIRATIONPERIODPROPERTYNAME=None,
        ARCANE__EXPIRATIONPERIOD="soon",
    )
    assert ended.configuration_error.splitlines() == [
        CANNOT_BE_USED,
        "  urlTemplate must be an absolute URL as it stands, before anything is put into it: http:// or https://, a "
        "host, and a port if it needs one",
        "  templatedFields[0].formatString: the date format 'U' is not valid: it is not defined for an instant with an "
        "offset; use 'u' or 'F'",
        "  templatedFields[1].fieldName must be the name without @, of letters, digits, '_', '-' and '.', not \"a b\"",
        "  apiSchemaEncoded is not base64: encode the text of the schema, as in 'base64 -w0 schema.yaml'",
        "  pageResolverConfiguration.responseSize: Response size is required when using OFFSET",
        "  one of ARCANE__EXPIRATIONPERIODPROPERTYNAME and ARCANE__EXPIRATIONPERIOD is required: how long a token is "
        "valid (a length of time is written as 01:00:00)",
    ]


def encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


UNRESOLVED = "Cannot return the resolved template as there are unresolved fields"
NO_OBJECT = "apiSchemaEncoded holds no object: it must be one schema object with properties"
NO_PROPERTIES = (
    "apiSchemaEncoded has no properties: it must be one schema object that describes a row, as in "
    '{"type": "object", "properties": {"id": {"type": "integer"}}}'
)
CHAIN = "pageResolverConfiguration.resolverPropertyKeyChain: must name"
ONE_WRONG: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "no pages": (
        {"pageResolverConfiguration": None},
        "pageResolverConfiguration: is required and missing; add it to the spec",
    ),
    "no step": (
        {"pageResolverConfiguration": {**(OFFSET.resolver or {}), "responseSize": 0}},
        "pageResolverConfiguration.responseSize: must be greater than 0",
    ),
    "no total": (
        {"pageResolverConfiguration": {"resolverType": "COUNTER"}},
        f"{CHAIN} the number of pages when using COUNTER",
    ),
    "no token": (
        {"pageResolverConfiguration": {"resolverType": "TOKEN"}},
        f"{CHAIN} the next page's token when using TOKEN",
    ),
    "a second date": (
        {"templatedFields": [FROM, TO, PAGE, {**FROM, "fieldType": "FILTER_DATE_FROM", "fieldName": "again"}]},
        f"templatedFields: {UNRESOLVED}: again",
    ),
    "two more dates": (
        {"templatedFields": [FROM, TO, PAGE, {**FROM, "fieldName": "a"}, {**TO, "fieldName": "b"}]},
        f"templatedFields: {UNRESOLVED}: a,b",
    ),
    "a host that changes": (
        {"urlTemplate": "http://@page.example/"},
        "urlTemplate has the placeholder @page in the host: a host cannot change while the stream runs",
    ),
    "a URL of two lines": (
        {"urlTemplate": "http://api.example/\r\nX: @page"},
        "urlTemplate must not have line breaks or other control characters",
    ),
    "a schema that is XML": ({"apiSchemaEncoded": encoded(b"<xml/>")}, NO_OBJECT),
    "a schema that is a list": ({"apiSchemaEncoded": encoded(b"[1]")}, NO_OBJECT),
    "a schema without properties": ({"apiSchemaEncoded": encoded(b'{"type": "object"}')}, NO_PROPERTIES),
    "a schema that is no text": (
        {"apiSchemaEncoded": encoded(b"\xff\xfe\xfa")},
        "apiSchemaEncoded is the base64 of something else than UTF-8 text (byte 0)",
    ),
    "a schema that is too deep": ({"apiSchemaEncoded": encoded(b"[" * 5000)}, "apiSchemaEncoded is nested too deep"),
}


@pytest.mark.parametrize("name", ONE_WRONG)
def test_a_wrong_field_is_named_with_its_remedy(stream: Stream, name: str) -> None:
    changes, problem = ONE_WRONG[name]
    ended = RestStream(stream, NOWHERE).run_here(spec=changes)
    assert ended.configuration_error == f"{CANNOT_BE_USED}\n  {problem}"
    assert not stream.lake.exists()


def test_a_paged_kind_needs_a_field_for_the_page_and_the_others_must_not_have_one(stream: Stream) -> None:
    without = RestStream(stream, NOWHERE).run_here(spec={"templatedFields": [FROM, TO]})
    assert without.configuration_error.endswith(
        "templatedFields: a paged API needs a field of type RESPONSE_PAGE, which says where the page goes"
    )
    unpaged = RestStream(stream, NOWHERE, FIXED, UNPAGED).run_here(spec={"templatedFields": [FROM, TO, PAGE]})
    assert unpaged.configuration_error.endswith(
        f"templatedFields: {UNRESOLVED}: page. A field of type RESPONSE_PAGE is for kinds with pages"
    )


CONTROL = (
    "the value of the header X-Key holds a line break or another control character: remove it "
    "(a secret that was made from a file often ends with a line break)"
)
HEADERS_WRONG = {
    '{"X-Key": "hidden\\r\\nX: y"}': CONTROL,
    '{"X-Key": "hidden\\n"}': CONTROL,
    '{"X Key": "hidden"}': "'X Key' is no name of an HTTP header",
    '{"": "hidden"}': "'' is no name of an HTTP header",
    '{"X-Key": "hidden€"}': "the value of the header X-Key holds characters that HTTP headers cannot hold",
    '{"content-length": "0"}': "the header content-length follows from the body and cannot be set: remove it",
    "hidden": "authHeaders: Invalid JSON: expected value at line 1 column 1",
    '["hidden"]': "authHeaders: must be an object",
    '{"X-Key": 1}': "authHeaders: must be a text",
    '{"X-Key": null}': "authHeaders: must be a text",
}


@pytest.mark.parametrize("text", HEADERS_WRONG, ids=range(len(HEADERS_WRONG)))
def test_headers_that_cannot_be_sent_are_refused_without_their_values(stream: Stream, text: str) -> None:
    ended = RestStream(stream, NOWHERE).run_here(ARCANE__AUTHHEADERS=text, ARCANE__LOG_LEVEL="error")
    assert ended.configuration_error.splitlines()[-1].strip().endswith(HEADERS_WRONG[text])
    assert "hidden" not in ended.stderr


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"ARCANE__TOKENREQUESTCONTENTTYPE": "text/xml"},
            "ARCANE__TOKENREQUESTCONTENTTYPE: Unsupported content type for authentication: give application/json or "
            "application/x-www-form-urlencoded",
        ),
        (
            {
                "ARCANE__TOKENREQUESTCONTENTTYPE": "application/x-www-form-urlencoded",
                "ARCANE__TOKENREQUESTBODY": "a=hidden",
            },
            "ARCANE__TOKENREQUESTBODY: must be a JSON object of texts when the content type is "
            "application/x-www-form-urlencoded",
        ),
    ],
    ids=["content type", "form"],
)
def test_a_token_request_that_cannot_be_made_is_refused(stream: Stream, given: dict[str, str], problem: str) -> None:
    ended = RestStream(stream, NOWHERE, PAGED_DYNAMIC, TOKEN).run_here(**given)
    assert ended.configuration_error == f"{CANNOT_BE_USED}\n  {problem}"


@pytest.mark.parametrize("entry", ["https://other.example/x", "*", "*.example", "a b", "", "user@other.example"])
def test_an_allowed_host_that_is_none_is_refused(stream: Stream, entry: str) -> None:
    ended = RestStream(stream, NOWHERE).run_here(spec={"allowedHosts": [entry]}, ARCANE__LOG_LEVEL="error")
    message = ended.configuration_error
    assert "allowedHosts: " in message
    assert message.endswith("is no host: write `host` or `host:port`, without a scheme or a path")


def test_a_kind_that_nobody_registers_is_refused_with_the_known_ones(stream: Stream) -> None:
    rest = RestStream(stream, NOWHERE, PAGED_FIXED)
    message = rest.run(STREAMCONTEXT__STREAM_KIND="RestApiPaged").configuration_error
    assert message.startswith("no plugin is installed for the stream kind 'RestApiPaged'; known are: ")
    assert all(kind in message for kind in (FIXED, DYNAMIC, PAGED_FIXED, PAGED_DYNAMIC))
    assert json.loads(rest.environment()["STREAMCONTEXT__SPEC"])["sinkLocation"] == str(stream.lake)

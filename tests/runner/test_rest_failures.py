"""What goes wrong between a REST stream and its server: the exit code, the message word for word, and what was kept."""

import gzip
import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.rest_api import Fault, RunningApi, Script, Table, TokenAuth, serve
from tests.runner.processes import Ended, Stream
from tests.runner.rest_streams import (
    COUNTER,
    FIXED,
    HEADERS,
    OFFSET,
    PAGE,
    PAGED_DYNAMIC,
    PAGED_FIXED,
    TOKEN,
    TOKEN_FIELDS,
    UNPAGED,
    ApiPath,
    RestStream,
    without_run,
)

FEW = Table(rows=35)
PAGE_1, PAGE_2, PAGE_3 = (f"page {number} of the window WINDOW" for number in (1, 2, 3))
TOKENS = "the token request"
GET = "GET URL/counter"
AGAIN = "in 1 attempt within N seconds. To try for longer, raise retrySeconds (now 0)"


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
    own: dict[str, Any] = {"token": TokenAuth(fields=TOKEN_FIELDS)} if kind == PAGED_DYNAMIC else {"headers": HEADERS}
    return Script(**{"table": FEW, **own, **settings})


def message(ended: Ended, api: RunningApi) -> str:
    return without_run(ended.error["error"], api)


def check(stream: Stream, case: Case) -> None:
    with serve(script(case.kind, faults=case.faults)) as api:
        rest = RestStream(stream, api.url, case.kind, case.path)
        ended = rest.run_here(spec=case.spec, **case.variables)
        assert (ended.code, message(ended, api)) == (case.code, case.message)
        assert "traceback" not in ended.error
        assert len(rest.lines()) == case.rows
        assert stream.tokens() == []


def for_ever(**settings: Any) -> tuple[Fault, ...]:
    return (Fault(**{"times": None, **settings}),)


def failed(reason: str, what: str = f"{PAGE_2}: {GET}") -> str:
    return f"TransientStreamError: {what} failed, last with {reason}, {AGAIN}"


def refused(status: str, remedy: str, what: str = f"{PAGE_2}: {GET}") -> str:
    return f"HttpStatusError: {what} was answered with HTTP status {status}: {remedy}"


# Statuses.

DOCUMENTATION = "check the URL and the body against the API's documentation"
ENDING = {
    "400 (Bad Request)": DOCUMENTATION,
    "401 (Unauthorized)": "check the credentials",
    "403 (Forbidden)": "check the credentials and what they are allowed to read",
    "404 (Not Found)": "check the URL",
    "405 (Method Not Allowed)": "check httpMethod",
    "410 (Gone)": "check the URL",
    "418 (I'm a Teapot)": "check the request against the API's documentation",
    "422 (Unprocessable Entity)": DOCUMENTATION,
    "501 (Not Implemented)": "check the request against the API's documentation",
}
PASSING = (
    "408 (Request Timeout)",
    "425 (Too Early)",
    "429 (Too Many Requests)",
    "500 (Internal Server Error)",
    "502 (Bad Gateway)",
    "503 (Service Unavailable)",
    "504 (Gateway Timeout)",
)


@pytest.mark.parametrize("page", [1, 2])
@pytest.mark.parametrize("status", [*ENDING, *PASSING])
def test_a_status_ends_the_stream_with_1_or_for_now_with_2(stream: Stream, status: str, page: int) -> None:
    what = f"{PAGE_1 if page == 1 else PAGE_2}: {GET}"
    faults = for_ever(page=page, status=int(status[:3]))
    expected = refused(status, ENDING[status], what) if status in ENDING else failed(f"HTTP status {status}", what)
    check(stream, Case(1 if status in ENDING else 2, expected, faults, rows=10 * (page - 1)))


@pytest.mark.parametrize("status", [401, 403, 503])
def test_the_token_request_is_named_and_its_url_which_is_a_secret_is_not_shown(stream: Stream, status: int) -> None:
    what = f"{TOKENS}: POST ***"
    expected = {
        401: refused("401 (Unauthorized)", "check the credentials", what),
        403: refused("403 (Forbidden)", "check the credentials and what they are allowed to read", what),
        503: failed("HTTP status 503 (Service Unavailable)", what),
    }[status]
    faults = for_ever(target="token", status=status)
    check(stream, Case(2 if status == 503 else 1, expected, faults, kind=PAGED_DYNAMIC))


def test_a_second_401_with_a_new_token_ends_the_stream(stream: Stream) -> None:
    with serve(script(PAGED_DYNAMIC, faults=for_ever(page=2, status=401))) as api:
        ended = RestStream(stream, api.url, PAGED_DYNAMIC).run_here()
        assert (ended.code, message(ended, api)) == (1, refused("401 (Unauthorized)", "check the credentials"))
        assert (len(api.journal("token")), [entry.status for entry in api.journal()]) == (2, [200, 401, 401])


@pytest.mark.parametrize("status", [408, 429, 503])
def test_a_status_that_passes_costs_the_time_that_the_server_asks_for(stream: Stream, status: int) -> None:
    with serve(script(PAGED_FIXED, faults=(Fault(page=2, status=status, headers={"Retry-After": "1"}),))) as api:
        rest = RestStream(stream, api.url)
        ended = rest.run_here(spec={"retrySeconds": 30})
        assert (ended.code, rest.rows()) == (0, FEW.between()), ended.stderr
        entries = api.journal()
        assert [entry.page for entry in entries] == [1, 2, 2, 3, 4]
        assert 1 <= entries[2].monotonic - entries[1].monotonic < 10
    [warning] = [line for line in ended.log if line["level"] == "warning"]
    assert warning["event"].endswith(" failed and is tried again")
    assert (warning["seconds"], warning["attempt"]) == (1.0, 1)


def test_a_server_that_stays_unavailable_is_asked_until_the_time_is_over(stream: Stream) -> None:
    with serve(script(PAGED_FIXED, faults=for_ever(page=2))) as api:
        rest = RestStream(stream, api.url)
        ended = rest.run_here(spec={"retrySeconds": 2})
        assert (ended.code, message(ended, api)) == (
            2,
            f"TransientStreamError: {PAGE_2}: {GET} failed, last with HTTP status 503 (Service Unavailable), in 2 "
            "attempts within N seconds. To try for longer, raise retrySeconds (now 2)",
        )
        assert len(api.journal()) == 3
        assert rest.rows() == FEW.between()[:10]


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        ("7", "; the server asks to wait 7 seconds more"),
        ("604800", "; the server asks to wait 604800 seconds more"),
        ("Fri, 01 Jan 2999 00:00:00 GMT", "; the server asks to wait MANY seconds more"),
        ("Wed, 21 Oct 2015 07:28:00 GMT", ""),
        ("soon", ""),
        ("-1", ""),
        ("0", ""),
        ("9" * 30, ""),
    ],
)
def test_a_wait_that_a_server_asks_for_is_said_and_not_begun_when_it_is_too_long(
    stream: Stream, value: str, asked: str
) -> None:
    with serve(script(PAGED_FIXED, faults=for_ever(headers={"Retry-After": value}))) as api:
        ended = RestStream(stream, api.url).run_here()
        text = re.sub(r"wait \d{10,} seconds", "wait MANY seconds", message(ended, api))
    start = (
        f"TransientStreamError: {PAGE_1}: {GET} failed, last with HTTP status 503 (Service Unavailable), in 1 attempt"
    )
    assert text == f"{start} within N seconds{asked}. To try for longer, raise retrySeconds (now 0)"


# Connections.


def test_a_closed_port_is_named(stream: Stream) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/items"
        reason = "a connection that could not be made (Connection refused)"
        spec = {"urlTemplate": f"{url}?page=@page&key=hidden", "templatedFields": [PAGE]}
        check(stream, Case(2, failed(reason, f"{PAGE_1}: GET {url}"), spec=spec))


@pytest.mark.parametrize("place", ["url", "token"])
def test_a_host_that_has_no_address_is_named(stream: Stream, place: str) -> None:
    reason = "a host name that could not be resolved"
    if place == "url":
        spec = {"urlTemplate": "http://nothing.invalid/items?page=@page", "templatedFields": [PAGE]}
        case = Case(2, failed(reason, f"{PAGE_1}: GET http://nothing.invalid/items"), spec=spec)
    else:
        variables = {"ARCANE__AUTHURL": "http://nothing.invalid/token?key=hidden"}
        expected = failed(reason, f"{TOKENS}: POST http://nothing.invalid/token")
        case = Case(2, expected, kind=PAGED_DYNAMIC, variables=variables)
    check(stream, case)


CUT = "an answer that was cut or is not valid HTTP"
LATE = "no complete answer within 0.3 seconds (httpTimeout)"
SOON = {"httpTimeout": "300 ms"}
BROKEN = {
    "truncated": Case(2, failed(CUT), for_ever(action="truncate", page=2), rows=10),
    "closed": Case(2, failed(CUT), for_ever(action="close", page=2), rows=10),
    "reset": Case(
        2,
        failed("a connection that was cut (Connection reset by peer)"),
        for_ever(action="reset", page=2),
        rows=10,
    ),
    "slow body": Case(2, failed(LATE), for_ever(action="drip", page=2, seconds=0.02), spec=SOON, rows=10),
    "slow answer": Case(2, failed(LATE), for_ever(action="slow", page=2, seconds=5), spec=SOON, rows=10),
    "no answer": Case(2, failed(LATE), for_ever(action="hang", page=2), spec=SOON, rows=10),
    "no token": Case(
        2,
        failed(LATE, f"{TOKENS}: POST ***"),
        for_ever(action="hang", target="token"),
        kind=PAGED_DYNAMIC,
        spec=SOON,
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_does_not_come_or_is_cut_ends_the_stream_for_now(stream: Stream, name: str) -> None:
    check(stream, BROKEN[name])


# Bodies.


def unread(reason: str) -> str:
    return f"FatalStreamError: {PAGE_2}: the response cannot be read: {reason}"


NESTED_ARRAYS = "[" * 100_000 + "]" * 100_000
TOO_DEEP = "arrays and objects are nested too deep"
NO_NUMBER = "TotalPages, the number of pages by resolverPropertyKeyChain, is not a whole number: correct the key chain"
NO_ARRAY = "not the array of rows: correct responsePropertyKeyChain"
BODIES = {
    "object": (
        '{"data":{"items":{}},"TotalPages":4}',
        f"FatalStreamError: {PAGE_2}: data.items is an object, {NO_ARRAY}",
    ),
    "text": ('{"data":{"items":"x"},"TotalPages":4}', f"FatalStreamError: {PAGE_2}: data.items is a text, {NO_ARRAY}"),
    "array at a step": ('{"data":[1],"TotalPages":4}', unread("data: expected an object, found an array")),
    "number at a step": ('{"data":7,"TotalPages":4}', unread("data: expected an object, found a number")),
    "number": ("7", unread("the document: expected an object, found a number")),
    "array": ("[]", unread("the document: expected an object, found an array")),
    "HTML": ("<!DOCTYPE html>", unread("invalid character (byte 0)")),
    "two documents": ('{"TotalPages":4}{}', unread("more text follows the document (byte 16)")),
    "two lines": ('{"TotalPages":4}\n{}\n', unread("more text follows the document (byte 17)")),
    "no UTF-8": ('{"data":{"items":["\udcff"]},"TotalPages":4}', unread("the text is not UTF-8 (byte 19)")),
    "UTF-16": ("\udcff\udcfe{\0}\0", unread("the text is UTF-16; JSON is read in UTF-8 (byte 0)")),
    "half a pair": ('{"TotalPages":4,"x":"\\ud800"}', unread("a text holds half of a surrogate pair (byte 27)")),
    "control character": ('{"TotalPages":4,"x":"\1"}', unread("invalid character (byte 21)")),
    "NaN": ('{"TotalPages":4,"x":NaN}', unread("invalid character (byte 20)")),
    "nested": (f'{{"data":{{"items":[{NESTED_ARRAYS}]}},"TotalPages":4}}', unread(TOO_DEEP)),
    "nested and cut": ('{"data":{"items":[' + "[" * 100_000, unread(TOO_DEEP)),
    "no total": ('{"data":{"items":[{}]}}', f"FatalStreamError: {PAGE_2}: {NO_NUMBER}"),
    "total is a text": ('{"data":{"items":[]},"TotalPages":"many"}', f"FatalStreamError: {PAGE_2}: {NO_NUMBER}"),
    "empty": ("", failed("the document ends too early (byte 0)")),
    "blank": (" \n", failed("the document ends too early (byte 2)")),
    "cut": ('{"data":{"items":[{"id":1}', failed("the document ends too early (byte 26)")),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_not_what_was_expected_ends_the_stream_at_its_page(stream: Stream, name: str) -> None:
    body, expected = BODIES[name]
    check(stream, Case(2 if expected.startswith("Transient") else 1, expected, for_ever(page=2, body=body), rows=10))


@pytest.mark.parametrize(
    ("body", "found"), [('{"error": "x"}', "an object"), ("null", "null"), ("1", "a number"), ('"x"', "a text")]
)
def test_the_body_of_an_unpaged_api_without_a_key_chain_has_to_be_the_array(
    stream: Stream, body: str, found: str
) -> None:
    expected = (
        f"FatalStreamError: the window WINDOW: the response is {found}, not the array of rows: "
        "name it in responsePropertyKeyChain"
    )
    check(stream, Case(1, expected, for_ever(body=body), UNPAGED, FIXED))


MISFITS = {
    '{"id": "x"}': "column 'id' holds a text, which does not fit int64",
    '{"count": 2147483648}': "column 'count' holds a number outside of int32, which does not fit int32",
    '{"id": ' + "9" * 5000 + "}": "column 'id' holds a number of more than 4300 digits, which does not fit int64",
    "null": "it is null; a row is an object",
}


@pytest.mark.parametrize("row", MISFITS, ids=range(len(MISFITS)))
def test_a_row_that_does_not_fit_the_schema_of_parquet_ends_the_stream_and_is_not_shown(
    stream: Stream, row: str
) -> None:
    with serve(
        script(PAGED_FIXED, faults=for_ever(page=2, body=f'{{"data":{{"items":[{{}},{row}]}},"TotalPages":4}}'))
    ) as api:
        rest = RestStream(stream, api.url)
        ended = rest.run_here(spec={"sinkFormat": "parquet"})
        assert (ended.code, message(ended, api)) == (
            2,
            f"SchemaInconsistentError: {PAGE_2}, row 1: {MISFITS[row]}. "
            "Correct apiSchemaEncoded, or set quarantine: true to set such rows aside",
        )
        assert rest.position()["backfill"]["watermark"]["pages"] == 1


# Compression and size.

BOMB = gzip.compress(b'{"TotalPages":' + b" " * (20 << 20) + b"4}").decode("utf-8", "surrogateescape")
GZIP = {"Content-Encoding": "gzip"}
LARGE = (
    f"FatalStreamError: {PAGE_2}: the response has more than 5000 bytes: "
    "ask the API for smaller pages, or raise maxResponseBytes"
)
SIZES = {
    "bomb": Case(
        1,
        f"FatalStreamError: {PAGE_2}: the response unpacks to more than 250 times its size and 16777216 bytes: ask the "
        "API for smaller pages (such a response stays refused whatever maxResponseBytes is)",
        for_ever(page=2, body=BOMB, headers=GZIP),
        rows=10,
    ),
    "packed": Case(1, LARGE, for_ever(page=2, body=BOMB, headers=GZIP), spec={"maxResponseBytes": 5000}, rows=10),
    "large": Case(1, LARGE, for_ever(page=2, body=" " * 5001), spec={"maxResponseBytes": 5000}, rows=10),
    "brotli": Case(
        1,
        f"FatalStreamError: {PAGE_2}: the response is encoded as 'br', although only gzip, deflate was asked for: "
        "switch that encoding off at the server",
        for_ever(page=2, body="{}", headers={"Content-Encoding": "br"}),
        rows=10,
    ),
    "damaged": Case(
        2, failed("the gzip data of the response is damaged"), for_ever(page=2, body="{}", headers=GZIP), rows=10
    ),
    "cut": Case(
        2, failed("the gzip data of the response ends early"), for_ever(page=2, body=BOMB[:9000], headers=GZIP), rows=10
    ),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_body_that_is_too_large_or_wrongly_packed_is_refused(stream: Stream, name: str) -> None:
    check(stream, SIZES[name])


# Pages that never end.

LOOPS = {
    "the same token": Case(
        1,
        f"FatalStreamError: {PAGE_2}: next holds the token that this page was asked for with: reading on would never "
        "end. Correct resolverPropertyKeyChain, or the API",
        for_ever(body='{"items": [{}], "next": "a"}'),
        TOKEN,
        rows=1,
    ),
    "a circle of tokens": Case(
        1,
        f"FatalStreamError: {PAGE_3}: the API gave a page token that it has given in this window before: reading on "
        "would never end. Correct resolverPropertyKeyChain, or the API",
        (
            Fault(request=2, body='{"items": [{}], "next": "b"}'),
            Fault(body='{"items": [{}], "next": "a"}', times=None),
        ),
        TOKEN,
        rows=2,
    ),
    **{
        path.name: Case(
            1,
            "FatalStreamError: page 10 of the window WINDOW: the last 10 pages hold the same rows: the API does not "
            "seem to look at the page that it is asked for. Correct the field of type RESPONSE_PAGE in "
            "templatedFields, or pageResolverConfiguration",
            for_ever(body='{"items": [{}], "data": {"items": [{}]}, "TotalPages": 1000000}'),
            path,
            rows=9,
        )
        for path in (COUNTER, OFFSET)
    },
}


@pytest.mark.parametrize("name", LOOPS)
def test_pages_that_would_never_end_are_an_error(stream: Stream, name: str) -> None:
    check(stream, LOOPS[name])


def test_a_refused_row_is_not_in_the_message(stream: Stream) -> None:
    body = json.dumps({"data": {"items": [{"id": "hidden-word"}]}, "TotalPages": 4})
    with serve(script(PAGED_FIXED, faults=for_ever(body=body))) as api:
        ended = RestStream(stream, api.url).run_here(spec={"sinkFormat": "parquet"})
    assert (ended.code, "hidden-word" in ended.stderr) == (2, False)

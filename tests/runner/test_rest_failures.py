"""REST streams whose server refuses, fails, hangs up or is not there: the exit code and the message word for word."""

import re
import socket

import pytest

from tests.rest_api import Fault, serve
from tests.runner.processes import Stream
from tests.runner.rest_cases import (
    FEW,
    GET,
    PAGE_1,
    PAGE_2,
    TOKENS,
    Case,
    check,
    failed,
    for_ever,
    message,
    refused,
    script,
)
from tests.runner.rest_streams import (
    PAGE,
    PAGED_DYNAMIC,
    PAGED_FIXED,
    RestStream,
)

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
            "attempts within N seconds. "
            "Check that the host is right and up; to try for longer, raise retrySeconds (now 2)",
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
    assert (
        text == f"{start} within N seconds{asked}. Check that the host is right and up; "
        "to try for longer, raise retrySeconds (now 0)"
    )


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
    # Some machines without a network take their time to say so.
    patient = {"httpTimeout": 40}
    if place == "url":
        spec = {"urlTemplate": "http://nothing.invalid/items?page=@page", "templatedFields": [PAGE], **patient}
        case = Case(2, failed(reason, f"{PAGE_1}: GET http://nothing.invalid/items"), spec=spec)
    else:
        variables = {"ARCANE__AUTHURL": "http://nothing.invalid/token?key=hidden"}
        expected = failed(reason, f"{TOKENS}: POST http://nothing.invalid/token")
        case = Case(2, expected, kind=PAGED_DYNAMIC, spec=patient, variables=variables)
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

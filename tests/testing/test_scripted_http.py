from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from arcane_framework.testing import ScriptedHttp, StreamTest, StreamTestFactory, VirtualClock
from tests.testing.small_plugins import SPEC, Api, rows

URL = "https://shop.example/orders"


@pytest.fixture
def http() -> ScriptedHttp:
    return ScriptedHttp()


@pytest.fixture
def api(arcane_stream: StreamTestFactory, http: ScriptedHttp) -> StreamTest:
    return arcane_stream(Api, {**SPEC, "url": URL}, secrets={"ARCANE__AUTHTOKEN": "token"}, http=http)


@pytest.fixture
def client(http: ScriptedHttp, virtual_clock: VirtualClock) -> httpx2.Client:
    http.attach(virtual_clock)
    return http.client()


def seconds(http: ScriptedHttp) -> list[float]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [(request.time - start).total_seconds() for request in http.requests]


def test_replies_come_in_the_order_of_the_script(client: httpx2.Client, http: ScriptedHttp) -> None:
    http.reply("GET", URL, json={"page": 1}).reply("get", URL, text="two").reply("POST", URL, content=b"three")
    assert client.post(URL, content=b"body").content == b"three"
    assert client.get(URL).json() == {"page": 1}
    assert client.get(URL).text == "two"
    assert [(request.method, request.url) for request in http.requests] == [("POST", URL), ("GET", URL), ("GET", URL)]
    assert http.requests[0].content == b"body"


def test_a_reply_has_status_headers_and_body(client: httpx2.Client, http: ScriptedHttp) -> None:
    http.reply("GET", URL, status=429, headers={"Retry-After": "7"})
    reply = client.get(URL)
    assert (reply.status_code, reply.headers["retry-after"], reply.content) == (429, "7", b"")


def test_a_request_is_kept_with_its_json(client: httpx2.Client, http: ScriptedHttp) -> None:
    http.reply("POST", URL, status=201)
    client.post(URL, json={"since": 5}, headers={"X-Trace": "t"})
    assert http.requests[0].json() == {"since": 5}
    assert http.requests[0].headers["x-trace"] == "t"


def test_a_star_stands_for_any_text_and_nothing_else_does(client: httpx2.Client, http: ScriptedHttp) -> None:
    http.reply("GET", f"{URL}?page=*&size=10", times=None, text="matched")
    assert client.get(f"{URL}?page=17&size=10").text == "matched"
    http.reply("GET", "https://shop.example/*", text="other")
    assert client.get(f"{URL}Xpage=17&size=10").text == "other"


def test_a_reply_is_given_as_often_as_the_script_says(client: httpx2.Client, http: ScriptedHttp) -> None:
    http.reply("GET", URL, text="busy", times=2).reply("GET", URL, text="ready")
    assert [client.get(URL).text for _ in range(3)] == ["busy", "busy", "ready"]


def test_what_was_not_asked_for_is_listed(client: httpx2.Client, http: ScriptedHttp) -> None:
    http.reply("GET", URL, times=3).reply("POST", URL).reply("GET", "https://other.example/*", times=None)
    client.get(URL)
    assert http.unused == [f"GET {URL} (2 times)", f"POST {URL} (once)"]


def test_a_reply_with_two_bodies_is_refused(http: ScriptedHttp) -> None:
    with pytest.raises(ValueError, match=r"^a reply has one body: give json, text or content$"):
        http.reply("GET", URL, json=[], text="")


def test_a_script_without_a_clock_makes_no_clients(http: ScriptedHttp) -> None:
    with pytest.raises(AssertionError, match=r"^the script has no clock yet: give it to StreamTest"):
        http.client()


def test_an_unscripted_request_fails_the_test_whatever_the_stream_makes_of_it(
    api: StreamTest, http: ScriptedHttp
) -> None:
    http.reply("GET", f"{URL}?page=2", json=[]).reply("POST", URL, times=2).reply(
        "GET", "https://cdn.example/*", times=None
    )
    with pytest.raises(AssertionError) as caught:
        api.start()
    assert str(caught.value) == (
        f"unscripted request: GET {URL}?page=1\n"
        "still expected:\n"
        f"  GET {URL}?page=2 (once)\n"
        f"  POST {URL} (2 times)\n"
        "  GET https://cdn.example/* (any number of times)"
    )
    assert api.exit_code == 1


def test_a_request_after_the_end_of_the_script_is_named(api: StreamTest, http: ScriptedHttp) -> None:
    http.reply("GET", f"{URL}?page=1", json=rows(1))
    api.start()
    with pytest.raises(AssertionError) as caught:
        api.advance(60)
    assert str(caught.value) == f"unscripted request: GET {URL}?page=2\nnothing more was expected"


def test_a_stream_without_a_script_makes_no_requests(arcane_stream: StreamTestFactory) -> None:
    test = arcane_stream(Api, {**SPEC, "url": URL}, secrets={"ARCANE__AUTHTOKEN": "token"})
    with pytest.raises(AssertionError, match=r"^unscripted request: GET "):
        test.start()


def test_a_retry_waits_as_long_as_the_server_asks_for(api: StreamTest, http: ScriptedHttp) -> None:
    http.reply("GET", f"{URL}?page=1", status=429, headers={"Retry-After": "30"}, times=2)
    http.reply("GET", f"{URL}?page=1", json=rows(1, 2))
    http.reply("GET", f"{URL}?page=2", json=[], times=None)
    http.reply("GET", f"{URL}?page=3", json=[], times=None)
    api.start()
    api.advance(59)
    assert (seconds(http), api.rows()) == ([0, 30], [])
    api.advance(71)
    assert seconds(http) == [0, 30, 60, 120]
    assert api.rows() == rows(1, 2)


def test_a_stop_ends_a_retry_wait(api: StreamTest, http: ScriptedHttp) -> None:
    http.reply("GET", f"{URL}?page=1", status=503, headers={"Retry-After": "3600"})
    api.start()
    api.stop()
    assert api.exit_code == 0
    assert seconds(http) == [0]


def test_a_server_that_stays_busy_ends_the_stream_with_2(api: StreamTest, http: ScriptedHttp) -> None:
    http.reply("GET", f"{URL}?page=1", status=503, times=3)
    api.start()
    api.advance(3)
    assert api.exit_code == 2
    assert api.error == f"TransientStreamError: {URL}?page=1 did not reply 3 times"


def test_a_delay_passes_in_virtual_time(api: StreamTest, http: ScriptedHttp) -> None:
    http.reply("GET", f"{URL}?page=1", json=rows(1), delay=15)
    http.reply("GET", f"{URL}?page=2", json=[])
    api.start()
    api.advance(14)
    assert api.metrics.count("rows.incoming") == 0
    api.advance(1)
    assert api.metrics.count("rows.incoming") == 1
    api.advance(60)
    assert seconds(http) == [0, 75]


def test_connection_errors_and_timeouts_are_raised_as_the_client_raises_them(
    api: StreamTest, http: ScriptedHttp
) -> None:
    http.fail("GET", f"{URL}?page=1").time_out("GET", f"{URL}?page=1").reply("GET", f"{URL}?page=1", json=rows(1))
    api.start()
    api.advance(timedelta(seconds=30))  # 5 until the retry, 20 until the time-out, 5 until the next retry
    assert seconds(http) == [0, 5, 30]
    warnings = [line["error"] for line in api.logs if line["event"] == "no reply"]
    assert warnings == ["connection refused", "no reply within 20 seconds"]
    assert api.metrics.count("rows.incoming") == 1


def test_a_scripted_error_keeps_its_class_and_its_request(client: httpx2.Client, http: ScriptedHttp) -> None:
    http.fail("GET", URL, httpx2.ReadError("reset by peer"))
    with pytest.raises(httpx2.ReadError, match=r"^reset by peer$") as caught:
        client.get(URL)
    assert str(caught.value.request.url) == URL


def test_a_reply_slower_than_the_clients_timeout_times_out(http: ScriptedHttp, virtual_clock: VirtualClock) -> None:
    http.attach(virtual_clock)
    http.reply("GET", URL, delay=10)
    outcomes: list[tuple[str, float]] = []

    def ask() -> None:
        with http.client() as client:
            try:
                client.get(URL, timeout=4)
            except httpx2.ReadTimeout as error:
                outcomes.append((str(error), virtual_clock.monotonic()))

    virtual_clock.spawn(ask, "asking")
    virtual_clock.advance(60)
    assert outcomes == [("no reply within 4 seconds", 4.0)]


def test_closing_the_client_ends_a_request_in_progress(http: ScriptedHttp, virtual_clock: VirtualClock) -> None:
    http.attach(virtual_clock)
    http.time_out("GET", URL)
    outcomes: list[str] = []
    client = http.client()

    def ask() -> None:
        try:
            client.get(URL, timeout=None)
        except httpx2.ReadError as error:
            outcomes.append(str(error))

    virtual_clock.spawn(ask, "asking")
    virtual_clock.advance(3600)
    assert outcomes == []
    client.close()
    virtual_clock.advance()
    assert outcomes == ["the client was closed"]

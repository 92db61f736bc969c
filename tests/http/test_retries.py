import gzip
from datetime import UTC, datetime

import httpx2
import pytest

from arcane_framework import FatalStreamError, TransientStreamError
from arcane_framework._core.errors import StreamStopped
from arcane_framework.http import HttpSettings, HttpStatusError, RateLimit, RateLimiter, TruncatedBodyError
from arcane_framework.http.retries import parse_retry_after
from arcane_framework.testing import ScriptedHttp, VirtualClock
from tests.http.parts import URL, Scripted

RETRIED = [408, 425, 429, 500, 502, 503, 504, 507, 520, 599]
REFUSED = [400, 402, 403, 404, 405, 406, 409, 410, 411, 413, 414, 415, 422, 451, 501, 505]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def http() -> ScriptedHttp:
    return ScriptedHttp()


@pytest.fixture
def scripted(virtual_clock: VirtualClock, http: ScriptedHttp) -> Scripted:
    return Scripted(virtual_clock, http)


@pytest.mark.parametrize("status", RETRIED)
def test_a_passing_status_is_tried_again(scripted: Scripted, http: ScriptedHttp, status: int) -> None:
    http.reply("GET", URL, status=status).reply("GET", URL, text="rows")
    assert scripted.fetch() == b"rows"
    assert 1 <= scripted.times[1] <= 2
    assert scripted.metrics.count("retries") == 1


@pytest.mark.parametrize("status", RETRIED)
def test_a_status_that_does_not_pass_ends_the_run_for_a_restart(
    scripted: Scripted, http: ScriptedHttp, status: int
) -> None:
    http.reply("GET", URL, status=status, times=None)
    with pytest.raises(TransientStreamError, match=rf"^page 3: GET {URL} failed, last with HTTP status {status}"):
        scripted.fetch()
    assert 240 <= scripted.times[-1] <= 300


@pytest.mark.parametrize("status", RETRIED)
def test_a_passing_status_in_the_middle_repeats_the_same_page(
    scripted: Scripted, http: ScriptedHttp, status: int
) -> None:
    pages = [f"{URL}?page={page}" for page in (1, 2, 3)]
    http.reply("GET", pages[0], text="1").reply("GET", pages[1], status=status, times=3)
    http.reply("GET", pages[1], text="2").reply("GET", pages[2], text="3")
    assert [scripted.fetch(page, within=100) for page in pages] == [b"1", b"2", b"3"]
    assert [request.url[-1] for request in http.requests] == ["1", "2", "2", "2", "2", "3"]


@pytest.mark.parametrize("status", REFUSED)
def test_a_refusal_is_final(scripted: Scripted, http: ScriptedHttp, status: int) -> None:
    http.reply("GET", URL, status=status, text="secret body")
    with pytest.raises(HttpStatusError) as caught:
        scripted.fetch()
    assert caught.value.status == status
    assert isinstance(caught.value, FatalStreamError)
    assert "secret" not in str(caught.value)
    assert scripted.retries == []


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "HTTP status 400 (Bad Request): check the URL and the body against the API's documentation"),
        (401, "HTTP status 401 (Unauthorized): check the credentials"),
        (403, "HTTP status 403 (Forbidden): check the credentials and what they are allowed to read"),
        (404, "HTTP status 404 (Not Found): check the URL"),
        (405, "HTTP status 405 (Method Not Allowed): check httpMethod"),
        (410, "HTTP status 410 (Gone): check the URL"),
        (499, "HTTP status 499: check the request against the API's documentation"),
        (304, "HTTP status 304 (Not Modified): check the request against the API's documentation"),
    ],
)
def test_a_refusal_names_the_request_and_the_remedy(
    scripted: Scripted, http: ScriptedHttp, status: int, message: str
) -> None:
    http.reply("GET", "*", status=status)
    with pytest.raises(HttpStatusError) as caught:
        scripted.fetch("https://user:word@shop.example/orders?token=secret#here")
    assert str(caught.value) == f"page 3: GET {URL} was answered with {message}"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx2.ConnectError("refused"), "a connection that could not be made"),
        (httpx2.ReadError("reset"), "a connection that was cut"),
        (httpx2.WriteError("pipe"), "a connection that was cut"),
        (httpx2.RemoteProtocolError("half"), "an answer that was cut or is not valid HTTP"),
        (httpx2.ConnectTimeout("slow"), "no complete answer within 30 seconds (httpTimeout)"),
        (httpx2.ReadTimeout("slow"), "no complete answer within 30 seconds (httpTimeout)"),
        (httpx2.ProxyError("407 secret"), "a proxy that refused the connection"),
    ],
)
def test_an_error_of_the_connection_is_tried_again(
    scripted: Scripted, http: ScriptedHttp, error: httpx2.TransportError, reason: str
) -> None:
    http.fail("GET", URL, error).reply("GET", URL, text="rows")
    assert scripted.fetch() == b"rows"
    [(event, fields)] = scripted.log.events
    assert event == "page 3 failed and is tried again"
    assert fields == {"reason": reason, "seconds": scripted.retries[0], "attempt": 1, "url": URL}


def test_what_cannot_be_sent_is_final(scripted: Scripted, http: ScriptedHttp) -> None:
    http.fail("GET", URL, httpx2.LocalProtocolError("Illegal header value b'secret'"))
    with pytest.raises(FatalStreamError) as caught:
        scripted.fetch()
    assert str(caught.value) == f"page 3: the request for {URL} cannot be sent as HTTP: check its URL and headers"
    # The library's words quote the header.
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_timeout_takes_its_time_and_is_tried_again(scripted: Scripted, http: ScriptedHttp) -> None:
    http.time_out("GET", URL).reply("GET", URL, text="rows")
    assert scripted.fetch() == b"rows"
    assert 31 <= scripted.times[1] <= 32


def test_a_slow_answer_that_comes_in_time_is_taken(scripted: Scripted, http: ScriptedHttp) -> None:
    http.reply("GET", URL, text="rows", delay=29.9)
    assert scripted.fetch() == b"rows"


def test_the_waits_double_up_to_a_minute_and_end_within_the_time(scripted: Scripted, http: ScriptedHttp) -> None:
    http.reply("GET", URL, status=503, times=None)
    with pytest.raises(TransientStreamError) as caught:
        scripted.fetch()
    bounds = [(1, 2), (2, 3), (4, 5), (8, 9), (16, 17), (32, 33), (60, 60), (60, 60), (60, 60)]
    assert len(scripted.retries) in (8, 9)
    assert all(low <= wait <= high for wait, (low, high) in zip(scripted.retries, bounds, strict=False))
    assert scripted.metrics.count("retries") == len(scripted.retries)
    assert str(caught.value) == (
        f"page 3: GET {URL} failed, last with HTTP status 503 (Service Unavailable), in {len(scripted.times)} attempts "
        f"within {scripted.times[-1]:.0f} seconds. "
        "Check that the host is right and up; to try for longer, raise retrySeconds (now 300)"
    )


def test_no_time_for_retries_is_one_attempt(virtual_clock: VirtualClock, http: ScriptedHttp) -> None:
    scripted = Scripted(virtual_clock, http, settings=HttpSettings(timeout=30, retry_seconds=0))
    http.reply("GET", URL, status=503)
    with pytest.raises(TransientStreamError) as caught:
        scripted.fetch()
    assert str(caught.value) == (
        f"page 3: GET {URL} failed, last with HTTP status 503 (Service Unavailable), in 1 attempt within 0 seconds. "
        "Check that the host is right and up; to try for longer, raise retrySeconds (now 0)"
    )


def test_the_time_begins_anew_with_each_fetch(scripted: Scripted, http: ScriptedHttp) -> None:
    for _ in range(3):
        http.reply("GET", URL, status=503, headers={"Retry-After": "200"}).reply("GET", URL, text="rows")
    assert [scripted.fetch(within=1_000) for _ in range(3)] == [b"rows"] * 3


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("299", 299),
        ("Thu, 01 Jan 2026 00:02:00 GMT", 120),
        ("Thursday, 01-Jan-26 00:02:00 GMT", 120),
        ("Thu Jan  1 00:02:00 2026", 120),
    ],
)
@pytest.mark.parametrize("status", [408, 425, 429, 503])
def test_the_server_says_how_long_to_wait(
    scripted: Scripted, http: ScriptedHttp, status: int, header: str, seconds: float
) -> None:
    http.reply("GET", URL, status=status, headers={"Retry-After": header}).reply("GET", URL, text="rows")
    assert scripted.fetch() == b"rows"
    assert scripted.times == [0, seconds]


@pytest.mark.parametrize("header", ["soon", "", "-5", "1.5", "5, 5", "0", "Mon, 01 Jan 2024 00:00:00 GMT", "9" * 5_000])
def test_nonsense_and_no_wait_leave_it_at_the_back_off(scripted: Scripted, http: ScriptedHttp, header: str) -> None:
    http.reply("GET", URL, status=429, headers={"Retry-After": header}).reply("GET", URL, text="rows")
    assert scripted.fetch() == b"rows"
    assert 1 <= scripted.times[1] <= 2


@pytest.mark.parametrize(
    ("header", "asked"),
    [("604800", "604800"), ("301", "301"), ("Thu, 08 Jan 2026 00:00:00 GMT", "604800")],
)
def test_a_wait_beyond_the_time_is_not_begun(scripted: Scripted, http: ScriptedHttp, header: str, asked: str) -> None:
    http.reply("GET", URL, status=429, headers={"Retry-After": header})
    with pytest.raises(TransientStreamError) as caught:
        scripted.fetch()
    assert str(caught.value) == (
        f"page 3: GET {URL} failed, last with HTTP status 429 (Too Many Requests), in 1 attempt within 0 seconds; "
        f"the server asks to wait {asked} seconds more. "
        "Check that the host is right and up; to try for longer, raise retrySeconds (now 300)"
    )
    assert scripted.clock.monotonic() <= 3_600
    assert scripted.times == [0]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", None),
        ("120", 120),
        ("٣", None),
        ("Thu, 01 Jan 2026 00:00:10 GMT", 10),
        ("Thu, 01 Jan 2026 01:00:10 +0100", 10),
        ("Wed, 31 Dec 2025 23:59:59 GMT", None),
        ("Fri, 31 Feb 2026 00:00:00 GMT", None),
        ("Fri, 01 Jan 99999 00:00:00 GMT", None),
        ("Fri, 01 Jan 2027 00:00:00 +9999", None),
    ],
)
def test_retry_after_is_read_as_the_standard_says(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


def test_a_body_that_ends_early_is_tried_again(scripted: Scripted, http: ScriptedHttp) -> None:
    http.reply("GET", URL, content=b"[1,", headers={"Content-Length": "6"}).reply("GET", URL, content=b"[1, 2]")
    assert scripted.fetch() == b"[1, 2]"
    assert scripted.log.events[0][1]["reason"] == "a body that ended after 3 of 6 bytes"


def test_compressed_data_that_ends_early_is_tried_again(scripted: Scripted, http: ScriptedHttp) -> None:
    whole = gzip.compress(b"rows" * 100)
    for content in (whole[:20], whole):
        http.reply("GET", URL, content=content, headers={"Content-Encoding": "gzip"})
    assert scripted.fetch() == b"rows" * 100


def test_a_reader_that_finds_the_body_cut_has_it_tried_again(scripted: Scripted, http: ScriptedHttp) -> None:
    def read(body: bytes | None) -> bytes:
        assert body is not None
        if not body.endswith(b"]"):
            raise TruncatedBodyError("a JSON text without its end")
        return body

    http.reply("GET", URL, content=b"[1,").reply("GET", URL, content=b"[1]")
    assert scripted.fetch(read=read) == b"[1]"
    assert scripted.log.events[0][1]["reason"] == "a JSON text without its end"


def test_another_error_of_the_reader_passes_through(scripted: Scripted, http: ScriptedHttp) -> None:
    def read(body: bytes | None) -> bytes:
        raise ValueError("not mine")

    http.reply("GET", URL)
    with pytest.raises(ValueError, match="not mine"):
        scripted.fetch(read=read)
    assert scripted.retries == []


def test_every_attempt_takes_a_permit(virtual_clock: VirtualClock, http: ScriptedHttp) -> None:
    scripted = Scripted(virtual_clock, http, limiter=RateLimiter(RateLimit(1, 60), virtual_clock))
    http.reply("GET", URL, status=503, times=2).reply("GET", URL, text="rows", times=2)
    scripted.fetch()
    scripted.fetch()
    assert scripted.times[:3] == [0, 60, 120]
    assert scripted.times[3] == 3_600


def test_a_stop_ends_a_wait_between_attempts(scripted: Scripted, http: ScriptedHttp) -> None:
    http.reply("GET", URL, status=503, headers={"Retry-After": "100"})
    scripted.clock.spawn(lambda: _stop_after(scripted, 10), "stopper")
    with pytest.raises(StreamStopped):
        scripted.fetch()
    assert scripted.times == [0]


def _stop_after(scripted: Scripted, seconds: float) -> None:
    scripted.clock.wait_for(lambda: False, scripted.clock.monotonic() + seconds)
    scripted.kill_switch.stop()


def test_a_stop_ends_the_wait_for_a_permit(virtual_clock: VirtualClock, http: ScriptedHttp) -> None:
    scripted = Scripted(virtual_clock, http, limiter=RateLimiter(RateLimit(1, 1_000), virtual_clock))
    http.reply("GET", URL, status=503)
    scripted.clock.spawn(lambda: _stop_after(scripted, 10), "stopper")
    with pytest.raises(StreamStopped):
        scripted.fetch()


def test_closing_ends_a_request_in_progress_and_refuses_later_ones(scripted: Scripted, http: ScriptedHttp) -> None:
    http.time_out("GET", URL)

    def close() -> None:
        scripted.clock.wait_for(lambda: False, 5)
        scripted.requester.close()
        scripted.requester.close()

    scripted.clock.spawn(close, "closer")
    with pytest.raises(StreamStopped):
        scripted.fetch(within=10)
    with pytest.raises(StreamStopped):
        scripted.fetch(within=1)
    assert len(scripted.times) == 1

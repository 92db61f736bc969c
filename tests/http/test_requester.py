import gc
import gzip
import re
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace

import pytest

from arcane_framework import ConfigurationError, FatalStreamError, TransientStreamError
from arcane_framework.http import HttpRequest, HttpSettings, HttpStatusError, check_headers, shown_url
from arcane_framework.http.transport import user_agent
from arcane_framework.testing import ScriptedHttp, VirtualClock
from tests.http.parts import URL, Scripted, as_it_is, finish, real_requester

GZIP = {"Content-Encoding": "gzip"}


class Tokens:
    """Gives numbered tokens; a new one after each rejection, as long as it has some."""

    def __init__(self, clock: VirtualClock, new_ones: int = 1) -> None:
        self._clock = clock
        self._new_ones = new_ones
        self._number = 1
        self.asked: list[float] = []
        self.rejections = 0

    def headers(self) -> Mapping[str, str]:
        self.asked.append(self._clock.monotonic())
        return {"authorization": f"Bearer {self._number}"}

    def rejected(self) -> bool:
        self.rejections += 1
        if self._new_ones == 0:
            return False
        self._new_ones -= 1
        self._number += 1
        return True


@pytest.fixture
def http() -> ScriptedHttp:
    return ScriptedHttp()


@pytest.fixture
def scripted(virtual_clock: VirtualClock, http: ScriptedHttp) -> Scripted:
    return Scripted(virtual_clock, http)


@pytest.fixture
def tokens(virtual_clock: VirtualClock) -> Tokens:
    return Tokens(virtual_clock)


@pytest.fixture
def authorized(virtual_clock: VirtualClock, http: ScriptedHttp, tokens: Tokens) -> Scripted:
    return Scripted(virtual_clock, http, authorization=tokens)


def sent(http: ScriptedHttp) -> list[str]:
    return [request.headers["authorization"] for request in http.requests]


# Authorization.


def test_headers_are_asked_for_before_each_attempt(authorized: Scripted, http: ScriptedHttp, tokens: Tokens) -> None:
    http.reply("GET", URL, status=503, headers={"Retry-After": "9"}).reply("GET", URL, text="rows")
    assert authorized.fetch() == b"rows"
    assert tokens.asked == [0, 9]


def test_a_rejected_token_is_replaced_at_once(authorized: Scripted, http: ScriptedHttp, tokens: Tokens) -> None:
    http.reply("GET", URL, status=401).reply("GET", URL, text="rows")
    assert authorized.fetch() == b"rows"
    assert sent(http) == ["Bearer 1", "Bearer 2"]
    assert authorized.times == [0, 0]


def test_a_second_rejection_is_final(authorized: Scripted, http: ScriptedHttp, tokens: Tokens) -> None:
    http.reply("GET", URL, status=401, times=2)
    with pytest.raises(HttpStatusError) as caught:
        authorized.fetch()
    assert caught.value.status == 401
    assert tokens.rejections == 1


def test_a_second_rejection_after_other_failures_is_final(virtual_clock: VirtualClock, http: ScriptedHttp) -> None:
    tokens = Tokens(virtual_clock, new_ones=5)
    http.reply("GET", URL, status=401).reply("GET", URL, status=503).reply("GET", URL, status=401)
    with pytest.raises(HttpStatusError):
        Scripted(virtual_clock, http, authorization=tokens).fetch()
    assert tokens.rejections == 1


def test_each_fetch_may_replace_a_token(virtual_clock: VirtualClock, http: ScriptedHttp) -> None:
    scripted = Scripted(virtual_clock, http, authorization=Tokens(virtual_clock, new_ones=2))
    for _ in range(2):
        http.reply("GET", URL, status=401).reply("GET", URL, text="rows")
        assert scripted.fetch() == b"rows"


def test_an_authorization_that_cannot_help_makes_it_final(virtual_clock: VirtualClock, http: ScriptedHttp) -> None:
    http.reply("GET", URL, status=401)
    with pytest.raises(HttpStatusError):
        Scripted(virtual_clock, http, authorization=Tokens(virtual_clock, new_ones=0)).fetch()
    assert len(http.requests) == 1


def test_what_the_authorization_raises_passes_through(virtual_clock: VirtualClock, http: ScriptedHttp) -> None:
    class Broken(Tokens):
        def headers(self) -> Mapping[str, str]:
            raise TransientStreamError("no token")

    with pytest.raises(TransientStreamError, match=r"^no token$"):
        Scripted(virtual_clock, http, authorization=Broken(virtual_clock)).fetch()
    assert http.requests == []


def test_the_user_of_a_url_is_sent_as_basic_authorization(scripted: Scripted, http: ScriptedHttp) -> None:
    http.reply("GET", URL)
    scripted.fetch("https://jo%40example:a%3Ab@shop.example/orders")
    assert sent(http) == ["Basic am9AZXhhbXBsZTphOmI="]


def test_the_authorization_wins_over_other_headers(authorized: Scripted, http: ScriptedHttp) -> None:
    http.reply("GET", URL)
    authorized.fetch("https://user:word@shop.example/orders", headers={"AUTHORIZATION": "other"})
    assert sent(http) == ["Bearer 1"]


# What is sent.


def test_a_request_says_who_asks_and_what_it_understands(scripted: Scripted, http: ScriptedHttp) -> None:
    http.reply("GET", URL)
    scripted.fetch(headers={"X-Version": "2", "accept-encoding": "br"})
    assert dict(http.requests[0].headers) == {
        "host": "shop.example",
        "accept": "*/*",
        "user-agent": user_agent(),
        "accept-encoding": "gzip, deflate",
        "x-version": "2",
    }
    assert user_agent().startswith("arcane-framework/")


def test_method_and_body_are_sent_as_given(scripted: Scripted, http: ScriptedHttp) -> None:
    http.reply("POST", URL)
    scripted.fetch(method="POST", body=b"\xff\x00 any", headers={"Content-Type": "text/plain", "User-Agent": "mine"})
    [request] = http.requests
    assert (request.method, request.content) == ("POST", b"\xff\x00 any")
    assert (request.headers["content-type"], request.headers["content-length"]) == ("text/plain", "6")
    assert request.headers["user-agent"] == "mine"


def test_the_query_is_sent_as_written(scripted: Scripted, http: ScriptedHttp) -> None:
    url = "https://shop.example/orders?at=2026-01-01T00:00:00Z&filter=a+b%2Fc&x=[1,2]"
    http.reply("GET", url)
    scripted.fetch(url)


def test_cookies_are_not_kept(scripted: Scripted, http: ScriptedHttp) -> None:
    http.reply("GET", URL, headers={"Set-Cookie": "session=1"}, times=2)
    scripted.fetch()
    scripted.fetch()
    assert [request.headers.get("cookie") for request in http.requests] == [None, None]
    assert list(scripted.client.cookies.jar) == []


def test_a_header_that_latin_1_can_hold_is_sent(scripted: Scripted, http: ScriptedHttp) -> None:
    http.reply("GET", URL)
    scripted.fetch(headers={"X-Name": " Zoë "})
    assert http.requests[0].headers["x-name"].encode("latin-1") == b"Zo\xeb"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "Authorization",
            "Bearer canary\n",
            "the value of the header Authorization holds a line break or another control character: remove it "
            "(a secret that was made from a file often ends with a line break)",
        ),
        ("X-A", "canary\r\nHost: evil", None),
        ("X-A", "canary\0", None),
        ("X-A", "canary\x7f", None),
        ("X-A", "canary\u2028", "the value of the header X-A holds characters that HTTP headers cannot hold"),
        ("X-A", "canary €", "the value of the header X-A holds characters that HTTP headers cannot hold"),
        ("X A", "canary", "'X A' is no name of an HTTP header"),
        ("", "canary", "'' is no name of an HTTP header"),
        ("X-A\r\n", "canary", "'X-A\\r\\n' is no name of an HTTP header"),
        ("Zoë", "canary", "'Zoë' is no name of an HTTP header"),
        ("content-length", "5", "the header content-length follows from the body and cannot be set: remove it"),
        ("Transfer-Encoding", "x", "the header Transfer-Encoding follows from the body and cannot be set: remove it"),
    ],
)
def test_a_header_that_cannot_be_sent_is_named_without_its_value(
    scripted: Scripted, http: ScriptedHttp, name: str, value: str, message: str | None
) -> None:
    for act in (lambda: check_headers({name: value}), lambda: scripted.fetch(headers={name: value})):
        with pytest.raises(ConfigurationError) as caught:
            act()
        assert message is None or str(caught.value) == message
        assert "canary" not in str(caught.value)
    assert http.requests == []


# What comes back.


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206])
def test_any_success_is_read(scripted: Scripted, http: ScriptedHttp, status: int) -> None:
    http.reply("GET", URL, status=status, text="rows")
    assert scripted.fetch() == b"rows"


def test_an_empty_body_is_one(scripted: Scripted, http: ScriptedHttp) -> None:
    http.reply("GET", URL)
    assert scripted.fetch() == b""


@pytest.mark.parametrize("status", [204, 205])
def test_a_status_that_says_so_has_no_body(scripted: Scripted, http: ScriptedHttp, status: int) -> None:
    http.reply("GET", URL, status=status, headers={"Content-Encoding": "gzip"})
    assert scripted.fetch(read=lambda body: body is None) is True


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
def test_a_compressed_body_is_read_decoded(scripted: Scripted, http: ScriptedHttp, encoding: str) -> None:
    content = gzip.compress(b"rows")
    http.reply("GET", URL, content=content, headers={"Content-Encoding": encoding})
    assert scripted.fetch() == b"rows"


def test_a_body_above_the_limit_is_refused(virtual_clock: VirtualClock, http: ScriptedHttp) -> None:
    scripted = Scripted(virtual_clock, http, settings=HttpSettings(timeout=30, max_body_bytes=10))
    for headers in ({}, {"Content-Length": "999999999999"}):
        http.reply("GET", URL, content=b"12345678901", headers=headers)
        with pytest.raises(FatalStreamError) as caught:
            scripted.fetch()
        assert str(caught.value) == (
            "page 3: the response has more than 10 bytes: ask the API for smaller pages, or raise maxResponseBytes"
        )


def test_a_body_is_let_go_as_soon_as_it_is_read(scripted: Scripted, http: ScriptedHttp) -> None:
    body = bytes(8 * 1024 * 1024)
    http.reply("GET", URL, status=503).reply("GET", URL, content=gzip.compress(body, 1), headers=GZIP)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        assert scripted.fetch(read=lambda found: len(found or b"")) == len(body)
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert peak > len(body)
    assert left < 1024 * 1024


def test_a_link_to_another_host_is_not_even_asked_for(scripted: Scripted, http: ScriptedHttp) -> None:
    with pytest.raises(FatalStreamError, match=r"add 'evil\.example' to allowedHosts$"):
        scripted.fetch("https://evil.example/orders?page=2")
    assert http.requests == []


def test_an_allowed_link_gets_the_credentials(virtual_clock: VirtualClock, http: ScriptedHttp, tokens: Tokens) -> None:
    settings = HttpSettings(timeout=30, allowed_hosts=("files.example",))
    scripted = Scripted(virtual_clock, http, settings=settings, authorization=tokens)
    http.reply("GET", "https://files.example/2", text="rows")
    assert scripted.fetch("https://files.example/2") == b"rows"
    assert sent(http) == ["Bearer 1"]


# Values.


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"timeout": 0}, "httpTimeout must be a number of seconds above 0, not 0"),
        ({"timeout": float("nan")}, "httpTimeout must be a number of seconds above 0, not nan"),
        ({"timeout": float("inf")}, "httpTimeout must be a number of seconds above 0, not inf"),
        ({"timeout": 1, "retry_seconds": -1}, "retrySeconds must be a number of seconds, 0 or more, not -1"),
        ({"timeout": 1, "max_body_bytes": 0}, "maxResponseBytes must be above 0, not 0"),
        ({"timeout": 1, "max_redirects": -1}, "the number of redirects must not be negative, as -1 is"),
    ],
)
def test_settings_are_checked(values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        HttpSettings(**values)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_a_request_shows_nothing_secret() -> None:
    request = HttpRequest(
        "POST", "https://user:canary@shop.example/orders?token=canary#canary", {"X": "canary"}, b"canary", "page 3"
    )
    assert repr(request) == "HttpRequest(page 3: POST https://shop.example/orders)"
    assert f"{request}" == repr(request)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.example:8443/p?q#f", "https://a.example:8443/p"),
        ("https://u@v@a.example/", "https://a.example/"),
        ("https://[::1]:80/x", "https://[::1]:80/x"),
        ("https://[::1", "a URL that cannot be read"),
        ("a.example/x?token=1", "a URL without a host"),
        ("mailto:someone", "a URL without a host"),
        ("https://a.example/\x1b[31m", "https://a.example/?[31m"),
    ],
)
def test_a_url_is_shown_without_user_and_query(url: str, shown: str) -> None:
    assert shown_url(url) == shown


SECRET_PATH = HttpRequest("GET", f"{URL}/hidden?key=hidden", what="page 3", shown=f"{URL}/@page")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, f"page 3: GET {URL}/@page was answered with HTTP status 404 (Not Found): check the URL"),
        (302, f"page 3: GET {URL}/@page was answered with the redirect 302 without Location: correct the URL"),
        (
            503,
            f"page 3: GET {URL}/@page failed, last with HTTP status 503 (Service Unavailable), in 2 attempts within "
            "2 seconds. Check that the host is right and up; to try for longer, raise retrySeconds (now 3)",
        ),
    ],
)
def test_messages_show_the_url_as_the_request_says(virtual_clock: VirtualClock, status: int, message: str) -> None:
    http = ScriptedHttp().reply("GET", SECRET_PATH.url, status=status, times=None)
    fetcher = Scripted(virtual_clock, http, settings=HttpSettings(timeout=30, retry_seconds=3))
    with pytest.raises((FatalStreamError, TransientStreamError)) as caught:
        finish(virtual_clock, lambda: fetcher.requester.fetch(SECRET_PATH, as_it_is), 60)
    assert re.sub(r"within \d seconds", "within 2 seconds", str(caught.value)) == message
    assert {fields["url"] for _, fields in fetcher.log.events} == ({f"{URL}/@page"} if status == 503 else set())


def test_a_request_that_may_not_be_sent_is_shown_as_it_says() -> None:
    request = replace(SECRET_PATH, url=SECRET_PATH.url.replace("https", "http"))
    with real_requester(URL) as requester:
        for refused, reason in (
            (request, "is not encrypted"),
            (replace(request, url="https:///hidden"), "is not an http or https URL"),
        ):
            for action in (requester.check, lambda each: requester.fetch(each, as_it_is)):
                with pytest.raises(FatalStreamError) as caught:
                    action(refused)
                assert str(caught.value).startswith(f"page 3: {URL}/@page {reason}")


def test_the_text_of_a_request_shows_the_url_as_it_says() -> None:
    assert repr(SECRET_PATH) == f"HttpRequest(page 3: GET {URL}/@page)"
    assert repr(replace(SECRET_PATH, shown=None)) == f"HttpRequest(page 3: GET {URL}/hidden)"

from collections.abc import Mapping

import pytest

from arcane_framework import FatalStreamError
from arcane_framework.http import HttpSettings, HttpStatusError, RateLimit, RateLimiter
from arcane_framework.testing import ScriptedHttp, VirtualClock
from tests.http.parts import URL, Scripted

ELSEWHERE = "https://files.example/orders"


class Token:
    def headers(self) -> Mapping[str, str]:
        return {"Authorization": "Bearer token", "X-Api-Key": "key"}

    def rejected(self) -> bool:
        return False


@pytest.fixture
def http() -> ScriptedHttp:
    return ScriptedHttp()


def scripted(clock: VirtualClock, http: ScriptedHttp, *allowed: str, trusted: str = URL) -> Scripted:
    settings = HttpSettings(timeout=30, allowed_hosts=allowed)
    return Scripted(clock, http, settings=settings, authorization=Token(), trusted=(trusted,))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/v2/orders?page=2", "https://shop.example/v2/orders?page=2"),
        ("https://shop.example/v2", "https://shop.example/v2"),
        ("https://SHOP.example:443/v2", "https://shop.example/v2"),
        ("//shop.example/v2", "https://shop.example/v2"),
        ("?page=2", "https://shop.example/orders?page=2"),
        ("https://user:word@shop.example/v2#part", "https://shop.example/v2"),
    ],
)
def test_a_redirect_on_the_same_host_is_followed_with_the_credentials(
    virtual_clock: VirtualClock, http: ScriptedHttp, status: int, location: str, target: str
) -> None:
    http.reply("GET", URL, status=status, headers={"Location": location}).reply("GET", target, text="rows")
    assert scripted(virtual_clock, http).fetch(headers={"Cookie": "a=b"}) == b"rows"
    last = http.requests[-1].headers
    assert (last["authorization"], last["x-api-key"], last["cookie"]) == ("Bearer token", "key", "a=b")
    assert last["host"] == "shop.example"


def test_the_upgrade_to_https_is_the_same_host(virtual_clock: VirtualClock, http: ScriptedHttp) -> None:
    http.reply("GET", "http://shop.example/orders", status=301, headers={"Location": URL}).reply("GET", URL, text="a")
    fetcher = scripted(virtual_clock, http, trusted="http://shop.example/")
    assert fetcher.fetch("http://shop.example/orders") == b"a"
    assert http.requests[-1].headers["authorization"] == "Bearer token"


@pytest.mark.parametrize(
    ("location", "message"),
    [
        (
            ELSEWHERE + "?token=secret",
            "page 3: https://shop.example redirects to another host, https://files.example: "
            "if that is right, add 'files.example' to allowedHosts",
        ),
        (
            "https://shop.example:8443/",
            "page 3: https://shop.example redirects to another host, https://shop.example:8443: "
            "if that is right, add 'shop.example:8443' to allowedHosts",
        ),
        (
            "//evil.example",
            "page 3: https://shop.example redirects to another host, https://evil.example: "
            "if that is right, add 'evil.example' to allowedHosts",
        ),
        (
            "http://shop.example/orders",
            "page 3: https://shop.example redirects from https to http at http://shop.example, "
            "which is never followed; correct the URL",
        ),
        (
            "http://169.254.169.254/latest/meta-data",
            "page 3: https://shop.example redirects from https to http at http://169.254.169.254, "
            "which is never followed; correct the URL",
        ),
        (
            "https://[::ffff:a9fe:a9fe]/latest",
            "page 3 would go to ::ffff:a9fe:a9fe, and ::ffff:a9fe:a9fe holds 169.254.169.254, a link-local address, "
            "where clouds keep their metadata: a stream never connects there; correct the URL",
        ),
        (
            "ftp://shop.example/orders",
            "page 3: https://shop.example redirects to a URL that is neither http nor https; correct the URL",
        ),
        (
            "file:///etc/passwd",
            "page 3: https://shop.example redirects to a URL that is neither http nor https; correct the URL",
        ),
        (
            "javascript:alert(1)",
            "page 3: https://shop.example redirects to a URL that is neither http nor https; correct the URL",
        ),
    ],
)
def test_a_redirect_to_elsewhere_is_refused(
    virtual_clock: VirtualClock, http: ScriptedHttp, location: str, message: str
) -> None:
    http.reply("GET", URL, status=302, headers={"Location": location})
    with pytest.raises(FatalStreamError) as caught:
        scripted(virtual_clock, http).fetch()
    assert str(caught.value) == message
    assert len(http.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_an_allowed_host_gets_no_credentials(virtual_clock: VirtualClock, http: ScriptedHttp, status: int) -> None:
    http.reply("GET", "*shop*", status=status, headers={"Location": ELSEWHERE}).reply("GET", ELSEWHERE, text="rows")
    fetcher = scripted(virtual_clock, http, "files.example")
    headers = {"Cookie": "a=b", "Proxy-Authorization": "c", "X-Version": "2", "Host": "shop.example"}
    assert fetcher.fetch("https://user:word@shop.example/orders", headers=headers) == b"rows"
    last = http.requests[-1].headers
    assert {"authorization", "x-api-key", "cookie", "proxy-authorization"} & set(last) == set()
    assert (last["x-version"], last["host"]) == ("2", "files.example")


def test_credentials_do_not_come_back(virtual_clock: VirtualClock, http: ScriptedHttp) -> None:
    http.reply("GET", URL, status=302, headers={"Location": ELSEWHERE})
    http.reply("GET", ELSEWHERE, status=302, headers={"Location": "https://shop.example/delete"})
    http.reply("GET", "https://shop.example/delete", text="rows")
    assert scripted(virtual_clock, http, "files.example", "shop.example").fetch() == b"rows"
    assert "authorization" not in http.requests[-1].headers


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "metadata.google.internal", "[fd00:ec2::254]"])
def test_a_redirect_to_metadata_is_refused_by_its_address(
    virtual_clock: VirtualClock, http: ScriptedHttp, host: str
) -> None:
    http.reply("GET", "http://shop.example/", status=302, headers={"Location": f"http://{host}/latest"})
    fetcher = scripted(virtual_clock, http, "shop.example", trusted="http://shop.example/")
    with pytest.raises(FatalStreamError, match=r"a stream never connects there; correct the URL$"):
        fetcher.fetch("http://shop.example/")


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        (301, "POST", "GET", b""),
        (302, "POST", "GET", b""),
        (303, "POST", "GET", b""),
        (307, "POST", "POST", b"query"),
        (308, "POST", "POST", b"query"),
        (301, "PUT", "PUT", b"query"),
        (303, "PUT", "GET", b""),
    ],
)
def test_the_method_changes_where_browsers_change_it(
    virtual_clock: VirtualClock, http: ScriptedHttp, status: int, method: str, then: str, body: bytes
) -> None:
    http.reply(method, URL, status=status, headers={"Location": "/v2"})
    http.reply(then, "https://shop.example/v2", text="rows")
    fetched = scripted(virtual_clock, http).fetch(
        method=method, body=b"query", headers={"Content-Type": "application/json"}
    )
    assert fetched == b"rows"
    last = http.requests[-1]
    assert (last.method, last.content, "content-type" in last.headers) == (then, body, body != b"")


@pytest.mark.parametrize(
    ("headers", "how"),
    [
        ({}, "without"),
        ({"Location": ""}, "with an unreadable"),
        ({"Location": "   "}, "with an unreadable"),
        ({"Location": "https://[::1/orders"}, "with an unreadable"),
        ({"Location": "https://shop.example:99999/"}, "with an unreadable"),
        ({"Location": "https://shop.example:x/"}, "with an unreadable"),
        ({"Location": "https://300.1.1.1/"}, "with an unreadable"),
        ({"Location": "https://%31%36%39.254.169.254/"}, "with an unreadable"),
        ({"Location": "//metadata.google.internal%2e/"}, "with an unreadable"),
    ],
)
def test_a_redirect_without_a_target_is_an_error_of_its_status(
    virtual_clock: VirtualClock, http: ScriptedHttp, headers: dict[str, str], how: str
) -> None:
    http.reply("GET", URL, status=302, headers=headers)
    with pytest.raises(HttpStatusError) as caught:
        scripted(virtual_clock, http).fetch()
    assert caught.value.status == 302
    assert str(caught.value) == f"page 3: GET {URL} was answered with the redirect 302 {how} Location: correct the URL"


def test_five_redirects_are_followed_and_no_sixth(virtual_clock: VirtualClock, http: ScriptedHttp) -> None:
    fetcher = scripted(virtual_clock, http)
    http.reply("GET", URL, status=307, headers={"Location": URL}, times=5).reply("GET", URL, text="rows")
    assert fetcher.fetch() == b"rows"
    http.reply("GET", URL, status=307, headers={"Location": URL}, times=None)
    with pytest.raises(HttpStatusError) as caught:
        fetcher.fetch()
    assert caught.value.status == 307
    assert str(caught.value) == f"page 3: more than 5 redirects, the last one from {URL}: correct the URL"
    assert len(http.requests) == 6 + 6


def test_redirects_take_no_permit_and_share_the_time(virtual_clock: VirtualClock, http: ScriptedHttp) -> None:
    limiter = RateLimiter(RateLimit(1, 60), virtual_clock)
    fetcher = Scripted(virtual_clock, http, limiter=limiter)
    http.reply("GET", URL, status=307, headers={"Location": "/2"}, delay=20)
    http.reply("GET", "https://shop.example/2", text="late", delay=20)
    http.reply("GET", URL, text="rows")
    assert fetcher.fetch() == b"rows"
    assert fetcher.times == [0, 20, 60]
    assert fetcher.log.events[0][1]["reason"] == "no complete answer within 30 seconds (httpTimeout)"


@pytest.mark.parametrize(("status", "method"), [(307, "POST"), (308, "POST"), (301, "PUT"), (302, "PATCH")])
def test_a_body_is_never_sent_on_to_another_host(
    virtual_clock: VirtualClock, http: ScriptedHttp, status: int, method: str
) -> None:
    # On the host itself a body may move.
    http.reply(method, URL, status=307, headers={"Location": "/v2"})
    http.reply(method, "https://shop.example/v2", status=status, headers={"Location": ELSEWHERE + "?key=hidden"})
    with pytest.raises(FatalStreamError) as caught:
        scripted(virtual_clock, http, "files.example").fetch(method=method, body=b"client_secret=hidden")
    assert str(caught.value) == (
        f"page 3: https://shop.example redirects to another host, https://files.example, with status {status}, "
        "which asks for the body again: a body is never sent on to another host; correct the URL"
    )
    assert [request.url for request in http.requests] == [URL, "https://shop.example/v2"]


def test_a_body_is_not_sent_to_another_port_of_its_host(virtual_clock: VirtualClock, http: ScriptedHttp) -> None:
    http.reply("POST", URL, status=308, headers={"Location": "https://shop.example:8443/orders"})
    with pytest.raises(FatalStreamError, match=r"https://shop\.example:8443, with status 308, which asks for the body"):
        scripted(virtual_clock, http, "shop.example:8443").fetch(method="POST", body=b"query")
    assert len(http.requests) == 1


@pytest.mark.parametrize(("status", "then"), [(301, "GET"), (302, "GET"), (303, "GET")])
def test_a_post_that_becomes_a_get_is_followed_to_an_allowed_host(
    virtual_clock: VirtualClock, http: ScriptedHttp, status: int, then: str
) -> None:
    http.reply("POST", URL, status=status, headers={"Location": ELSEWHERE}).reply(then, ELSEWHERE, text="rows")
    assert scripted(virtual_clock, http, "files.example").fetch(method="POST", body=b"query") == b"rows"
    assert http.requests[-1].content == b""


@pytest.mark.parametrize("body", [None, b""])
def test_a_post_without_a_body_is_followed_to_an_allowed_host(
    virtual_clock: VirtualClock, http: ScriptedHttp, body: bytes | None
) -> None:
    http.reply("POST", URL, status=307, headers={"Location": ELSEWHERE}).reply("POST", ELSEWHERE, text="rows")
    assert scripted(virtual_clock, http, "files.example").fetch(method="POST", body=body) == b"rows"


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("/v2/hidden", "https://shop.example"),
        ("https://files.example:8443/hidden?key=hidden", "https://files.example:8443"),
        ("?page=2", URL),
    ],
)
def test_where_a_redirect_has_led_is_shown_without_a_path_that_the_server_has_made_up(
    virtual_clock: VirtualClock, http: ScriptedHttp, location: str, shown: str
) -> None:
    http.reply("GET", URL, status=302, headers={"Location": location})
    http.reply("GET", "*", status=404)
    with pytest.raises(HttpStatusError) as caught:
        scripted(virtual_clock, http, "files.example:8443").fetch()
    assert str(caught.value) == f"page 3: GET {shown} was answered with HTTP status 404 (Not Found): check the URL"


def test_redirects_without_end_show_no_path_that_the_server_has_made_up(
    virtual_clock: VirtualClock, http: ScriptedHttp
) -> None:
    http.reply("GET", "*", status=302, headers={"Location": "/v2/hidden"}, times=None)
    with pytest.raises(HttpStatusError) as caught:
        scripted(virtual_clock, http).fetch()
    assert str(caught.value) == (
        "page 3: more than 5 redirects, the last one from https://shop.example: correct the URL"
    )

import json
import re
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit

import httpx2
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from arcane_framework._core.errors import ConfigurationError, FatalStreamError
from arcane_framework.sources.rest.templates import (
    FieldType,
    Placement,
    RequestTemplate,
    ResolvedRequest,
    TemplatedField,
)

START = datetime(2023, 1, 2, 3, 4, 5, tzinfo=UTC)
END = datetime(2023, 6, 7, 8, 9, 10, tzinfo=UTC)
ISO = "yyyy-MM-ddTHH:mm:ssZ"

FROM = TemplatedField("date", FieldType.FILTER_DATE_FROM, ISO)
BETWEEN_FROM = TemplatedField("dateFrom", FieldType.FILTER_DATE_BETWEEN_FROM, ISO)
BETWEEN_TO = TemplatedField("dateTo", FieldType.FILTER_DATE_BETWEEN_TO, ISO)
PAGE = TemplatedField("page", FieldType.RESPONSE_PAGE)
BODY_PAGE = TemplatedField("page", FieldType.RESPONSE_PAGE, placement=Placement.BODY)


def in_body(field: TemplatedField) -> TemplatedField:
    return TemplatedField(field.name, field.type, field.format, Placement.BODY)


def resolved(template: RequestTemplate, page: str | None = None) -> ResolvedRequest:
    return template.resolve(START, END, page)


def url_of(url: str, *fields: TemplatedField, page: str | None = None) -> str:
    return resolved(RequestTemplate(url, fields=fields), page).url


def body_of(body: str, *fields: TemplatedField, page: str | None = None, method: str = "POST") -> ResolvedRequest:
    return resolved(RequestTemplate("https://api.example.org/data", method, body, fields), page)


# --- what is replaced


@pytest.mark.parametrize(
    ("template", "fields", "page", "expected"),
    [
        ("/data?date=@date", [FROM], None, "/data?date=2023-01-02T03:04:05Z"),
        ("/data", [FROM], None, "/data"),
        ("/data?a=@date&b=@date", [FROM], None, "/data?a=2023-01-02T03:04:05Z&b=2023-01-02T03:04:05Z"),
        (
            "/@date/x",
            [TemplatedField("date", FieldType.FILTER_DATE_FROM, "yyyy/MM/dd")],
            None,
            "/2023/01/02/x",
        ),
        (
            "/?a=@dateFrom&b=@dateTo&c=@page",
            [BETWEEN_FROM, BETWEEN_TO, PAGE],
            "7",
            "/?a=2023-01-02T03:04:05Z&b=2023-06-07T08:09:10Z&c=7",
        ),
        (
            "/?a=@date&b=@dateTo",
            [FROM, BETWEEN_TO],
            None,
            "/?a=2023-01-02T03:04:05Z&b=2023-06-07T08:09:10Z",
        ),
        ("/?a=@date&b=@dateTo", [FROM], None, "/?a=2023-01-02T03:04:05Z&b=@dateTo"),
        ("/?a=@Date", [FROM], None, "/?a=@Date"),
        (
            "/?a=@dateT00:00:00Z&b=@dateT&c=@date_x",
            [TemplatedField("date", FieldType.FILTER_DATE_FROM, "yyyy-MM-dd")],
            None,
            "/?a=2023-01-02T00:00:00Z&b=@dateT&c=@date_x",
        ),
        ("/?a=@date,@date", [FROM], None, "/?a=2023-01-02T03:04:05Z,2023-01-02T03:04:05Z"),
        ("/?p=@page-1&q=@page-token", [TemplatedField("page-token", FieldType.RESPONSE_PAGE)], "x", "/?p=@page-1&q=x"),
        (
            "/?a=@page&b=@page-from",
            [PAGE, TemplatedField("page-from", FieldType.FILTER_DATE_FROM, "yyyy")],
            "7",
            "/?a=7&b=2023",
        ),
        ("/?page=@page", [PAGE], "", "/?page="),
        ("/?page=@page&a=@date", [PAGE, FROM], "@date", "/?page=%40date&a=2023-01-02T03:04:05Z"),
        ("/?page=@page", [PAGE], "a b&c=d#e%f/g+h@:é\r\n", "/?page=a%20b%26c%3Dd%23e%25f%2Fg%2Bh%40%3A%C3%A9%0D%0A"),
        ("/items/@page/rows", [PAGE], "a/b", "/items/a%2Fb/rows"),
        ("/items/p@page", [PAGE], "", "/items/p"),
        ("/items/v@page", [PAGE], ".", "/items/v."),
        (
            "/?d=@date",
            [TemplatedField("date", FieldType.FILTER_DATE_FROM, 'yyyy <>{}|^`#é\\"\\\\')],
            None,
            "/?d=2023%20%3C%3E%7B%7D%7C%5E%60%23%C3%A9%22%5C",
        ),
        (
            "/?d=@date",
            [TemplatedField("date", FieldType.FILTER_DATE_FROM, "")],
            None,
            "/?d=01/02/2023%2003:04:05%20+00:00",
        ),
    ],
)  # fmt: skip
def test_whole_tokens_are_replaced_in_the_url(
    template: str, fields: list[TemplatedField], page: str | None, expected: str
) -> None:
    assert url_of(f"https://api.example.org{template}", *fields, page=page) == f"https://api.example.org{expected}"


def test_only_the_fields_of_a_template_are_replaced_in_it() -> None:
    template = RequestTemplate(
        "https://api.example.org/?a=@date&b=@dateTo", "POST", "@date @dateTo", (FROM, in_body(BETWEEN_TO))
    )
    request = resolved(template)
    assert request.url == "https://api.example.org/?a=2023-01-02T03:04:05Z&b=@dateTo"
    assert request.body == b"@date 2023-06-07T08:09:10Z"


def test_a_name_may_mean_one_thing_in_the_url_and_another_in_the_body() -> None:
    template = RequestTemplate(
        "https://api.example.org/?a=@d",
        "POST",
        "@d",
        (
            TemplatedField("d", FieldType.FILTER_DATE_FROM, "yyyy-MM"),
            TemplatedField("d", FieldType.FILTER_DATE_BETWEEN_TO, "yyyy-MM", Placement.BODY),
        ),
    )
    request = resolved(template)
    assert (request.url, request.body) == ("https://api.example.org/?a=2023-01", b"2023-06")


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("https://other.example.org/next?cursor=a+b%2F", "https://other.example.org/next?cursor=a+b%2F"),
        ("HTTP://API.example.org:8080/n", "HTTP://API.example.org:8080/n"),
        (" https://api.example.org/n\n", "https://api.example.org/n"),
        ("https://api.example.org", "https://api.example.org"),
        ("https://api.example.org?x=1", "https://api.example.org?x=1"),
        ("https://api.example.org/a b\r\nX: <é>|", "https://api.example.org/a%20b%0D%0AX:%20%3C%C3%A9%3E%7C"),
        ("https://bücher.example/ü", "https://bücher.example/%C3%BC"),
    ],
)
def test_a_page_that_is_a_url_replaces_the_whole_url(page: str, expected: str) -> None:
    assert url_of("https://api.example.org/data?page=@page&date=@date", PAGE, FROM, page=page) == expected


@pytest.mark.parametrize("page", ["urn:x", "cursor:abc", "/page/2", "file:///etc", "//evil", "ftp://h/x", "https:/x"])
def test_a_page_that_is_no_http_url_is_a_value(page: str) -> None:
    url = url_of("https://api.example.org/data?page=@page", PAGE, page=page)
    assert parse_qs(urlsplit(url).query) == {"page": [page]}
    assert url.startswith("https://api.example.org/data?page=")


@pytest.mark.parametrize(
    "page",
    [
        "http://",
        "https:///x",
        "http://?x",
        "http://[1::",
        "http://h:99999/",
        "http://h:x/",
        "http://a b/",
        "http://good.example\\@evil.example/",
        "http://e\tvil.example/",
        "http://e\r\nvil.example/",
    ],
)
def test_a_page_that_only_begins_like_a_url_is_refused(page: str) -> None:
    with pytest.raises(FatalStreamError) as caught:
        url_of("https://api.example.org/data?page=@page", PAGE, page=page)
    assert str(caught.value) == (
        "the value of the placeholder @page begins like a URL and is none: correct resolverPropertyKeyChain, or the API"
    )


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/items/@page/rows", "."),
        ("/items/@page/rows", ".."),
        ("/items/@page@page/rows", "."),
        ("/items/.@page", "."),
        ("/items/%2e@page", "."),
        ("/items/@page", "../x"),
        ("/items/@page", "x/.."),
        ("/items/@page", "x\\..\\y"),
        ("/items/v@page", "/../x"),
    ],
)
def test_a_page_that_would_move_in_the_path_is_refused(path: str, page: str) -> None:
    with pytest.raises(FatalStreamError) as caught:
        url_of(f"https://api.example.org{path}", PAGE, page=page)
    assert str(caught.value) == (
        "the value of the placeholder @page has '.' or '..' as a step of a path: in the path "
        "of urlTemplate it would lead to another place. Put the placeholder into the query, or correct "
        "pageResolverConfiguration"
    )


@pytest.mark.parametrize(("path", "sent"), [("/items/@page", "/items/"), ("/items/@page/rows", "/items//rows")])
def test_the_empty_first_token_may_stand_in_the_path(path: str, sent: str) -> None:
    assert url_of(f"https://api.example.org{path}", PAGE, page="") == f"https://api.example.org{sent}"


@pytest.mark.parametrize("page", [".", "..", "../..", ""])
def test_steps_of_a_path_are_plain_text_in_the_query(page: str) -> None:
    url = url_of("https://api.example.org/data/?page=@page", PAGE, page=page)
    assert parse_qs(urlsplit(url).query, keep_blank_values=True) == {"page": [page]}


@pytest.mark.parametrize("page", ["x" * 70_000, "https://api.example.org/" + "x" * 70_000])
def test_a_page_that_makes_the_url_too_long_is_refused_without_showing_it(page: str) -> None:
    with pytest.raises(FatalStreamError) as caught:
        url_of("https://api.example.org/data?page=@page", PAGE, page=page)
    assert str(caught.value) == (
        "the URL with the value of the placeholder @page is longer than 65536 characters: "
        "correct resolverPropertyKeyChain, or the API"
    )


@pytest.mark.parametrize(
    "template",
    [
        RequestTemplate("https://api.example.org/?p=@page", fields=(PAGE,)),
        RequestTemplate("https://api.example.org/", "POST", "@page", (BODY_PAGE,)),
    ],
)
def test_a_page_that_is_no_unicode_is_refused(template: RequestTemplate) -> None:
    with pytest.raises(FatalStreamError) as caught:
        resolved(template, "a\ud800")
    assert str(caught.value) == (
        "the value of the placeholder @page has half of a surrogate pair, which cannot be sent: "
        "correct resolverPropertyKeyChain, or the API"
    )


# --- security: no value leads elsewhere

HOSTILE = st.sampled_from(
    [
        "@evil", "//evil", "..%2f", "..", ".", "", "\r\nHost: evil", "\\evil", "/../..", "%2e%2e", "?x", "#x", "&a=b",
        ":80@evil", "\x00", "evil.example/", "//evil.example", "\thttp://evil", "@page", "@date", "%", "%zz", "; x",
        "é",
    ]
)  # fmt: skip
VALUES = st.one_of(st.text(max_size=20), HOSTILE, st.lists(HOSTILE, max_size=3).map("".join))


def _moves(page: str, template: str) -> bool:
    segments = [segment.replace("@page", page) for segment in urlsplit(template).path.split("/") if "@page" in segment]
    return any({".", ".."} & set(re.split(r"[/\\]", segment)) for segment in segments)


@given(
    VALUES,
    st.sampled_from(
        [
            "https://user:pw@api.example.org:8443/a/@page/b?x=@page",
            "http://api.example.org/@page",
            "http://[::1]:80/a/v@page.json",
            "https://api.example.org/a/b?page=@page&date=@date",
        ]
    ),
)
def test_no_page_changes_scheme_host_port_or_the_depth_of_the_path(page: str, template: str) -> None:
    assume(not page.strip().lower().startswith(("http://", "https://")))
    plain = url_of(template, PAGE, FROM, page="x")
    # Only the path refuses some.
    with pytest.raises(FatalStreamError) if _moves(page, template) else nullcontext():
        url = url_of(template, PAGE, FROM, page=page)
    if _moves(page, template):
        return
    expected, got, sent = urlsplit(plain), urlsplit(url), httpx2.URL(url)
    assert (got.scheme, got.netloc, got.fragment) == (expected.scheme, expected.netloc, "")
    assert got.path.count("/") == expected.path.count("/")
    assert got.query.count("&") == expected.query.count("&")
    assert not set(unquote(got.path).split("/")) & {".", ".."}
    assert url.isascii()
    assert url.isprintable()
    assert sent.raw_path.decode() == url[len(f"{got.scheme}://{got.netloc}") :]
    assert (sent.scheme, sent.host, sent.port) == (
        expected.scheme,
        expected.hostname,
        None if expected.port == 80 else expected.port,
    )


@given(VALUES)
def test_a_page_of_the_query_reads_back_as_it_was(page: str) -> None:
    assume(not page.strip().lower().startswith(("http://", "https://")))
    url = url_of("https://api.example.org/a?page=@page", PAGE, page=page)
    assert parse_qs(urlsplit(url).query, keep_blank_values=True, strict_parsing=True) == {"page": [page]}


@given(VALUES)
def test_a_page_in_a_json_body_changes_nothing_but_its_value(page: str) -> None:
    request = body_of('{"a": {"in": "x-@page-\\"@page"}, "b": [1, "@page"], "c": true}', BODY_PAGE, page=page)
    assert request.body is not None
    assert json.loads(request.body) == {"a": {"in": f'x-{page}-"{page}'}, "b": [1, page], "c": True}
    assert request.content_type == "application/json"


@given(VALUES | st.integers().map(str) | st.sampled_from(["1], [2", "true", "null", '"', "{}", "NaN", "1.5", "01"]))
def test_a_page_without_quotes_in_a_json_body_is_a_number_or_a_text(page: str) -> None:
    request = body_of('{"a": @page, "b": [@page, "@page"]}', BODY_PAGE, page=page)
    assert request.body is not None
    value = json.loads(request.body)
    assert value == {"a": value["a"], "b": [value["a"], page]}
    assert value["a"] == page or str(value["a"]) == page or value["a"] == json.loads(page)


# --- the body


@pytest.mark.parametrize(
    ("body", "fields", "page", "expected", "content_type"),
    [
        ('{"from": "@date"}', [in_body(FROM)], None, b'{"from": "2023-01-02T03:04:05Z"}', "application/json"),
        (
            '{"from": @date}',
            [TemplatedField("date", FieldType.FILTER_DATE_FROM, "yyyyMMdd", Placement.BODY)],
            None,
            b'{"from": 20230102}',
            "application/json",
        ),
        (
            '{"from": @date, "page": "@page"}',
            [TemplatedField("date", FieldType.FILTER_DATE_FROM, "'\"'yyyy'\"'", Placement.BODY), BODY_PAGE],
            'a"b',
            b'{"from": "2023", "page": "a\\"b"}',
            "application/json",
        ),
        (
            '{"from": @date, "page": "@page"}',
            [TemplatedField("date", FieldType.FILTER_DATE_FROM, "'\"'yyyy", Placement.BODY), BODY_PAGE],
            'a"b',
            b'{"from": "2023, "page": "a"b"}',
            "text/plain; charset=utf-8",
        ),
        ('{"page": "@page"}', [BODY_PAGE], "é\n", '{"page": "é\\n"}'.encode(), "application/json"),
        ('{"a": "@page", "b": @page}', [BODY_PAGE], "x", b'{"a": "x", "b": "x"}', "application/json"),
        ('{"page": @page}', [BODY_PAGE], "7", b'{"page": 7}', "application/json"),
        ('{"page": @page}', [BODY_PAGE], "", b'{"page": ""}', "application/json"),
        ('{"page": @page}', [BODY_PAGE], "1.5e3", b'{"page": 1.5e3}', "application/json"),
        ('{"page": @page}', [BODY_PAGE], "007", b'{"page": "007"}', "application/json"),
        ('{"page": "@page"}', [BODY_PAGE], "https://a.example/?b=c", b'{"page": "https://a.example/?b=c"}',
         "application/json"),
        ("<p>@page</p>", [BODY_PAGE], 'a"<b', b'<p>a"<b</p>', "text/plain; charset=utf-8"),
        ("page=@page", [BODY_PAGE], "", b"page=", "text/plain; charset=utf-8"),
        ("{x: @page}", [BODY_PAGE], '"', b'{x: "}', "text/plain; charset=utf-8"),
        ("NaN", [], None, b"NaN", "text/plain; charset=utf-8"),
        ("[" * 100_000, [], None, b"[" * 100_000, "text/plain; charset=utf-8"),
        ("[1]\n", [], None, b"[1]\n", "application/json"),
        ("@page", [BODY_PAGE], "", b'""', "application/json"),
    ],
)  # fmt: skip
def test_the_body_is_text_with_its_type(
    body: str, fields: list[TemplatedField], page: str | None, expected: bytes, content_type: str
) -> None:
    request = body_of(body, *fields, page=page)
    assert (request.body, request.content_type) == (expected, content_type)


@pytest.mark.parametrize(
    ("method", "expected"), [("GET", None), ("get", None), ("HEAD", None), ("POST", b""), ("PUT", b"")]
)
def test_an_empty_body_is_none_for_methods_that_have_no_body(method: str, expected: bytes | None) -> None:
    request = body_of("", method=method)
    assert (request.method, request.body, request.content_type) == (method.upper(), expected, None)


def test_a_body_is_sent_with_get_if_there_is_one() -> None:
    assert body_of('{"a": 1}', method="GET").body == b'{"a": 1}'


# --- what is known before a request


def test_the_template_says_which_dates_and_pages_its_requests_name() -> None:
    fields = (TemplatedField("a", FieldType.FILTER_DATE_FROM, "yyyy"), PAGE, in_body(BETWEEN_TO))
    unused = RequestTemplate("https://api.example.org/", fields=fields)
    assert (unused.date_formats, unused.asks_for_pages, unused.page_field) == ((), False, PAGE)
    used = RequestTemplate("https://api.example.org/@a/@page", body=f"@{BETWEEN_TO.name}", fields=fields)
    assert (used.date_formats, used.asks_for_pages, used.page_field) == (("yyyy", ISO), True, PAGE)
    # A name of the other template is none here.
    other = RequestTemplate(f"https://api.example.org/@{BETWEEN_TO.name}", body="@a @page", fields=fields)
    assert (other.date_formats, other.asks_for_pages) == ((), False)


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://user:pw@API.example.org:8443/a/@page/b c?key=secret#x", "api.example.org", "/a/@page/b%20c"),
        ("http://[::1]:8080", "::1", "/"),
        ("http://api.example.org?a=/b", "api.example.org", "/"),
        ("  http://api.example.org/x\n", "api.example.org", "/x"),
    ],
)
def test_host_and_path_show_neither_user_nor_query(url: str, host: str, path: str) -> None:
    template = RequestTemplate(url, fields=(PAGE,))
    assert (template.host, template.path) == (host, path)


def test_no_text_form_shows_the_url_or_the_body() -> None:
    template = RequestTemplate("https://u:canary@api.example.org/?k=canary", "POST", "canary")
    assert "canary" not in repr(template) + repr(resolved(template)) + str(template) + str(resolved(template))


def test_words_that_only_look_like_fields_are_listed_for_a_warning() -> None:
    template = RequestTemplate(
        "https://api.example.org/?a=@dateTime&b=@other&c=@date&d=@pages&e=@dateTime",
        "POST",
        "@date @pageNumber @page",
        (FROM, BODY_PAGE),
    )
    assert template.unknown_tokens == ("@date...", "@page...")
    assert RequestTemplate("https://api.example.org/?a=@b").unknown_tokens == ()


# --- what is refused at the start


@pytest.mark.parametrize(
    ("template", "problems"),
    [
        *(
            (
                {"url": url},
                [
                    "urlTemplate must be an absolute URL as it stands, before anything is put into it: "
                    "http:// or https://, a host, and a port if it needs one"
                ],
            )
            for url in (
                "", "@base/x", "/x", "api.example.org/x", "ftp://h/x", "https:/x", "https://", "https:///x", "http://h:x/",
                "http://h:99999/", "http://h:0/", "http://a b/", "http://h\\x/", "http://[::1/", "http://:80/", "http://u@/",
            )
        ),
        *(
            ({"url": url}, ["urlTemplate must not have line breaks or other control characters"])
            for url in ("http://h/a\nb", "http://h/\x00", "http://h/\ud800")
        ),
        *(
            (
                {"url": url, "fields": (PAGE,)},
                ["urlTemplate has the placeholder @page in the host: a host cannot change while the stream runs"],
            )
            for url in ("http://h@page/x", "https://@page", "https://@page.example.org/x", "https://a:@page@h/x")
        ),
        (
            {"url": "https://@date.example.org/", "fields": (FROM,)},
            ["urlTemplate has the placeholder @date in the host: a host cannot change while the stream runs"],
        ),
        (
            {"url": "http://h/x#a?page=@page", "fields": (PAGE,)},
            [
                "urlTemplate has a placeholder behind a #, where nothing is sent to the server: "
                "write %23 if the # is part of a value"
            ],
        ),
        ({"body": "\ud800"}, ["bodyTemplate has half of a surrogate pair, which cannot be sent"]),
        ({"method": "G T"}, ['httpMethod must be a method of HTTP, such as GET or POST, not "G T"']),
        ({"method": ""}, ['httpMethod must be a method of HTTP, such as GET or POST, not ""']),
        ({"method": "GET\r\nX:"}, ['httpMethod must be a method of HTTP, such as GET or POST, not "GET\\r\\nX:"']),
        *(
            (
                {"fields": (TemplatedField(name, FieldType.RESPONSE_PAGE),)},
                [
                    "templatedFields[0].fieldName must be the name without @, of letters, digits, '_', '-' and '.', "
                    f"not {json.dumps(name)}"
                ],
            )
            for name in ("", "@page", "a b", "-a", "a/b", "a\n")
        ),
        (
            {"fields": (FROM, TemplatedField("date", FieldType.FILTER_DATE_BETWEEN_TO, ISO))},
            ["templatedFields[1].fieldName: another field with placement URL has the name 'date'"],
        ),
        (
            {"fields": (TemplatedField("date", FieldType.FILTER_DATE_FROM, "yyyy'"),)},
            [
                "templatedFields[0].formatString: the date format \"yyyy'\" is not valid: "
                "the quote ' at character 5 is not closed"
            ],
        ),
        (
            {"fields": (TemplatedField("date", FieldType.FILTER_DATE_FROM, "yyyy\ud800"),)},
            ["templatedFields[0].formatString has half of a surrogate pair, which cannot be sent"],
        ),
        (
            {"fields": (FROM, BETWEEN_FROM, PAGE, BETWEEN_TO, TemplatedField("p2", FieldType.RESPONSE_PAGE))},
            ["templatedFields: Cannot return the resolved template as there are unresolved fields: dateFrom,p2"],
        ),
        (
            {"fields": (BETWEEN_TO, TemplatedField("b", FieldType.FILTER_DATE_BETWEEN_TO, ISO, Placement.BODY))},
            ["templatedFields: Cannot return the resolved template as there are unresolved fields: b"],
        ),
    ],
)  # fmt: skip
def test_a_request_that_cannot_work_is_refused_at_the_start(template: dict[str, object], problems: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RequestTemplate(**{"url": "https://api.example.org/", **template})  # type: ignore[arg-type]
    assert list(caught.value.problems) == problems


def test_all_problems_are_listed_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RequestTemplate(
            "api.example.org", "G T", fields=(TemplatedField("@d", FieldType.FILTER_DATE_FROM, "x"), PAGE, PAGE)
        )
    assert str(caught.value) == "\n".join(
        [
            "the request cannot be made as it is configured:",
            "  urlTemplate must be an absolute URL as it stands, before anything is put into it: "
            "http:// or https://, a host, and a port if it needs one",
            '  httpMethod must be a method of HTTP, such as GET or POST, not "G T"',
            "  templatedFields[0].fieldName must be the name without @, of letters, digits, '_', '-' and '.', "
            'not "@d"',
            "  templatedFields[0].formatString: the date format 'x' is not valid: a format of one character is a "
            "standard format, one of d D f F g G m M o O r R s t T u y Y; "
            "a single custom specifier is written with a percent sign, as in '%H'",
            "  templatedFields[2].fieldName: another field with placement URL has the name 'page'",
            "  templatedFields: Cannot return the resolved template as there are unresolved fields: page",
        ]
    )


def test_a_page_field_without_a_page_is_unresolved() -> None:
    with pytest.raises(ConfigurationError) as caught:
        url_of("https://api.example.org/?page=@page", PAGE)
    assert str(caught.value) == "Cannot return the resolved template as there are unresolved fields: page"


def test_a_page_without_a_page_field_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        url_of("https://api.example.org/?page=1", page="1")
    assert str(caught.value) == (
        "templatedFields: a paged API needs a field of type RESPONSE_PAGE, which says where the page goes"
    )


# --- over the wire


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    targets: list[str] = []

    class Recorder(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            targets.append(self.requestline.split(" ")[1])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Recorder) as listening:
        thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", targets
        listening.shutdown()
        thread.join()


WIRE = [
    (
        "/data?filter=updatedAt>=<@dateFrom,@dateTo",
        None,
        "/data?filter=updatedAt%3E=%3C2023-01-02T03:04:05Z,2023-06-07T08:09:10Z",
    ),
    *((text, None, text) for text in ("/a+b;c=d,e:f@g!$&'()*~_-.?a=1+2&b=c=d&e=/?:@!$'()*,;[]~%41%zz%",)),
    ('/x y?q="a" {b}|\\^`é', None, "/x%20y?q=%22a%22%20%7Bb%7D%7C%5C%5E%60%C3%A9"),
    ("/{x}|\\^`\"<>é", None, "/%7Bx%7D%7C%5C%5E%60%22%3C%3E%C3%A9"),
    ("/items/@page?date=@date", "a/b?c#d%2f\r\nHost: x", "/items/a%2Fb%3Fc%23d%252f%0D%0AHost%3A%20x"
     "?date=2023-01-02T03:04:05Z"),
    ("/?empty", None, "/?empty"),
    ("?a=1", None, "/?a=1"),
]  # fmt: skip


@pytest.mark.parametrize(("template", "page", "expected"), WIRE)
def test_a_server_gets_the_url_as_it_was_resolved(
    server: tuple[str, list[str]], template: str, page: str | None, expected: str
) -> None:
    base, targets = server
    date = BETWEEN_FROM if "@dateFrom" in template else FROM
    fields = (date, BETWEEN_TO) if page is None else (date, BETWEEN_TO, PAGE)
    request = RequestTemplate(f"{base}{template}", fields=fields).resolve(START, END, page)
    with httpx2.Client(trust_env=False) as client:
        assert client.request(request.method, request.url).status_code == 204
    assert targets == [expected]

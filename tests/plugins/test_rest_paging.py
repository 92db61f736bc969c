"""Pages of the ready-made REST kinds under virtual time: sequences, windows, retries in the middle, resuming."""

from json import dumps
from time import monotonic
from typing import Any

import pytest

from arcane_framework._core.clock import JOIN_SECONDS
from arcane_framework.testing import ScriptedHttp, StreamTest
from tests.plugins.rest_streams import (
    COUNTER,
    DYNAMIC,
    FROM,
    HOST,
    OFFSET,
    PAGE,
    TO,
    TOKEN,
    encoded,
    ids,
    items,
    paged,
    queries,
    stream,
)

PAGED = "RestApiPagedFixedAuth"
WINDOW = "from=2023-01-01T00:00:00Z&to=2024-05-08T12:00:00Z"

Page = tuple[str, dict[str, Any]]
"""What is asked for and what is answered."""

PAGES: dict[str, list[Page]] = {
    "COUNTER": [
        ("1", {"total": 3, "items": items(1, 2)}),
        ("2", {"total": 3, "items": items(3, 4)}),
        ("3", {"total": 3, "items": items(5)}),
    ],
    "OFFSET": [
        ("0", {"items": items(1, 2)}),
        ("2", {"items": items(3, 4)}),
        ("4", {"items": items(5)}),
        ("6", {"items": []}),
    ],
    "TOKEN": [
        ("", {"items": items(1, 2), "next": "a/b+c"}),
        ("a%2Fb%2Bc", {"items": items(3, 4), "next": 7}),
        ("7", {"items": items(5), "next": None}),
    ],
}
RESOLVERS = {"COUNTER": COUNTER, "OFFSET": OFFSET, "TOKEN": TOKEN}


def url(page: str, window: str = WINDOW) -> str:
    return f"{HOST}/items?{window}&page={page}"


def script(resolver: str, http: ScriptedHttp | None = None, window: str = WINDOW, first: int = 0) -> ScriptedHttp:
    http = http or ScriptedHttp()
    for page, answer in PAGES[resolver][first:]:
        http.reply("GET", url(page, window), json=answer)
    return http


def backfill(resolver: str, http: ScriptedHttp, **changes: Any) -> StreamTest:
    return stream(PAGED, paged(RESOLVERS[resolver], **changes), http, backfilling=True)


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_a_backfill_reads_the_pages_of_one_window_in_order(resolver: str) -> None:
    http = script(resolver)
    with backfill(resolver, http).start() as test:
        test.advance(10)
        assert test.error is None
        assert test.exit_code == 0
        assert ids(test, "backfill") == [1, 2, 3, 4, 5]
        assert queries(http) == [f"/items?{WINDOW}&page={page}" for page, _ in PAGES[resolver]]
        assert http.unused == []


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_each_window_is_read_from_its_first_page_on(resolver: str) -> None:
    windows = [
        "from=2024-05-08T11:00:00Z&to=2024-05-08T12:00:00Z",
        "from=2024-05-08T12:00:00Z&to=2024-05-08T12:01:00Z",
    ]
    http = ScriptedHttp()
    for window in windows:
        script(resolver, http, window)
    with stream(PAGED, paged(RESOLVERS[resolver], changeCaptureIntervalSeconds=60), http).start() as test:
        test.advance(61)
        test.stop()
        assert test.exit_code == 0
        assert ids(test) == [1, 2, 3, 4, 5] * 2


def test_windows_with_more_pages_than_the_one_before_are_read_whole() -> None:
    http = ScriptedHttp()
    for total in (1, 5, 5):
        for page in range(1, total + 1):
            http.reply("GET", f"{HOST}/items?*&page={page}", json={"total": total, "items": items(page)})
    with stream(PAGED, paged(COUNTER), http).start() as test:
        test.advance(121)
        test.stop()
        assert ids(test) == [1, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("resolver", RESOLVERS)
@pytest.mark.parametrize("failing", ["first", "middle", "last"])
def test_a_page_that_fails_for_a_while_is_repeated_and_none_is_left_out(
    resolver: str, status: int, failing: str
) -> None:
    pages = PAGES[resolver]
    page = pages[{"first": 0, "middle": 1, "last": len(pages) - 1}[failing]][0]
    http = script(resolver, ScriptedHttp().reply("GET", url(page), status=status, times=2))
    with backfill(resolver, http).start() as test:
        test.advance(60)
        assert test.exit_code == 0
        assert ids(test, "backfill") == [1, 2, 3, 4, 5]
        assert test.metrics.count("retries") == 2


def test_a_response_that_ends_in_the_middle_is_asked_for_again() -> None:
    http = ScriptedHttp().reply("GET", url("1"), text='{"total": 3, "items": [{"id": 1')
    with backfill("COUNTER", script("COUNTER", http)).start() as test:
        test.advance(60)
        assert test.exit_code == 0
        assert ids(test, "backfill") == [1, 2, 3, 4, 5]


def test_a_failure_that_lasts_ends_with_what_was_read_and_a_restart_goes_on_there() -> None:
    http = ScriptedHttp()
    for page, answer in PAGES["COUNTER"][:2]:
        http.reply("GET", url(page), json=answer)
    http.reply("GET", url("3"), status=503, times=None)
    with backfill("COUNTER", http, retrySeconds=20, groupingIntervalSeconds=1).start() as test:
        test.advance(60)
        assert test.exit_code == 2
        assert "page 3 of the window 2023-01-01T00:00:00Z to 2024-05-08T12:00:00Z" in str(test.error)
        assert ids(test, "backfill") == [1, 2, 3, 4]
        script("COUNTER", http.clear(), first=2)
        test.restart().advance(10)
        assert test.exit_code == 0
        assert ids(test, "backfill") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("resolver", RESOLVERS)
@pytest.mark.parametrize("read", [1, 2])
def test_a_backfill_that_was_stopped_goes_on_at_its_next_page_in_its_window(resolver: str, read: int) -> None:
    http = ScriptedHttp()
    for page, answer in PAGES[resolver][:read]:
        http.reply("GET", url(page), json=answer)
    http.reply("GET", url(PAGES[resolver][read][0]), json={}, delay=20)
    with backfill(resolver, http).start() as test:
        test.advance(5)
        test.stop()
        assert test.exit_code == 2
        assert not any(name.endswith(".COMPLETED") for name in test.files())
        script(resolver, http, first=read)
        asked = len(http.requests)
        test.restart().advance(3_600)
        assert test.exit_code == 0
        assert ids(test, "backfill") == [1, 2, 3, 4, 5]
        assert queries(http)[asked:] == [f"/items?{WINDOW}&page={page}" for page, _ in PAGES[resolver][read:]]
        assert test.position().stream == {
            "from": "2023-01-01T00:00:00Z",
            "to": "2024-05-08T12:00:00Z",
            "pages": len(PAGES[resolver]),
        }


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_a_stream_that_was_stopped_in_a_window_reads_the_rest_of_it_first(resolver: str) -> None:
    window = "from=2024-05-08T11:00:00Z&to=2024-05-08T12:00:00Z"
    first, second = PAGES[resolver][:2]
    http = ScriptedHttp().reply("GET", url(first[0], window), json=first[1])
    http.reply("GET", url(second[0], window), json={}, delay=20)
    with stream(PAGED, paged(RESOLVERS[resolver]), http).start() as test:
        test.advance(5)
        test.stop()
        assert test.exit_code == 0
        test.advance(595)
        script(resolver, http, window, first=1)
        script(resolver, http, "from=2024-05-08T12:00:00Z&to=2024-05-08T12:11:00Z")
        test.restart().advance(61)
        test.stop()
        assert ids(test) == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("status", [400, 404, 410])
def test_a_stored_token_that_the_api_no_longer_knows_is_an_error_and_no_new_beginning(status: int) -> None:
    http = ScriptedHttp().reply("GET", url(""), json=PAGES["TOKEN"][0][1])
    http.reply("GET", url("a%2Fb%2Bc"), json={}, delay=20)
    http.reply("GET", url("a%2Fb%2Bc"), status=status)
    with backfill("TOKEN", http).start() as test:
        test.advance(5)
        test.stop()
        test.restart().advance(5)
        assert test.exit_code == 1
        assert test.error == (
            "FatalStreamError: page 2 of the window 2023-01-01T00:00:00Z to 2024-05-08T12:00:00Z was refused "
            f"(HTTP {status}) where an earlier run had stopped: the API no longer knows the stored page token. "
            "Nothing was skipped or read again; begin a new backfill "
            "(another STREAMCONTEXT__BACKFILL_ID, or --backfill-id)"
        )
        assert ids(test, "backfill") == [1, 2]


def test_the_page_is_read_before_the_next_one_is_asked_for_and_the_rows_are_parsed_meanwhile() -> None:
    http = ScriptedHttp()
    for page, answer in PAGES["COUNTER"]:
        http.reply("GET", url(page), json=answer, delay=10)
    with backfill("COUNTER", http).start() as test:
        test.advance(25)
        assert [request.time.second for request in http.requests] == [0, 10, 20]
        assert ids(test, "backfill") == [1, 2, 3, 4]


def test_an_api_that_gives_the_same_page_for_ever_is_an_error() -> None:
    http = ScriptedHttp().reply("GET", f"{HOST}/items?*", json={"items": items(1, 2)}, times=None)
    with backfill("OFFSET", http).start() as test:
        test.advance(60)
        assert test.exit_code == 1
        assert test.error == (
            "FatalStreamError: page 10 of the window 2023-01-01T00:00:00Z to 2024-05-08T12:00:00Z: "
            "the last 10 pages hold the same rows: the API does not seem to look at the page that it is asked for. "
            "Correct the field of type RESPONSE_PAGE "
            "in templatedFields, or pageResolverConfiguration"
        )
        assert len(http.requests) == 10


def test_tokens_that_go_round_in_a_circle_are_an_error() -> None:
    http = ScriptedHttp()
    for page, following in (("", "a"), ("a", "b"), ("b", "a")):
        http.reply("GET", url(page), json={"items": items(1), "next": following})
    with backfill("TOKEN", http).start() as test:
        test.advance(60)
        assert test.exit_code == 1
        assert test.error == (
            "FatalStreamError: page 3 of the window 2023-01-01T00:00:00Z to 2024-05-08T12:00:00Z: "
            "the API gave a page token that it has given in this window before: "
            "reading on would never end. Correct resolverPropertyKeyChain, or the API"
        )


def test_next_links_on_the_same_host_are_followed_as_they_are() -> None:
    http = ScriptedHttp().reply("GET", url(""), json={"items": items(1), "next": f"{HOST}/more?cursor=x%20y&to=z"})
    http.reply("GET", f"{HOST}/more?cursor=x%20y&to=z", json={"items": items(2)})
    with backfill("TOKEN", http).start() as test:
        test.advance(5)
        assert test.error is None
        assert ids(test, "backfill") == [1, 2]


def test_a_next_link_to_another_host_needs_a_setting() -> None:
    http = ScriptedHttp().reply("GET", url(""), json={"items": items(1), "next": "https://other.example/more"})
    with backfill("TOKEN", http).start() as test:
        test.advance(5)
        assert test.exit_code == 1
        assert "allowedHosts" in str(test.error)
        assert "other.example" in str(test.error)
        assert len(http.requests) == 1
    http.reply("GET", url(""), json={"items": items(1), "next": "https://other.example/more"})
    http.reply("GET", "https://other.example/more", json={"items": items(2)})
    with backfill("TOKEN", http, allowedHosts=["other.example"]).start() as test:
        test.advance(5)
        assert ids(test, "backfill") == [1, 2]
        assert http.requests[-1].headers["x-api-key"] == "not-a-secret"


def test_a_next_link_is_not_shown_where_positions_are() -> None:
    secret = f"{HOST}/more?cursor=hidden-word"
    http = ScriptedHttp().reply("GET", url(""), json={"items": items(1), "next": secret})
    http.reply("GET", secret, status=503, times=None)
    with backfill("TOKEN", http, retrySeconds=5).start() as test:
        test.advance(60)
        assert test.exit_code == 2
        assert test.position().backfill is not None
        assert "hidden-word" not in str(test.logs)


def test_pages_can_be_in_the_body() -> None:
    body = '{"from": "@from", "to": "@to", "page": @page}'
    fields = [{**field, "placement": "BODY"} for field in (FROM, TO, PAGE)]
    http = ScriptedHttp()
    for number in (1, 2):
        http.reply("POST", f"{HOST}/search", json={"total": 2, "items": items(number)})
    given = paged(COUNTER, urlTemplate=f"{HOST}/search", httpMethod="POST", bodyTemplate=body, templatedFields=fields)
    with stream(PAGED, given, http, backfilling=True).start() as test:
        test.advance(5)
        assert test.exit_code == 0
        assert ids(test, "backfill") == [1, 2]
        assert [request.json() for request in http.requests] == [
            {"from": "2023-01-01T00:00:00Z", "to": "2024-05-08T12:00:00Z", "page": number} for number in (1, 2)
        ]
        assert http.requests[0].headers["content-type"] == "application/json"


def test_the_originals_numbers_of_a_paged_stream_with_a_token() -> None:
    http = ScriptedHttp().reply("POST", DYNAMIC["ARCANE__AUTHURL"], json={"token": "t", "expiresIn": 3600})
    for page in (1, 2, 3):
        answer = {"TotalPages": 3, "MockRootValue": {"MockEntryValue": items(page, page + 10)}}
        http.reply("GET", f"{HOST}/items?*&page={page}", json=answer)
    given = paged(
        {"resolverType": "COUNTER", "resolverPropertyKeyChain": ["TotalPages"]},
        responsePropertyKeyChain=["MockRootValue", "MockEntryValue"],
    )
    with stream("RestApiPagedDynamicAuth", given, http, backfilling=True).start() as test:
        test.advance(5)
        assert test.exit_code == 0
        assert len(test.rows("backfill")) == 6
        assert [request.method for request in http.requests] == ["POST", "GET", "GET", "GET"]
        assert {request.headers["authorization"] for request in http.requests[1:]} == {"Bearer t"}


def test_a_token_that_is_refused_in_the_middle_is_renewed_and_the_page_repeated() -> None:
    http = ScriptedHttp()
    for token in ("one", "two"):
        http.reply("POST", DYNAMIC["ARCANE__AUTHURL"], json={"token": token, "expiresIn": 3600})
    (first, answer), *_ = PAGES["COUNTER"]
    http.reply("GET", url(first), json=answer)
    http.reply("GET", url("2"), status=401)
    script("COUNTER", http, first=1)
    with stream("RestApiPagedDynamicAuth", paged(COUNTER), http, backfilling=True).start() as test:
        test.advance(5)
        assert test.exit_code == 0
        assert ids(test, "backfill") == [1, 2, 3, 4, 5]
        data = [request.headers["authorization"] for request in http.requests if request.method == "GET"]
        assert data == ["Bearer one", "Bearer one", "Bearer two", "Bearer two"]


def test_a_token_that_is_refused_twice_ends_the_stream() -> None:
    http = ScriptedHttp()
    http.reply("POST", DYNAMIC["ARCANE__AUTHURL"], json={"token": "t", "expiresIn": 3600}, times=2)
    http.reply("GET", url("1"), status=401, times=2)
    with stream("RestApiPagedDynamicAuth", paged(COUNTER), http, backfilling=True).start() as test:
        test.advance(5)
        assert test.exit_code == 1
        assert "401" in str(test.error)


def test_fixed_headers_that_are_refused_end_the_stream_at_once() -> None:
    http = ScriptedHttp().reply("GET", url("1"), status=401)
    with backfill("COUNTER", http).start() as test:
        assert test.exit_code == 1
        assert len(http.requests) == 1


@pytest.mark.parametrize(("resolver", "other"), [("COUNTER", "OFFSET"), ("TOKEN", "COUNTER")])
def test_another_resolver_in_the_middle_of_a_window_is_refused(resolver: str, other: str) -> None:
    first, second = PAGES[resolver][:2]
    http = ScriptedHttp().reply("GET", url(first[0]), json=first[1]).reply("GET", url(second[0]), json={}, delay=20)
    with backfill(resolver, http).start() as test:
        test.advance(5)
        test.stop()
        test.restart(spec=paged(RESOLVERS[other])).advance(1)
        assert test.exit_code == 1
        assert f"read with the page resolver {resolver}, and the spec says {other}" in str(test.error)


def test_a_window_that_is_asked_for_again_before_its_first_page_was_kept_ends_later() -> None:
    http = ScriptedHttp().reply("GET", url("1"), json={}, delay=20)
    with backfill("COUNTER", http).start() as test:
        test.advance(5)
        test.stop()
        script("COUNTER", http, "from=2023-01-01T00:00:00Z&to=2024-05-08T12:00:05Z")
        test.restart().advance(5)
        assert ids(test, "backfill") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("resolver", RESOLVERS)
@pytest.mark.parametrize("status", [204, 205])
def test_an_answer_without_content_says_that_there_are_no_more_rows(resolver: str, status: int) -> None:
    http = ScriptedHttp().reply("GET", f"{HOST}/items?*", status=status)
    with backfill(resolver, http).start() as test:
        test.advance(5)
        assert test.error is None
        assert test.exit_code == 0
        assert test.rows("backfill") == []


@pytest.mark.parametrize("answer", [{"error": "busy"}, None, {"total": None}])
def test_a_page_that_was_announced_and_says_nothing_is_no_end(answer: Any) -> None:
    http = ScriptedHttp().reply("GET", url("1"), json=PAGES["COUNTER"][0][1]).reply("GET", url("2"), text=dumps(answer))
    with backfill("COUNTER", http).start() as test:
        test.advance(5)
        assert test.exit_code == 2
        assert test.error == (
            "TransientStreamError: page 2 of the window 2023-01-01T00:00:00Z to 2024-05-08T12:00:00Z: the answer has "
            "neither rows nor total, although the page was announced. It is asked for again by the next run"
        )
        script("COUNTER", http.clear(), first=1)
        test.restart().advance(5)
        assert test.exit_code == 0
        assert ids(test, "backfill") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("following", ["http:///x", "https://other.example/more", "x" * 70_000, "\ud800"])
def test_a_position_whose_next_page_cannot_be_asked_for_is_not_stored(following: str) -> None:
    http = ScriptedHttp().reply("GET", url(""), text=dumps({"items": items(1), "next": following}))
    with stream(PAGED, paged(TOKEN), http, backfilling=True).start() as test:
        test.advance(5)
        assert test.exit_code == 1
        assert str(test.error).startswith("FatalStreamError: page ")
        assert ids(test, "backfill") == []
        # The next run begins its window anew, and a little later.
        script("TOKEN", http.clear(), "from=2023-01-01T00:00:00Z&to=2024-05-08T12:00:05Z")
        test.restart().advance(5)
        assert test.exit_code == 0
        assert ids(test, "backfill") == [1, 2, 3, 4, 5]


def test_rows_at_the_pagers_chain_alone_are_a_contradiction() -> None:
    http = ScriptedHttp().reply("GET", url("0"), json={"items": items(1)})
    with backfill("OFFSET", http, responsePropertyKeyChain=["rows"]).start() as test:
        assert test.exit_code == 1
        assert test.error == (
            "FatalStreamError: page 1 of the window 2023-01-01T00:00:00Z to 2024-05-08T12:00:00Z: items holds rows by "
            "resolverPropertyKeyChain, and responsePropertyKeyChain leads to none: correct one of them"
        )


def test_a_window_whose_responses_have_no_array_at_all_is_told_in_the_log() -> None:
    http = ScriptedHttp().reply("GET", url("1"), json={"total": 1, "rows": items(1)})
    with backfill("COUNTER", http).start() as test:
        assert test.exit_code == 0
        warnings = [line["event"] for line in test.logs if line["level"] == "warning"]
        assert warnings == [
            "no response of 2023-01-01T00:00:00Z to 2024-05-08T12:00:00Z had items, the array of rows by "
            "responsePropertyKeyChain: that is taken for no rows. If there should be some, correct it"
        ]


def test_a_row_that_does_not_fit_ends_the_run_at_once_although_the_next_page_waits_for_its_turn() -> None:
    http = ScriptedHttp().reply("GET", url("1"), json={"total": 2, "items": [{"id": "one"}]})
    slow = {"internalRateLimitCount": 1, "internalRateLimitInterval": 60, "sinkFormat": "parquet"}
    with backfill("COUNTER", http, **slow).start() as test:
        began = monotonic()
        test.advance(1)
        assert test.exit_code == 2
        assert monotonic() - began < JOIN_SECONDS


def test_a_total_of_the_first_response_holds_for_the_window_also_in_the_next_run() -> None:
    http = ScriptedHttp().reply("GET", url("1"), json={"total": 3, "items": items(1)})
    http.reply("GET", url("2"), json={}, delay=20)
    with backfill("COUNTER", http).start() as test:
        test.advance(15)
        test.stop()
        http.reply("GET", url("2"), status=204).reply("GET", url("3"), json={"items": items(3)})
        test.restart().advance(5)
        assert test.exit_code == 0
        assert ids(test, "backfill") == [1, 3]


def test_equal_pages_of_a_known_number_are_read() -> None:
    http = ScriptedHttp().reply("GET", f"{HOST}/items?*", json={"total": 12, "items": items(7)}, times=12)
    with backfill("COUNTER", http).start() as test:
        test.advance(5)
        assert test.exit_code == 0
        assert ids(test, "backfill") == [7] * 12


def test_pages_of_an_api_that_does_not_look_at_the_page_are_not_stored_again_by_each_run() -> None:
    http = ScriptedHttp().reply("GET", f"{HOST}/items?*", json={"items": items(1, 2)}, times=None)
    with backfill("OFFSET", http).start() as test:
        for _ in range(3):
            test.advance(5)
            assert test.exit_code == 1
            assert ids(test, "backfill") == [1, 2]
            test.restart()
        test.advance(5)


def test_equal_pages_are_stored_when_another_one_has_come() -> None:
    http = ScriptedHttp()
    for offset in ("0", "2", "4"):
        http.reply("GET", url(offset), json={"items": items(1)})
    http.reply("GET", url("6"), json={"items": items(2)}).reply("GET", url("8"), json={"items": []})
    with backfill("OFFSET", http).start() as test:
        test.advance(5)
        assert test.exit_code == 0
        assert ids(test, "backfill") == [1, 1, 1, 2]


def test_the_end_of_a_window_is_stored_soon_when_the_position_before_it_has_a_token() -> None:
    window = "from=2024-05-08T11:00:00Z&to=2024-05-08T12:00:00Z"
    http = ScriptedHttp().reply("GET", url("", window), json={"items": items(1), "next": "t"}, delay=5)
    http.reply("GET", url("t", window), json={"items": [], "next": None}, delay=5)
    with stream(PAGED, paged(TOKEN, changeCaptureIntervalSeconds=3600), http).start() as test:
        test.advance(13)
        stored = test.position().stream
        assert stored is not None
        assert "next" not in stored


def test_many_empty_pages_are_told_in_the_log() -> None:
    http = ScriptedHttp().reply("GET", f"{HOST}/items?*", json={"total": 12, "items": []}, times=12)
    with backfill("COUNTER", http).start() as test:
        test.advance(5)
        assert test.exit_code == 0
        warnings = [line["event"] for line in test.logs if line["level"] == "warning"]
        assert warnings == [
            "the last 10 pages of 2023-01-01T00:00:00Z to 2024-05-08T12:00:00Z had no rows, "
            "and the API announces more: "
            "resolverPropertyKeyChain may name the number of rows instead of the number of pages"
        ]


def test_an_unfinished_backfill_begins_anew_in_another_file_format() -> None:
    http = ScriptedHttp().reply("GET", url("1"), json=PAGES["COUNTER"][0][1])
    http.reply("GET", url("2"), json={}, delay=20)
    with backfill("COUNTER", http).start() as test:
        test.advance(15)
        test.stop()
        assert ids(test, "backfill") == [1, 2]
        script("COUNTER", http, "from=2023-01-01T00:00:00Z&to=2024-05-08T12:00:15Z")
        test.restart(spec=paged(COUNTER, sinkFormat="parquet")).advance(5)
        assert test.exit_code == 0
        assert ids(test, "backfill") == [1, 2, 3, 4, 5]
        assert not any(name.startswith("backfill/") and name.endswith(".json") for name in test.files())


def test_a_page_token_in_the_path_is_shown_nowhere() -> None:
    http = ScriptedHttp().reply("GET", f"{HOST}/items/?*", json={"items": items(1), "next": "hidden-word"})
    http.reply("GET", f"{HOST}/items/hidden-word?*", status=503, times=None)
    given = {"urlTemplate": f"{HOST}/items/@page?from=@from&to=@to", "retrySeconds": 5}
    with backfill("TOKEN", http, **given).start() as test:
        test.advance(60)
        assert test.exit_code == 2
        assert f"12:00:00Z: GET {HOST}/items/@page failed, last with HTTP status 503" in str(test.error)
        assert {line["url"] for line in test.logs if "url" in line} == {f"{HOST}/items/@page"}
        assert "hidden-word" not in f"{test.error} {test.logs}"


def test_of_a_next_link_only_the_host_is_shown() -> None:
    link = HOST.replace("//", "//user:hidden-word@") + "/more/hidden-word?cursor=hidden-word"
    http = ScriptedHttp().reply("GET", url(""), json={"items": items(1), "next": link})
    http.reply("GET", f"{HOST}/more/hidden-word?cursor=hidden-word", status=503, times=None)
    with backfill("TOKEN", http, retrySeconds=5).start() as test:
        test.advance(60)
        assert test.exit_code == 2
        assert f"12:00:00Z: GET {HOST} failed, last with HTTP status 503" in str(test.error)
        assert {line["url"] for line in test.logs if "url" in line} == {HOST}
        assert "hidden-word" not in f"{test.error} {test.logs}"


def test_a_page_in_the_body_that_looks_like_a_link_does_not_change_how_the_url_is_shown() -> None:
    answer = {"items": items(1), "next": "https://other.example/more"}
    http = ScriptedHttp().reply("POST", f"{HOST}/search", json=answer)
    http.reply("POST", f"{HOST}/search", status=404)
    fields = [{**field, "placement": "BODY"} for field in (FROM, TO, PAGE)]
    body = '{"from": "@from", "to": "@to", "page": "@page"}'
    given = {"urlTemplate": f"{HOST}/search", "httpMethod": "POST", "bodyTemplate": body, "templatedFields": fields}
    with backfill("TOKEN", http, **given).start() as test:
        test.advance(5)
        assert test.exit_code == 1
        assert f"12:00:00Z: POST {HOST}/search was answered with HTTP status 404" in str(test.error)


def test_a_backfill_does_not_go_on_with_another_request() -> None:
    http = ScriptedHttp().reply("GET", url("1"), json=PAGES["COUNTER"][0][1])
    http.reply("GET", url("2"), json={}, delay=20)
    with backfill("COUNTER", http).start() as test:
        test.advance(15)
        test.stop()
        other = paged(COUNTER, backFillStartDate=1_700_000_000_000)
        test.restart(spec=other).advance(1)
        assert test.exit_code == 1
        assert test.error == (
            "the unfinished backfill (2023-01-01T00:00:00Z to 2024-05-08T12:00:00Z, page 1) was begun with another "
            "request, start date or key chain: its pages would not fit together. Set them back, or begin a new "
            "backfill (another STREAMCONTEXT__BACKFILL_ID, or --backfill-id)"
        )
        http.reply(
            "GET",
            f"{HOST}/items?from=2023-11-14T22:13:20Z&to=2024-05-08T12:00:16Z&page=1",
            json={"total": 1, "items": items(9)},
        )
        test.restart(backfill_id="another").advance(5)
        assert test.exit_code == 0
        assert ids(test, "backfill") == [9]


def test_a_schema_of_something_else_than_a_row_is_refused() -> None:
    whole = {"type": "object", "properties": {"total": {"type": "integer"}, "items": {"type": "array"}}}
    http = ScriptedHttp().reply("GET", url("1"), json=PAGES["COUNTER"][0][1])
    with backfill("COUNTER", http, sinkFormat="parquet", apiSchemaEncoded=encoded(whole)).start() as test:
        test.advance(1)
        assert test.exit_code == 2
        assert test.error == (
            "SchemaInconsistentError: page 1 of the window 2023-01-01T00:00:00Z to 2024-05-08T12:00:00Z: no row has "
            "any of the columns ('total', 'items' ...): apiSchemaEncoded must describe one row, not the whole response"
        )


def test_the_slow_default_of_paged_kinds_is_told() -> None:
    with backfill(
        "COUNTER", script("COUNTER"), internalRateLimitCount=None, internalRateLimitInterval=None
    ).start() as test:
        test.advance(300)
        assert test.exit_code == 0
        (warning,) = [line["event"] for line in test.logs if line["level"] == "warning"]
        assert warning == (
            "one request a minute, the default, is asked: set internalRateLimitCount and internalRateLimitInterval"
        )

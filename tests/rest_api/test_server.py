import gzip
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme

from tests.rest_api import (
    Action,
    Fault,
    ListedRows,
    RunningApi,
    Script,
    Table,
    TokenAuth,
    read_instant,
    serve,
    serve_process,
    write_instant,
)

START = datetime(2023, 1, 1, tzinfo=UTC)
TABLE = Table(rows=25)
WINDOW = {"from": "2023-01-01T00:05:00Z", "to": "2023-01-01T00:18:00Z"}
IN_WINDOW = TABLE.between(START + timedelta(minutes=5), START + timedelta(minutes=18))


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningApi]:
    with serve() as running:
        yield running


@pytest.fixture
def api(shared: RunningApi) -> RunningApi:
    shared.reset(Script(table=TABLE, page_size=4))
    return shared


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    with httpx2.Client(timeout=5, trust_env=False) as client:
        yield client


def rows_of(answer: httpx2.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


# Rows and windows.


@pytest.mark.parametrize("tied", [1, 3])
@pytest.mark.parametrize("step", [60.0, 0.25, 7.000001])
def test_a_window_holds_the_rows_from_its_start_until_before_its_end(tied: int, step: float) -> None:
    table = Table(rows=20, step_seconds=step, tied=tied)
    moments = [START + timedelta(seconds=step) * half / 2 for half in range(-2, 44)]
    for start in moments:
        for end in moments:
            wanted = [number for number in range(20) if start <= table.instant(number) < end]
            assert [row["id"] for row in table.between(start, end)] == wanted


def test_rows_share_an_instant_where_they_are_tied() -> None:
    instants = [row["updatedAt"] for row in Table(rows=5, tied=2, step_seconds=1.5).between()]
    assert instants == [*["2023-01-01T00:00:00Z"] * 2, *["2023-01-01T00:00:01.500000Z"] * 2, "2023-01-01T00:00:03Z"]


@pytest.mark.parametrize(
    "text",
    [
        "2023-01-02T03:04:05Z",
        "2023-01-02T03:04:05.000Z",
        "2023-01-02T03:04:05.0000000+00:00",
        "2023-01-02T05:04:05+02:00",
        "2023-01-02 03:04:05",
        "20230102030405",
    ],
)
def test_instants_are_read_in_the_formats_of_streams(text: str) -> None:
    assert read_instant(text) == datetime(2023, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_instants_are_written_with_their_fraction() -> None:
    assert write_instant(START) == "2023-01-01T00:00:00Z"
    assert write_instant(START + timedelta(milliseconds=5)) == "2023-01-01T00:00:00.005000Z"


def test_listed_rows_are_served_by_their_instants(api: RunningApi, client: httpx2.Client, tmp_path: Path) -> None:
    rows = [{"at": f"2023-01-01T00:0{minute}:00Z", "text": "a\u2028b"} for minute in (3, 1, 2)]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    api.reset(Script(rows_file=str(file), time_field="at"))
    answer = client.get(f"{api.url}/unpaged", params={"from": "2023-01-01T00:02:00Z", "to": "2023-01-01T00:04:00Z"})
    assert [row["at"] for row in answer.json()] == ["2023-01-01T00:02:00Z", "2023-01-01T00:03:00Z"]
    assert ListedRows.read(file, "at").window(None, None, START + timedelta(minutes=2)) == range(2)


@pytest.mark.parametrize(("path", "chain"), [("unpaged", ()), ("v1/data/nested", ("result", "rows"))])
def test_an_unpaged_path_gives_a_whole_window(
    api: RunningApi, client: httpx2.Client, path: str, chain: tuple[str, ...]
) -> None:
    document = client.get(f"{api.url}/{path}", params=WINDOW).json()
    for name in chain:
        document = document[name]
    assert document == IN_WINDOW


def test_a_row_is_there_from_its_instant_on(api: RunningApi, client: httpx2.Client) -> None:
    api.set_clock(START + timedelta(minutes=7))
    assert client.get(f"{api.url}/unpaged", params=WINDOW).json() == IN_WINDOW[:3]
    api.set_clock(START + timedelta(minutes=6, seconds=59.999999))
    assert client.get(f"{api.url}/unpaged", params=WINDOW).json() == IN_WINDOW[:2]
    api.set_clock(None)
    assert client.get(f"{api.url}/unpaged", params=WINDOW).json() == IN_WINDOW


# Pagers.


def test_the_counter_says_how_many_pages_there_are(api: RunningApi, client: httpx2.Client) -> None:
    pages = [client.get(f"{api.url}/counter", params={**WINDOW, "page": page}).json() for page in (1, 2, 3, 4, 5)]
    assert [page["TotalPages"] for page in pages] == [4] * 5
    assert [row for page in pages for row in page["data"]["items"]] == IN_WINDOW
    assert [len(page["data"]["items"]) for page in pages] == [4, 4, 4, 1, 0]


def test_the_counter_has_no_page_where_there_is_no_row(api: RunningApi, client: httpx2.Client) -> None:
    empty = client.get(f"{api.url}/counter", params={"page": 1, "from": "2030-01-01T00:00:00Z"})
    assert empty.json() == {"TotalPages": 0, "data": {"items": []}}


def test_the_offset_counts_rows_and_a_page_number_pages(api: RunningApi, client: httpx2.Client) -> None:
    by_row = [rows_of(client.get(f"{api.url}/offset", params={**WINDOW, "offset": at})) for at in (0, 4, 8, 12, 16)]
    assert [row for page in by_row for row in page] == IN_WINDOW
    assert by_row[-1] == []
    by_page = [rows_of(client.get(f"{api.url}/offset", params={**WINDOW, "page": page})) for page in (1, 2, 3, 4, 5)]
    assert by_page == by_row
    assert [entry.page for entry in api.journal()] == [1, 2, 3, 4, 5] * 2


@pytest.mark.parametrize("last_page", ["null", "missing", "empty"])
@pytest.mark.parametrize("next_page", ["text", "link", "number"])
def test_tokens_lead_through_all_pages(api: RunningApi, client: httpx2.Client, next_page: Any, last_page: Any) -> None:
    api.reset(Script(table=TABLE, page_size=4, next_page=next_page, last_page=last_page))
    answer = client.get(f"{api.url}/token", params={**WINDOW, "page": ""})
    rows, documents = rows_of(answer), [answer.json()]
    while following := documents[-1].get("next"):
        if next_page == "link":
            answer = client.get(following)
        else:
            assert isinstance(following, int if next_page == "number" else str)
            answer = client.get(f"{api.url}/token", params={**WINDOW, "page": following})
        rows += rows_of(answer)
        documents.append(answer.json())
    assert rows == IN_WINDOW
    assert len(documents) == 4
    last = {name: value for name, value in documents[-1].items() if name != "items"}
    assert last == {"null": {"next": None}, "missing": {}, "empty": {"next": ""}}[last_page]


@pytest.mark.parametrize("next_page", ["text", "number"])
def test_a_token_is_refused_in_another_window(api: RunningApi, client: httpx2.Client, next_page: Any) -> None:
    api.reset(Script(table=TABLE, page_size=4, next_page=next_page))
    token = client.get(f"{api.url}/token", params=WINDOW).json()["next"]
    other = {**WINDOW, "to": "2023-01-01T00:19:00Z", "page": token}
    refused = client.get(f"{api.url}/token", params=other)
    assert (refused.status_code, refused.json()) == (400, {"error": "page is a token of another window"})
    refused = client.get(f"{api.url}/token", params={**WINDOW, "page": "nonsense"})
    assert (refused.status_code, refused.json()) == (400, {"error": "page is no token of this API"})


def test_a_text_token_that_is_not_escaped_is_refused(api: RunningApi, client: httpx2.Client) -> None:
    token = client.get(f"{api.url}/token", params=WINDOW).json()["next"]
    query = f"page={token}&from={WINDOW['from']}&to={WINDOW['to']}"
    with closing(http.client.HTTPConnection(api.url.removeprefix("http://"))) as raw:
        raw.request("GET", f"/token?{query}")
        assert raw.getresponse().status == 400


def test_links_can_lead_to_another_host(api: RunningApi, client: httpx2.Client) -> None:
    api.reset(Script(table=TABLE, next_page="link", link_base="http://other.test:1"))
    assert client.get(f"{api.url}/token").json()["next"].startswith("http://other.test:1/token?page=")


def test_parameters_can_come_in_a_json_body(api: RunningApi, client: httpx2.Client) -> None:
    answer = client.post(f"{api.url}/offset", json={**WINDOW, "page": 2})
    assert rows_of(answer) == IN_WINDOW[4:8]
    entry = api.journal()[0]
    assert (entry.method, entry.parameters) == ("POST", {**WINDOW, "page": "2"})
    assert json.loads(entry.body) == {**WINDOW, "page": 2}
    answer = client.post(f"{api.url}/offset", content='{"page": 2}', headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()) == (415, {"error": "the body is not application/json"})


@pytest.mark.parametrize(
    ("target", "status", "reason"),
    [
        ("nowhere", 404, "there is no such path"),
        ("counter", 400, "page is no number from 1"),
        ("counter?page=0", 400, "page is no number from 1"),
        ("offset?offset=-1", 400, "offset is no number from 0"),
        ("unpaged?from=yesterday", 400, "from is no instant"),
        ("unpaged?to=", 400, "to is no instant"),
        ("token-endpoint", 404, "there is no token endpoint"),
    ],
)
def test_a_wrong_request_is_refused(
    api: RunningApi, client: httpx2.Client, target: str, status: int, reason: str
) -> None:
    answer = client.get(f"{api.url}/{target}")
    assert (answer.status_code, answer.json()) == (status, {"error": reason})


def test_a_script_can_answer_on_any_path(api: RunningApi, client: httpx2.Client) -> None:
    api.add_fault(Fault(path="nowhere", body="[1]"))
    api.add_fault(Fault(path="nowhere", action="slow"))
    assert client.get(f"{api.url}/nowhere").status_code == 404
    assert client.get(f"{api.url}/nowhere").json() == [1]


# Authentication.


def test_every_data_request_needs_the_headers(api: RunningApi, client: httpx2.Client) -> None:
    api.reset(Script(table=TABLE, headers={"X-Key": "open", "X-Tenant": "7"}))
    for headers in ({}, {"X-Key": "open"}, {"X-Key": "shut", "X-Tenant": "7"}):
        assert client.get(f"{api.url}/offset?page=1", headers=headers).status_code == 401
    assert client.get(f"{api.url}/offset?page=1", headers={"x-key": "open", "x-tenant": "7"}).status_code == 200
    assert [entry.status for entry in api.journal()] == [401, 401, 401, 200]


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_data_requests_need_a_token_of_the_endpoint(api: RunningApi, client: httpx2.Client, content_type: str) -> None:
    fields = {"client": "a b", "grant": "x&y"}
    api.reset(Script(table=TABLE, token=TokenAuth(content_type=content_type, fields=fields, stated_seconds=60)))

    def ask(body: dict[str, str]) -> httpx2.Response:
        form = content_type.endswith("urlencoded")
        return client.post(f"{api.url}/token-endpoint", **{"data" if form else "json": body})  # type: ignore[arg-type]

    assert ask({**fields, "grant": "z"}).status_code == 401
    assert client.post(f"{api.url}/token-endpoint", content="<a/>", headers={"Content-Type": "text/xml"}).is_error
    assert client.get(f"{api.url}/token-endpoint").status_code == 405
    answer = ask(fields).json()
    assert answer == {"token": "issued-4", "expiresIn": 60}
    for authorization, status in (("", 401), ("Bearer issued-1", 401), ("issued-4", 401), ("Bearer issued-4", 200)):
        headers = {"Authorization": authorization}
        assert client.get(f"{api.url}/offset?page=1", headers=headers).status_code == status
    assert [entry.status for entry in api.journal("token")] == [401, 415, 405, 200]


def test_a_token_can_have_another_header_and_no_scheme(api: RunningApi, client: httpx2.Client) -> None:
    api.reset(Script(table=TABLE, token=TokenAuth(header="X-Token", scheme="", method="GET", token_property="t")))
    token = client.get(f"{api.url}/token-endpoint").json()["t"]
    assert client.get(f"{api.url}/offset?page=1", headers={"X-Token": token}).status_code == 200
    assert client.get(f"{api.url}/offset?page=1", headers={"X-Token": f"Bearer {token}"}).status_code == 401


@pytest.mark.parametrize(("limit", "good"), [({"valid_requests": 2}, 2), ({"valid_seconds": 0.0}, 0)])
def test_a_token_ends_although_it_should_be_valid(
    api: RunningApi, client: httpx2.Client, limit: dict[str, Any], good: int
) -> None:
    api.reset(Script(table=TABLE, token=TokenAuth(method="GET", **limit)))

    def look(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return client.get(f"{api.url}/offset?page=1", headers=headers).status_code

    old = client.get(f"{api.url}/token-endpoint").json()["token"]
    assert [look(old) for _ in range(good + 1)] == [200] * good + [401]
    new = client.get(f"{api.url}/token-endpoint").json()["token"]
    assert look(new) == (200 if good else 401)


# Faults.


@pytest.mark.parametrize(
    ("action", "error"),
    [
        ("close", httpx2.RemoteProtocolError),
        ("truncate", httpx2.RemoteProtocolError),
        ("reset", httpx2.ReadError),
        ("hang", httpx2.ReadTimeout),
    ],
)
def test_an_answer_breaks_off_and_the_next_one_comes(
    api: RunningApi, client: httpx2.Client, action: Any, error: type[Exception]
) -> None:
    api.add_fault(Fault(action=action))
    with pytest.raises(error):
        client.get(f"{api.url}/offset?page=1", timeout=0.2 if action == "hang" else 5)
    assert len(rows_of(client.get(f"{api.url}/offset?page=1"))) == 4
    status = 0 if action in ("close", "hang") else 200
    entries = api.journal()
    assert [(entry.fault, entry.status, entry.rows) for entry in entries] == [(action, status, 0), ("", 200, 4)]


def test_half_of_the_body_comes_before_it_breaks_off(api: RunningApi, client: httpx2.Client) -> None:
    whole = client.get(f"{api.url}/offset?page=1").content
    actions: tuple[Action, ...] = ("truncate", "reset")
    for action in actions:
        api.add_fault(Fault(action=action, page=1))
        with closing(http.client.HTTPConnection(api.url.removeprefix("http://"), timeout=5)) as raw:
            raw.request("GET", "/offset?page=1")
            answer = raw.getresponse()
            assert answer.headers["Content-Length"] == str(len(whole))
            assert answer.read(len(whole) // 2) == whole[: len(whole) // 2]
            with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
                answer.read()


def test_a_slow_body_comes_byte_by_byte(api: RunningApi, client: httpx2.Client) -> None:
    api.add_fault(Fault(action="drip", body='{"items": []}', seconds=0.005))
    began = time.monotonic()
    assert rows_of(client.get(f"{api.url}/offset?page=1")) == []
    assert time.monotonic() - began >= 13 * 0.005


def test_a_slow_page_comes_late_and_whole(api: RunningApi, client: httpx2.Client) -> None:
    api.add_fault(Fault(action="slow", seconds=0.05))
    began = time.monotonic()
    assert len(rows_of(client.get(f"{api.url}/offset?page=1"))) == 4
    assert time.monotonic() - began >= 0.05


def test_an_answer_is_what_the_script_says(api: RunningApi, client: httpx2.Client) -> None:
    headers = {"Location": "http://169.254.169.254/latest", "Content-Type": "text/html"}
    api.add_fault(Fault(status=307, headers=headers, body="\udcff\x00<p>"))
    answer = client.get(f"{api.url}/offset?page=1")
    assert (answer.status_code, answer.content) == (307, b"\xff\x00<p>")
    assert answer.headers["Location"] == "http://169.254.169.254/latest"
    assert answer.headers.get_list("Content-Type") == ["text/html"]
    api.add_fault(Fault(status=599))
    answer = client.get(f"{api.url}/offset?page=1")
    assert (answer.status_code, answer.json()) == (599, {"error": "as scripted"})


@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        (Fault(request=2), [200, 503, 200, 200, 200, 200]),
        (Fault(request=2, times=2), [200, 503, 503, 200, 200, 200]),
        (Fault(page=2), [200, 503, 200, 200, 200, 200]),
        (Fault(page=2, times=None), [200, 503, 200, 200, 503, 200]),
        (Fault(page=2, request=3), [200, 200, 200, 200, 503, 200]),
        (Fault(path="counter", times=None), [503, 503, 503, 200, 200, 200]),
        (Fault(target="token", times=None), [200, 200, 200, 200, 200, 200]),
    ],
)
def test_a_fault_hits_the_requests_that_it_names(
    api: RunningApi, client: httpx2.Client, fault: Fault, statuses: list[int]
) -> None:
    api.reset(Script(table=TABLE, page_size=4, faults=(fault,)))
    targets = [f"counter?page={page}" for page in (1, 2, 3)] + [f"offset?offset={offset}" for offset in (0, 4, 8)]
    assert [client.get(f"{api.url}/{target}").status_code for target in targets] == statuses


def test_a_fault_of_a_page_finds_it_behind_its_token(api: RunningApi, client: httpx2.Client) -> None:
    api.add_fault(Fault(page=2, status=410))
    token = client.get(f"{api.url}/token").json()["next"]
    assert [client.get(f"{api.url}/token", params={"page": token}).status_code for _ in range(2)] == [410, 200]


def test_the_token_endpoint_fails_and_is_slow_too(api: RunningApi, client: httpx2.Client) -> None:
    faults = (Fault(target="token", status=500), Fault(target="token", action="slow", seconds=0.05))
    api.reset(Script(token=TokenAuth(method="GET"), faults=faults))
    assert client.get(f"{api.url}/token-endpoint").status_code == 500
    began = time.monotonic()
    assert client.get(f"{api.url}/token-endpoint").json()["token"] == "issued-2"
    assert time.monotonic() - began >= 0.05


def test_random_refusals_are_the_same_for_the_same_seed(api: RunningApi, client: httpx2.Client) -> None:
    def statuses(seed: int) -> list[int]:
        api.reset(Script(random_503=0.3, retry_after="7", seed=seed))
        answers = [client.get(f"{api.url}/offset?page=1") for _ in range(40)]
        assert {answer.headers.get("Retry-After") for answer in answers if answer.is_error} == {"7"}
        return [answer.status_code for answer in answers]

    first = statuses(1)
    assert 3 <= first.count(503) <= 24
    assert first.count(503) + first.count(200) == 40
    assert statuses(1) == first
    assert statuses(2) != first


def test_requests_that_come_too_soon_are_refused(api: RunningApi, client: httpx2.Client) -> None:
    api.reset(Script(seconds_between=100.0))
    answers = [client.get(f"{api.url}/offset?page=1") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 429, 429]
    assert all(60 < int(answer.headers["Retry-After"]) <= 100 for answer in answers[1:])


def test_requests_that_keep_their_distance_are_admitted(api: RunningApi, client: httpx2.Client) -> None:
    api.reset(Script(seconds_between=0.02))
    for _ in range(3):
        assert client.get(f"{api.url}/offset?page=1").status_code == 200
        time.sleep(0.02)


def test_pages_are_compressed_for_clients_that_accept_it(api: RunningApi) -> None:
    api.reset(Script(table=TABLE, page_size=4, gzip=True))
    for accepted, decode in (("identity", bytes), ("br, gzip", gzip.decompress)):
        with closing(http.client.HTTPConnection(api.url.removeprefix("http://"), timeout=5)) as raw:
            raw.request("GET", "/offset?page=1", headers={"Accept-Encoding": accepted})
            assert len(json.loads(decode(raw.getresponse().read()))["items"]) == 4


# Journal and control.


def test_the_journal_has_every_request_in_its_order(api: RunningApi, client: httpx2.Client) -> None:
    before = time.time()
    client.get(f"{api.url}/v1/counter?page=2&from=2023-01-01T00:05:00Z", headers={"X-Name": "a:b"})
    client.put(f"{api.url}/nowhere", content="some text", headers={"Content-Type": "application/json"})
    first, second = api.journal()
    assert (first.number, first.kind, first.method, first.path) == (1, "data", "GET", "/v1/counter")
    assert first.target == "/v1/counter?page=2&from=2023-01-01T00:05:00Z"
    assert first.parameters == {"page": "2", "from": "2023-01-01T00:05:00Z"}
    assert (first.headers["x-name"], first.page, first.rows, first.status) == ("a:b", 2, 4, 200)
    assert before <= first.wall <= second.wall <= time.time()
    assert first.monotonic < second.monotonic
    assert (second.number, second.method, second.body, second.page) == (2, "PUT", "some text", None)
    assert (second.rows, second.status, second.connection) == (0, 400, first.connection)


def test_connections_are_kept_and_counted(api: RunningApi, client: httpx2.Client) -> None:
    for _ in range(5):
        client.get(f"{api.url}/offset?page=1")
    assert api.connections() == 1
    client.get(f"{api.url}/offset?page=1", headers={"Connection": "close"})
    client.get(f"{api.url}/offset?page=1")
    assert [entry.connection for entry in api.journal()] == [1, 1, 1, 1, 1, 1, 2]


def test_one_can_wait_for_requests_that_are_never_answered(api: RunningApi) -> None:
    api.add_fault(Fault(action="hang"))
    with socket.create_connection(("127.0.0.1", httpx2.URL(api.url).port or 0)) as raw:
        raw.sendall(b"GET /offset?page=1 HTTP/1.1\r\n\r\n")
        assert [entry.fault for entry in api.wait_for_requests(1)] == ["hang"]
        with pytest.raises(TimeoutError, match=r"1 data requests in 0\.01 s, not 2"):
            api.wait_for_requests(2, timeout=0.01)


def test_a_reset_cuts_connections_and_begins_anew(api: RunningApi, client: httpx2.Client) -> None:
    api.reset(Script(table=TABLE, page_size=4, token=TokenAuth(method="GET"), faults=(Fault(target="token"),)))
    assert client.get(f"{api.url}/token-endpoint").status_code == 503
    token = client.get(f"{api.url}/token-endpoint").json()["token"]
    api.add_fault(Fault(action="hang"))
    with socket.create_connection(("127.0.0.1", httpx2.URL(api.url).port or 0), timeout=5) as raw:
        raw.sendall(f"GET /offset?page=1 HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        api.wait_for_requests(1)
        api.reset()
        assert _is_cut(raw)
    assert (api.journal(None), api.connections()) == ([], 0)
    with httpx2.Client(trust_env=False) as another:
        headers = {"Authorization": f"Bearer {token}"}
        assert another.get(f"{api.url}/offset?page=1", headers=headers).status_code == 401
        assert another.get(f"{api.url}/token-endpoint").status_code == 503


def test_a_setting_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(TypeError, match="pageSize"):
        Script.from_json('{"pageSize": 4}')


def test_a_script_is_the_same_after_json() -> None:
    script = Script(
        table=Table(tied=2), now="2023-01-01T00:00:00Z", token=TokenAuth(fields={"a": "b"}), faults=(Fault(page=2),)
    )
    assert Script.from_json(script.to_json()) == script


# Clients that vanish or freeze, TLS, processes.


def test_a_client_that_does_not_read_keeps_nobody_waiting(client: httpx2.Client) -> None:
    began = time.monotonic()
    with serve(Script(table=Table(padding=100_000))) as api:
        with socket.create_connection(("127.0.0.1", httpx2.URL(api.url).port or 0)) as frozen:
            frozen.sendall(b"GET /unpaged HTTP/1.1\r\n\r\n" * 3)
            api.wait_for_requests(1)
            assert rows_of(client.get(f"{api.url}/offset?page=9&to=2022-01-01T00:00:00Z")) == []
        gone = socket.create_connection(("127.0.0.1", httpx2.URL(api.url).port or 0))
        gone.sendall(b"GET /unpaged HTTP/1.1\r\n\r\nnonsense")
        gone.close()
        kept = socket.create_connection(("127.0.0.1", httpx2.URL(api.url).port or 0))
        kept.sendall(b"GET /unpaged HTTP/1.1\r\n\r\n")
        api.wait_for_requests(3)
        assert client.get(f"{api.url}/offset?page=1").status_code == 200
    kept.close()
    assert time.monotonic() - began < 5


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def test_it_speaks_tls_with_a_given_certificate(authority: trustme.CA, tmp_path: Path) -> None:
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with (
        serve_process(tmp_path, Script(table=TABLE, next_page="link"), certificate, key) as api,
        httpx2.Client(verify=trusting, trust_env=False) as client,
        httpx2.Client(trust_env=False) as distrustful,
    ):
        with pytest.raises(httpx2.ConnectError):
            distrustful.get(f"{api.url}/token")
        assert client.get(f"{api.url}/token").json()["next"].startswith(f"{api.url}/token?")
        assert [entry.status for entry in api.journal()] == [200]


def test_a_thread_speaks_tls_with_any_context(authority: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("another.test").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with serve(tls=context) as api, httpx2.Client(verify=trusting, trust_env=False) as client:
        with pytest.raises(httpx2.ConnectError, match="certificate"):
            client.get(f"{api.url}/unpaged")
        assert api.journal(None) == []


def test_a_process_outlives_its_clients_and_ends_with_its_block(tmp_path: Path) -> None:
    script = Script(table=Table(padding=20_000))
    with serve_process(tmp_path, script) as api:
        for number in (signal.SIGSTOP, signal.SIGKILL):
            read = f"import socket; s = socket.create_connection(('127.0.0.1', {httpx2.URL(api.url).port}))\n"
            read += "s.sendall(b'GET /unpaged HTTP/1.1\\r\\n\\r\\n'); s.recv(1); input()"
            already = len(api.journal())
            with subprocess.Popen([sys.executable, "-c", read], stdin=subprocess.PIPE) as victim:
                api.wait_for_requests(already + 1)
                victim.send_signal(number)
                assert httpx2.get(f"{api.url}/unpaged", trust_env=False).json() == Table(padding=20_000).between()
                victim.kill()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{api.url}/unpaged", trust_env=False)


def test_a_process_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    program = "import sys, time; from pathlib import Path; from tests.rest_api import serve_process\n"
    program += "with serve_process(Path(sys.argv[1])) as api: print(api.url, flush=True); time.sleep(60)"
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        assert httpx2.get(f"{url}/unpaged", trust_env=False).status_code == 200
        parent.kill()
    assert _eventually(lambda: not _answers(url))


def test_a_process_that_cannot_start_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(RuntimeError, match="the API server has not started"),
        serve_process(tmp_path, certificate=tmp_path / "missing.pem"),
    ):
        pass
    assert "FileNotFoundError" in capfd.readouterr().err


def test_the_module_writes_both_ports(tmp_path: Path) -> None:
    file = tmp_path / "ports"
    command = [sys.executable, "-m", "tests.rest_api", "--port-file", str(file)]
    environment = {"PATH": os.environ.get("PATH", "")}
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], env=environment) as process:
        assert _eventually(file.exists)
        api, control = file.read_text().split()
        assert httpx2.get(f"http://127.0.0.1:{api}/unpaged", trust_env=False).status_code == 200
        journal = httpx2.get(f"http://127.0.0.1:{control}/_control/journal", trust_env=False).json()
        assert [entry["path"] for entry in journal["requests"]] == ["/unpaged"]
        assert httpx2.get(f"http://127.0.0.1:{api}/_control/nothing", trust_env=False).status_code == 404
        process.terminate()
        assert process.wait(5) == 0


def _is_cut(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def _answers(url: str) -> bool:
    try:
        httpx2.get(f"{url}/unpaged", trust_env=False)
    except httpx2.TransportError:
        return False
    return True


def _eventually(holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + 10
    while not holds() and time.monotonic() < until:
        time.sleep(0.01)
    return holds()

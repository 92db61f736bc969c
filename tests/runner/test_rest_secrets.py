"""No secret of a REST stream reaches its log or the commit log, whatever fails (security checklist, rows 1 and 2)."""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from tests.rest_api import Fault, RunningApi, Script, Table, TokenAuth, serve
from tests.runner.processes import Stream
from tests.runner.rest_streams import PAGE, PAGED_DYNAMIC, PAGED_FIXED, TOKEN, RestStream

CANARIES = {
    "header": "canary-header/+&: x",
    "url user": "canaryUser",
    "url password": "canary%2FpasswordOfUrl",
    "url query": "canaryQueryOfUrl-1",
    "token url user": "canaryTokenUser",
    "token url password": "canaryTokenPassword",
    "token url query": "canaryTokenQuery-2",
    "token body": "canary body {3}",
    "token": "canaryToken.4-/+=",
    "more headers": "canary more;5",
    "cursor": "canaryCursor6",
    "answer": "canaryAnswer7",
    "cookie": "canaryCookie8",
    "location": "canaryLocation9",
}
COOKIE = {"Set-Cookie": f"session={CANARIES['cookie']}; Path=/"}
ROWS = [{"id": 1, "name": CANARIES["answer"]}, {"id": CANARIES["answer"]}]
NO_LINKS = {"items": ROWS}


def forms(secret: str) -> set[str]:
    encoded = [base64.b64encode(secret.encode()).decode(), quote(secret, safe=""), quote_plus(secret)]
    return {secret, json.dumps(secret)[1:-1], *encoded}


PAIRS = [(CANARIES[f"{place}url user"], CANARIES[f"{place}url password"]) for place in ("", "token ")]
BASIC = {base64.b64encode(f"{user}:{password}".encode()).decode() for user, password in PAIRS} | {
    base64.b64encode(b"canaryUser:canary/passwordOfUrl").decode()
}
FORMS = {form for secret in CANARIES.values() for form in forms(secret)} | BASIC


@dataclass(frozen=True, slots=True)
class Failure:
    """What goes wrong on the way, with secrets in it.

    Attributes:
        code: The exit code.
        said: A part of the last error's message.
        faults: Of the server with the rows.
        of_tokens: Of the server with the tokens.
        spec: Changes of the spec.
        variables: Changes of the environment.
        kind: Of the stream.
    """

    code: int
    said: str
    faults: tuple[Fault, ...] = ()
    of_tokens: tuple[Fault, ...] = ()
    spec: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    kind: str = PAGED_DYNAMIC


def answer(status: int | None = None, body: Any = None, **headers: str) -> tuple[Fault, ...]:
    """All requests get an answer that is full of secrets."""
    text = body if isinstance(body, str) else json.dumps({"error": CANARIES["answer"]} if body is None else body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return (Fault(status=status, body=text, headers={**COOKIE, **named}, times=None),)


def token_answer(status: int | None = None, body: Any = None) -> tuple[Fault, ...]:
    [fault] = answer(status, body)
    return (Fault(target="token", status=fault.status, body=fault.body, headers=fault.headers, times=None),)


TO_OTHER = f"http://{CANARIES['location']}:pw@other.invalid/x?key={CANARIES['location']}"
CURSOR = f"/token?page={CANARIES['cursor']}&sig={CANARIES['cursor']}"
FAILURES = {
    "no failure": Failure(0, "", answer(body={"items": ROWS[:1]})),
    "refused": Failure(1, "HTTP status 401", answer(401)),
    "forbidden": Failure(1, "HTTP status 403", answer(403), kind=PAGED_FIXED),
    "unavailable": Failure(2, "HTTP status 503", answer(503), spec={"retrySeconds": 1}),
    "no JSON": Failure(1, "cannot be read", answer(body=f"<html>{CANARIES['answer']}")),
    "wrong shape": Failure(1, "items is a text", answer(body={"items": CANARIES["answer"]})),
    "cut": Failure(2, "ends too early", answer(body=f'{{"items": ["{CANARIES["answer"]}')),
    "misfit": Failure(2, "does not fit", answer(body=NO_LINKS), spec={"sinkFormat": "parquet"}),
    "no gzip": Failure(2, "damaged", answer(body=CANARIES["answer"], Content_Encoding="gzip")),
    "odd encoding": Failure(1, "is encoded as", answer(body=NO_LINKS, Content_Encoding="br")),
    "redirect": Failure(1, "redirects to another host", answer(302, Location=TO_OTHER)),
    "unreadable redirect": Failure(1, "unreadable", answer(302, Location=f"http://h:99999/{CANARIES['location']}")),
    "odd redirect": Failure(1, "neither http nor https", answer(302, Location=f"x:{CANARIES['location']}")),
    "redirects": Failure(1, "redirects", answer(302, Location=f"/token?page=&k={CANARIES['location']}")),
    "link elsewhere": Failure(1, "not the stream's own host", answer(body={"items": [], "next": TO_OTHER})),
    "no link": Failure(1, "", answer(body={"items": [], "next": f"http:///{CANARIES['cursor']}"})),
    "same token": Failure(1, "reading on would never end", answer(body={"items": [], "next": CANARIES["cursor"]})),
    "odd token": Failure(1, "is not a text", answer(body={"items": [], "next": [CANARIES["cursor"]]})),
    "long token": Failure(1, "longer than", answer(body={"items": [], "next": CANARIES["cursor"] * 6000})),
    "no token": Failure(1, "HTTP status 403", of_tokens=token_answer(403)),
    "no token yet": Failure(2, "HTTP status 503", of_tokens=token_answer(503), spec={"retrySeconds": 1}),
    "token answer": Failure(1, "not a JSON object", of_tokens=token_answer(body=CANARIES["answer"])),
    "no property": Failure(1, "ARCANE__TOKENPROPERTYNAME", of_tokens=token_answer(body={})),
    "odd property": Failure(
        1, "ARCANE__TOKENPROPERTYNAME", of_tokens=token_answer(body={"token": CANARIES["answer"] + "\r\n"})
    ),
    "no lifetime": Failure(
        1,
        "ARCANE__EXPIRATIONPERIODPROPERTYNAME",
        of_tokens=token_answer(body={"token": CANARIES["token"], "expiresIn": CANARIES["answer"]}),
    ),
    "token redirect": Failure(
        1,
        "redirects to another host",
        of_tokens=(Fault(target="token", status=307, headers={"Location": TO_OTHER}, body="", times=None),),
    ),
    "closed": Failure(2, "cut", (Fault(action="close", times=None),)),
    "slow": Failure(2, "httpTimeout", (Fault(action="hang", times=None),), spec={"httpTimeout": "200 ms"}),
    "header": Failure(
        1,
        "X-Api-Key",
        variables={"ARCANE__AUTHHEADERS": json.dumps({"X-Api-Key": CANARIES["header"] + "\r\nX: y"})},
        kind=PAGED_FIXED,
    ),
    "headers": Failure(1, "authHeaders", variables={"ARCANE__AUTHHEADERS": CANARIES["header"]}, kind=PAGED_FIXED),
    "body": Failure(
        1,
        "ARCANE__TOKENREQUESTBODY",
        variables={
            "ARCANE__TOKENREQUESTCONTENTTYPE": "application/x-www-form-urlencoded",
            "ARCANE__TOKENREQUESTBODY": CANARIES["token body"],
        },
    ),
    "more headers": Failure(
        1, "dditionalHeaders", variables={"ARCANE__TOKENREQUESTADDITIONALHEADERS": CANARIES["more headers"]}
    ),
    "token url": Failure(
        1,
        "URL",
        variables={"ARCANE__AUTHURL": f"ftp://{CANARIES['token url user']}:x@h/?q={CANARIES['token url query']}"},
    ),
    "url": Failure(
        1, "urlTemplate", spec={"urlTemplate": f"ftp://{CANARIES['url user']}:x@h/@page?q={CANARIES['url query']}"}
    ),
}


@contextmanager
def serving(failure: Failure) -> Iterator[tuple[RunningApi, RunningApi]]:
    token = {"token": CANARIES["token"], "expiresIn": 3600}
    issued = Fault(target="token", body=json.dumps(token), headers=COOKIE, times=None)
    with (
        serve(Script(table=Table(rows=0), token=TokenAuth(), faults=(*failure.of_tokens, issued))) as tokens,
        serve(Script(table=Table(rows=35), faults=failure.faults)) as api,
    ):
        yield api, tokens


def with_userinfo(url: str, place: str) -> str:
    return url.replace("//", f"//{CANARIES[f'{place}user']}:{CANARIES[f'{place}password']}@")


def settings(failure: Failure, api: RunningApi, tokens: RunningApi) -> dict[str, Any]:
    return {
        "spec": {
            "urlTemplate": f"{with_userinfo(api.url, 'url ')}/token?key={CANARIES['url query']}&page=@page",
            "templatedFields": [PAGE],
            **failure.spec,
        },
        "ARCANE__LOG_LEVEL": "debug",
        **variables_of(failure.kind, tokens),
        **failure.variables,
    }


def variables_of(kind: str, tokens: RunningApi) -> dict[str, str]:
    if kind == PAGED_FIXED:
        return {"ARCANE__AUTHHEADERS": json.dumps({"X-Api-Key": CANARIES["header"]})}
    url = with_userinfo(tokens.url, "token url ")
    return {
        "ARCANE__AUTHURL": f"{url}/token-endpoint?client={CANARIES['token url query']}",
        "ARCANE__TOKENREQUESTBODY": json.dumps({"secret": CANARIES["token body"]}),
        "ARCANE__TOKENREQUESTADDITIONALHEADERS": json.dumps({"X-More": CANARIES["more headers"]}),
    }


def assert_nothing_shows(text: str) -> None:
    assert [form for form in FORMS if form in text] == []
    assert "canary" not in text.lower()


@pytest.mark.parametrize("name", FAILURES)
def test_no_failure_shows_a_secret(stream: Stream, capfd: pytest.CaptureFixture[str], name: str) -> None:
    failure = FAILURES[name]
    with serving(failure) as (api, tokens):
        rest = RestStream(stream, api.url, failure.kind, TOKEN)
        ended = rest.run_here(**settings(failure, api, tokens))
    assert ended.code == failure.code, ended.stderr
    if failure.code:
        assert failure.said in ended.error["error"]
    out, err = capfd.readouterr()
    assert out + err == ""
    assert_nothing_shows(ended.stderr + (log_without_tokens(rest) if stream.home.exists() else ""))


def log_without_tokens(rest: RestStream) -> str:
    """The commit log; page tokens are a part of stored positions, and are to be found nowhere else."""
    entries = rest.log()
    for entry in entries:
        backfill = entry["position"]["backfill"] or {}
        (backfill.get("watermark") or {}).pop("next", None)
    return json.dumps(entries, ensure_ascii=False)


def test_what_the_server_was_sent_holds_all_secrets(stream: Stream) -> None:
    """That the others find nothing is no wonder if there is nothing to be found."""
    with serving(FAILURES["no failure"]) as (api, tokens):
        rest = RestStream(stream, api.url, PAGED_DYNAMIC, TOKEN)
        assert rest.run_here(**settings(FAILURES["no failure"], api, tokens)).code == 0
        [data], [token] = api.journal(), tokens.journal("token")
    assert data.headers["authorization"] == f"Bearer {CANARIES['token']}"
    assert data.headers["x-more"] == CANARIES["more headers"]
    assert data.parameters["key"] == CANARIES["url query"]
    assert token.headers["authorization"].removeprefix("Basic ") in BASIC
    assert CANARIES["token url query"] in token.target
    assert CANARIES["token body"] in token.body
    assert CANARIES["answer"] in str(rest.rows())
    assert not {"cookie"} & {*data.headers, *token.headers}


def test_a_next_link_is_in_the_stored_position_only(stream: Stream) -> None:
    faults = (
        Fault(status=200, body=json.dumps({"items": [{"id": 1}], "next": f"URL{CURSOR}"})),
        Fault(status=503, times=None),
    )
    with serve(Script(table=Table(rows=0))) as api:
        for fault in reversed(faults):
            body = None if fault.body is None else fault.body.replace("URL", api.url)
            api.add_fault(Fault(status=fault.status, body=body, times=fault.times))
        rest = RestStream(stream, api.url, PAGED_FIXED, TOKEN)
        ends = [rest.run(ARCANE__LOG_LEVEL="debug") for _ in range(2)]
    assert [ended.code for ended in ends] == [2, 2]
    assert CANARIES["cursor"] in rest.position()["backfill"]["watermark"]["next"]
    assert_nothing_shows("".join(ended.stdout + ended.stderr for ended in ends))

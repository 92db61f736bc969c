"""Tokens: how they are asked for, used and renewed."""

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from arcane_framework import ConfigurationError, FatalStreamError
from arcane_framework.sources.rest import FixedHeaders, TokenSettings
from arcane_framework.sources.rest.authentication import TokenAuthorization
from arcane_framework.testing import ScriptedHttp, VirtualClock
from tests.sources.rest.requesters import requester_of

URL = "https://login.example/token"


def settings(**changes: Any) -> TokenSettings:
    given: dict[str, Any] = {"url": URL, "token_property": "token", "lifetime_property": "expiresIn"}
    return TokenSettings(**{**given, **changes})


def answer(http: ScriptedHttp, *tokens: str, lifetime: Any = 3600, method: str = "GET") -> ScriptedHttp:
    for token in tokens:
        http.reply(method, URL, json={"token": token, "expiresIn": lifetime, "other": 1})
    return http


def authorization(http: ScriptedHttp, clock: VirtualClock, token: TokenSettings) -> TokenAuthorization:
    http.attach(clock)
    return TokenAuthorization(token, requester_of(http, clock, URL), clock)


def test_fixed_headers_are_sent_as_they_are_and_cannot_be_mended() -> None:
    fixed = FixedHeaders({"X-Key": "abc"})
    assert fixed.headers() == {"X-Key": "abc"}
    assert not fixed.rejected()
    assert "abc" not in repr(fixed)


@pytest.mark.parametrize(
    ("changes", "headers"),
    [
        ({}, {"Authorization": "Bearer t"}),
        ({"header": ""}, {"Authorization": "Bearer t"}),
        ({"header": "authorization"}, {"authorization": "Bearer t"}),
        ({"scheme": "Token"}, {"Authorization": "Token t"}),
        ({"header": "X-Api-Token"}, {"X-Api-Token": "t"}),
        ({"header": "X-Api-Token", "scheme": "Key"}, {"X-Api-Token": "Key t"}),
        ({"more_headers": {"X-Tenant": "a"}}, {"Authorization": "Bearer t", "X-Tenant": "a"}),
    ],
)
def test_a_token_goes_into_the_header_that_is_said(changes: dict[str, Any], headers: dict[str, str]) -> None:
    clock = VirtualClock()
    assert authorization(answer(ScriptedHttp(), "t"), clock, settings(**changes)).headers() == headers


@pytest.mark.parametrize(
    ("lifetime", "kept"),
    [(3600, 3540), ("3600", 3540), (100, 90), (600, 540), (3600.0, 3540), (10_000, 9_940), (0, 0)],
)
def test_a_token_is_kept_until_shortly_before_its_end(lifetime: Any, kept: float) -> None:
    clock, http = VirtualClock(), answer(ScriptedHttp(), "one", "two", lifetime=lifetime)
    tokens = authorization(http, clock, settings())
    assert tokens.headers() == {"Authorization": "Bearer one"}
    if kept:
        clock.advance(kept - 0.5)
        assert tokens.headers() == {"Authorization": "Bearer one"}
        clock.advance(1)
    assert tokens.headers() == {"Authorization": "Bearer two"}
    assert len(http.requests) == 2


def test_a_fixed_lifetime_is_used_when_the_answer_does_not_say_one() -> None:
    clock, http = VirtualClock(), answer(ScriptedHttp(), "one", "two")
    tokens = authorization(http, clock, settings(lifetime_property=None, lifetime=100.0))
    tokens.headers()
    clock.advance(91)
    assert tokens.headers() == {"Authorization": "Bearer two"}


def test_the_answers_lifetime_goes_before_the_fixed_one() -> None:
    clock, http = VirtualClock(), answer(ScriptedHttp(), "one", "two", lifetime=100)
    tokens = authorization(http, clock, settings(lifetime=3_600.0))
    tokens.headers()
    clock.advance(91)
    assert tokens.headers() == {"Authorization": "Bearer two"}


def test_a_refused_token_is_dropped() -> None:
    clock, http = VirtualClock(), answer(ScriptedHttp(), "one", "two")
    tokens = authorization(http, clock, settings())
    tokens.headers()
    assert tokens.rejected()
    assert tokens.headers() == {"Authorization": "Bearer two"}


@pytest.mark.parametrize("content_type", [None, "application/json", "Application/JSON"])
def test_a_body_is_sent_as_json_text(content_type: str | None) -> None:
    clock, http = VirtualClock(), answer(ScriptedHttp(), "t", method="POST")
    authorization(http, clock, settings(method="post", body='{"a": "ü"}', content_type=content_type)).headers()
    (request,) = http.requests
    assert request.headers["content-type"] == "application/json"
    assert request.content == '{"a": "ü"}'.encode()


def test_a_form_is_sent_encoded() -> None:
    clock, http = VirtualClock(), answer(ScriptedHttp(), "t", method="POST")
    form = settings(method="POST", body='{"a": "x y&z", "b": "ü"}', content_type="application/x-www-form-urlencoded")
    authorization(http, clock, form).headers()
    (request,) = http.requests
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(request.content.decode()) == {"a": ["x y&z"], "b": ["ü"]}


def test_without_a_body_nothing_is_sent() -> None:
    clock, http = VirtualClock(), answer(ScriptedHttp(), "t")
    authorization(http, clock, settings()).headers()
    assert http.requests[0].content == b""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"lifetime_property": None},
            "one of ARCANE__EXPIRATIONPERIODPROPERTYNAME and ARCANE__EXPIRATIONPERIOD is required: "
            "how long a token is valid (a length of time is written as 01:00:00)",
        ),
        (
            {"content_type": "text/xml"},
            "ARCANE__TOKENREQUESTCONTENTTYPE: Unsupported content type for authentication: "
            "give application/json or application/x-www-form-urlencoded",
        ),
        *(
            (
                {"content_type": "application/x-www-form-urlencoded", "body": body},
                "ARCANE__TOKENREQUESTBODY: must be a JSON object of texts when the content type is "
                "application/x-www-form-urlencoded",
            )
            for body in ("a=b", "[1]", '{"a": 1}')
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_at_the_start(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        settings(**changes)
    assert str(error.value) == message


NO_TOKEN = "the token request: the answer has no usable text in the property that ARCANE__TOKENPROPERTYNAME names"
NO_LIFETIME = (
    "the token request: the answer has no number of seconds in the property that "
    "ARCANE__EXPIRATIONPERIODPROPERTYNAME names"
)
NO_OBJECT = "the token request: the answer is not a JSON object; correct ARCANE__AUTHURL or ARCANE__TOKENHTTPMETHOD"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, NO_TOKEN),
        ({"token": None, "expiresIn": 1}, NO_TOKEN),
        ({"token": "", "expiresIn": 1}, NO_TOKEN),
        ({"token": 5, "expiresIn": 1}, NO_TOKEN),
        ({"token": "a\r\nHost: b", "expiresIn": 1}, NO_TOKEN),
        ({"token": "ü", "expiresIn": 1}, NO_TOKEN),
        ({"token": "hidden-word"}, NO_LIFETIME),
        ({"token": "hidden-word", "expiresIn": "soon"}, NO_LIFETIME),
        ({"token": "hidden-word", "expiresIn": True}, NO_LIFETIME),
        ({"token": "hidden-word", "expiresIn": -1}, NO_LIFETIME),
        (["token"], NO_OBJECT),
        (None, NO_OBJECT),
    ],
)
def test_an_answer_that_holds_no_token_is_named_and_not_shown(body: Any, message: str) -> None:
    clock, http = VirtualClock(), ScriptedHttp()
    http.reply("GET", URL, text=json.dumps(body))
    with pytest.raises(FatalStreamError) as error:
        authorization(http, clock, settings()).headers()
    assert str(error.value) == message


def test_settings_show_no_secret() -> None:
    shown = repr(settings(body="hidden-word", more_headers={"X": "hidden-word"}, url="https://hidden-word/"))
    assert "hidden-word" not in shown

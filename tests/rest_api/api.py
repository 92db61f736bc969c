"""The API without its sockets: from a request to the answer, and the journal."""

import gzip
import hmac
import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl

from tests.rest_api.data import ListedRows, Rows, read_instant
from tests.rest_api.pages import Page, RefusedError, find_page
from tests.rest_api.script import Entry, Fault, Script, TokenAuth
from tests.rest_api.wire import Answer, Request

TOKEN_ENDPOINT = "token-endpoint"
CONTROL = "/_control/"


class Api:
    """One server's state. Everything is called on the server's one thread.

    Args:
        script: The settings.
        on_reset: Called when everything begins anew.

    Attributes:
        connections: How many have been opened; the server counts them.
    """

    def __init__(self, script: Script, on_reset: Callable[[], None]) -> None:
        self._on_reset = on_reset
        self._open_at = 0.0
        self._reset(script)

    def answer(self, request: Request, base: str, connection: int) -> Answer:
        """What to send for a request; writes it down.

        Args:
            request: What has come.
            base: Scheme, host and port, as the client has called the server.
            connection: Its number.
        """
        if request.target.startswith(CONTROL):
            return self._control(request)
        entry = self._enter(request, connection)
        try:
            answer = self._token(entry) if entry.kind == "token" else self._data(entry, base)
        except RefusedError as refused:
            answer = _refusal(refused)
            if refused.status in (429, 503):
                answer = replace(answer, headers={"Retry-After": self._retry_after()})
        entry.status = answer.status if answer.action not in ("close", "hang") else 0
        return answer

    # Requests.

    def _enter(self, request: Request, connection: int) -> Entry:
        path, _, query = request.target.partition("?")
        kind: Literal["data", "token"] = "token" if path.rpartition("/")[2] == TOKEN_ENDPOINT else "data"
        self._counts[kind] += 1
        entry = Entry(
            self._counts[kind],
            kind,
            request.method,
            request.target,
            path,
            dict(parse_qsl(query, keep_blank_values=True)),
            dict(request.headers),
            request.body.decode("utf-8", "replace"),
            connection,
            time.monotonic(),
            time.time(),
        )
        self._journal.append(entry)
        return entry

    def _data(self, entry: Entry, base: str) -> Answer:
        self._authorize(entry)
        self._admit(entry)
        if entry.body:
            entry.parameters |= _members(entry, "application/json")
        try:
            page = find_page(self._script, self._rows, self._now(), self._base(base) + entry.path, entry.parameters)
        except RefusedError as refused:
            return _spoilt(_refusal(refused), self._fault(entry))
        entry.page = page.number
        fault = self._fault(entry)
        if fault is None and random.Random(f"{self._script.seed}-{entry.number}").random() < self._script.random_503:
            raise RefusedError(503, "try again")
        if fault is None or (fault.body is None and fault.action in ("slow", "drip")):
            entry.rows = len(page.rows)
        return _spoilt(self._served(entry, page), fault)

    def _served(self, entry: Entry, page: Page) -> Answer:
        answer = replace(_json(page.document), seconds=self._script.page_seconds)
        if self._script.gzip and "gzip" in entry.headers.get("accept-encoding", ""):
            body = gzip.compress(answer.body, 1, mtime=0)
            answer = replace(answer, body=body, headers={"Content-Encoding": "gzip"})
        return answer

    def _base(self, base: str) -> str:
        return self._script.link_base or base

    def _admit(self, entry: Entry) -> None:
        if entry.monotonic < self._open_at:
            raise RefusedError(429, "too many requests")
        self._open_at = entry.monotonic + self._script.seconds_between

    def _retry_after(self) -> str:
        return self._script.retry_after or str(max(1, math.ceil(self._open_at - time.monotonic())))

    def _fault(self, entry: Entry) -> Fault | None:
        for index, (fault, left) in enumerate(self._faults):
            if left != 0 and _hits(fault, entry):
                self._faults[index] = (fault, None if left is None else left - 1)
                entry.fault = fault.action
                return fault
        return None

    # Authentication.

    def _authorize(self, entry: Entry) -> None:
        for name, value in self._script.headers.items():
            if not _same(entry.headers.get(name.lower(), ""), value):
                raise RefusedError(401, "a header is missing or wrong")
        auth = self._script.token
        if auth is None:
            return
        scheme, _, token = entry.headers.get(auth.header.lower(), "").rpartition(" ")
        until, left = self._tokens.get(token, (0.0, 0))
        if scheme != auth.scheme or entry.monotonic >= until or left <= 0:
            raise RefusedError(401, "the token is missing, wrong or no longer valid")
        self._tokens[token] = (until, left - 1)

    def _token(self, entry: Entry) -> Answer:
        auth = self._script.token
        if auth is None:
            raise RefusedError(404, "there is no token endpoint")
        if (fault := self._fault(entry)) and (fault.action == "answer" or fault.body is not None):
            return _spoilt(_json({}), fault)
        if entry.method != auth.method:
            raise RefusedError(405, f"the method is not {auth.method}")
        given = _members(entry, auth.content_type) if entry.body else {}
        if given != dict(auth.fields):
            raise RefusedError(401, "the body does not hold what it should")
        answer = _json({auth.token_property: self._issue(auth), auth.expiry_property: auth.stated_seconds})
        return _spoilt(answer, fault)

    def _issue(self, auth: TokenAuth) -> str:
        token = f"issued-{self._counts['token']}"
        valid = auth.stated_seconds if auth.valid_seconds is None else auth.valid_seconds
        self._tokens[token] = (time.monotonic() + valid, auth.valid_requests or math.inf)
        return token

    # Control.

    def _control(self, request: Request) -> Answer:
        document: Any = json.loads(request.body) if request.body else None
        match request.method, request.target.removeprefix(CONTROL):
            case "GET", "journal":
                return _json({"connections": self.connections, "requests": [asdict(entry) for entry in self._journal]})
            case "POST", "clock":
                self._clock = None if document["now"] is None else read_instant(document["now"])
            case "POST", "fault":
                fault = Fault(**document)
                self._faults.insert(0, (fault, fault.times))
            case "POST", "reset":
                self._reset(self._script if document is None else Script.from_json(request.body))
                self._on_reset()
            case _:
                return _json({"error": "there is no such control"}, 404)
        return _json({})

    def _reset(self, script: Script) -> None:
        self.connections = 0
        self._script = script
        file = script.rows_file
        self._rows: Rows = ListedRows.read(Path(file), script.time_field) if file else script.table
        self._clock = None if script.now is None else read_instant(script.now)
        self._faults = [(fault, fault.times) for fault in script.faults]
        self._tokens: dict[str, tuple[float, float]] = {}
        self._counts = {"data": 0, "token": 0}
        self._journal: list[Entry] = []
        self._open_at = 0.0

    def _now(self) -> datetime:
        return self._clock or datetime.now(UTC)


def _hits(fault: Fault, entry: Entry) -> bool:
    return (
        fault.target == entry.kind
        and entry.number >= fault.request
        and fault.page in (None, entry.page)
        and fault.path in (None, entry.path.rpartition("/")[2])
    )


def _spoilt(answer: Answer, fault: Fault | None) -> Answer:
    if fault is None:
        return answer
    if fault.body is None and fault.action != "answer":
        return replace(answer, action=fault.action, seconds=fault.seconds)
    status = fault.status or (503 if fault.body is None else 200)
    body = json.dumps({"error": "as scripted"}) if fault.body is None else fault.body
    return Answer(status, body.encode("utf-8", "surrogateescape"), fault.headers, fault.action, fault.seconds)


def _refusal(error: RefusedError) -> Answer:
    return _json({"error": error.reason}, error.status)


def _json(document: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(document, ensure_ascii=False).encode())


def _members(entry: Entry, content_type: str) -> dict[str, str]:
    """The members of a body."""
    if entry.headers.get("content-type", "").partition(";")[0].strip() != content_type:
        raise RefusedError(415, f"the body is not {content_type}")
    if content_type == "application/x-www-form-urlencoded":
        return dict(parse_qsl(entry.body, keep_blank_values=True))
    try:
        document = json.loads(entry.body)
    except ValueError:
        raise RefusedError(400, "the body is no JSON") from None
    if not isinstance(document, dict):
        raise RefusedError(400, "the body is no JSON object")
    return {name: str(value) for name, value in document.items()}


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())

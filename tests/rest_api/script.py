"""What a server is told, as values that JSON can hold."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from tests.rest_api.data import Table

Action: TypeAlias = Literal["answer", "slow", "close", "reset", "truncate", "drip", "hang"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong, for the first `times` requests that fit.

    Attributes:
        action: `answer` with status, headers and body; `slow` serves the page after `seconds`; `close` without a byte;
            `reset` or `truncate` (an orderly close) after half of the body; `drip` a byte each `seconds`; `hang`
            until the client goes.
        target: Data requests, or those of the token endpoint.
        request: From this one on, counted from 1 (those that were refused with 401 or 429 count, but are not hit).
        page: Only this page, counted from 1 for every pager.
        path: Only this last segment of the path, such as `counter`.
        times: None: for ever.
        status: Of an `answer` or of `body`; None: 200 with a body and 503 without one.
        headers: The same, above those that it has anyway.
        body: Instead of what would be served; lone surrogates stand for bytes that are no UTF-8.
        seconds: Before what happens, or between two bytes of `drip`.
    """

    action: Action = "answer"
    target: Literal["data", "token"] = "data"
    request: int = 1
    page: int | None = None
    path: str | None = None
    times: int | None = 1
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAuth:
    """A token endpoint, `/token-endpoint`, whose tokens every data request needs.

    Attributes:
        header: Where data requests carry the token.
        scheme: Before the token; empty: the token alone.
        method: Of the token request.
        content_type: Of its body.
        fields: What the body must hold, exactly; empty: no body.
        stated_seconds: The validity as the endpoint states it.
        valid_seconds: The validity as it is; None: as stated.
        valid_requests: A token is good for so many data requests only; None: no such limit.
        token_property: Of the endpoint's answer.
        expiry_property: Of the endpoint's answer.
    """

    header: str = "Authorization"
    scheme: str = "Bearer"
    method: str = "POST"
    content_type: str = "application/json"
    fields: Mapping[str, str] = field(default_factory=dict)
    stated_seconds: int = 3600
    valid_seconds: float | None = None
    valid_requests: int | None = None
    token_property: str = "token"
    expiry_property: str = "expiresIn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A server's settings.

    Attributes:
        table: The rows.
        rows_file: JSON lines to serve instead of the table.
        time_field: Holds the instant of a row of the file.
        page_size: Rows of a page.
        now: The server's clock, which then stands still; None: the machine's.
        headers: What every data request must carry.
        token: Token authentication; None: there is none.
        next_page: What `/token` gives for the next page: a text, a full URL or a number.
        last_page: What it gives after the last page.
        link_base: Scheme, host and port of the URLs that it gives; empty: as the client has called it.
        faults: What goes wrong.
        random_503: So many of 1 data requests are refused.
        retry_after: Header of those and of refusals by `seconds_between`; None: the seconds left, or 1.
        seed: Of the dice.
        gzip: Compress pages for clients that accept it.
        page_seconds: Before each page.
        seconds_between: A data request sooner than this after the last admitted one is refused with 429.
    """

    table: Table = field(default_factory=Table)
    rows_file: str | None = None
    time_field: str = "updatedAt"
    page_size: int = 10
    now: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    token: TokenAuth | None = None
    next_page: Literal["text", "link", "number"] = "text"
    last_page: Literal["null", "missing", "empty"] = "null"
    link_base: str = ""
    faults: tuple[Fault, ...] = ()
    random_503: float = 0.0
    retry_after: str | None = None
    seed: int = 0
    gzip: bool = False
    page_seconds: float = 0.0
    seconds_between: float = 0.0

    def to_json(self) -> str:
        """All of it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Script":
        """From a text with any of the settings; one that does not exist is a `TypeError`."""
        values: dict[str, Any] = json.loads(text)
        token = values.get("token")
        parts = {
            "table": Table(**values.get("table", {})),
            "token": None if token is None else TokenAuth(**token),
            "faults": tuple(Fault(**fault) for fault in values.get("faults", ())),
        }
        return cls(**values | parts)


@dataclass(slots=True)
class Entry:
    """A request and what became of it.

    Attributes:
        number: Of its kind, counted from 1.
        kind: `data` or `token`.
        method: As sent.
        target: As sent, with its query.
        path: The target without its query.
        parameters: Of the query and of a JSON body.
        headers: All, by lower-case name.
        body: As text.
        connection: Counted from 1.
        monotonic: When it had arrived, on the server's monotonic clock.
        wall: The same as Unix time.
        page: Which page it asked for, counted from 1 for every pager; None if it was refused before.
        rows: How many rows the answer has.
        status: Of the answer; 0: none.
        fault: The action of the fault that hit it; empty: none.
    """

    number: int
    kind: Literal["data", "token"]
    method: str
    target: str
    path: str
    parameters: dict[str, str]
    headers: dict[str, str]
    body: str
    connection: int
    monotonic: float
    wall: float
    page: int | None = None
    rows: int = 0
    status: int = 0
    fault: str = ""

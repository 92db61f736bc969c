"""The outside world of the REST demo: an API on loopback that serves the flights of `make demo` in pages.

    POST /token        {"client": ..., "password": ...} -> {"access_token": ..., "expires_in": seconds}
    GET /flights       ?from=...&to=...&page=1          -> {"total_pages": ..., "flights": [...]}
    GET /statistics    how often it was asked, and what it has refused

It is as moody as an API of the internet: it takes so many requests in so many seconds and refuses others with 429,
tokens expire, and now and then it is not available. `python -m examples.rest_flights_api --port 8765` runs it by
itself; it ends when its standard input does.
"""

import argparse
import json
import math
import secrets
import sys
import threading
import time
import zipfile
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from examples.flights_data import archive_path

CLIENT = {"client": "demo", "password": "demo"}
PAGE_ROWS = 10_000
REQUESTS, SECONDS = 10, 3.0
"""So many requests are answered within so many seconds."""
TOKEN_SECONDS = 10
UNAVAILABLE_EVERY = 12
"""Of the requests that are not refused."""

TEXTS = {"carrier", "tailnum", "origin", "dest", "time_hour"}


class Flights:
    """All flights of the year, by the hour of their departure."""

    def __init__(self) -> None:
        with zipfile.ZipFile(archive_path()) as archive:
            header, *lines = archive.read("flights.csv").decode().splitlines()
        self._columns = header.split(",")
        # The hour is the last column; a stable order, so that pages are the same in each run of the API.
        self._lines = sorted(lines, key=hour_of)

    def page(self, start: str, end: str, number: int) -> dict[str, Any]:
        """A page of the flights from `start` on and before `end`, both as `2013-01-31T00:00:00Z`."""
        first = bisect_left(self._lines, start, key=hour_of)
        last = max(first, bisect_left(self._lines, end, key=hour_of))
        begin = first + (number - 1) * PAGE_ROWS
        lines = self._lines[begin : min(begin + PAGE_ROWS, last)]
        return {"total_pages": math.ceil((last - first) / PAGE_ROWS), "flights": [self._row(line) for line in lines]}

    def _row(self, line: str) -> dict[str, Any]:
        return {
            name: None if value == "NA" else value if name in TEXTS else int(value)
            for name, value in zip(self._columns, line.split(","), strict=True)
        }


def hour_of(line: str) -> str:
    """The last column of a line: when the flight was to leave, in UTC."""
    return line[line.rindex(",") + 1 :]


@dataclass(frozen=True)
class Reply:
    """What a request is answered with."""

    status: int
    content: dict[str, Any]
    retry_after: int | None = None


class Api:
    """The API without its sockets; its methods are called on the threads of the requests."""

    def __init__(self) -> None:
        self._flights = Flights()
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._tokens: dict[str, float] = {}
        self._answered: deque[float] = deque()

    def reply(self, method: str, url: str, token: str, body: bytes) -> Reply:
        """The reply to a request."""
        path = urlsplit(url).path
        if (method, path) == ("POST", "/token"):
            return self._new_token(body)
        if (method, path) == ("GET", "/statistics"):
            with self._lock:
                return Reply(200, dict(self._counts))
        if (method, path) != ("GET", "/flights"):
            return Reply(404, {"error": "no such place"})
        with self._lock:
            refusal = self._refusal(token, time.monotonic())
        return refusal or self._page({name: values[0] for name, values in parse_qs(urlsplit(url).query).items()})

    def _new_token(self, body: bytes) -> Reply:
        if json.loads(body or b"null") != CLIENT:
            return Reply(403, {"error": "wrong client or password"})
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._counts["tokens"] += 1
            self._tokens[token] = time.monotonic() + TOKEN_SECONDS
        return Reply(200, {"access_token": token, "expires_in": TOKEN_SECONDS})

    def _refusal(self, token: str, now: float) -> Reply | None:
        if self._tokens.get(token, now) <= now:
            self._counts["401"] += 1
            return Reply(401, {"error": "no token, or one that has expired"})
        while self._answered and self._answered[0] <= now - SECONDS:
            self._answered.popleft()
        if len(self._answered) >= REQUESTS:
            self._counts["429"] += 1
            wait = math.ceil(self._answered[0] + SECONDS - now)
            return Reply(429, {"error": f"not more than {REQUESTS} requests in {SECONDS:g} seconds"}, max(1, wait))
        self._answered.append(now)
        self._counts["requests"] += 1
        if self._counts["requests"] % UNAVAILABLE_EVERY == 0:
            self._counts["503"] += 1
            return Reply(503, {"error": "not available just now"})
        return None

    def _page(self, query: dict[str, str]) -> Reply:
        try:
            page = self._flights.page(query["from"], query["to"], int(query["page"]))
        except (KeyError, ValueError):
            return Reply(400, {"error": "give from, to and page"})
        with self._lock:
            self._counts["pages"] += 1
        return Reply(200, page)


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for the API."""

    protocol_version = "HTTP/1.1"
    api: Api

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        reply = self.api.reply(self.command, self.path, token, body)
        content = json.dumps(reply.content).encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if reply.retry_after is not None:
            self.send_header("Retry-After", str(reply.retry_after))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Nothing: the demo shows the stream, and what was refused at its end."""


class Server(ThreadingHTTPServer):
    """A client that goes away in the middle of an answer, as one that is stopped does, is no error here."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m examples.rest_flights_api", description="The API of the demo.")
    parser.add_argument("--port", type=int, default=0, help="by default any that is free")
    Handler.api = Api()
    with Server(("127.0.0.1", parser.parse_args(arguments).port), Handler) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()
        server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())

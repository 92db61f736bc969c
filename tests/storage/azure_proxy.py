"""A proxy in front of Azurite that counts requests and injects faults on the wire."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Fault = Literal["lose the answer", "lose the request", "503 before", "503 after", "cut the answer", None]
Rule = Callable[[str, str], Fault]
"""From method and path with its query to what goes wrong; asked once for each request."""


class FaultProxy:
    """Attributes:
    url: Where it listens.
    requests: Method and path of each request, in order.
    rule: What goes wrong.
    drop_conditions: Whether to be a server that does not know `If-None-Match`.
    """

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target)
        self.requests: list[tuple[str, str]] = []
        self.rule: Rule = lambda method, path: None
        self.drop_conditions = False
        self.lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def once(self, fault: Fault, method: str, fragment: str) -> None:
        """Let the first request of `method` with `fragment` in its path go wrong, and no other."""
        left = [fault]

        def rule(asked: str, path: str) -> Fault:
            return left.pop() if left and asked == method and fragment in path else None

        self.rule = rule

    def always(self, fault: Fault, method: str = "", fragment: str = "") -> None:
        """Let every request of `method` with `fragment` in its path go wrong."""
        self.rule = lambda asked, path: fault if (not method or asked == method) and fragment in path else None

    def count(self, method: str, fragment: str = "") -> int:
        """How many such requests came."""
        return sum(asked == method and fragment in path for asked, path in self.requests)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: FaultProxy

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.owner.lock:
            self.owner.requests.append((self.command, self.path))
            fault = self.owner.rule(self.command, self.path)
        self.close_connection = fault is not None
        if fault == "lose the request":
            return
        if fault == "503 before":
            self._busy()
            return
        status, headers, content = self._forward(body)
        if fault == "503 after":
            self._busy()
        elif fault != "lose the answer":
            self._answer(status, headers, content, cut=fault == "cut the answer")

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = _serve  # noqa: N815

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        target = self.owner.target
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=20)
        headers = dict(self.headers)
        if self.owner.drop_conditions:
            headers.pop("If-None-Match", None)
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, *, cut: bool) -> None:
        self.send_response_only(status)
        length = len(content)
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = int(value)
            elif name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)

    def _busy(self) -> None:
        self._answer(503, [("x-ms-error-code", "ServerBusy")], b"", cut=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


@contextmanager
def fault_proxy(target: str) -> Iterator[FaultProxy]:
    """A proxy in front of `target` while the block runs."""
    proxy = FaultProxy(target)
    thread = threading.Thread(target=proxy.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.server.shutdown()
        proxy.server.server_close()
        thread.join()

"""A proxy in front of a store's server: it injects faults on the wire and remembers what no store shows.

HTTP/1.1, with connections that are kept on both sides. What a killed client has sent is in the air until the proxy has
passed it on: `wait_until_idle` is over when nothing is.
"""

import fcntl
import http.client
import select
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from tests.storage.fault_rules import Fault, Rule
from tests.storage.staged_pieces import StagedPieces

Kind = Literal["s3", "azure"]

CONTROL: Final = "/_proxy/"
"""Targets below are for the proxy itself."""

_RESET: Final = struct.pack("ii", 1, 0)
_LOOK_SECONDS: Final = 0.001
_SLOW_SECONDS: Final = 0.002
_PIECES: Final = 6
_UPSTREAM_SECONDS: Final = 20
_HOP: Final = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive"})
_BUSY: Final[dict[Kind, tuple[str, str]]] = {"s3": ("SlowDown", "InternalError"), "azure": ("ServerBusy", "ServerBusy")}


@dataclass(frozen=True, slots=True)
class Request:
    """What a client has asked for; `target` is path and query, header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    lines: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    content: bytes = b""


class FaultProxy:
    """Attributes:
    url: Where it listens.
    requests: Method and target of each request, in order.
    rule: What goes wrong; asked once for each request, one at a time.
    drop_conditions: Whether to be a server that does not know `If-None-Match`.
    staged: The pieces that the store has taken and does not show yet.
    control: Answers requests for the proxy itself.
    """

    def __init__(self, target: str, kind: Kind = "azure") -> None:
        self.target = urlsplit(target)
        self.kind = kind
        self.requests: list[tuple[str, str]] = []
        self.rule: Rule = lambda method, target: None
        self.drop_conditions = False
        self.staged = StagedPieces(kind)
        self.control: Callable[[Request], Answer] = lambda request: Answer(404)
        self.lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._clients: dict[threading.Thread, _Client] = {}
        self._accepting = False
        self._ended = threading.Event()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    # Faults.

    def once(self, fault: Fault, method: str, fragment: str) -> None:
        """Let the first request of `method` with `fragment` in its target go wrong, and no other."""
        left = [fault]

        def rule(asked: str, target: str) -> Fault:
            return left.pop() if left and asked == method and fragment in target else None

        self.rule = rule

    def always(self, fault: Fault, method: str = "", fragment: str = "") -> None:
        """Let every request of `method` with `fragment` in its target go wrong."""
        self.rule = lambda asked, target: fault if (not method or asked == method) and fragment in target else None

    def count(self, method: str, fragment: str = "") -> int:
        """How many such requests came."""
        return sum(asked == method and fragment in target for asked, target in self.requests)

    def decide(self, request: Request) -> Fault:
        """What goes wrong with a request that has just come."""
        with self.lock:
            self.requests.append((request.method, request.target))
            return self.rule(request.method, request.target)

    # Connections.

    def serve(self) -> None:
        """Take connections until `close`."""
        while not self._ended.is_set():
            if not select.select([self._listener], [], [], 0.02)[0]:
                continue
            self._accepting = True
            with suppress(OSError):
                client = _Client(self._listener.accept()[0])
                thread = threading.Thread(target=self._talk, args=(client,), daemon=True)
                with self.lock:
                    self._clients[thread] = client
                thread.start()
            self._accepting = False

    def wait_until_idle(self, seconds: float = 20) -> bool:
        """Until all that clients have sent so far is carried out and answered; False: it takes too long."""
        until = time.monotonic() + seconds
        while self._is_busy():
            if time.monotonic() > until:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def stop(self) -> None:
        """Let `serve` end soon."""
        self._ended.set()

    def close(self) -> None:
        """End all connections, once `serve` is over."""
        self._listener.close()
        with self.lock:
            clients = dict(self._clients)
        for thread, client in clients.items():
            client.hang_up()
            thread.join(5)

    def _is_busy(self) -> bool:
        # In the order in which work moves on, so that none slips through between two looks.
        if select.select([self._listener], [], [], 0)[0] or self._accepting:
            return True
        with self.lock:
            clients = [*self._clients.values()]
        return any(client.is_busy() for client in clients)

    def _talk(self, client: "_Client") -> None:
        with _Upstream(self.target.hostname or "", self.target.port or 80) as upstream, suppress(OSError):
            while (request := client.request()) is not None:
                if request.target.startswith(CONTROL):
                    client.is_control = True
                    client.answer(self.control(request), request.method)
                elif not self._serve(client, request, upstream):
                    break
        client.hang_up()
        with self.lock:
            self._clients.pop(threading.current_thread(), None)

    def _serve(self, client: "_Client", request: Request, upstream: "_Upstream") -> bool:
        """One request; gives whether the connection goes on."""
        fault = self.decide(request)
        if fault == "lose the request":
            client.reset()
            return False
        if fault in ("503 before", "409 before"):
            client.answer(self._refusal(fault), request.method)
            return True
        if fault == "slow":
            time.sleep(_SLOW_SECONDS)
        answer = self._forward(request, upstream)
        if fault == "twice":
            answer = self._forward(request, upstream)
        if fault == "503 after":
            client.answer(self._refusal(fault), request.method)
            return True
        if fault == "lose the answer":
            return False
        client.answer(answer, request.method, cut=fault == "cut the answer", slow=fault == "slow")
        return fault != "cut the answer"

    def _forward(self, request: Request, upstream: "_Upstream") -> Answer:
        answer = upstream.ask(request, drop_conditions=self.drop_conditions)
        self.staged.saw(request.method, request.target, request.body, answer.status)
        return answer

    def _refusal(self, fault: Fault) -> Answer:
        if fault == "409 before":
            return _xml(409, "ConditionalRequestConflict")
        code = _BUSY[self.kind][fault == "503 after"]
        return _xml(503, code) if self.kind == "s3" else Answer(503, [("x-ms-error-code", code)])


class _Client:
    """A connection from a client.

    Attributes:
        is_control: Whether it is for the proxy itself.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_control = False
        self._socket = connection
        self._buffer = bytearray()
        self._waits = True
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def is_busy(self) -> bool:
        """Whether something of it is not carried out yet. A client that has stopped in a request is none of that."""
        try:
            unread = struct.unpack("i", fcntl.ioctl(self._socket, termios.FIONREAD, b"\0" * 4))[0]
        except (OSError, ValueError):
            return not self._waits
        # First what has come and then whether somebody has taken it: the other way round it could be missed.
        return not self.is_control and (unread > 0 or not self._waits)

    def request(self) -> Request | None:
        """The next request; None when the client has gone, also in the middle of one."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if not self._fill():
                return None
        head = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        method, target, _ = head[0].split(" ", 2)
        lines = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:])]
        headers = {name.lower(): value for name, value in lines}
        length = int(headers.get("content-length") or 0)
        if len(self._buffer) < length and headers.get("expect", "").lower() == "100-continue":
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(self._buffer) < length:
            if not self._fill():
                return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return Request(method, target, headers, lines, body)

    def answer(self, answer: Answer, method: str, *, cut: bool = False, slow: bool = False) -> None:
        """Send an answer: half of it, or in small pieces."""
        length = str(len(answer.content))
        head = [f"HTTP/1.1 {answer.status} {http.client.responses.get(answer.status, 'Unknown')}"]
        for name, value in answer.headers:
            if name.lower() == "content-length" and method == "HEAD":
                length = value
            elif name.lower() not in _HOP:
                head.append(f"{name}: {value}")
        if answer.status not in (204, 304):
            head.append(f"Content-Length: {length}")
        content = b"" if method == "HEAD" else answer.content
        sent = "\r\n".join([*head, "", ""]).encode("latin-1") + (content[: len(content) // 2] if cut else content)
        step = max(1, -(-len(sent) // _PIECES)) if slow else len(sent)
        for start in range(0, len(sent), step):
            if start:
                time.sleep(_SLOW_SECONDS)
            self._socket.sendall(sent[start : start + step])

    def reset(self) -> None:
        """Let the connection break off."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def hang_up(self) -> None:
        """Close the connection."""
        self._waits = True
        with suppress(OSError):
            if not self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _fill(self) -> bool:
        self._waits = True
        self._poll.poll()
        self._waits = False
        data = self._socket.recv(1 << 18)
        self._buffer += data
        return bool(data)


class _Upstream:
    """The connection to the store behind one connection from a client."""

    def __init__(self, host: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=_UPSTREAM_SECONDS)

    def __enter__(self) -> "_Upstream":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, request: Request, *, drop_conditions: bool) -> Answer:
        """Pass a request on; a kept connection that the store has closed meanwhile is opened anew."""
        kept = self._connection.sock is not None
        try:
            return self._ask(request, drop_conditions=drop_conditions)
        except (http.client.RemoteDisconnected, ConnectionError):
            self._connection.close()
            if not kept:
                raise
            return self._ask(request, drop_conditions=drop_conditions)

    def _ask(self, request: Request, *, drop_conditions: bool) -> Answer:
        connection = self._connection
        connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.lines:
            dropped = name.lower() in ("expect", "connection", "content-length")
            if not dropped and not (drop_conditions and name.lower() == "if-none-match"):
                connection.putheader(name, value)
        if request.body or "content-length" in request.headers:
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body or None)
        answer = connection.getresponse()
        return Answer(answer.status, answer.getheaders(), answer.read())


def _xml(status: int, code: str) -> Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>a fault</Message></Error>'
    return Answer(status, [("Content-Type", "application/xml")], text.encode())


@contextmanager
def fault_proxy(target: str, kind: Kind = "azure") -> Iterator[FaultProxy]:
    """A proxy in front of `target` while the block runs."""
    proxy = FaultProxy(target, kind)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join()
        proxy.close()

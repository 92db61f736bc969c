"""A door before a server: whoever has shut it has taken the server off the network, on the port that it keeps."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Answer = bytes | None
"""What is answered instead of the server; None: the door is shut in the caller's face."""


def answer(status: int, *headers: str, body: str = "") -> bytes:
    """An answer in the words of HTTP."""
    lines = [f"HTTP/1.1 {status} Refused", *headers, f"Content-Length: {len(body.encode())}", "Connection: close"]
    return "\r\n".join([*lines, "", body]).encode()


class Door:
    """Passes bytes on to a server on this machine. Requests are seen by their heads, one connection at a time.

    Attributes:
        port: Where it is, open or shut.
        heads: The first lines of the requests that came.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.heads: list[str] = []
        self._target = target
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._rule: tuple[re.Pattern[str], Answer, list[int]] | None = None
        self._listener: socket.socket | None = None
        self.open()

    def open(self) -> None:
        """Listen, again on the same port."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self.port = self._listener.getsockname()[1]
            threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Refuse connections, and cut those that there are."""
        with self._lock:
            listener, self._listener = self._listener, None
            closing, self._connections = self._connections, set()
        for connection in [*([listener] if listener is not None else []), *closing]:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def when(self, pattern: str, answered: Answer, *, skip: int = 0) -> None:
        """From the request on whose first line has `pattern`, after `skip` such: answer this, or shut the door."""
        self._rule = re.compile(pattern), answered, [skip]

    def forget(self) -> None:
        """Let everything through again."""
        self._rule = None
        self.open()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._connections |= {client, server}
                shut = self._listener is not listener
            if shut:
                self._close(client, server)
                continue
            for source, sink, check in ((client, server, self._let_in), (server, client, _always)):
                threading.Thread(target=self._pass, args=(source, sink, check), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, check: Callable[[socket.socket, bytes], bool]) -> None:
        with suppress(OSError):
            while (data := source.recv(1 << 16)) and check(source, data):
                sink.sendall(data)
        self._close(source, sink)

    def _let_in(self, client: socket.socket, data: bytes) -> bool:
        # A request is never sent while the one before is answered, so that a head is at the beginning of its bytes.
        found = re.match(rb"(GET|HEAD|PUT|POST|DELETE) (\S+) HTTP/1.1\r\n", data)
        if found is None:
            return True
        head = f"{found[1].decode()} {found[2].decode()}"
        self.heads.append(head)
        if not self._applies(head):
            return True
        assert self._rule is not None
        if self._rule[1] is None:
            self.shut()
            return False
        client.sendall(self._rule[1].partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if found[1] == b"HEAD" else self._rule[1])
        client.shutdown(socket.SHUT_WR)
        # Or what is still on its way would take the answer along.
        while client.recv(1 << 16):
            pass
        return False

    def _applies(self, head: str) -> bool:
        with self._lock:
            if self._rule is None or not self._rule[0].search(head):
                return False
            self._rule[2][0] -= 1
            return self._rule[2][0] < 0

    def _close(self, *connections: socket.socket) -> None:
        with self._lock:
            self._connections -= {*connections}
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def _always(source: socket.socket, data: bytes) -> bool:
    return True


@contextmanager
def door_to(port: int) -> Iterator[Door]:
    """A door before the server on `port`, shut at the end."""
    door = Door(port)
    try:
        yield door
    finally:
        door.shut()

"""Small servers on loopback whose every byte the test decides."""

import socket
import ssl
import threading
from collections.abc import Callable
from typing import Self

Handler = Callable[[socket.socket], None]


def answer(body: bytes = b"ok", *, head: str = "", status: str = "200 OK") -> bytes:
    """A response with its length."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode("latin-1") + body


def read_request(sock: socket.socket) -> bytes:
    """Everything up to the end of the headers; empty when the client has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = sock.recv(65_536)
        if not chunk:
            return b""
        data += chunk
    return data


class Server:
    """Serves each connection with `handle` on a thread of its own, and counts them.

    Args:
        reply: Sent for each request of a connection, in turn and over again; or what to do with a connection.
        context: Speaks TLS with it.
    """

    def __init__(self, reply: bytes | list[bytes] | Handler = b"", context: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self._replies = [reply] if isinstance(reply, bytes) else reply if isinstance(reply, list) else []
        self._handle = self._reply if isinstance(reply, bytes | list) else reply
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def url(self) -> str:
        return f"{'http' if self._context is None else 'https'}://127.0.0.1:{self.port}/"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        socket.socket.shutdown(self._listener, socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(5)
        for sock in self._open:
            _end(sock)
        for thread in self._threads[1:]:
            thread.join(5)
        for sock in self._open:
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            self._handle(sock)
            _end(sock)
        except OSError:
            sock.close()

    def _reply(self, sock: socket.socket) -> None:
        while request := read_request(sock):
            reply = self._replies[len(self.requests) % len(self._replies)]
            self.requests.append(request)
            sock.sendall(reply)
            if b"Connection: close" in reply:
                return


def _end(sock: socket.socket) -> None:
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return

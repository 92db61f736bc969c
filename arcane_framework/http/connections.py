"""Sockets that go only where they may, keep a deadline, and can be cut off from another thread."""

import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from select import POLLIN, poll
from typing import Any, Final

import httpcore2

from arcane_framework.http.addresses import Address, literal_address, refusal
from arcane_framework.http.errors import ForbiddenAddressError

SocketAddress = tuple[str, int] | tuple[str, int, int, int]
Resolver = Callable[[str, int], Sequence[SocketAddress]]
"""Turns host and port into socket addresses; blocks, raises OSError."""
Connect = Callable[[socket.socket, SocketAddress], None]

GUARD: Final = "arcane_framework.guard"
"""The request extension that holds the `Guard`."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What holds for the connection of one request.

    Attributes:
        only_public: Refuse loopback, private and other addresses that are not public.
        remaining: The seconds that are left for the request as a whole.
    """

    only_public: bool
    remaining: Callable[[], float]


def system_resolver(host: str, port: int) -> Sequence[SocketAddress]:
    """Ask the system's resolver."""
    # On other systems an address may come as bytes; here it is text.
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [address for _, _, _, _, address in found if isinstance(address[0], str)]


def system_connect(sock: socket.socket, address: SocketAddress) -> None:
    """Connect, within the socket's timeout."""
    sock.connect(address)


class GuardedBackend(httpcore2.NetworkBackend):
    """Makes the connections of a pool and knows them all.

    A name is resolved once, all its addresses are checked, and the connection goes to one of exactly these. The
    rules and the deadline are those of the request that its thread is busy with, see `guarding`; without any, all
    but link-local and metadata addresses are open.

    Args:
        checked: Whether addresses are checked; not those of a proxy, which the operator has chosen.
        resolver: Resolves names, on a thread of its own.
        connect: Connects a socket.
    """

    def __init__(
        self, *, checked: bool = True, resolver: Resolver = system_resolver, connect: Connect = system_connect
    ) -> None:
        self._checked = checked
        self._resolver = resolver
        self._connect = connect
        self._local = threading.local()
        # The machine's time: there is no real socket under virtual time.
        self._changed = threading.Condition()
        self._streams: set[GuardedStream] = set()
        self._aborted = False

    # The rules of the request in progress.

    @contextmanager
    def guarding(self, guard: Guard | None) -> Iterator[None]:
        """Let `guard` hold for what this thread does with connections of this backend."""
        before = self._guard
        self._local.guard = guard
        try:
            yield
        finally:
            self._local.guard = before

    @property
    def _guard(self) -> Guard | None:
        guard: Guard | None = getattr(self._local, "guard", None)
        return guard

    def seconds(self, timeout: float | None) -> float | None:
        """What is left of `timeout` under the deadline.

        Raises:
            TimeoutError: Nothing.
        """
        guard = self._guard
        left = timeout if guard is None else min(guard.remaining(), float("inf") if timeout is None else timeout)
        if left is not None and left <= 0:
            raise TimeoutError
        return left

    def check(self, host: str, address: Address) -> None:
        """Check an address under the rules of the request in progress.

        Raises:
            ForbiddenAddressError: It is refused.
        """
        if not self._checked:
            return
        for only_public in (False, True) if self._guard is not None and self._guard.only_public else (False,):
            reason = refusal(address, only_public=only_public)
            if reason is not None:
                raise ForbiddenAddressError(host, reason, only_public=only_public)

    # Connections.

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        with _mapped(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            addresses = self._resolve(host, port, timeout)
            for address in addresses:
                self.check(host, _ip(address))
            return self._connect_to_one_of(host, addresses, timeout)

    def abort(self) -> None:
        """Cut off all connections, finished or not, and refuse new ones. Any thread; does not block."""
        with self._changed:
            self._aborted = True
            streams = list(self._streams)
            self._changed.notify_all()
        for stream in streams:
            stream.abort()

    def forget(self, stream: "GuardedStream") -> None:
        """The stream is closed."""
        with self._changed:
            self._streams.discard(stream)

    def _resolve(self, host: str, port: int, timeout: float | None) -> Sequence[SocketAddress]:
        literal = literal_address(host)
        if literal is not None:
            return [(str(literal), port)]
        if self._resolver is system_resolver:
            # The resolver runs on another thread; who watches this one for sockets shall see it.
            sys.audit("socket.getaddrinfo", host, port, 0, socket.SOCK_STREAM, 0)
        outcome: list[Sequence[SocketAddress] | Exception] = []

        def resolve() -> None:
            result: Sequence[SocketAddress] | Exception
            try:
                result = self._resolver(host, port)
            except (OSError, UnicodeError) as error:
                result = error
            with self._changed:
                outcome.append(result)
                self._changed.notify_all()

        # It cannot be interrupted, and has time limits of its own that may be longer than ours.
        threading.Thread(target=resolve, name=f"resolve {host}", daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: bool(outcome) or self._aborted, self.seconds(timeout))
        if self._aborted:
            raise ConnectionAbortedError
        if not outcome:
            raise TimeoutError
        if isinstance(outcome[0], Exception):
            raise socket.gaierror(socket.EAI_NONAME, "the name could not be resolved") from outcome[0]
        return outcome[0]

    def _connect_to_one_of(
        self, host: str, addresses: Sequence[SocketAddress], timeout: float | None
    ) -> "GuardedStream":
        failure: OSError = socket.gaierror(socket.EAI_NONAME, "the name has no address")
        for number, address in enumerate(addresses):
            left = self.seconds(timeout)
            try:
                stream = self._open(host, address)
                # One address that swallows everything must not use up the time of those behind it.
                stream.connect(self._connect, address, None if left is None else left / (len(addresses) - number))
            except OSError as error:
                failure = error
            else:
                return stream
        raise failure

    def _open(self, host: str, address: SocketAddress) -> "GuardedStream":
        with self._changed:
            if self._aborted:
                raise ConnectionAbortedError
            stream = GuardedStream(self, host, _ip(address))
            self._streams.add(stream)
            return stream


class GuardedStream(httpcore2.NetworkStream):
    """One connection. Used by one thread at a time; `abort` and `close` may come from any other.

    A socket that a thread is blocked in is only shut down by others, which wakes that thread, and closed by it:
    a closed descriptor's number may already be another connection's.
    """

    def __init__(self, backend: GuardedBackend, host: str, address: Address) -> None:
        self._backend = backend
        self._host = host
        self._address = address
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        self._socket: socket.socket = socket.socket(family, socket.SOCK_STREAM)
        self._lock = threading.Lock()
        self._busy = False
        self._ended = False

    def connect(self, connect: Connect, address: SocketAddress, timeout: float | None) -> None:
        """Connect within `timeout` seconds; closed if that fails.

        Raises:
            OSError: It failed; TimeoutError is one, too.
        """
        try:
            with self._using() as sock:
                sock.settimeout(timeout)
                connect(sock, address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            self.close()
            raise

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _mapped(httpcore2.ReadTimeout, httpcore2.ReadError), self._using() as sock:
            sock.settimeout(self._backend.seconds(timeout))
            data = sock.recv(max_bytes)
            if not data and self._ended:
                # Not the server's end of the body.
                raise ConnectionAbortedError
            return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # It may have been made under the rules of another request, and kept.
        self._backend.check(self._host, self._address)
        view = memoryview(buffer)
        with _mapped(httpcore2.WriteTimeout, httpcore2.WriteError), self._using() as sock:
            while view:
                sock.settimeout(self._backend.seconds(timeout))
                view = view[sock.send(view) :]

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        try:
            with _mapped(httpcore2.ConnectTimeout, httpcore2.ConnectError):
                with self._using() as sock:
                    # Without the handshake: `abort` has to find the new socket while that is going on.
                    wrapped = ssl_context.wrap_socket(
                        sock, server_hostname=server_hostname, do_handshake_on_connect=False
                    )
                    with self._lock:
                        self._socket = wrapped
                with self._using():
                    wrapped.settimeout(self._backend.seconds(timeout))
                    wrapped.do_handshake()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        with self._lock:
            self._ended = True
            if self._busy:
                self._shut_down()
            else:
                self._socket.close()
        self._backend.forget(self)

    abort = close

    def get_extra_info(self, info: str) -> Any:
        match info:
            case "ssl_object":
                return self._socket if isinstance(self._socket, ssl.SSLSocket) else None
            case "client_addr":
                return self._socket.getsockname()
            case "server_addr":
                return self._socket.getpeername()
            case "socket":
                return self._socket
            case "is_readable":
                return _is_readable(self._socket)
        return None

    @contextmanager
    def _using(self) -> Iterator[socket.socket]:
        with self._lock:
            if self._ended:
                raise ConnectionAbortedError
            self._busy = True
            sock = self._socket
        try:
            yield sock
        finally:
            with self._lock:
                self._busy = False
                if self._ended:
                    self._socket.close()

    def _shut_down(self) -> None:
        with suppress(OSError):  # not connected yet, or not any more
            # Not SSLSocket's own: that takes the TLS state away under the thread that is using it.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


@contextmanager
def _mapped(timeout: type[Exception], failure: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise timeout(error) from error
    except OSError as error:
        raise failure(error) from error


def _ip(address: SocketAddress) -> Address:
    found = literal_address(address[0])
    if found is None:
        raise socket.gaierror(socket.EAI_NONAME, "the resolver gave no address")
    return found


def _is_readable(sock: socket.socket) -> bool:
    """Whether there is something to read, the end of the connection included."""
    if sock.fileno() < 0:
        return True
    poller = poll()
    poller.register(sock, POLLIN)
    return bool(poller.poll(0))

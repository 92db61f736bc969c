import errno
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from arcane_framework import FatalStreamError, TransientStreamError
from arcane_framework._core.clock import SystemClock
from arcane_framework._core.errors import StreamStopped
from arcane_framework.http import HttpRequest, HttpSettings, Requester, make_client
from arcane_framework.http.addresses import literal_address
from arcane_framework.http.connections import SocketAddress
from arcane_framework.http.errors import ForbiddenAddressError
from arcane_framework.testing import VirtualClock
from tests.http.parts import as_it_is, finish, get, real_requester
from tests.http.servers import Server, answer, read_request
from tests.http.test_addresses import INTERNAL_SPELLINGS, METADATA_SPELLINGS

PUBLIC = "93.184.216.34"
RESOLVED = {str(address) for each in METADATA_SPELLINGS + INTERNAL_SPELLINGS if (address := literal_address(each))}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(answer(b"rows")) as server:
        yield server


class Names:
    """A resolver that gives the next answer of its script each time, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = answers
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[SocketAddress]:
        self.asked.append(host)
        addresses = self._answers[min(len(self.asked), len(self._answers)) - 1]
        return [(address, port) for address in addresses]


def public_is(server: Server) -> Callable[[socket.socket, SocketAddress], None]:
    """Let the public address be that server, and every other one itself."""

    def connect(sock: socket.socket, address: SocketAddress) -> None:
        sock.connect(("127.0.0.1", server.port) if address[0] == PUBLIC else address)

    return connect


def settings(*allowed: str, timeout: float = 10) -> HttpSettings:
    return HttpSettings(timeout=timeout, retry_seconds=0, allowed_hosts=allowed)


# Connections.


def test_a_connection_is_kept_for_the_next_request(server: Server) -> None:
    with real_requester(server.url) as requester:
        assert [get(requester, server.url) for _ in range(3)] == [b"rows"] * 3
    assert server.connections == 1


def test_a_connection_is_kept_after_a_redirect() -> None:
    moved = answer(b"moved", status="302 Found", head="Location: /next\r\n")
    with Server([moved, answer(b"rows")]) as server, real_requester(server.url) as requester:
        assert get(requester, server.url) == b"rows"
    assert server.connections == 1


def test_a_connection_that_the_server_has_closed_is_replaced() -> None:
    with Server(answer(b"rows", head="Connection: close\r\n")) as server, real_requester(server.url) as requester:
        assert [get(requester, server.url) for _ in range(2)] == [b"rows"] * 2
    assert server.connections == 2


def test_a_name_is_resolved_and_all_its_addresses_are_tried(server: Server) -> None:
    names = Names(["127.0.0.2", "::1", "127.0.0.1"])  # at the first two nobody listens
    url = f"http://shop.test:{server.port}/"
    with real_requester(url, client=make_client(resolver=names)) as requester:
        assert get(requester, url) == b"rows"
    assert names.asked == ["shop.test"]


def test_the_systems_resolver_is_asked_by_default(server: Server) -> None:
    url = f"http://localhost:{server.port}/"
    with real_requester(url) as requester:
        assert get(requester, url) == b"rows"


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "127.1"])
def test_the_streams_own_host_may_be_loopback_in_any_spelling(server: Server, host: str) -> None:
    url = f"http://{host}:{server.port}/"
    with real_requester(url) as requester:
        assert get(requester, url) == b"rows"


# Failures.


def test_a_refused_connection_is_passing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/orders"
    with real_requester(url) as requester, pytest.raises(TransientStreamError) as caught:
        get(requester, url + "?token=secret")
    assert str(caught.value) == (
        f"page 3: GET {url} failed, last with a connection that could not be made (Connection refused), "
        "in 1 attempt within 0 seconds. "
        "Check that the host is right and up; to try for longer, raise retrySeconds (now 0)"
    )


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.EHOSTUNREACH, "No route to host"), (errno.ENETUNREACH, "Network is unreachable")],
)
def test_a_host_that_cannot_be_reached_is_passing(number: int, reason: str) -> None:
    def connect(sock: socket.socket, address: SocketAddress) -> None:
        raise OSError(number, reason)

    url = "http://127.0.0.1/"
    with (
        real_requester(url, client=make_client(connect=connect)) as requester,
        pytest.raises(TransientStreamError, match=rf"a connection that could not be made \({reason}\)"),
    ):
        get(requester, url)


def failing(host: str, port: int) -> list[SocketAddress]:
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@pytest.mark.parametrize("resolver", [failing, Names([])])
def test_a_name_without_an_address_is_passing(resolver: Callable[[str, int], list[SocketAddress]]) -> None:
    url = "http://shop.test/orders"
    client = make_client(resolver=resolver)
    with real_requester(url, client=client) as requester, pytest.raises(TransientStreamError) as caught:
        get(requester, url)
    assert "failed, last with a host name that could not be resolved, in 1 attempt" in str(caught.value)


def test_a_name_that_no_resolver_can_take_is_passing() -> None:
    url = f"http://{'a' * 70}.test/orders"
    with real_requester(url) as requester, pytest.raises(TransientStreamError, match="could not be resolved"):
        get(requester, url)


BROKEN_ANSWERS = {
    "nothing": b"",
    "half a status line": b"HTTP/1.1 2",
    "half of the headers": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half of the body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    "half of a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "chunks without an end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nab\r\n0\r\n\r\n",
    "no HTTP": b"220 mail.example ESMTP ready\r\n\r\n",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 200_000,
}


@pytest.mark.parametrize("reply", BROKEN_ANSWERS.values(), ids=BROKEN_ANSWERS)
def test_an_answer_that_is_cut_or_broken_is_tried_again(reply: bytes) -> None:
    replies = [reply, answer(b"rows")]

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(replies.pop(0))

    waits: list[float] = []
    bounds = HttpSettings(timeout=10, retry_seconds=100)
    with Server(serve) as broken, real_requester(broken.url, settings=bounds, wait=waits.append) as requester:
        assert get(requester, broken.url) == b"rows"
    assert len(waits) == 1


def test_a_reset_in_the_middle_of_a_body_is_passing() -> None:
    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()

    with (
        Server(serve) as server,
        real_requester(server.url) as requester,
        pytest.raises(TransientStreamError, match="was cut"),
    ):
        get(requester, server.url)


# Time.


def drip(start: bytes, piece: bytes) -> Callable[[socket.socket], None]:
    """A server that never stops sending a little, slowly."""

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(start)
        sock.settimeout(0.05)
        while True:
            try:
                if not sock.recv(1):
                    return
            except TimeoutError:
                sock.sendall(piece)

    return serve


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\n", b"X"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 1000\r\n\r\n", b"x"),
    ],
    ids=["silence", "headers", "interim answers", "a body", "chunks", "a redirect's body"],
)
def test_an_answer_that_drips_ends_with_the_time(start: bytes, piece: bytes) -> None:
    clock = SystemClock()
    with Server(drip(start, piece)) as server, real_requester(server.url, settings=settings(timeout=0.3)) as requester:
        began = clock.monotonic()
        with pytest.raises(TransientStreamError, match=r"no complete answer within 0\.3 seconds \(httpTimeout\)"):
            get(requester, server.url)
        assert clock.monotonic() - began < 2


def test_a_server_that_does_not_take_the_body_ends_with_the_time() -> None:
    release = threading.Barrier(2)
    with (
        Server(lambda _: wait_for(release)) as server,
        real_requester(server.url, settings=settings(timeout=0.3)) as requester,
    ):
        request = HttpRequest("POST", server.url, body=b"x" * 20_000_000)
        with pytest.raises(TransientStreamError, match="no complete answer within"):
            requester.fetch(request, as_it_is)
        release.wait(5)


def wait_for(release: threading.Barrier) -> None:
    release.wait(5)


def test_a_resolver_that_hangs_ends_with_the_time() -> None:
    release = threading.Barrier(2)

    def resolve(host: str, port: int) -> list[SocketAddress]:
        release.wait(5)
        return []

    client = make_client(resolver=resolve)
    with real_requester("http://shop.test/", client=client, settings=settings(timeout=0.2)) as requester:
        with pytest.raises(TransientStreamError, match="no complete answer within"):
            get(requester, "http://shop.test/")
        release.wait(5)


@pytest.fixture
def hanging() -> Iterator[str]:
    """The URL of a listener with a full backlog: connections to it hang."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        for sock in waiting:
            sock.close()


def test_a_connection_that_hangs_ends_with_the_time(hanging: str) -> None:
    with (
        real_requester(hanging, settings=settings(timeout=0.2)) as requester,
        pytest.raises(TransientStreamError, match="no complete answer within"),
    ):
        get(requester, hanging)


# Closing.


def stopped_by_close(requester: Requester, url: str, ready: threading.Barrier | None = None) -> float:
    """Close while a fetch is blocked; the seconds until that has ended."""
    clock = SystemClock()
    outcome: list[BaseException] = []

    def run() -> None:
        try:
            get(requester, url)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    if ready is not None:
        ready.wait(5)
    thread.join(0.1)
    assert thread.is_alive()
    began = clock.monotonic()
    requester.close()
    requester.close()
    thread.join(5)
    assert [type(error) for error in outcome] == [StreamStopped]
    return clock.monotonic() - began


@pytest.mark.parametrize(
    "sent",
    [b"", b"HTTP/1.1 200 OK\r\n\r\nrows", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nrows"],
    ids=["no answer", "a body without a length", "half a body"],
)
def test_closing_ends_a_read_at_once(sent: bytes) -> None:
    ready = threading.Barrier(2)

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(sent)
        ready.wait(5)
        sock.recv(1)

    with Server(serve) as server, real_requester(server.url) as requester:
        assert stopped_by_close(requester, server.url, ready) < 2
        with pytest.raises(StreamStopped):
            get(requester, server.url)
        assert server.connections == 1


def test_closing_ends_a_connect_at_once(hanging: str) -> None:
    with real_requester(hanging) as requester:
        assert stopped_by_close(requester, hanging) < 2


def test_closing_ends_a_resolver_at_once() -> None:
    release = threading.Barrier(2)

    def resolve(host: str, port: int) -> list[SocketAddress]:
        release.wait(5)
        return []

    with real_requester("http://shop.test/", client=make_client(resolver=resolve)) as requester:
        assert stopped_by_close(requester, "http://shop.test/") < 2
        release.wait(5)


def test_closing_the_client_is_closing_the_requester(server: Server) -> None:
    client = make_client()
    with real_requester(server.url, client=client) as requester:
        client.close()
        with pytest.raises(StreamStopped):
            get(requester, server.url)


# Addresses.


def test_a_host_that_turns_into_loopback_is_refused(server: Server) -> None:
    names = Names([PUBLIC], ["127.0.0.1"])
    url = f"http://partner.test:{server.port}/"
    with Server(answer(b"public", head="Connection: close\r\n")) as public:
        client = make_client(resolver=names, connect=public_is(public))
        bounds = settings(f"partner.test:{server.port}")
        with real_requester("http://shop.test/", client=client, settings=bounds) as requester:
            assert get(requester, url) == b"public"
            with pytest.raises(FatalStreamError) as caught:
                get(requester, url)
        assert public.connections == 1
    assert str(caught.value) == (
        "page 3 would go to partner.test, and 127.0.0.1 is a loopback address: a host from allowedHosts must have "
        "public addresses; to allow an internal server, use its IP address in the URL and in allowedHosts"
    )
    assert len(names.asked) == 2
    assert server.connections == 0


@pytest.mark.parametrize(
    "addresses",
    [[PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], [PUBLIC, "::1"], [PUBLIC, "169.254.169.254"], ["::ffff:7f00:1"]],
)
def test_one_forbidden_address_among_others_is_refused(server: Server, addresses: list[str]) -> None:
    client = make_client(resolver=Names(addresses), connect=public_is(server))
    url = f"http://partner.test:{server.port}/"
    bounds = settings(f"partner.test:{server.port}")
    with (
        real_requester("http://shop.test/", client=client, settings=bounds) as requester,
        pytest.raises(FatalStreamError, match=r"^page 3 would go to partner\.test, and "),
    ):
        get(requester, url)
    assert server.connections == 0


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "fe80::1%1"])
def test_the_streams_own_host_never_turns_into_metadata(address: str) -> None:
    attempts: list[SocketAddress] = []
    client = make_client(resolver=Names([address]), connect=lambda _, address: attempts.append(address))
    with (
        real_requester("http://shop.test/", client=client) as requester,
        pytest.raises(FatalStreamError, match=r"a stream never connects there; correct the URL$"),
    ):
        get(requester, "http://shop.test/")
    assert attempts == []


def test_a_redirect_to_an_internal_name_is_refused_at_its_address(server: Server) -> None:
    target = f"inside.test:{server.port}"
    with Server(answer(status="302 Found", head=f"Location: http://{target}/\r\n")) as first:
        client = make_client(resolver=Names(["127.0.0.1"]))
        with (
            real_requester(first.url, client=client, settings=settings(target)) as requester,
            pytest.raises(FatalStreamError, match=r"127\.0\.0\.1 is a loopback address"),
        ):
            get(requester, first.url)
    assert server.connections == 0


def test_a_redirect_chain_ends_before_metadata() -> None:
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    redirect = answer(status="302 Found", head="Location: http://inside.test/latest/meta-data\r\n")
    with Server(redirect) as first:
        url = f"http://shop.test:{first.port}/"
        client = make_client(resolver=names)
        with (
            real_requester(url, client=client, settings=settings("inside.test")) as requester,
            pytest.raises(FatalStreamError, match=r"169\.254\.169\.254 is a link-local address"),
        ):
            get(requester, url)


@pytest.mark.parametrize("host", [each for each in METADATA_SPELLINGS + INTERNAL_SPELLINGS if "%" not in each])
def test_a_redirect_to_any_spelling_of_an_internal_address_makes_no_connection(server: Server, host: str) -> None:
    attempts: list[SocketAddress] = []

    def connect(sock: socket.socket, address: SocketAddress) -> None:
        attempts.append(address)
        sock.connect(address)

    target = f"[{host.strip('[]')}]" if ":" in host else host
    with Server(answer(status="302 Found", head=f"Location: http://{target}:{server.port}/\r\n")) as first:
        with (
            real_requester(first.url, client=make_client(connect=connect)) as requester,
            pytest.raises(
                FatalStreamError,
                match=r"allowedHosts$|never connects there; correct the URL$|Location: correct the URL$",
            ),
        ):
            get(requester, first.url)
        assert attempts == [("127.0.0.1", first.port)]
    assert server.connections == 0


@pytest.mark.parametrize("address", sorted(RESOLVED))
def test_an_allowed_name_with_an_internal_address_makes_no_connection(address: str) -> None:
    attempts: list[SocketAddress] = []
    client = make_client(resolver=Names([address]), connect=lambda _, address: attempts.append(address))
    with (
        real_requester("http://shop.test/", client=client, settings=settings("partner.test")) as requester,
        pytest.raises(FatalStreamError, match=r"^page 3 would go to partner\.test, and "),
    ):
        get(requester, "http://partner.test/")
    assert attempts == []


def test_an_allowed_address_that_is_written_out_may_be_internal(server: Server) -> None:
    target = f"127.0.0.1:{server.port}"
    with (
        Server(answer(status="302 Found", head=f"Location: http://{target}/\r\n")) as first,
        real_requester(first.url, settings=settings(target)) as requester,
    ):
        assert get(requester, first.url) == b"rows"


def test_a_kept_connection_is_no_way_around_the_rules(server: Server) -> None:
    url = f"http://inside.test:{server.port}/"
    client = make_client(resolver=Names(["127.0.0.1"]))
    bounds = settings(f"inside.test:{server.port}")
    others = real_requester("http://a.test/", client=client, settings=bounds)
    with others as other, real_requester(url, client=client) as own:
        assert get(own, url) == b"rows"
        with pytest.raises(FatalStreamError, match=r"127\.0\.0\.1 is a loopback address"):
            get(other, url)
    assert (server.connections, len(server.requests)) == (1, 1)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_virtual_time_sees_a_real_socket(virtual_clock: VirtualClock, host: str) -> None:
    client = make_client()
    with client, pytest.raises(AssertionError, match="opened a real socket"):
        finish(virtual_clock, lambda: client.get(f"http://{host}:1/"), 0)


def test_a_client_without_a_requester_reaches_no_metadata_either() -> None:
    attempts: list[SocketAddress] = []
    client = make_client(resolver=Names(["169.254.169.254"]), connect=lambda _, address: attempts.append(address))
    with client, pytest.raises(ForbiddenAddressError):
        client.get("http://shop.test/")
    assert attempts == []

import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from arcane_framework import ConfigurationError, FatalStreamError, TransientStreamError
from arcane_framework.hosting.host import _http_client
from arcane_framework.http import HttpSettings, make_client
from tests.http.parts import get, real_requester
from tests.http.servers import Server, answer, read_request
from tests.http.test_tls import valid


def test_a_request_goes_through_the_proxy() -> None:
    url = "http://shop.test/orders?page=1"
    with Server(answer(b"rows")) as proxy:
        client = make_client(proxies={"http": f"http://user:word@127.0.0.1:{proxy.port}"})
        with real_requester(url, client=client) as requester:
            assert get(requester, url) == b"rows"
    [request] = proxy.requests
    assert request.startswith(b"GET http://shop.test/orders?page=1 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dXNlcjp3b3Jk\r\n" in request


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Until one of them is closed."""
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def tunnel(port: int, targets: list[bytes]) -> "Server":
    def serve(sock: socket.socket) -> None:
        targets.append(read_request(sock).split(b" ")[1])
        with socket.create_connection(("127.0.0.1", port)) as target:
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pump, args=(target, sock))
            back.start()
            pump(sock, target)
            back.join(5)

    return Server(serve)


def test_an_encrypted_request_goes_through_a_tunnel(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    targets: list[bytes] = []
    with Server(answer(b"rows", head="Connection: close\r\n"), valid(authority)) as server:
        with tunnel(server.port, targets) as proxy:
            proxies = {"all": f"127.0.0.1:{proxy.port}"}
            client = make_client(ca_bundle=tmp_path / "ca.pem", proxies=proxies)
            with real_requester(server.url, client=client) as requester:
                assert get(requester, server.url) == b"rows"
        assert targets == [f"127.0.0.1:{server.port}".encode()]


def test_the_runners_clients_take_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with Server(answer(b"rows")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with real_requester("http://shop.test/", client=_http_client()) as requester:
            assert get(requester, "http://shop.test/") == b"rows"


@pytest.mark.parametrize("no", ["127.0.0.1", "*", "shop.test, 127.0.0.1"])
def test_hosts_that_need_no_proxy_are_reached_directly(no: str) -> None:
    with Server(answer(b"rows")) as server:
        client = make_client(proxies={"http": "http://127.0.0.1:1", "no": no})
        with real_requester(server.url, client=client) as requester:
            assert get(requester, server.url) == b"rows"


def test_metadata_is_refused_behind_a_proxy_too() -> None:
    with Server(answer(b"secrets")) as proxy:
        client = make_client(proxies={"http": proxy.url})
        url = "http://metadata.google.internal/computeMetadata/v1"
        with real_requester(url, client=client) as requester, pytest.raises(FatalStreamError) as caught:
            get(requester, url)
        assert proxy.connections == 0
    assert str(caught.value) == (
        "page 3 would go to metadata.google.internal, and it is the name of a cloud's metadata service: "
        "a stream never connects there; correct the URL"
    )


@pytest.mark.parametrize("host", ["%31%36%39.254.169.254", "metadata.google.internal%2e", "metadata.google%2Einternal"])
def test_a_host_that_is_percent_encoded_does_not_reach_the_proxy(host: str) -> None:
    with Server(answer(b"secrets")) as proxy:
        for trusted in (f"http://{host}/", "http://shop.test/"):
            with (
                make_client(proxies={"http": proxy.url}) as client,
                pytest.raises((ConfigurationError, FatalStreamError), match="is not an http or https URL: correct"),
                real_requester(trusted, client=client) as requester,
            ):
                get(requester, f"http://{host}/")
        assert proxy.connections == 0


def test_a_proxy_that_refuses_is_passing() -> None:
    with Server(answer(status="407 Proxy Authentication Required")) as proxy:
        client = make_client(proxies={"https": f"http://user:canary@127.0.0.1:{proxy.port}"})
        with (
            real_requester("https://shop.test/", client=client) as requester,
            pytest.raises(TransientStreamError, match="a proxy that refused the connection") as caught,
        ):
            get(requester, "https://shop.test/")
    assert "canary" not in str(caught.value)


def test_a_proxy_that_hangs_ends_with_the_time() -> None:
    with Server(lambda sock: print(len(sock.recv(100_000)), len(sock.recv(1)))) as proxy:
        client = make_client(proxies={"https": proxy.url})
        bounds = HttpSettings(timeout=0.2, retry_seconds=0)
        with (
            real_requester("https://shop.test/", client=client, settings=bounds) as requester,
            pytest.raises(TransientStreamError, match="no complete answer within"),
        ):
            get(requester, "https://shop.test/")


@pytest.mark.parametrize("url", ["socks5://user:canary@127.0.0.1:1", "https://127.0.0.1:1", "ftp://x", "http://[::1"])
def test_a_proxy_of_another_kind_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_client(proxies={"https": url})
    assert str(caught.value) == (
        "the proxy that the environment names (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY) cannot be used: "
        "its URL must begin with http://"
    )

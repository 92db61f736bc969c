import socket
import ssl
import threading
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
import trustme

from arcane_framework import ConfigurationError, FatalStreamError, TransientStreamError
from arcane_framework.http import HttpSettings, make_client
from tests.http.parts import get, real_requester
from tests.http.servers import Server, answer
from tests.http.test_connections import stopped_by_close


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(path)
    return path


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def valid(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority.issue_cert("127.0.0.1"))


def expired(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(
        authority.issue_cert(
            "127.0.0.1", not_before=datetime(2001, 1, 1, tzinfo=UTC), not_after=datetime(2002, 1, 1, tzinfo=UTC)
        )
    )


def not_yet_valid(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority.issue_cert("127.0.0.1", not_before=datetime(2037, 1, 1, tzinfo=UTC)))


def for_another_host(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority.issue_cert("other.example"))


def of_an_unknown_authority(_: trustme.CA) -> ssl.SSLContext:
    return valid(trustme.CA())


def self_signed(_: trustme.CA) -> ssl.SSLContext:
    stranger = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with stranger.private_key_pem.tempfile() as key, stranger.cert_pem.tempfile() as certificate:
        context.load_cert_chain(certificate, key)
    return context


def too_old(authority: trustme.CA) -> ssl.SSLContext:
    context = valid(authority)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def test_a_server_with_a_trusted_certificate_is_read(authority: trustme.CA, bundle: Path) -> None:
    with Server(answer(b"rows"), valid(authority)) as server:
        with real_requester(server.url, client=make_client(ca_bundle=bundle)) as requester:
            assert [get(requester, server.url) for _ in range(2)] == [b"rows", b"rows"]
        assert server.connections == 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_newer_are_spoken(authority: trustme.CA, bundle: Path, version: ssl.TLSVersion) -> None:
    context = valid(authority)
    context.minimum_version = context.maximum_version = version
    client = make_client(ca_bundle=bundle)
    with Server(answer(b"rows"), context) as server, real_requester(server.url, client=client) as requester:
        assert get(requester, server.url) == b"rows"


def test_the_environment_names_the_authorities(
    authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    with Server(answer(b"rows"), valid(authority)) as server, real_requester(server.url) as requester:
        assert get(requester, server.url) == b"rows"


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (expired, "has expired: have the server's certificate renewed"),
        (not_yet_valid, "is not valid yet: check the clock of this machine and the server's certificate"),
        (for_another_host, "is for another address: use the host name of the certificate in the URL"),
        (
            of_an_unknown_authority,
            "is signed by nobody this machine trusts: if it is meant to be trusted, add its authority to the PEM file "
            "that SSL_CERT_FILE names",
        ),
        (
            self_signed,
            "is signed by nobody this machine trusts: if it is meant to be trusted, add its authority to the PEM file "
            "that SSL_CERT_FILE names",
        ),
    ],
)
def test_a_certificate_that_is_not_right_is_final(
    authority: trustme.CA, bundle: Path, problem: Callable[[trustme.CA], ssl.SSLContext], message: str
) -> None:
    client, bounds = make_client(ca_bundle=bundle), HttpSettings(timeout=10)
    with Server(answer(b"rows"), problem(authority)) as server:
        url = server.url + "orders"
        with (
            real_requester(url, client=client, settings=bounds) as requester,
            pytest.raises(FatalStreamError) as caught,
        ):
            get(requester, url + "?token=secret")
        assert str(caught.value) == f"page 3: the TLS certificate of {url} {message}"
        assert (server.connections, server.requests) == (1, [])


def test_a_certificate_for_another_name_is_final(authority: trustme.CA, bundle: Path) -> None:
    client = make_client(ca_bundle=bundle)
    with Server(answer(b"rows"), for_another_host(authority)) as server:
        url = f"https://localhost:{server.port}/"
        with real_requester(url, client=client) as requester, pytest.raises(FatalStreamError) as caught:
            get(requester, url)
    assert str(caught.value) == (
        f"page 3: the TLS certificate of {url} is for another host: "
        "correct the host in the URL, or the server's certificate"
    )


def test_a_server_that_only_speaks_old_tls_is_final(authority: trustme.CA, bundle: Path) -> None:
    client, bounds = make_client(ca_bundle=bundle), HttpSettings(timeout=10)
    with Server(answer(b"rows"), too_old(authority)) as server:
        with (
            real_requester(server.url, client=client, settings=bounds) as requester,
            pytest.raises(FatalStreamError) as caught,
        ):
            get(requester, server.url)
        assert server.connections == 1
    assert str(caught.value) == (
        f"page 3: no encrypted connection to {server.url} (tlsv1 alert protocol version): the server has to speak "
        "TLS 1.2 or newer at this port; check the URL's scheme and port, and the server"
    )


def test_old_tls_is_refused_where_the_system_would_take_it(
    authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lax = ssl.create_default_context(cafile=str(bundle))
    lax.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        lax.minimum_version = ssl.TLSVersion.TLSv1
    monkeypatch.setattr(httpx2, "create_ssl_context", lambda: lax)
    with Server(answer(b"rows"), too_old(authority)) as server:
        with real_requester(server.url) as requester, pytest.raises(FatalStreamError, match=r"has to speak TLS 1\.2"):
            get(requester, server.url)
        assert server.requests == []


def test_a_server_without_tls_is_final() -> None:
    with Server(lambda sock: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        url = f"https://127.0.0.1:{server.port}/"
        with (
            real_requester(url, settings=HttpSettings(timeout=10)) as requester,
            pytest.raises(FatalStreamError, match=r"no encrypted connection to .* \(wrong version number\)"),
        ):
            get(requester, url)


def test_a_connection_that_is_cut_in_the_handshake_is_passing() -> None:
    def cut(sock: socket.socket) -> None:
        sock.recv(100)

    with Server(cut) as server:
        url = f"https://127.0.0.1:{server.port}/"
        with real_requester(url) as requester, pytest.raises(TransientStreamError, match="could not be made"):
            get(requester, url)


@pytest.fixture
def silent() -> Server:
    return Server(lambda sock: print(len(sock.recv(100_000)), len(sock.recv(1))))


def test_a_handshake_that_hangs_ends_with_the_time(silent: Server) -> None:
    with silent:
        url = f"https://127.0.0.1:{silent.port}/"
        with (
            real_requester(url, settings=HttpSettings(timeout=0.2, retry_seconds=0)) as requester,
            pytest.raises(TransientStreamError, match="no complete answer within"),
        ):
            get(requester, url)


def test_closing_ends_a_handshake_at_once(silent: Server) -> None:
    with silent:
        url = f"https://127.0.0.1:{silent.port}/"
        with real_requester(url) as requester:
            assert stopped_by_close(requester, url) < 2


def test_closing_ends_an_encrypted_read_at_once(authority: trustme.CA, bundle: Path) -> None:
    ready = threading.Barrier(2)

    def serve(sock: socket.socket) -> None:
        sock.recv(100_000)
        ready.wait(5)
        sock.recv(1)

    with (
        Server(serve, valid(authority)) as server,
        real_requester(server.url, client=make_client(ca_bundle=bundle)) as requester,
    ):
        assert stopped_by_close(requester, server.url, ready) < 2


def test_a_bundle_that_is_missing_or_none_is_named(tmp_path: Path) -> None:
    missing, empty = tmp_path / "missing.pem", tmp_path / "empty.pem"
    empty.write_text("nothing")
    with pytest.raises(ConfigurationError) as caught:
        make_client(ca_bundle=missing)
    assert str(caught.value) == (
        f"the certificates of the authorities to trust cannot be read (No such file or directory): check {missing}"
    )
    with pytest.raises(ConfigurationError) as caught:
        make_client(ca_bundle=empty)
    assert str(caught.value) == (
        f"the certificates of the authorities to trust cannot be read (no certificates in it): check {empty}"
    )


def test_a_bundle_of_the_environment_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with pytest.raises(ConfigurationError) as caught:
        make_client()
    assert str(caught.value) == (
        "the certificates of the authorities to trust cannot be read (No such file or directory): "
        "check SSL_CERT_FILE and SSL_CERT_DIR"
    )

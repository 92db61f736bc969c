"""Servers that are not who they say they are, hosts that do not exist, and credentials that stay on one host."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr

from arcane_framework._core.errors import ConfigurationError, TransientStreamError
from arcane_framework.storage.azure_location import open_azure
from arcane_framework.storage.azure_settings import AzureSettings


class Empty(BaseHTTPRequestHandler):
    """A container without objects, for any request."""

    hits: list[str] = []

    def do_GET(self) -> None:
        self.hits.append(self.path)
        self.send_response(200)
        content = (
            b'<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs /><NextMarker /></EnumerationResults>'
        )
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


class Redirecting(Empty):
    """Sends everybody to `to`."""

    to = ""

    def do_GET(self) -> None:
        self.send_response(307)
        self.send_header("Location", f"{self.to}{self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A handshake that fails is what the tests are about."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext | None = None) -> Iterator[str]:
    server = Quiet(("127.0.0.1", 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"{'http' if context is None else 'https'}://127.0.0.1:{server.server_address[1]}/acct"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def settings(endpoint: str | None, **options: object) -> AzureSettings:
    fields: dict[str, object] = {"pause_seconds": 0.01, "retries": 1, "timeout_seconds": 10.0, **options}
    return AzureSettings(sas_token=SecretStr("sp=rl&sig=c2ln"), endpoint=endpoint, **fields)  # type: ignore[arg-type]


REFUSED = (
    "lake@a: cannot list the folder: the server's certificate or TLS version is refused; check the endpoint, "
    "or name the certificates to trust in AZURE_STORAGE_CA_BUNDLE"
)


@pytest.mark.parametrize("name", ["127.0.0.1", "other.example"])
def test_a_certificate_must_be_trusted_and_for_the_host(tmp_path: Path, name: str) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    with serving(Empty, context) as endpoint:
        storage = open_azure("lake@a", settings(endpoint, retries=20, pause_seconds=5.0))
        with pytest.raises(ConfigurationError) as raised:
            list(storage.list())
        assert str(raised.value) == REFUSED
        trusting = open_azure("lake@a", settings(endpoint, ca_bundle=str(bundle)))
        if name == "127.0.0.1":
            assert list(trusting.list()) == []
        else:
            with pytest.raises(ConfigurationError) as raised:
                list(trusting.list())
            assert str(raised.value) == REFUSED


def test_a_redirect_is_not_followed() -> None:
    class Elsewhere(Empty):
        hits: list[str] = []

    with serving(Elsewhere) as there:

        class Redirect(Redirecting):
            to = there

        with serving(Redirect) as endpoint:
            storage = open_azure("lake@a", settings(endpoint))
            with pytest.raises(ConfigurationError) as raised:
                list(storage.list())
    assert str(raised.value) == (
        "lake@a: cannot list the folder: the endpoint answers with a redirect, so it is not Azure's (307)"
    )
    assert Elsewhere.hits == []


@pytest.mark.parametrize("certain", [True, False])
def test_an_account_that_does_not_exist_is_a_configuration_error_at_the_probe(
    certain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME if certain else socket.EAI_AGAIN, "no")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    storage = open_azure("abfss://lake@acct.dfs.core.windows.net/a", settings(None))
    with pytest.raises(ConfigurationError if certain else TransientStreamError) as raised:
        storage.probe()
    location = "abfss://lake@acct.dfs.core.windows.net/a"
    assert str(raised.value) == (
        f"{location}: there is no host acct.blob.core.windows.net; check the account's name and the endpoint"
        if certain
        else f"{location}: cannot list the folder: the host's name cannot be resolved; check the account's name"
    )

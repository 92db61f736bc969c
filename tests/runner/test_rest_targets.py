"""Where a REST stream sends its requests, whatever redirects, next links, page tokens and certificates say."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.rest_api import Fault, RunningApi, Script, Table, TokenAuth, serve, serve_process
from tests.runner.processes import Ended, Stream
from tests.runner.rest_streams import (
    COUNTER,
    HEADERS,
    PAGE,
    PAGED_DYNAMIC,
    TOKEN,
    RestStream,
    without_run,
)

FEW = Table(rows=35)
PAGE_1, PAGE_2 = (f"page {number} of the window WINDOW" for number in (1, 2))


@contextmanager
def two_servers(**script: Any) -> Iterator[tuple[RunningApi, RunningApi]]:
    """The stream's own, and another one, which nobody may connect to without a setting."""
    with (
        serve(Script(table=FEW, next_page="link")) as other,
        serve(Script(**{"table": FEW, "headers": HEADERS, **script})) as api,
    ):
        yield api, other


def error(ended: Ended, api: RunningApi) -> str:
    assert ended.code == 1, ended.stderr
    return without_run(ended.error["error"], api)


def redirected(location: str, status: int = 302) -> Fault:
    return Fault(page=1, status=status, headers={"Location": location}, times=None)


def linked(page: str) -> Fault:
    return Fault(page=1, body=json.dumps({"items": [{"id": 0}], "next": page}))


# Redirects.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_not_followed(stream: Stream, status: int) -> None:
    with two_servers() as (api, other):
        api.add_fault(redirected(f"{other.url}/counter?key=hidden", status))
        assert error(RestStream(stream, api.url).run_here(), api) == (
            f"FatalStreamError: {PAGE_1}: URL redirects to another host, {other.url}: if that is right, add "
            f"'{other.url.removeprefix('http://')}' to allowedHosts"
        )
        assert (len(api.journal()), other.connections()) == (1, 0)


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/latest",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
        "http://0xA9FEA9FE/",
        "http://0251.0376.0251.0376/",
        "http://metadata.google.internal/computeMetadata/v1/",
        "//169.254.169.254/",
    ],
)
@pytest.mark.parametrize("way", ["redirect", "link"])
def test_nothing_leads_to_a_metadata_address(stream: Stream, location: str, way: str) -> None:
    path = COUNTER if way == "redirect" else TOKEN
    with serve(Script(table=FEW, headers=HEADERS)) as api:
        api.add_fault(redirected(location) if way == "redirect" else linked(location))
        ended = RestStream(stream, api.url, path=path).run_here(spec={"httpTimeout": 2})
        assert ended.code == 1, ended.stderr
        # A text that is no http URL is a page token like any other, and the server has never given it.
        requests = [1, None] if way == "link" and location.startswith("//") else [1]
        assert [entry.page for entry in api.journal()] == requests


@pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]:80", "metadata.google.internal"])
def test_a_metadata_address_cannot_be_allowed(stream: Stream, host: str) -> None:
    with serve(Script(table=FEW, headers=HEADERS)) as api:
        ended = RestStream(stream, api.url).run_here(spec={"allowedHosts": [host]})
        assert ended.code == 1
        assert f"allowedHosts: {host} cannot be allowed: " in ended.configuration_error
        assert api.connections() == 0


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/?page=@page", "http://[::ffff:a9fe:a9fe]/@page", "http://metadata.google.internal/"]
)
def test_a_metadata_address_cannot_be_the_url(stream: Stream, url: str) -> None:
    rest = RestStream(stream, "http://127.0.0.1:1")
    ended = rest.run_here(spec={"urlTemplate": url, "templatedFields": [PAGE]})
    assert ended.code == 1
    assert "a stream never connects there; correct the URL" in ended.error["error"]


@pytest.mark.parametrize("location", ["ftp://evil.example/x", "javascript:alert(1)", "file:///etc/passwd"])
def test_a_redirect_to_another_scheme_is_not_followed(stream: Stream, location: str) -> None:
    with two_servers() as (api, _):
        api.add_fault(redirected(location))
        assert error(RestStream(stream, api.url).run_here(), api) == (
            f"FatalStreamError: {PAGE_1}: URL redirects to a URL that is neither http nor https; correct the URL"
        )


def test_redirects_that_never_end_are_cut_off(stream: Stream) -> None:
    with two_servers() as (api, _):
        # The server knows where a page is by its query only.
        api.add_fault(Fault(status=302, headers={"Location": "/counter?page=1"}, times=None))
        assert error(RestStream(stream, api.url).run_here(), api) == (
            f"HttpStatusError: {PAGE_1}: more than 5 redirects, the last one from URL/counter: correct the URL"
        )
        assert len(api.journal()) == 6


def test_a_redirect_on_the_same_host_is_followed_with_the_headers(stream: Stream) -> None:
    with two_servers() as (api, _):
        api.add_fault(
            Fault(page=1, status=307, headers={"Location": "/there/counter?page=1&from=2023-01-01T00:00:00Z"})
        )
        rest = RestStream(stream, api.url)
        assert rest.run_here().code == 0
        assert rest.rows() == FEW.between()
        assert [entry.path for entry in api.journal()][:2] == ["/counter", "/there/counter"]


def test_an_allowed_host_gets_the_redirected_request_without_the_credentials(stream: Stream) -> None:
    with two_servers() as (api, other):
        api.add_fault(Fault(page=1, status=302, headers={"Location": f"{other.url}/counter?page=1"}))
        rest = RestStream(stream, api.url)
        assert rest.run_here(spec={"allowedHosts": [other.url.removeprefix("http://")]}).code == 0
        assert rest.rows() == FEW.between()
        [entry] = other.journal()
        assert not {"x-api-key", "authorization", "cookie"} & {*entry.headers}


def test_a_name_that_is_allowed_must_not_lead_to_this_machine(stream: Stream) -> None:
    with two_servers() as (api, other):
        host = other.url.removeprefix("http://").replace("127.0.0.1", "localhost")
        api.add_fault(redirected(f"http://{host}/counter?page=1"))
        found = error(RestStream(stream, api.url).run_here(spec={"allowedHosts": [host]}), api)
        assert "a host from allowedHosts must have public addresses" in found
        assert other.connections() == 0


def test_a_token_endpoint_cannot_send_the_secrets_of_its_body_elsewhere(stream: Stream) -> None:
    with two_servers() as (api, other):
        location = {"Location": f"{other.url}/token-endpoint"}
        fault = Fault(target="token", status=307, headers=location, body="", times=None)
        with serve(Script(token=TokenAuth(), faults=(fault,))) as tokens:
            rest = RestStream(stream, api.url, PAGED_DYNAMIC)
            found = error(rest.run_here(ARCANE__AUTHURL=f"{tokens.url}/token-endpoint"), tokens)
        assert found == (
            f"FatalStreamError: the token request: URL redirects to another host, {other.url}: if that is right, add "
            f"'{other.url.removeprefix('http://')}' to allowedHosts"
        )
        assert (api.connections(), other.connections()) == (0, 0)


# Links and tokens.


def test_a_next_link_to_another_host_is_not_followed_unless_it_is_allowed(stream: Stream) -> None:
    with two_servers() as (api, other):
        api.add_fault(linked(f"{other.url}/token?page="))
        rest = RestStream(stream, api.url, path=TOKEN)
        host = other.url.removeprefix("http://")
        assert error(rest.run_here(), api) == (
            f"FatalStreamError: {PAGE_2} would go to {other.url}, which is not the stream's own host URL: if that is "
            f"right, add '{host}' to allowedHosts"
        )
        assert (len(api.journal()), other.connections()) == (1, 0)
        # The remedy works. The page with the link was not stored, for nothing could have gone on from there.
        api.add_fault(linked(f"{other.url}/token?page="))
        assert rest.run_here(spec={"allowedHosts": [host]}).code == 0
        assert (len(api.journal()), len(rest.rows())) == (2, 36)


def test_a_server_that_gives_links_to_the_name_of_a_neighbour_is_not_followed(stream: Stream) -> None:
    with two_servers(next_page="link", link_base="http://neighbour.invalid") as (api, other):
        ended = RestStream(stream, api.url, path=TOKEN).run_here()
        assert "add 'neighbour.invalid' to allowedHosts" in error(ended, api)
        assert other.connections() == 0


HOSTILE = {
    "at": "@evil.example/x",
    "slashes": "//evil.example/x",
    "line break": "a\r\nHost: evil.example\r\n\r\nGET / HTTP/1.1",
    "dots": "../../admin",
    "encoded dots": "..%2f..%2Fadmin",
    "blank": "a b",
    "unicode": "ü€😀\u2028",
    "hash": "a#b",
    "parameters": "a&page=1&from=x;y=z",
    "null": "a\0b",
    "backslashes": "\\\\evil.example\\x",
    "placeholder": "@from @page",
    "ftp": "ftp://evil.example/x",
    "script": "javascript:alert(1)",
    "file": "/etc/passwd",
    "plus": "a+b%20c=d",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("placement", ["URL", "BODY"])
def test_a_page_token_stays_one_value_whatever_it_holds(stream: Stream, name: str, placement: str) -> None:
    with two_servers() as (api, _):
        api.add_fault(Fault(request=2, body='{"items": []}'))
        api.add_fault(Fault(request=1, body=json.dumps({"items": [{"id": 0}], "next": HOSTILE[name]})))
        rest = RestStream(stream, api.url, path=TOKEN)
        body = {
            "urlTemplate": f"{api.url}/token",
            "httpMethod": "POST",
            "bodyTemplate": '{"page": "@page"}',
            "templatedFields": [{**PAGE, "placement": "BODY"}],
        }
        ended = rest.run_here(spec=body if placement == "BODY" else {})
        assert ended.code == 0, ended.stderr
        first, second = api.journal()
        assert second.parameters["page"] == HOSTILE[name]
        assert {**second.parameters, "page": ""} == {**first.parameters, "page": ""}
        assert (second.path, second.headers["host"]) == ("/token", first.headers["host"])
        assert {*second.headers} == {*first.headers}


# TLS.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def leaf(authority: trustme.CA, folder: Path, **settings: Any) -> tuple[Path, Path]:
    """A certificate and its key, for the server."""
    name = settings.pop("name", "127.0.0.1")
    issued = authority.issue_cert(name, **settings)
    certificate, key = folder / "server.pem", folder / "server.key"
    issued.private_key_pem.write_to_path(str(key))
    for part in issued.cert_chain_pems:
        part.write_to_path(str(certificate), append=True)
    return certificate, key


def certificate_of(kind: str, authority: trustme.CA, folder: Path) -> tuple[Path, Path]:
    match kind:
        case "expired":
            return leaf(authority, folder, not_after=datetime.now(UTC) - timedelta(days=1))
        case "not valid yet":
            return leaf(authority, folder, not_before=datetime.now(UTC) + timedelta(days=1))
        case "another address":
            return leaf(authority, folder, name="127.0.0.2")
        case "self-signed":
            return leaf(trustme.CA(), folder)
    return leaf(authority, folder)


CERTIFICATES = {
    "expired": "has expired: have the server's certificate renewed",
    "not valid yet": "is not valid yet: check the clock of this machine and the server's certificate",
    "another host": "is for another host: correct the host in the URL, or the server's certificate",
    "another address": "is for another address: use the host name of the certificate in the URL",
    "self-signed": "is signed by nobody this machine trusts: if it is meant to be trusted, add its authority to the "
    "PEM file that SSL_CERT_FILE names",
}


def run_over_tls(stream: Stream, kind: str, authority: trustme.CA) -> tuple[str, Ended, RunningApi, list[Any]]:
    certificate, key = certificate_of(kind, authority, stream.folder)
    trusted = stream.folder / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    with serve_process(stream.folder, Script(table=FEW, headers=HEADERS), certificate, key) as api:
        url = api.url.replace("127.0.0.1", "localhost") if kind == "another host" else api.url
        return url, RestStream(stream, url).run(SSL_CERT_FILE=str(trusted)), api, api.journal()


@pytest.mark.parametrize("kind", CERTIFICATES)
def test_a_certificate_that_cannot_be_trusted_ends_the_stream(stream: Stream, authority: trustme.CA, kind: str) -> None:
    url, ended, api, journal = run_over_tls(stream, kind, authority)
    assert error(ended, api).replace(url, "URL") == (
        f"FatalStreamError: {PAGE_1}: the TLS certificate of URL/counter {CERTIFICATES[kind]}"
    )
    assert journal == []


def test_a_certificate_of_a_trusted_authority_is_accepted(stream: Stream, authority: trustme.CA) -> None:
    _, ended, _, journal = run_over_tls(stream, "trusted", authority)
    assert (ended.code, len(journal)) == (0, 4), ended.stderr
    assert RestStream(stream, "").rows() == FEW.between()


def test_a_server_that_speaks_no_tls_is_named_as_such(stream: Stream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        ended = RestStream(stream, url).run_here()
        thread.join()
    assert ended.code == 1
    assert ended.error["error"].partition(": no ")[2] == (
        f"encrypted connection to {url}/counter (wrong version number): the server has to speak TLS 1.2 or newer at "
        "this port; check the URL's scheme and port, and the server"
    )

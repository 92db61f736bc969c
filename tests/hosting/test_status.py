"""The Job's annotation over real TLS against a server that plays the Kubernetes API."""

import io
import json
import socket
import ssl
import struct
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from arcane_framework._core.errors import ConfigurationError, StreamStopped, TransientStreamError
from arcane_framework.hosting.logging import make_logger
from arcane_framework.hosting.status import (
    KubernetesJobStatus,
    LocalStatus,
    StatusService,
    choose_status,
)

TOKEN = "first-service-account-token"
RESET = -1


@dataclass
class Request:
    method: str
    path: str
    token: str
    content_type: str
    host: str
    body: Any


@dataclass
class Script:
    """What the server answers, one status per request, the last one for ever; RESET resets the connection."""

    statuses: list[int] = field(default_factory=lambda: [200])
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "said by the server"
    requests: list[Request] = field(default_factory=list)
    before_reply: Callable[[], object] = field(default=lambda: None)


def handler(script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            header = self.headers.get
            script.requests.append(
                Request(
                    self.command,
                    self.path,
                    header("Authorization", ""),
                    header("Content-Type", ""),
                    header("Host", ""),
                    body,
                )
            )
            status = script.statuses[min(len(script.requests), len(script.statuses)) - 1]
            script.before_reply()
            if status == RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                return
            reply = json.dumps({"kind": "Status", "message": script.message}).encode()
            self.send_response(status)
            for name, value in script.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            pass

    return Handler


class Server(ThreadingHTTPServer):
    daemon_threads = True
    tls: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            with self.tls.wrap_socket(request, server_side=True) as connection:
                super().finish_request(connection, client_address)
        except OSError:  # the client refused the certificate, or the script reset the connection
            pass


class Server6(Server):
    address_family = socket.AF_INET6


@dataclass
class Cluster:
    """A running server, a service account folder and a status service that uses both."""

    folder: Path
    port: int
    script: Script
    log: io.StringIO = field(default_factory=io.StringIO)
    waits: list[float] = field(default_factory=list)
    now: float = 0.0

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def status(self, host: str = "127.0.0.1", stream_id: str = "orders-1", **changes: Any) -> KubernetesJobStatus:
        arguments: dict[str, Any] = {
            "wait": self.wait,
            "account_folder": self.folder,
            "budget_seconds": 5.0,
            "timeout_seconds": 5.0,
            "monotonic": lambda: self.now,
        }
        log = make_logger(stream=self.log, level="debug")
        return KubernetesJobStatus(stream_id, log, host=host, port=self.port, **arguments | changes)

    def refusal(self, **changes: Any) -> str:
        with pytest.raises(TransientStreamError) as caught:
            self.status(**changes).report_schema_mismatch("x")
        prefix = (
            f"The schema has changed, and the Job 'orders-1' could not be annotated at https://127.0.0.1:{self.port}: "
        )
        message = str(caught.value)
        assert message.startswith(prefix)
        assert TOKEN not in message
        assert TOKEN not in self.log.getvalue()
        return message.removeprefix(prefix)


def service_account(folder: Path, authority: trustme.CA) -> Path:
    folder.mkdir()
    (folder / "token").write_text(TOKEN + "\n")
    (folder / "namespace").write_text("streams\n")
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    return folder


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


StartCluster = Callable[..., Cluster]


@pytest.fixture
def start(tmp_path: Path, authority: trustme.CA) -> Iterator[StartCluster]:
    servers: list[tuple[Server, threading.Thread]] = []

    def start(
        script: Script | None = None,
        certificate: trustme.LeafCert | None = None,
        configure: Callable[[ssl.SSLContext], None] = lambda _: None,
        kind: type[Server] = Server,
    ) -> Cluster:
        script = script or Script()
        server = kind(("::1" if kind is Server6 else "127.0.0.1", 0), handler(script))
        server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (certificate or authority.issue_cert("127.0.0.1", "::1")).configure_cert(server.tls)
        configure(server.tls)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return Cluster(service_account(tmp_path / "account", authority), server.server_address[1], script)

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_job_is_patched_with_both_annotations(start: StartCluster) -> None:
    cluster = start()
    service: StatusService = cluster.status()
    service.report_schema_mismatch("column added: total")
    assert cluster.script.requests == [
        Request(
            method="PATCH",
            path="/apis/batch/v1/namespaces/streams/jobs/orders-1",
            token=f"Bearer {TOKEN}",
            content_type="application/merge-patch+json",
            host=f"127.0.0.1:{cluster.port}",
            body={
                "metadata": {
                    "annotations": {
                        "arcane/state": "schema-mismatch",
                        "arcane.streaming.sneaksanddata.com/state": "schema-mismatch",
                    }
                }
            },
        )
    ]
    assert cluster.waits == []
    assert "column added: total" in cluster.log.getvalue()
    assert TOKEN not in cluster.log.getvalue()


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_the_api_server_may_have_an_ipv6_address(start: StartCluster, host: str) -> None:
    try:
        cluster = start(kind=Server6)
    except OSError as error:
        pytest.skip(f"::1 cannot be used here: {error}")
    cluster.status(host=host).report_schema_mismatch("x")
    assert [request.host for request in cluster.script.requests] == [f"[::1]:{cluster.port}"]


def test_names_are_quoted_in_the_path(start: StartCluster) -> None:
    cluster = start()
    (cluster.folder / "namespace").write_text("../x")
    cluster.status(stream_id="a/b?c").report_schema_mismatch("x")
    assert cluster.script.requests[0].path == "/apis/batch/v1/namespaces/..%2Fx/jobs/a%2Fb%3Fc"


@pytest.mark.parametrize("failure", [500, 502, 503, 504, 429, RESET])
def test_a_passing_failure_is_tried_again(start: StartCluster, failure: int) -> None:
    cluster = start(Script([failure, failure, 200]))
    cluster.status().report_schema_mismatch("x")
    assert len(cluster.script.requests) == 3
    assert cluster.waits == [0.5, 1.0]


def test_the_server_may_ask_for_a_longer_wait(start: StartCluster) -> None:
    cluster = start(Script([429, 200], headers={"Retry-After": "3"}))
    cluster.status().report_schema_mismatch("x")
    assert cluster.waits == [3.0]


def test_a_wait_is_never_longer_than_ten_seconds(start: StartCluster) -> None:
    cluster = start(Script([503, 503, 200], headers={"Retry-After": "9999"}))
    cluster.status(budget_seconds=60.0).report_schema_mismatch("x")
    assert cluster.waits == [10.0, 10.0]


def test_a_lasting_failure_ends_with_the_budget(start: StartCluster) -> None:
    cluster = start(Script([503]))
    assert cluster.refusal() == "status 503: said by the server"
    assert cluster.waits == [0.5, 1.0, 2.0]


def test_a_server_that_is_not_there_ends_with_the_budget(start: StartCluster) -> None:
    cluster = start()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        cluster.port = free.getsockname()[1]
        assert cluster.refusal() == "the connection failed: [Errno 111] Connection refused"
    assert cluster.waits == [0.5, 1.0, 2.0]


def test_a_server_that_does_not_answer_is_given_up(start: StartCluster) -> None:
    silent = threading.Event()
    cluster = start(Script(before_reply=lambda: silent.wait(20)))
    assert "timed out" in cluster.refusal(timeout_seconds=0.2, budget_seconds=0.1)
    silent.set()


def test_a_missing_permission_names_the_role(start: StartCluster) -> None:
    cluster = start(Script([403], message='jobs.batch "orders-1" is forbidden'))
    assert cluster.refusal() == (
        "status 403, the pod's service account needs a role that allows 'patch' on 'jobs' of the API group 'batch'"
        ': jobs.batch "orders-1" is forbidden'
    )
    assert (len(cluster.script.requests), cluster.waits) == (1, [])


def test_a_missing_job_names_the_rule(start: StartCluster) -> None:
    cluster = start(Script([404]))
    assert cluster.refusal() == "status 404, the Job's name must equal the stream id: said by the server"
    assert len(cluster.script.requests) == 1


@pytest.mark.parametrize("status", [302, 400, 409, 422])
def test_other_answers_are_final(start: StartCluster, status: int) -> None:
    cluster = start(Script([status], headers={"Location": "/elsewhere"}))
    assert cluster.refusal() == f"status {status}: said by the server"
    assert len(cluster.script.requests) == 1


def test_what_the_server_says_cannot_break_the_message_or_show_the_token(start: StartCluster) -> None:
    cluster = start(Script([422], message=f"a\nb {TOKEN} " + "x" * 1000))
    message = cluster.refusal()
    assert message.startswith("status 422: a b *** xxx")
    assert len(message) < 400


def test_a_token_that_has_rotated_is_read_anew(start: StartCluster) -> None:
    script = Script([401, 200])
    cluster = start(script)
    script.before_reply = lambda: (cluster.folder / "token").write_text("second-token")
    cluster.status().report_schema_mismatch("x")
    assert [request.token for request in script.requests] == [f"Bearer {TOKEN}", "Bearer second-token"]
    assert cluster.waits == []


def test_a_token_that_is_refused_twice_is_not_tried_again(start: StartCluster) -> None:
    cluster = start(Script([401]))
    assert cluster.refusal() == "status 401, the service account's token was not accepted: said by the server"
    assert len(cluster.script.requests) == 2


@pytest.mark.parametrize("token", ["", "  \n", "two\nlines", "not-äscii"])
def test_a_broken_token_is_never_sent_nor_shown(start: StartCluster, token: str) -> None:
    cluster = start()
    (cluster.folder / "token").write_text(token, encoding="utf-8")
    assert cluster.refusal() == f"{cluster.folder / 'token'} holds no token"
    assert cluster.script.requests == []


@pytest.mark.parametrize("name", ["token", "namespace"])
def test_a_missing_service_account_says_how_to_mount_it(start: StartCluster, name: str) -> None:
    cluster = start()
    (cluster.folder / name).unlink()
    assert cluster.refusal() == (
        f"{cluster.folder / name} cannot be read; "
        "the pod needs a service account with automountServiceAccountToken: true"
    )


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_unusable_ca_file_is_named(start: StartCluster, content: str | None) -> None:
    cluster = start()
    (cluster.folder / "ca.crt").unlink()
    if content is not None:
        (cluster.folder / "ca.crt").write_text(content)
    assert cluster.refusal().startswith(f"{cluster.folder / 'ca.crt'} cannot be read as certificates: ")
    assert cluster.script.requests == []


def refused_certificate(cluster: Cluster) -> str:
    message = cluster.refusal()
    assert cluster.script.requests == []
    assert cluster.waits == []
    assert message.endswith(f"; {cluster.folder / 'ca.crt'} must hold the cluster's CA")
    return message


def test_a_certificate_of_another_ca_is_refused(start: StartCluster) -> None:
    cluster = start(certificate=trustme.CA().issue_cert("127.0.0.1"))
    assert "the server's certificate is not trusted (" in refused_certificate(cluster)


def test_an_expired_certificate_is_refused(start: StartCluster, authority: trustme.CA) -> None:
    now = datetime.now(UTC)
    expired = authority.issue_cert("127.0.0.1", not_before=now - timedelta(2), not_after=now - timedelta(1))
    assert "certificate has expired" in refused_certificate(start(certificate=expired))


def test_a_certificate_for_another_host_is_refused(start: StartCluster, authority: trustme.CA) -> None:
    cluster = start(certificate=authority.issue_cert("other.example", "127.0.0.2"))
    assert "127.0.0.1" in refused_certificate(cluster)


def test_a_server_with_old_tls_is_refused(start: StartCluster) -> None:
    def only_old(context: ssl.SSLContext) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")

    cluster = start(configure=only_old)
    assert "the connection failed: " in cluster.refusal()
    assert cluster.script.requests == []


def test_a_stop_while_waiting_counts_as_not_reported(start: StartCluster) -> None:
    def stopped(_seconds: float) -> None:
        raise StreamStopped

    cluster = start(Script([503]))
    assert cluster.refusal(wait=stopped) == "the stream was told to stop before it succeeded"


def test_outside_a_cluster_the_mismatch_is_logged_and_kept() -> None:
    log = io.StringIO()
    status = LocalStatus(make_logger(stream=log))
    assert status.mismatch is None
    status.report_schema_mismatch("column added: total")
    assert status.mismatch == "column added: total"
    line = json.loads(log.getvalue())
    assert (line["level"], line["event"], line["detail"]) == (
        "warning",
        "the schema has changed, start a backfill to reload the stream",
        "column added: total",
    )


def choose(environ: dict[str, str]) -> StatusService:
    return choose_status(
        environ,
        stream_id="orders",
        log=make_logger(stream=io.StringIO()),
        wait=lambda _: None,
        monotonic=time.monotonic,
    )


@pytest.mark.parametrize("environ", [{}, {"KUBERNETES_SERVICE_HOST": ""}, {"KUBERNETES_SERVICE_PORT": "443"}])
def test_outside_a_cluster_the_local_status_is_chosen(environ: dict[str, str]) -> None:
    assert isinstance(choose(environ), LocalStatus)


@pytest.mark.parametrize("port", [{}, {"KUBERNETES_SERVICE_PORT": "6443"}])
def test_in_a_cluster_the_jobs_status_is_chosen_even_without_an_account(port: dict[str, str]) -> None:
    assert isinstance(choose({"KUBERNETES_SERVICE_HOST": "10.0.0.1", **port}), KubernetesJobStatus)


def test_the_chosen_status_uses_the_environments_host_and_port(start: StartCluster) -> None:
    cluster = start()
    status = choose_status(
        {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(cluster.port)},
        stream_id="orders",
        log=make_logger(stream=cluster.log),
        wait=cluster.wait,
        monotonic=lambda: cluster.now,
        account_folder=cluster.folder,
    )
    status.report_schema_mismatch("x")
    assert [request.path for request in cluster.script.requests] == ["/apis/batch/v1/namespaces/streams/jobs/orders"]


@pytest.mark.parametrize("port", ["x", "0", "65536", "-1", "\uff14\uff14\uff13"])
def test_a_port_that_is_none_is_named(port: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        choose({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": port})
    assert str(caught.value) == f"KUBERNETES_SERVICE_PORT must be a port's number, not {port!r}"

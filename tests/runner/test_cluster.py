"""The Job's annotation by a real runner process, over TLS, to a server that plays the Kubernetes API."""

import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.hosting.test_status import TOKEN, Script, Server, handler, service_account
from tests.runner.processes import PLUGINS, Ended, Stream

Cluster = Callable[[Script], dict[str, str]]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    servers = []

    def start(script: Script) -> dict[str, str]:
        authority = trustme.CA()
        server = Server(("127.0.0.1", 0), handler(script))
        server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(server.tls)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        folder = service_account(tmp_path / f"account-{len(servers)}", authority)
        return {"TEST_CLUSTER_PORT": str(server.server_address[1]), "TEST_ACCOUNT_FOLDER": str(folder)}

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def run(stream: Stream, variables: dict[str, str]) -> Ended:
    return stream.run(f"{PLUGINS}.hosts:in_cluster", {"failAt": 3, "failure": "mismatch"}, **variables)


def test_a_mismatch_annotates_the_job_and_ends_with_0(stream: Stream, cluster: Cluster) -> None:
    script = Script([503, 200])
    ended = run(stream, cluster(script))
    assert ended.code == 0, ended.stderr
    assert [(request.method, request.path) for request in script.requests] == [
        ("PATCH", "/apis/batch/v1/namespaces/streams/jobs/orders-1")
    ] * 2
    request = script.requests[-1]
    assert request.token == f"Bearer {TOKEN}"
    assert request.content_type == "application/merge-patch+json"
    assert request.body == {
        "metadata": {
            "annotations": {
                "arcane/state": "schema-mismatch",
                "arcane.streaming.sneaksanddata.com/state": "schema-mismatch",
            }
        }
    }
    assert stream.rows() == [0, 1, 2]
    assert TOKEN not in ended.stderr


def test_a_mismatch_that_the_cluster_refuses_to_note_ends_with_2(stream: Stream, cluster: Cluster) -> None:
    script = Script([403], message="jobs is forbidden")
    variables = cluster(script)
    ended = run(stream, variables)
    assert ended.code == 2
    assert (ended.error["event"], ended.error["error"]) == (
        "the schema mismatch could not be reported",
        "The schema has changed, and the Job 'orders-1' could not be annotated at "
        f"https://127.0.0.1:{variables['TEST_CLUSTER_PORT']}: status 403, the pod's service account needs a role that "
        "allows 'patch' on 'jobs' of the API group 'batch': jobs is forbidden",
    )
    assert TOKEN not in ended.stderr
    assert stream.rows() == [0, 1, 2]

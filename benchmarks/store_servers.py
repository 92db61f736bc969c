"""The stores that uploads are measured on: a folder, moto's S3 server and Azurite, the servers as processes."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from benchmarks.child import ROOT, environment, scratch_folder

# Objects stay in the server's memory: above this size it would write them to temporary files.
BUFFER_BYTES = 256 << 20
# For a server that checks no credentials.
S3_VARIABLES = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "key-id", "AWS_SECRET_ACCESS_KEY": "not-a-key"}


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere on a running store.

    Attributes:
        kind: `disk`, `S3` or `Azure`.
        location: As a spec says it.
        port: Of the server; 0 when there is none.
        pid: Of its process; 0 when there is none.
        variables: What leads there, for a server at the port `{port}`.
    """

    kind: str
    location: str
    port: int
    pid: int
    variables: Mapping[str, str]

    def settings(self, port: int) -> dict[str, str]:
        """The variables for a server that is reached at `port`."""
        return {name: value.replace("{port}", str(port)) for name, value in self.variables.items()}


Server = Callable[[], AbstractContextManager[Place]]


def stores() -> dict[str, Server]:
    """All stores that can run here; the others are named on standard error."""
    found: dict[str, Server] = {"disk": disk, "S3": s3, "Azure": azure}
    if not azurite_is_available():
        print("Azure is left out: Azurite cannot run here", file=sys.stderr, flush=True)
        del found["Azure"]
    return found


def azurite_is_available() -> bool:
    """Whether Azurite is installed, or can be."""
    from tests.storage import azurite

    try:
        azurite.install()
    except azurite.NotAvailableError:
        return False
    return True


@contextmanager
def disk() -> Iterator[Place]:
    """A folder beside the code."""
    with scratch_folder() as folder:
        yield Place("disk", folder, 0, 0, {})


@contextmanager
def s3() -> Iterator[Place]:
    """A bucket of a server that begins empty."""
    command = [sys.executable, "-m", "benchmarks.store_servers"]
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            variables = {**S3_VARIABLES, "AWS_ENDPOINT_URL": "http://127.0.0.1:{port}"}
            place = Place("S3", f"s3://bucket-{uuid4().hex}/lake", port, process.pid, variables)
            _make_bucket(place)
            yield place
        finally:
            process.terminate()


@contextmanager
def azure() -> Iterator[Place]:
    """A container of an Azurite that begins empty."""
    from tests.storage.azurite import ACCOUNT, running_azurite

    with scratch_folder() as folder, running_azurite(Path(folder)) as server:
        container = server.new_container()
        container.close()
        variables = {
            "AZURE_STORAGE_ACCOUNT": ACCOUNT,
            "AZURE_STORAGE_KEY": server.key,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{{port}}/{ACCOUNT}",
        }
        yield Place("Azure", f"{container.container_name}@lake", urlsplit(server.url).port or 0, server.pid, variables)


def _make_bucket(place: Place) -> None:
    from arcane_framework.storage.s3_settings import build_clients, s3_settings

    clients = build_clients(s3_settings(place.settings(place.port)), place.location)
    clients.retrying.create_bucket(Bucket=urlsplit(place.location).netloc)


def _serve_s3() -> None:
    os.environ["MOTO_S3_DEFAULT_KEY_BUFFER_SIZE"] = str(BUFFER_BYTES)
    import logging

    from moto.moto_server.werkzeug_app import create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = make_server("127.0.0.1", 0, create_backend_app("s3"), threaded=True)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _serve_s3()

"""An S3 server on loopback, and faults between it and its clients."""

import logging
import math
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

from pydantic import SecretStr

from arcane_framework._core.clock import SystemClock
from arcane_framework.storage.s3 import S3Storage
from arcane_framework.storage.s3_settings import S3Clients, S3Settings, build_clients
from tests.storage.operations import s3_operation

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


@dataclass
class Fault:
    """What happens to the next requests of one operation.

    Attributes:
        operation: `PutObject`, `CompleteMultipartUpload`, ...; see `operation_of`.
        times: For how many requests.
        status: What is answered instead; 0: the connection is cut without an answer.
        code: The answer's error code.
        happens: Whether the request is carried out all the same.
        body: XML elements to add to the answer; all of it when the status is 200.
        headers: Headers to add to the answer.
        cut: Of the answer's body, how many bytes arrive before the connection is cut.
        seconds: How long the answer takes.
        before: Called before the request is carried out.
    """

    operation: str
    times: int = 1
    status: int = 0
    code: str = ""
    happens: bool = False
    body: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    cut: int | None = None
    seconds: float = 0
    before: Callable[[], object] | None = None


class QuickClock(SystemClock):
    """Waits ten milliseconds at most."""

    def wait_for(self, predicate: Callable[[], bool], until: float | None = None) -> bool:
        return super().wait_for(predicate, min(until or math.inf, self.monotonic() + 0.01))


@dataclass
class S3Server:
    """The server of moto behind a lock: its check and its write are two steps, those of S3 are one."""

    port: int = 0
    scheme: str = "http"
    requests: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    app: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def settings(self, **changes: Any) -> S3Settings:
        given: dict[str, Any] = {
            "endpoint": self.url,
            "region": "us-east-1",
            "access_key": "key-id",
            "secret_key": SecretStr("not-a-key"),
            "attempts": 3,
            "read_seconds": 5,
        }
        return S3Settings(**{**given, **changes})

    @cached_property
    def clients(self) -> S3Clients:
        """Made once: it takes a while."""
        return build_clients(self.settings(), "s3://tests")

    def bucket(self) -> str:
        """A new bucket."""
        bucket = f"bucket-{uuid4().hex}"
        self.clients.retrying.create_bucket(Bucket=bucket)
        return bucket

    def storage(self, prefix: str = "lake", **changes: Any) -> S3Storage:
        """A storage in a new bucket, with the server's own clients unless settings are changed."""
        clients = None if changes else self.clients
        return S3Storage(self.bucket(), prefix, self.settings(**changes), clients=clients, clock=QuickClock())

    def fill(self, bucket: str, keys: Iterable[str]) -> None:
        """Put empty objects, past the protocol."""
        from moto.s3.models import s3_backends

        (backend,) = [found["aws"] for found in s3_backends.values() if bucket in found["aws"].buckets]
        for key in keys:
            backend.put_object(bucket, key, b"")

    def drop(self, bucket: str) -> None:
        """Remove a bucket with all that is in it, past the protocol."""
        from moto.s3.models import s3_backends

        with self.lock:
            for backend in s3_backends.values():
                backend["aws"].buckets.pop(bucket, None)

    @contextmanager
    def counted(self) -> Iterator[list[str]]:
        """The operations that are asked for meanwhile."""
        counted: list[str] = []
        first = len(self.requests)
        yield counted
        counted += self.requests[first:]

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        operation = operation_of(environ)
        self.requests.append(operation)
        fault = self._fault(operation)
        if fault is None:
            return self._answer(environ, start_response)
        if fault.before is not None:
            fault.before()
        threading.Event().wait(fault.seconds)
        if fault.cut is not None:
            return _cut(self._answer(environ, start_response), fault.cut, environ)
        if not (fault.happens or fault.status):
            _hang_up(environ)
        if fault.happens:
            answer = self._answer(environ, start_response if fault.seconds else _nobody)
            if fault.seconds:
                return answer
        if not fault.status:
            _hang_up(environ)
        if not fault.happens:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response(f"{fault.status} Fault", [("Content-Type", "application/xml"), *fault.headers])
        text = f"<Error><Code>{fault.code}</Code><Message>canary-text</Message>{fault.body}</Error>"
        if fault.status == 200:
            text = fault.body
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [text.encode()]

    def _answer(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        with self.lock:
            if _is_gone(environ):
                start_response("404 NoSuchUpload", [("Content-Type", "application/xml")])
                return [b"<Error><Code>NoSuchUpload</Code></Error>"]
            return [*self.app(environ, start_response)]

    def _fault(self, operation: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.operation == operation and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None


def operation_of(environ: Environ) -> str:
    """The API's name of a request."""
    return s3_operation(environ["REQUEST_METHOD"], f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}")


@contextmanager
def running_server(tls: ssl.SSLContext | None = None) -> Iterator[S3Server]:
    """A server on a port of its own, with `tls` over TLS."""
    from moto.moto_server.werkzeug_app import create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = S3Server(app=create_backend_app("s3"))
    http = make_server("127.0.0.1", 0, server, threaded=True, ssl_context=tls)
    server.port = http.server_port
    server.scheme = "http" if tls is None else "https"
    thread = threading.Thread(target=lambda: http.serve_forever(poll_interval=0.05), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def _is_gone(environ: Environ) -> bool:
    """Whether a request is for an upload that is not there any more: moto fails, or calls it a success."""
    from moto.s3.models import s3_backends

    upload = parse_qs(environ["QUERY_STRING"]).get("uploadId")
    bucket = environ["PATH_INFO"].strip("/").partition("/")[0]
    buckets = [backend["aws"].buckets.get(bucket) for backend in s3_backends.values()]
    return upload is not None and not any(found and upload[0] in found.multiparts for found in buckets)


def _nobody(*_: Any) -> None:
    pass


def _hang_up(environ: Environ) -> None:
    connection: socket.socket = environ["werkzeug.socket"]
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError


def _cut(answer: list[bytes], nbytes: int, environ: Environ) -> Iterator[bytes]:
    yield b"".join(answer)[:nbytes]
    _hang_up(environ)

"""Servers that fail, refuse or lose answers: what is tried again, what stops the stream, and in which words."""

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from pydantic import SecretStr

from arcane_framework._core.errors import (
    ArcaneError,
    ConfigurationError,
    FatalStreamError,
    OutcomeUnknownError,
    TransientStreamError,
)
from arcane_framework.storage.s3 import S3Storage
from arcane_framework.storage.s3_settings import S3Clients
from tests.storage.s3_server import Fault, QuickClock, S3Server


@pytest.fixture
def storage(s3: S3Server) -> S3Storage:
    """Without the SDK's retries: the SDK stops them for a while when there were many."""
    clients = S3Clients(s3.clients.single, s3.clients.single)
    storage = S3Storage(s3.bucket(), "lake", clients=clients, clock=QuickClock())
    storage.replace("there", b"0123456789")
    return storage


@pytest.fixture
def retrying(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Storage:
    real = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: real(min(seconds, 0.01)))
    storage = s3.storage(attempts=3)
    storage.replace("there", b"0123456789")
    return storage


def failure(call: Callable[[], object], kind: type[ArcaneError]) -> str:
    with pytest.raises(kind) as raised:
        call()
    assert type(raised.value) is kind
    assert raised.value.__cause__ is None
    assert "canary" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("status", "code", "kind", "reason"),
    [
        (403, "AccessDenied", ConfigurationError, "access is denied; the credentials need s3:PutObject (AccessDenied)"),
        (404, "NoSuchBucket", ConfigurationError, "the bucket does not exist; create it or correct the location ("),
        (403, "InvalidAccessKeyId", ConfigurationError, "the access key is not known; correct AWS_ACCESS_KEY_ID ("),
        (403, "SignatureDoesNotMatch", ConfigurationError, "the signature is wrong; correct AWS_SECRET_ACCESS_KEY ("),
        (400, "ExpiredToken", ConfigurationError, "the session token has expired; renew it and its keys, or use a "),
        (400, "InvalidToken", ConfigurationError, "the session token is not valid; renew AWS_SESSION_TOKEN and its "),
        (403, "RequestTimeTooSkewed", ConfigurationError, "this machine's clock is wrong; set it (RequestTime"),
        (501, "NotImplemented", ConfigurationError, "the server does not know this kind of request; use a server that"),
        (507, "XMinioStorageFull", ConfigurationError, "the storage is full; free some space or choose another"),
        (507, "", ConfigurationError, "the storage is full; free some space or choose another location (507)"),
        (403, "KMS.DisabledException", ConfigurationError, "access is denied; the credentials need s3:PutObject (KMS"),
        (503, "SlowDown", TransientStreamError, "the server asks to slow down (SlowDown)"),
        (500, "InternalError", TransientStreamError, "the server fails at the moment (InternalError)"),
        (502, "", TransientStreamError, "the server fails at the moment (502)"),
        (429, "TooManyRequests", TransientStreamError, "the server asks to slow down (TooManyRequests)"),
        (400, "RequestTimeout", TransientStreamError, "the data did not arrive in time (RequestTimeout)"),
        (400, "BadDigest", TransientStreamError, "the data was damaged on the way (BadDigest)"),
        (400, "InvalidArgument", FatalStreamError, "the server refuses the request (InvalidArgument, status 400); "),
        (418, "what <is> this", FatalStreamError, "the server refuses the request (418, status 418); servers other "),
    ],
)
def test_an_answer_becomes_the_error_that_says_what_to_do(
    s3: S3Server, storage: S3Storage, status: int, code: str, kind: type[ArcaneError], reason: str
) -> None:
    s3.faults.append(Fault("PutObject", times=9, status=status, code=code))
    text = failure(lambda: storage.replace("x", b"y"), kind)
    assert text.startswith(f"{storage.location}: cannot write x: {reason}")


@pytest.mark.parametrize(
    ("operation", "call", "permission"),
    [
        ("ListObjectsV2", lambda storage: storage.probe(), "list this folder: access is denied; .* s3:ListBucket "),
        ("PutObject", lambda storage: storage.probe(), "write to this folder: access is denied; .* s3:PutObject "),
        ("GetObject", lambda storage: storage.read("x"), "read x: access is denied; .* s3:GetObject "),
        ("HeadObject", lambda storage: storage.stat("x"), "look at x: access is denied; .* s3:GetObject and s3:List"),
        ("DeleteObject", lambda storage: storage.delete("x"), "delete x: access is denied; .* s3:DeleteObject "),
        ("ListMultipartUploads", lambda storage: storage.staged(), "is staged: access is .* s3:ListBucketMultipartU"),
        ("CreateMultipartUpload", lambda storage: storage.stage("x"), "stage x: access is denied; .* s3:PutObject "),
        ("PutObject", lambda storage: storage.create("x", b""), "create x: access is denied; .* s3:PutObject "),
    ],
)
def test_a_refusal_names_the_permission_that_is_missing(
    s3: S3Server, storage: S3Storage, operation: str, call: Callable[[S3Storage], object], permission: str
) -> None:
    s3.faults.append(Fault(operation, times=9, status=403, code="AccessDenied"))
    with pytest.raises(ConfigurationError, match=permission):
        call(storage)


@pytest.mark.parametrize("status", [301, 400])
def test_a_bucket_in_another_region_is_told_with_its_region(s3: S3Server, storage: S3Storage, status: int) -> None:
    code = "PermanentRedirect" if status == 301 else "AuthorizationHeaderMalformed"
    s3.faults.append(Fault("PutObject", 9, status, code, headers=[("x-amz-bucket-region", "eu-north-1")]))
    s3.faults.append(Fault("HeadBucket", 9, status, code, headers=[("x-amz-bucket-region", "eu-north-1")]))
    assert failure(lambda: storage.replace("x", b""), ConfigurationError) == (
        f"{storage.location}: cannot write x: the bucket is in the region eu-north-1; "
        f"set AWS_REGION=eu-north-1 ({code})"
    )


def test_a_missing_bucket_is_a_configuration_error_of_the_probe(s3: S3Server) -> None:
    storage = S3Storage("no-such-bucket", "lake", clients=s3.clients)
    assert failure(storage.probe, ConfigurationError) == (
        "s3://no-such-bucket/lake: cannot list this folder: the bucket does not exist; create it or correct the "
        "location (NoSuchBucket)"
    )


@pytest.mark.parametrize(
    "fault",
    [{"status": 503, "code": "SlowDown"}, {"status": 500, "code": "InternalError"}, {}, {"happens": True}],
    ids=["503", "500", "reset", "lost answer"],
)
def test_requests_that_may_happen_twice_are_tried_again(s3: S3Server, retrying: S3Storage, fault: Any) -> None:
    storage = retrying

    def fails_twice(operation: str) -> None:
        s3.faults.append(Fault(operation, 2, **fault))

    for operation in ("PutObject", "GetObject", "HeadObject", "ListObjectsV2", "DeleteObject"):
        fails_twice(operation)
    storage.replace("x", b"1")
    assert storage.read("x") == b"1"
    assert storage.stat("x") is not None
    assert [found.name for found in storage.list()] == ["there", "x"]
    storage.delete("x")
    for operation in ("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"):
        fails_twice(operation)
    upload = storage.stage("data/part-1")
    upload.write(b"12")
    assert storage.publish("data/part-1", upload.finish(), 2)
    assert storage.read("data/part-1") == b"12"
    assert not [fault for fault in s3.faults if fault.times]


def test_a_create_whose_answer_is_lost_is_neither_done_nor_refused(s3: S3Server, storage: S3Storage) -> None:
    s3.faults.append(Fault("PutObject", happens=True))
    assert failure(lambda: storage.create("log/1", b"mine"), OutcomeUnknownError) == (
        f"{storage.location}: it is not known whether log/1 was created: the answer was lost"
    )
    assert storage.read("log/1") == b"mine"


def test_a_create_whose_request_is_lost_is_unknown_too(s3: S3Server, storage: S3Storage) -> None:
    s3.faults.append(Fault("PutObject"))
    failure(lambda: storage.create("log/1", b"mine"), OutcomeUnknownError)
    assert storage.stat("log/1") is None


def test_a_create_that_happened_behind_a_failure_is_not_called_somebody_elses(s3: S3Server, storage: S3Storage) -> None:
    s3.faults.append(Fault("PutObject", status=500, code="InternalError", happens=True))
    failure(lambda: storage.create("log/1", b"mine"), OutcomeUnknownError)


def test_a_create_whose_answer_comes_too_late_is_unknown(s3: S3Server) -> None:
    storage = s3.storage(read_seconds=0.2)
    s3.faults.append(Fault("PutObject", seconds=0.5, happens=True))
    s3.faults[-1].before = lambda: threading.Event().wait(0.5)
    failure(lambda: storage.create("log/1", b"mine"), OutcomeUnknownError)


@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "SlowDown", "InternalError"])
def test_a_create_is_tried_again_inside_when_nothing_happened(s3: S3Server, storage: S3Storage, code: str) -> None:
    status = {"ConditionalRequestConflict": 409, "SlowDown": 503, "InternalError": 500}[code]
    s3.faults.append(Fault("PutObject", 3, status, code))
    with s3.counted() as asked:
        assert storage.create("log/1", b"mine")
    assert asked == ["PutObject"] * 4


def test_a_create_that_may_have_happened_and_never_gets_an_answer_is_unknown(s3: S3Server, storage: S3Storage) -> None:
    s3.faults.append(Fault("PutObject", 1, 500, "InternalError"))
    s3.faults.append(Fault("PutObject", 99, 409, "ConditionalRequestConflict"))
    failure(lambda: storage.create("log/1", b"mine"), OutcomeUnknownError)


def test_a_create_after_a_conflict_that_another_runner_has_won_is_refused(s3: S3Server, storage: S3Storage) -> None:
    def other() -> None:
        s3.fill(storage._bucket, ["lake/log/1"])

    s3.faults.append(Fault("PutObject", 1, 409, "ConditionalRequestConflict", before=other))
    assert not storage.create("log/1", b"mine")


def test_a_create_that_is_never_let_through_ends(s3: S3Server, storage: S3Storage) -> None:
    s3.faults.append(Fault("PutObject", 99, 409, "ConditionalRequestConflict"))
    assert failure(lambda: storage.create("log/1", b""), TransientStreamError) == (
        f"{storage.location}: cannot create log/1: another request for the same object is in progress "
        "(ConditionalRequestConflict)"
    )


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (507, "XMinioStorageFull", "the storage is full; free some space or choose another location"),
        (501, "NotImplemented", "the server does not know this kind of request; use a server that does"),
    ],
)
def test_a_create_that_the_server_cannot_do_is_not_tried_again(
    s3: S3Server, storage: S3Storage, status: int, code: str, reason: str
) -> None:
    s3.faults.append(Fault("PutObject", 99, status, code))
    with s3.counted() as asked:
        message = failure(lambda: storage.create("log/1", b""), ConfigurationError)
    assert message == f"{storage.location}: cannot create log/1: {reason} ({code})"
    assert asked == ["PutObject"]


@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "PreconditionFailed"])
def test_a_publish_that_meets_another_publisher_is_done(s3: S3Server, storage: S3Storage, code: str) -> None:
    upload = storage.stage("data/part-1")
    upload.write(b"12")
    handle = upload.finish()
    status = 409 if code == "ConditionalRequestConflict" else 412
    s3.faults.append(Fault("CompleteMultipartUpload", 1, status, code, happens=True))
    assert storage.publish("data/part-1", handle, 2)
    assert storage.read("data/part-1") == b"12"


def test_a_publish_is_tried_again_after_a_conflict_that_nobody_has_won(s3: S3Server, storage: S3Storage) -> None:
    handle = storage.stage("data/part-1").finish()
    s3.faults.append(Fault("CompleteMultipartUpload", 2, 409, "ConditionalRequestConflict"))
    assert storage.publish("data/part-1", handle, 0)


def test_a_server_without_conditional_completion_still_publishes(s3: S3Server, storage: S3Storage) -> None:
    handle = storage.stage("data/part-1").finish()
    s3.faults.append(Fault("CompleteMultipartUpload", 1, 501, "NotImplemented"))
    assert storage.publish("data/part-1", handle, 0)


def test_a_body_that_breaks_off_is_read_again(s3: S3Server, storage: S3Storage) -> None:
    s3.faults.append(Fault("GetObject", 2, cut=4))
    assert storage.read("there") == b"0123456789"
    s3.faults.append(Fault("GetObject", 2, cut=4))
    with storage.open("there") as stream:
        assert stream.read() == b"0123456789"


def test_a_body_that_always_breaks_off_ends_the_run_for_now(s3: S3Server, storage: S3Storage) -> None:
    s3.faults.append(Fault("GetObject", 99, cut=4))
    assert failure(lambda: storage.read("there"), TransientStreamError) == (
        f"{storage.location}: cannot read there: the connection broke off"
    )


def test_a_listing_that_breaks_off_is_asked_for_again(s3: S3Server, retrying: S3Storage) -> None:
    storage = retrying
    s3.faults.append(Fault("ListObjectsV2", 1, cut=40))
    assert [found.name for found in storage.list()] == ["there"]


def test_a_server_that_is_not_there_is_transient(s3: S3Server, unused: int) -> None:
    storage = S3Storage("my-lake", "x", s3.settings(endpoint=f"http://127.0.0.1:{unused}"), clock=QuickClock())
    assert failure(storage.probe, TransientStreamError) == (
        "s3://my-lake/x: cannot list this folder: the server cannot be reached"
    )
    assert failure(lambda: storage.create("a", b""), TransientStreamError) == (
        "s3://my-lake/x: cannot create a: the server cannot be reached"
    )


def test_a_server_whose_name_is_not_known_is_a_configuration_error(s3: S3Server) -> None:
    storage = S3Storage("my-lake", "x", s3.settings(endpoint="http://s3.invalid", attempts=1))
    reasons: dict[type[ArcaneError], str] = {
        ConfigurationError: "the server's name is not known; correct AWS_ENDPOINT_URL or AWS_REGION"
    }
    with pytest.raises(ArcaneError) as raised:
        storage.probe()
    # A machine without a name server cannot say that a name does not exist.
    reason = reasons.get(type(raised.value), "the server cannot be reached")
    assert str(raised.value) == f"s3://my-lake/x: cannot list this folder: {reason}"


def test_a_certificate_that_is_not_trusted_is_a_configuration_error(tls_server: int, s3: S3Server) -> None:
    storage = S3Storage("my-lake", "x", s3.settings(endpoint=f"https://127.0.0.1:{tls_server}", attempts=1))
    assert failure(storage.probe, ConfigurationError) == (
        "s3://my-lake/x: cannot list this folder: the server's certificate is not accepted; set AWS_CA_BUNDLE to the "
        "authorities to trust"
    )


def test_nothing_that_is_secret_is_logged(s3: S3Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        storage = s3.storage(secret_key=SecretStr("canary-key"), session_token=SecretStr("canary-token"))
        storage.create("x", b"y")
        s3.faults.append(Fault("PutObject", 9, 400, "ExpiredToken"))
        failure(lambda: storage.replace("x", b""), ConfigurationError)
    assert "canary" not in caplog.text
    assert "Signature=" not in caplog.text


@pytest.fixture
def unused() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.fixture
def tls_server() -> Any:
    """A server with a certificate of an authority that nobody trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()

"""What S3 has otherwise than a disk: requests, pages, ranges, parts, uploads of other folders."""

import io
import ssl
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trustme

from arcane_framework._core.errors import ConfigurationError, FatalStreamError, TransientStreamError
from arcane_framework._core.storage import Storage
from arcane_framework.storage.s3 import S3Storage, open_s3
from arcane_framework.storage.s3_settings import build_clients, s3_settings
from arcane_framework.storage.s3_upload import IN_FLIGHT, PART_BYTES
from tests.storage.s3_server import Fault, S3Server, running_server


@pytest.fixture
def storage(s3: S3Server) -> S3Storage:
    return s3.storage()


def staged(storage: Storage) -> list[str]:
    return [found.name for found in storage.staged()]


def test_a_probe_costs_three_requests_in_a_new_folder_and_two_later(s3: S3Server, storage: S3Storage) -> None:
    with s3.counted() as asked:
        storage.probe()
    assert asked == ["ListObjectsV2", "PutObject", "PutObject"]
    with s3.counted() as asked:
        storage.probe()
    assert asked == ["ListObjectsV2", "PutObject"]


@pytest.mark.parametrize(("status", "code"), [(200, ""), (501, "NotImplemented")])
def test_a_server_that_ignores_or_does_not_know_the_condition_is_refused(
    s3: S3Server, storage: S3Storage, status: int, code: str
) -> None:
    s3.faults.append(Fault("PutObject", times=9, status=status, code=code))
    with pytest.raises(ConfigurationError) as raised:
        storage.probe()
    assert str(raised.value) == (
        f"{storage.location}: the server does not honour conditional writes (If-None-Match), so that two runners "
        "could overwrite each other's commits; use a server that does"
    )


def test_a_part_costs_three_requests(s3: S3Server, storage: S3Storage) -> None:
    storage.probe()
    with s3.counted() as asked:
        upload = storage.stage("data/part-1")
        upload.write(b"x")
        assert storage.publish("data/part-1", upload.finish(), 1)
    assert asked == ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"]


def test_a_thousand_objects_are_deleted_by_a_request(s3: S3Server, storage: S3Storage) -> None:
    names = [f"data/{n}" for n in range(1001)]
    s3.fill(storage._bucket, [f"lake/{name}" for name in [*names, "data/other"]])
    with s3.counted() as asked:
        storage.delete_all(names)
    assert asked == ["DeleteObjects", "DeleteObjects"]
    assert [found.name for found in storage.list()] == ["data/other"]


def test_what_is_refused_together_is_deleted_one_by_one(s3: S3Server, storage: S3Storage) -> None:
    for code, status, body in (
        ("AccessDenied", 403, ""),
        ("NotImplemented", 501, ""),
        ("", 200, "<DeleteResult><Error><Key>lake/x</Key><Code>InternalError</Code></Error></DeleteResult>"),
    ):
        storage.replace("x", b"")
        s3.faults.append(Fault("DeleteObjects", status=status, code=code, body=body))
        storage.delete_all(["x"])
        assert storage.stat("x") is None


def test_an_object_that_cannot_be_deleted_is_named(s3: S3Server, storage: S3Storage) -> None:
    s3.faults.append(Fault("DeleteObjects", status=403, code="AccessDenied"))
    s3.faults.append(Fault("DeleteObject", status=403, code="AccessDenied"))
    with pytest.raises(ConfigurationError) as raised:
        storage.delete_all(["x", "y"])
    assert str(raised.value) == (
        f"{storage.location}: cannot delete x: access is denied; the credentials need s3:DeleteObject (AccessDenied)"
    )


def test_an_answer_without_its_body_is_no_answer(s3: S3Server, storage: S3Storage) -> None:
    for operation, call, action in (
        ("CreateMultipartUpload", lambda: storage.stage("data/part-1"), "stage data/part-1"),
        ("ListObjectsV2", lambda: [*storage.list("data")], "list data/"),
        ("ListObjectsV2", lambda: [*storage.folders("data")], "list data"),
    ):
        s3.faults.append(Fault(operation, status=200))
        with pytest.raises(TransientStreamError) as raised:
            call()
        assert str(raised.value) == f"{storage.location}: cannot {action}: the server's answer cannot be read"
    storage.stage("data/part-1").abort()


def test_large_uploads_are_sent_in_parts_a_few_at_a_time(s3: S3Server, storage: S3Storage) -> None:
    most, now, lock = 0, 0, threading.Lock()
    real = storage._client.upload_part

    def counting(**request: object) -> object:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        try:
            return real(**request)
        finally:
            with lock:
                now -= 1

    upload = storage.stage("data/part-1")
    upload._client = type("Client", (), {"upload_part": staticmethod(counting)})()
    content = bytes(range(256)) * (1 << 12) * 37
    for first in range(0, len(content), 3_000_000):
        upload.write(content[first : first + 3_000_000])
    handle = upload.finish()
    assert most == IN_FLIGHT
    parts = handle["parts"]
    assert isinstance(parts, list)
    assert len(parts) == -(-len(content) // PART_BYTES)
    assert storage.publish("data/part-1", handle, len(content))
    assert storage.read("data/part-1") == content


def test_a_listing_is_lazy_and_goes_on_over_pages(s3: S3Server, storage: S3Storage) -> None:
    s3.fill(storage._bucket, [f"lake/data/{n:05}" for n in range(1003)])
    with s3.counted() as asked:
        listing = storage.list("data")
        assert asked == []
        assert next(listing).name == "data/00000"
    assert asked == ["ListObjectsV2"]
    assert [found.name for found in storage.list()] == [f"data/{n:05}" for n in range(1003)]


def test_what_other_tools_leave_in_a_folder_is_passed_over_when_it_has_no_usable_name(storage: S3Storage) -> None:
    for key in ("lake/", "lake/data/", "lake/data//x", "lake/data/ok", "lake2/x", "lake"):
        storage._client.put_object(Bucket=storage._bucket, Key=key, Body=b"")
    assert [found.name for found in storage.list()] == ["data/ok"]


def test_a_bucket_itself_can_be_the_folder(s3: S3Server) -> None:
    storage = s3.storage(prefix="")
    storage.probe()
    storage.create("data/x", b"")
    storage.stage("data/part-1").finish()
    assert [found.name for found in storage.list()] == ["data/x"]
    assert staged(storage) == ["part-1"]
    assert storage.folder("data").read("x") == b""


def test_a_name_too_long_for_the_folder_is_refused(storage: S3Storage) -> None:
    name = "x" * 1022
    with pytest.raises(ConfigurationError, match=r"is longer than the 1024 bytes that S3 allows; choose a shorter loc"):
        storage.stat(name)
    with pytest.raises(ConfigurationError, match=r"is not valid Unicode; choose another name$"):
        storage.stat("\udc80")


def test_parquet_is_read_with_few_requests(s3: S3Server, storage: S3Storage) -> None:
    table = pa.table({name: pa.array(range(200_000)) for name in "abcd"})
    target = io.BytesIO()
    pq.write_table(table, target, row_group_size=50_000, compression="none", use_dictionary=False)
    storage.replace("data/x.parquet", target.getvalue())
    # Not by read_table: that scans row groups on threads of its own, in an order that is another one each time.
    with s3.counted() as asked, storage.open("data/x.parquet") as stream:
        assert pq.ParquetFile(stream).read(use_threads=False).equals(table)
    assert asked == ["HeadObject", "GetObject", "GetObject", "GetObject"]
    with s3.counted() as asked, storage.open("data/x.parquet") as stream:
        assert pq.ParquetFile(stream).metadata.num_rows == 200_000
    assert asked == ["HeadObject", "GetObject"]


def test_reading_on_asks_for_ever_larger_ranges(s3: S3Server, storage: S3Storage) -> None:
    content = bytes(range(256)) * 4096 * 40
    storage.replace("x", content)
    with s3.counted() as asked, storage.open("x") as stream:
        assert b"".join(iter(lambda: stream.read(100_000), b"")) == content
        assert stream.read(1) == b""
    assert len(asked) <= 8, asked


def test_an_object_that_is_replaced_while_it_is_read_is_noticed(s3: S3Server, storage: S3Storage) -> None:
    storage.replace("x", b"a" * 3_000_000)
    with storage.open("x") as stream:
        stream.read(10)
        storage.replace("x", b"b" * 3_000_000)
        stream.seek(2_500_000)
        with pytest.raises(TransientStreamError, match=r"cannot read x: the object was changed meanwhile \("):
            stream.read(10)


def test_an_upload_of_a_folder_below_is_not_taken_for_garbage(storage: S3Storage) -> None:
    storage.stage("data/part-1").finish()
    storage.folder("orders/a").stage("data/part-2").finish()
    storage.folder("orders/a/b").stage("part-3").finish()
    assert staged(storage) == ["part-1"]
    assert staged(storage.folder("orders/a")) == ["part-2"]
    assert staged(storage.folder("orders/a/b")) == ["part-3"]


def test_an_upload_of_a_sibling_that_begins_alike_is_not_taken_for_garbage(storage: S3Storage) -> None:
    storage.folder("orders2").stage("data/part-1").finish()
    assert staged(storage.folder("orders")) == []


def test_a_staged_name_of_its_own_is_garbage_after_the_upload_is_gone(storage: S3Storage) -> None:
    upload = storage.stage("backfill/x.COMPLETED", staged_as="part-7")
    handle = upload.finish()
    storage._client.abort_multipart_upload(
        Bucket=storage._bucket, Key="lake/backfill/x.COMPLETED", UploadId=handle["upload"]
    )
    assert staged(storage) == ["part-7"]
    for found in storage.staged():
        storage.abort(found.handle)
    assert staged(storage) == []


def test_a_token_that_is_there_already_leaves_nothing_staged(storage: S3Storage) -> None:
    for seq in (1, 2):
        upload = storage.stage("backfill/x.COMPLETED", staged_as=f"part-{seq}")
        upload.write(b"0")
        assert storage.publish("backfill/x.COMPLETED", upload.finish(), 1)
    assert staged(storage) == []


def test_a_foreign_object_in_the_staging_area_is_named(storage: S3Storage) -> None:
    storage._client.put_object(Bucket=storage._bucket, Key="lake/_arcane/stage/notes.txt", Body=b"hello")
    with pytest.raises(FatalStreamError, match=r"/lake/_arcane/stage/notes.txt is no staged object of ours: move it"):
        storage.staged()


def test_what_is_staged_is_published_under_its_own_name_only(storage: S3Storage) -> None:
    handle = storage.stage("data/part-1").finish()
    with pytest.raises(FatalStreamError, match=r"data/part-1 is staged and cannot be published as data/part-2$"):
        storage.publish("data/part-2", handle, 0)


def test_an_upload_that_another_runner_has_removed_ends_the_run_for_now(storage: S3Storage) -> None:
    upload = storage.stage("data/part-1")
    upload.write(b"x")
    for found in storage.staged():
        storage.abort(found.handle)
    with pytest.raises(TransientStreamError) as raised:
        upload.finish()
    assert str(raised.value) == (
        f"{storage.location}: cannot write data/part-1: what was staged is gone; another runner may have removed it "
        "(NoSuchUpload)"
    )


def test_everything_works_over_tls_with_an_authority_of_its_own(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with running_server(context) as server:
        variables = {"AWS_ENDPOINT_URL": server.url, "AWS_CA_BUNDLE": str(tmp_path / "ca.pem")}
        keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "word"}
        settings = s3_settings({**variables, **keys})
        clients = build_clients(settings, "s3://my-lake")
        clients.retrying.create_bucket(Bucket="my-lake")
        storage = open_s3("s3://my-lake/x", settings)
        storage.probe()
        assert storage.create("log/1", b"one")
        content = bytes(range(256)) * (1 << 12) * 9
        upload = storage.stage("data/part-1")
        upload.write(content)
        assert storage.publish("data/part-1", upload.finish(), len(content))
        assert storage.read("data/part-1") == content
        clients.retrying.close()
        clients.single.close()


def test_an_upload_whose_part_fails_is_aborted(s3: S3Server, storage: S3Storage) -> None:
    s3.faults.append(Fault("UploadPart", times=9, status=403, code="AccessDenied"))
    upload = storage.stage("data/part-1")
    upload.write(b"x" * PART_BYTES)
    with pytest.raises(ConfigurationError, match="cannot write data/part-1: access is denied"):
        upload.finish()
    with pytest.raises(ValueError, match="is finished or aborted"):
        upload.write(b"x")
    assert staged(storage) == []

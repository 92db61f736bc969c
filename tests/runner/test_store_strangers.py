"""What others leave in a stream's folder, odd names, wrong clocks: nothing is lost, nothing of others is touched."""

import signal

import pytest

from arcane_framework._core.storage import Storage
from arcane_framework.commits import StreamState
from tests.runner.processes import PLUGINS, Ended, Stream
from tests.storage.azurite import Azurite
from tests.storage.places import Place, azure_place, local_place, numbers, s3_place
from tests.storage.s3_server import S3Server

LOG = "_arcane/log/0000000000000000000"
BACKFILL = {"STREAMCONTEXT__BACKFILL": "true"}


@pytest.fixture(params=["local", "s3", "azure"])
def place(request: pytest.FixtureRequest, stream: Stream) -> Place:
    if request.param == "local":
        return local_place(stream.lake)
    if request.param == "s3":
        return s3_place(request.getfixturevalue("s3"))
    return azure_place(request.getfixturevalue("azurite"))


@pytest.fixture
def home(place: Place, stream: Stream) -> Storage:
    return place.storage.folder(stream.stream_id)


def failure(ended: Ended) -> str:
    assert ended.code == 1, ended.stderr
    return str(ended.error["error"])


def own_rows(home: Storage) -> list[int]:
    return [number for folder in ("backfill", "data") for number in numbers(home.folder(folder))]


def test_what_others_put_into_a_streams_folders_stays_and_is_no_part_of_it(
    place: Place, home: Storage, stream: Stream
) -> None:
    inside = ["data/_SUCCESS", "data/notes.txt", "data/x/y.csv", "backfill/mine.parquet", "_arcane/log-old/1.json"]
    beside = ["orders-10/data/x", "orders-1-old/_arcane/log/notes.txt", "orders/data/x", "notes.txt"]
    for name in inside:
        home.create(name, b"a stranger's")
    for name in beside:
        place.storage.create(name, b"a stranger's")
    # The second backfill removes what the first one has written.
    for backfill_id, total in (("b1", 7), ("b2", 4)):
        ended = place.run(stream, {"total": total}, **BACKFILL, STREAMCONTEXT__BACKFILL_ID=backfill_id)
        assert ended.code == 0, ended.stderr
    assert place.run(stream).code == 0
    assert own_rows(home) == [*range(4), *range(10)]
    assert [home.read(name) for name in inside] == [b"a stranger's"] * len(inside)
    assert [place.storage.read(name) for name in beside] == [b"a stranger's"] * len(beside)
    assert [*StreamState(home).verify()] == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("_arcane/log/notes.txt", b"hello", "/_arcane/log/notes.txt does not belong into a commit log: move it away"),
        (
            f"{LOG}1.json",
            b"hello",
            f"/{LOG}1.json is not a readable commit record (1 errors, first: Invalid JSON: expected value at line 1 "
            "column 1): restore it from a backup",
        ),
        (f"{LOG}3.json", b"{}", f"/{LOG}1.json is missing from the commit log: restore it from a backup"),
    ],
)
def test_what_is_no_entry_of_a_log_is_named_and_nothing_is_guessed(
    place: Place, home: Storage, stream: Stream, name: str, content: bytes, said: str
) -> None:
    home.create(name, content)
    assert failure(place.run(stream)) == f"FatalStreamError: {place.location}/{stream.stream_id}{said}"
    assert home.read(name) == content
    home.delete(name)
    assert place.run(stream).code == 0
    assert own_rows(home) == [*range(10)]


def test_a_file_in_the_place_of_a_folder_is_named_and_what_was_committed_comes_when_it_is_gone(
    stream: Stream,
) -> None:
    stream.home.mkdir(parents=True)
    (stream.home / "data").write_text("a stranger's")
    ended = stream.run()
    assert ended.code == 1
    message = str(ended.error["error"])
    assert message.startswith(f"{stream.home}: cannot publish data/part-")
    assert message.endswith(
        ": a part of the path is a file where a folder is needed; remove it or choose another location"
    )
    assert (stream.home / "data").read_text() == "a stranger's"
    (stream.home / "data").unlink()
    assert stream.run().code == 0
    assert stream.rows() == [*range(10)]


def test_an_object_in_the_staging_area_of_s3_is_named(s3: S3Server, stream: Stream) -> None:
    place = s3_place(s3)
    bucket, key = place.location.split("/")[2], "lake/orders-1/_arcane/stage/notes.txt"
    s3.clients.retrying.put_object(Bucket=bucket, Key=key, Body=b"hello")
    assert failure(place.run(stream)) == (
        f"FatalStreamError: s3://{bucket}/{key} is no staged object of ours: move it away"
    )
    s3.clients.retrying.delete_object(Bucket=bucket, Key=key)
    assert place.run(stream).code == 0
    assert numbers(place.storage) == [*range(10)]


def test_another_tools_upload_into_a_bucket_is_not_aborted(s3: S3Server, stream: Stream) -> None:
    place, client = s3_place(s3), s3.clients.retrying
    target = {"Bucket": place.location.split("/")[2], "Key": "lake/orders-1/data/big.csv"}
    upload = client.create_multipart_upload(**target)["UploadId"]
    etag = client.upload_part(**target, UploadId=upload, PartNumber=1, Body=b"theirs")["ETag"]
    for total in (5, 10):
        assert place.run(stream, {"total": total}).code == 0
    client.complete_multipart_upload(
        **target, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}
    )
    assert place.storage.read("orders-1/data/big.csv") == b"theirs"
    assert numbers(place.storage) == [*range(10)]


def test_another_tools_blocks_in_a_container_stay(azurite: Azurite, stream: Stream) -> None:
    place = azure_place(azurite)
    theirs = place.storage.stage("orders-1/data/big.csv")
    theirs.write(b"theirs")
    handle = theirs.finish()
    for total in (5, 10):
        assert place.run(stream, {"total": total}).code == 0
    assert place.storage.publish("orders-1/data/big.csv", handle, 6)
    assert numbers(place.storage) == [*range(10)]


# Names.


@pytest.mark.parametrize(
    "stream_id",
    [
        "a%2F..%2Fb %2e%2e x?y#z&w=+;:@'\"*",
        "\u2024\u2024\u2215\uff0e\uff0e\uff0fup e\u0301\U0001f600",
        "_arcane",
        "\u00fc" * 127,
    ],
    ids=["escapes", "look-alikes", "_arcane", "254 bytes"],
)
def test_an_odd_stream_id_is_a_folder_of_that_very_name(place: Place, stream: Stream, stream_id: str) -> None:
    odd = Stream(stream.folder, stream.lake, stream_id)
    ended = place.run(odd)
    assert ended.code == 0, ended.stderr
    assert {each.name.partition("/")[0] for each in place.storage.list()} == {stream_id}
    assert numbers(place.storage.folder(stream_id)) == [*range(10)]
    # The log is found again.
    assert place.run(odd, {"total": 12}).code == 0
    assert numbers(place.storage.folder(stream_id)) == [*range(12)]


@pytest.mark.parametrize("stream_id", ["\u202efdp.exe", "orders\u200b1", "\ufefforders", "orders\u00a01"])
def test_a_stream_id_that_looks_like_another_is_refused(stream: Stream, stream_id: str) -> None:
    ended = Stream(stream.folder, stream.lake, stream_id).run()
    assert "STREAMCONTEXT__STREAM_ID: holds a character that cannot be printed" in ended.configuration_error
    assert not stream.lake.exists()


def test_a_stream_id_that_azure_would_shorten_is_refused(azurite: Azurite, stream: Stream) -> None:
    place = azure_place(azurite)
    ended = place.run(Stream(stream.folder, stream.lake, "orders."))
    assert ended.configuration_error == (
        f"{place.location}: 'orders.' cannot be a name on Azure: no segment may end in a dot, and U+FFFE and U+FFFF "
        "are not allowed"
    )
    assert [*place.storage.list()] == []


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("../lake", "cannot be used as a storage path"),
        ("lake//x", "cannot be used as a storage path"),
        ("_arcane/stage", "cannot be used as a storage path"),
        ("x" * 1024, "allows; choose a shorter"),
    ],
)
def test_a_location_that_leads_elsewhere_is_refused(s3: S3Server, stream: Stream, prefix: str, said: str) -> None:
    place = s3_place(s3)
    location = f"{place.location.removesuffix('lake')}{prefix}"
    ended = place.run(stream, {"sinkLocation": location})
    assert said in ended.configuration_error
    assert [*place.storage.list()] == []


# Clocks.


def test_a_wrong_clock_harms_no_commit(place: Place, home: Storage, stream: Stream) -> None:
    plugin = f"{PLUGINS}.wrong_clock:host"
    for days, total in ((5000, 4), (-5000, 7), (0, 9), (-9000, 13)):
        ended = place.run(stream, {"total": total}, plugin, TEST_CLOCK_DAYS=str(days))
        assert ended.code == 0, ended.stderr
        assert own_rows(home) == [*range(total)]
    state = StreamState(home)
    assert [*state.verify()] == []
    times = [commit.time for commit in state.commits()]
    assert times != sorted(times)


def test_of_two_runners_with_clocks_far_apart_one_is_fenced(place: Place, home: Storage, stream: Stream) -> None:
    plugin = f"{PLUGINS}.wrong_clock:host"
    spec = {"sinkLocation": place.location, "total": 600, "pauseSeconds": 0.05}
    late = stream.environment(spec, **place.environment(), TEST_CLOCK_DAYS="5000")
    early = stream.environment({**spec, "pauseSeconds": 0}, **place.environment(), TEST_CLOCK_DAYS="-5000")
    with stream.start(late, plugin) as older:
        older.wait_for("committed")
        # Frozen, or it might commit at the very moment of the other's claim, and win.
        older.send(signal.SIGSTOP)
        with stream.start(early, plugin) as newer:
            newer.wait_for("starting")
            older.send(signal.SIGCONT)
            fenced, finished = older.end(), newer.end()
    assert (finished.code, fenced.code) == (0, 2), fenced.stderr + finished.stderr
    # By the next number of the log, or by an upload that the other one has aborted.
    assert "another runner" in str(fenced.error["error"])
    assert own_rows(home) == [*range(600)]

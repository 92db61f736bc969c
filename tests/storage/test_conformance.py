"""What every storage must do. Local, in memory, and whatever else implements the protocol."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arcane_framework._core.errors import ConfigurationError, FatalStreamError
from arcane_framework._core.storage import Storage, StoredObject, check_name

# One storage for all examples: each one cleans up, or has a folder of its own.
ANY_STORAGE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)

ODD_NAMES = [
    "a b",
    "ü/ß.json",
    "100%.txt",
    "%2e%2e/x",
    "a?b=c#d",
    "-rf",
    "~",
    "*",
    "_batch_date=2026-01-01/p",
    "日本/語",
]

BAD_NAMES = ["", "/a", "a/", "a//b", "..", "a/../b", ".", "a/./b", "a\\b", "a\nb", "a\0b", "a\x7f", "a" * 1025]

CALLS: dict[str, Callable[[Storage, str], object]] = {
    "folder": lambda storage, name: storage.folder(name),
    "stat": lambda storage, name: storage.stat(name),
    "open": lambda storage, name: storage.open(name),
    "create": lambda storage, name: storage.create(name, b""),
    "replace": lambda storage, name: storage.replace(name, b""),
    "delete": lambda storage, name: storage.delete(name),
    "stage": lambda storage, name: storage.stage(name),
    "publish": lambda storage, name: storage.publish(name, {"stage": "x"}, 0),
}


def listed(storage: Storage, prefix: str = "") -> list[str]:
    return [found.name for found in storage.list(prefix)]


def staged(storage: Storage) -> list[str]:
    return [found.name for found in storage.staged()]


def test_a_probe_leaves_no_object_and_nothing_staged(storage: Storage) -> None:
    storage.probe()
    storage.probe()
    assert listed(storage) == []
    assert staged(storage) == []


def test_create_makes_an_object_once(storage: Storage) -> None:
    assert storage.create("log/1.json", b"one")
    assert not storage.create("log/1.json", b"two")
    assert storage.read("log/1.json") == b"one"


def test_create_works_without_a_probe_and_after_one(storage: Storage) -> None:
    assert storage.create("a", b"")
    storage.probe()
    assert storage.create("b", b"")
    assert listed(storage) == ["a", "b"]


def test_of_many_creators_of_one_name_exactly_one_succeeds(storage: Storage) -> None:
    start = threading.Barrier(8)

    def race(writer: int) -> list[bool]:
        start.wait()
        return [storage.create(f"log/{n}", b"%d" % writer) for n in range(30)]

    with ThreadPoolExecutor(8) as pool:
        won = [*pool.map(race, range(8))]
    for n in range(30):
        winners = [writer for writer in range(8) if won[writer][n]]
        assert [storage.read(f"log/{n}")] == [b"%d" % writer for writer in winners]


def test_replace_creates_and_overwrites(storage: Storage) -> None:
    storage.replace("metadata/v0/x.json", b"long content")
    storage.replace("metadata/v0/x.json", b"short")
    assert storage.read("metadata/v0/x.json") == b"short"


def test_stat_tells_name_size_time_and_an_etag_that_changes_with_the_content(storage: Storage) -> None:
    assert storage.stat("a/b") is None
    storage.replace("a/b", b"123")
    first = storage.stat("a/b")
    storage.replace("a/b", b"456")
    second = storage.stat("a/b")
    assert isinstance(first, StoredObject)
    assert isinstance(second, StoredObject)
    assert (first.name, first.size) == ("a/b", 3)
    assert first.modified.utcoffset() == timedelta(0)
    assert first.etag
    assert first.etag != second.etag
    assert [*storage.list("a")] == [second]


def test_a_folder_is_no_object(storage: Storage) -> None:
    storage.create("a/b", b"")
    assert storage.stat("a") is None
    with pytest.raises(FileNotFoundError):
        storage.open("a")


def test_reading_what_is_not_there_names_it(storage: Storage) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no data/part-1$"):
        storage.open("data/part-1")
    with pytest.raises(FileNotFoundError, match=r"there is no data/part-1$"):
        storage.read("data/part-1")


def test_a_reader_can_seek(storage: Storage) -> None:
    storage.create("a", b"0123456789")
    with storage.open("a") as stream:
        stream.seek(-3, 2)
        assert stream.read(2) == b"78"
        stream.seek(0)
        assert stream.read() == b"0123456789"


def test_deleting_is_idempotent(storage: Storage) -> None:
    storage.delete("a/b")
    storage.create("a/b", b"")
    storage.delete("a/b")
    storage.delete("a/b")
    assert listed(storage) == []
    assert storage.create("a/b", b"again")


def test_many_are_deleted_whether_they_are_there_or_not(storage: Storage) -> None:
    names = [f"log/{n:03} ü&" for n in range(12)]
    for name in [*names[::2], "log/other"]:
        storage.create(name, b"")
    storage.delete_all(iter(names))
    storage.delete_all([])
    assert listed(storage) == ["log/other"]


def test_folders_are_listed_without_what_is_in_them(storage: Storage) -> None:
    for name in ["a/1", "a/b/2", "a/b/3", "a/c/d/4", "ab/5", "6", "ü/&/7", "_batch_date=2026-01-01/8", "a&b/9"]:
        storage.create(name, b"")
    storage.stage("data/part-1").finish()
    found = [name for name in storage.folders() if name not in ("_arcane", "data")]
    assert found == ["_batch_date=2026-01-01", "a&b", "a", "ab", "ü"]
    assert [*storage.folders("a")] == ["b", "c"]
    assert [*storage.folder("a").folders("c")] == ["d"]
    assert [*storage.folders("a/b")] == [*storage.folders("no")] == []
    with pytest.raises(ConfigurationError):
        [*storage.folders("../a")]


def test_a_listing_can_be_kept_to_names_that_begin_alike(storage: Storage) -> None:
    names = ["a/1/x", "a/10", "a/11", "a/2", "b/10", "log", "10"]
    for name in names:
        storage.create(name, b"")
    assert [found.name for found in storage.list("a", starting="1")] == ["a/1/x", "a/10", "a/11"]
    assert [found.name for found in storage.list("a", starting="11")] == ["a/11"]
    assert [found.name for found in storage.list("a", starting="3")] == []
    assert [found.name for found in storage.list(starting="1")] == ["10"]


def test_a_listing_is_recursive_and_ordered_like_keys(storage: Storage) -> None:
    names = ["a.json", "a/b", "a/c/d", "a-b", "ab", "B", "ü", "a/c.x"]
    for name in names:
        storage.create(name, b"")
    assert listed(storage) == sorted(names)


def test_a_prefix_is_a_folder_and_never_a_sibling_that_begins_alike(storage: Storage) -> None:
    for name in ("data/1", "data/x/2", "data2/3", "data.json", "other"):
        storage.create(name, b"")
    assert listed(storage, "data") == ["data/1", "data/x/2"]
    assert listed(storage, "data/x") == ["data/x/2"]
    assert listed(storage, "other") == []
    assert listed(storage, "missing") == []


def test_a_listing_has_the_log_but_never_what_is_staged(storage: Storage) -> None:
    storage.create("_arcane/log/1.json", b"")
    storage.stage("data/part-1").finish()
    storage.folder("stream").stage("data/part-2").finish()
    assert listed(storage) == ["_arcane/log/1.json"]
    assert listed(storage, "_arcane") == ["_arcane/log/1.json"]
    assert listed(storage, "_arcane/stage") == []
    assert listed(storage.folder("_arcane")) == ["log/1.json"]


def test_a_folder_is_the_same_storage_one_level_down(storage: Storage) -> None:
    storage.folder("orders").create("data/1", b"x")
    assert listed(storage) == ["orders/data/1"]
    assert listed(storage.folder("orders").folder("data")) == ["1"]
    assert storage.folder("orders/data").read("1") == b"x"
    assert storage.folder("orders/data").location == f"{storage.location}/orders/data"


def test_each_folder_has_a_staging_area_of_its_own(storage: Storage) -> None:
    storage.folder("orders").stage("data/part-1").finish()
    assert staged(storage) == []
    assert staged(storage.folder("orders")) == ["part-1"]
    assert staged(storage.folder("other")) == []


def test_a_staged_object_is_invisible_until_it_is_published(storage: Storage) -> None:
    upload = storage.stage("data/day=1/part-1")
    assert upload.write(b"one ") == 4
    assert upload.write(memoryview(b"two")) == 3
    handle = upload.finish()
    assert listed(storage) == []
    assert storage.stat("data/day=1/part-1") is None
    assert [(found.name, found.handle) for found in storage.staged()] == [("part-1", handle)]
    assert storage.publish("data/day=1/part-1", handle, 7)
    assert storage.read("data/day=1/part-1") == b"one two"
    assert staged(storage) == []


def test_publishing_again_changes_nothing(storage: Storage) -> None:
    upload = storage.stage("data/part-1")
    upload.write(b"one")
    handle = upload.finish()
    assert storage.publish("data/part-1", handle, 3)
    before = [*storage.list()]
    assert storage.publish("data/part-1", handle, 3)
    assert [*storage.list()] == before


def test_a_staged_object_is_published_by_anyone_who_has_its_handle(storage: Storage) -> None:
    handle = dict(storage.folder("orders").stage("data/part-1").finish())
    assert storage.folder("orders").publish("data/part-1", handle, 0)


def test_publishing_what_is_neither_staged_nor_there_says_so(storage: Storage) -> None:
    upload = storage.stage("data/part-1")
    handle = upload.finish()
    upload.abort()
    assert not storage.publish("data/part-1", handle, 0)
    assert listed(storage) == []


def test_an_object_of_the_wrong_size_is_not_published(storage: Storage) -> None:
    upload = storage.stage("data/part-1")
    upload.write(b"one")
    handle = upload.finish()
    with pytest.raises(FatalStreamError) as raised:
        storage.publish("data/part-1", handle, 4)
    assert str(raised.value) == (
        f"{storage.location}: data/part-1 has 3 bytes where 4 were staged: the storage lost or changed data"
    )
    assert listed(storage) == []


def test_publishing_never_overwrites_another_object(storage: Storage) -> None:
    storage.create("data/part-1", b"somebody else's")
    upload = storage.stage("data/part-1")
    upload.write(b"one")
    handle = upload.finish()
    with pytest.raises(FatalStreamError, match="has 15 bytes where 3 were staged"):
        storage.publish("data/part-1", handle, 3)
    assert storage.read("data/part-1") == b"somebody else's"
    assert staged(storage) == ["part-1"]


def test_many_publishers_of_one_object_all_succeed(storage: Storage) -> None:
    handles = {}
    for n in range(30):
        upload = storage.stage(f"data/part-{n}")
        upload.write(b"%d" % n)
        handles[f"data/part-{n}"] = (upload.finish(), len(str(n)))
    start = threading.Barrier(6)

    def race(_: int) -> list[bool]:
        start.wait()
        return [storage.publish(name, handle, size) for name, (handle, size) in handles.items()]

    with ThreadPoolExecutor(6) as pool:
        assert all(all(done) for done in pool.map(race, range(6)))
    assert {name: storage.read(name) for name in listed(storage)} == {f"data/part-{n}": b"%d" % n for n in range(30)}


def test_an_aborted_upload_leaves_nothing(storage: Storage) -> None:
    upload = storage.stage("data/part-1")
    upload.write(b"x" * 3_000_000)
    upload.abort()
    upload.abort()
    assert staged(storage) == []
    finished = storage.stage("data/part-1")
    handle = finished.finish()
    storage.abort(handle)
    storage.abort(handle)
    finished.abort()
    assert staged(storage) == []


def test_an_upload_that_is_still_written_is_staged(storage: Storage) -> None:
    storage.stage("data/part-2")
    storage.stage("data/part-1")
    assert staged(storage) == ["part-1", "part-2"]


def test_nothing_is_written_to_a_finished_upload(storage: Storage) -> None:
    upload = storage.stage("data/part-1")
    upload.finish()
    with pytest.raises(ValueError, match=r"^data/part-1 is finished or aborted; nothing can be written to it$"):
        upload.write(b"x")
    with pytest.raises(ValueError, match="is finished or aborted"):
        upload.finish()


def test_a_name_is_staged_once(storage: Storage) -> None:
    storage.stage("data/part-1")
    with pytest.raises(FatalStreamError) as raised:
        storage.stage("backfill/part-1")
    assert str(raised.value) == (
        f"{storage.location}: cannot stage backfill/part-1: an object of that name is staged already"
    )


def test_an_object_can_be_staged_under_a_name_of_its_own(storage: Storage) -> None:
    upload = storage.stage("backfill/abc.COMPLETED", staged_as="7-0-nonce.COMPLETED")
    upload.write(b"\0")
    handle = upload.finish()
    assert [(found.name, found.handle) for found in storage.staged()] == [("7-0-nonce.COMPLETED", handle)]
    assert storage.publish("backfill/abc.COMPLETED", handle, 1)
    assert listed(storage) == ["backfill/abc.COMPLETED"]
    assert staged(storage) == []


@pytest.mark.parametrize("staged_as", ["a/b", "..", "", ".tmp-1"])
def test_a_staged_name_is_one_safe_segment(storage: Storage, staged_as: str) -> None:
    with pytest.raises(ConfigurationError):
        storage.stage("data/part-1", staged_as)
    assert staged(storage) == []


@ANY_STORAGE
@given(sizes=st.lists(st.sampled_from([0, 1, 10, 1000, (1 << 20) - 1, 1 << 20, 3_000_000]), max_size=6))
def test_what_is_written_comes_back_whatever_the_pieces(storage: Storage, sizes: list[int]) -> None:
    pieces = [bytes([index + 1]) * size for index, size in enumerate(sizes)]
    upload = storage.stage("data/part-1")
    for piece in pieces:
        assert upload.write(piece) == len(piece)
    handle = upload.finish()
    assert storage.publish("data/part-1", handle, sum(sizes))
    assert storage.read("data/part-1") == b"".join(pieces)
    storage.delete("data/part-1")


def test_uploads_take_the_buffers_of_pyarrow(storage: Storage) -> None:
    upload = storage.stage("a")
    small, large = pa.py_buffer(b"12345"), pa.py_buffer(b"6" * (1 << 21))
    assert upload.write(small) == 5
    assert upload.write(large) == 1 << 21
    assert upload.write(memoryview(pa.array([1], pa.int64()).buffers()[1]).cast("B").cast("q")[:1]) == 8
    upload.finish()
    table = pa.table({"n": pa.array(range(10_000))})
    parquet = storage.stage("part.parquet")
    with pq.ParquetWriter(pa.PythonFile(_Appending(parquet.write), "w"), table.schema) as writer:
        writer.write_table(table)
    handle = parquet.finish()
    size = _Appending.written
    assert storage.publish("part.parquet", handle, size)
    with storage.open("part.parquet") as stream:
        assert pq.read_table(stream).equals(table)


class _Appending:
    """What pyarrow needs of a file in order to write one."""

    written = 0
    closed = False

    def __init__(self, write: Callable[[bytes], int]) -> None:
        self._write = write
        _Appending.written = 0

    def write(self, data: bytes) -> int:
        _Appending.written += self._write(data)
        return len(data)

    def tell(self) -> int:
        return _Appending.written

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_kept_as_they_are(storage: Storage, name: str) -> None:
    assert storage.create(name, b"created")
    assert listed(storage) == [name]
    assert storage.read(name) == b"created"
    storage.delete(name)
    upload = storage.stage(name)
    assert storage.publish(name, upload.finish(), 0)
    assert listed(storage) == [name]
    assert listed(storage.folder("odd")) == []


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", BAD_NAMES)
def test_unsafe_names_are_refused_by_every_call(storage: Storage, call: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used as a storage path"):
        CALLS[call](storage, name)


@pytest.mark.parametrize("prefix", ["/a", "a/", "..", "a\\b"])
def test_an_unsafe_prefix_is_refused_at_once(storage: Storage, prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used as a storage path"):
        storage.list(prefix)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["_arcane/stage", "_arcane/stage/x", "stream/_arcane/stage/x"])
def test_the_staging_area_has_no_objects(storage: Storage, call: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"_arcane/stage is kept for staged objects$"):
        CALLS[call](storage, name)
    with pytest.raises(ConfigurationError, match=r"_arcane/stage is kept for staged objects$"):
        CALLS[call](storage.folder("_arcane"), "stage/x")


@pytest.mark.parametrize("handle", [{}, {"stage": 1}, {"stage": "a/b"}, {"stage": ".tmp-1"}, {"upload": "x"}])
def test_a_handle_of_another_kind_of_storage_is_refused(storage: Storage, handle: dict[str, str]) -> None:
    with pytest.raises(FatalStreamError, match="is not a publish handle of a folder on a disk or in memory"):
        storage.publish("a", handle, 0)
    with pytest.raises(FatalStreamError, match="is not a publish handle of a folder on a disk or in memory"):
        storage.abort(handle)


@pytest.mark.parametrize("name", ["..", "../x", "."])
def test_a_handle_never_leads_out_of_the_staging_area(storage: Storage, name: str) -> None:
    with pytest.raises((ConfigurationError, FatalStreamError)):
        storage.abort({"stage": name})


@ANY_STORAGE
@given(name=st.text(max_size=60).map(lambda text: text.replace("|", "/")) | st.from_regex(r"\A[./\\a\x00]{1,12}\Z"))
def test_a_name_is_refused_or_comes_back_exactly(storage: Storage, name: str) -> None:
    storage = storage.folder(uuid4().hex)
    try:
        assert check_name(name) == name
    except ConfigurationError:
        with pytest.raises(ConfigurationError):
            storage.create(name, b"x")
        return
    assert storage.create(name, b"x")
    assert listed(storage) == [name]
    assert storage.read(name) == b"x"
    storage.delete(name)
    assert listed(storage) == []

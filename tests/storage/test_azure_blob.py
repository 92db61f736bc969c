"""What only Azure has: blocks, pages, directory markers, ranged reads, and how many requests it takes."""

import io
import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from azure.storage.blob import ContainerClient

from arcane_framework._core.errors import ConfigurationError, FatalStreamError, TransientStreamError
from arcane_framework.storage.azure_blob import AzureBlobStorage
from arcane_framework.storage.azure_upload import BLOCKS_IN_MEMORY, BlockUpload
from tests.storage.azurite import Azurite
from tests.storage.fault_proxy import FaultProxy


@pytest.fixture
def storage(azurite: Azurite, proxy: FaultProxy, container: ContainerClient) -> AzureBlobStorage:
    return Azurite(proxy.url, azurite.key).storage(container.container_name, "lake/orders")


def upload(storage: AzureBlobStorage, name: str, content: bytes) -> dict[str, object]:
    staged = storage.stage(name)
    staged.write(content)
    return dict(staged.finish())


def test_a_small_part_takes_two_requests_and_a_commit_one(storage: AzureBlobStorage, proxy: FaultProxy) -> None:
    handle = upload(storage, "data/part-1", b"x" * 1_000_000)
    assert storage.publish("data/part-1", json.loads(json.dumps(handle)), 1_000_000)
    assert len(proxy.requests) == 2
    assert storage.create("_arcane/log/1.json", b"{}")
    assert len(proxy.requests) == 3
    assert storage.read("_arcane/log/1.json") == b"{}"
    assert len(proxy.requests) == 4


def test_a_probe_takes_four_requests_and_leaves_nothing(
    storage: AzureBlobStorage, proxy: FaultProxy, container: ContainerClient
) -> None:
    storage.probe()
    assert [method for method, _ in proxy.requests] == ["GET", "PUT", "PUT", "DELETE"]
    assert [*container.list_blobs(include=["uncommittedblobs"])] == []


def test_large_uploads_are_sent_in_blocks_and_come_back(azurite: Azurite, proxy: FaultProxy) -> None:
    server = Azurite(proxy.url, azurite.key)
    storage = server.storage(azurite.new_container().container_name, block_bytes=1 << 20)
    content = random.Random(1).randbytes(7_500_000)
    staged = storage.stage("part")
    for start in range(0, len(content), 700_000):
        staged.write(content[start : start + 700_000])
    assert storage.publish("part", staged.finish(), len(content))
    assert storage.read("part") == content
    assert proxy.count("PUT", "comp=block&") == 8
    assert proxy.count("PUT", "comp=blocklist") == 1


def test_an_upload_holds_three_blocks_in_memory_at_most() -> None:
    lock, held, most = threading.Lock(), [0], [0]
    release = threading.Event()

    def send(block: str, data: bytes) -> None:
        with lock:
            held[0] += 1
            most[0] = max(most[0], held[0])
        release.wait(0.01)
        with lock:
            held[0] -= 1

    staged = BlockUpload("part", send, 1000)
    for _ in range(40):
        staged.write(b"x" * 700)
    assert staged.finish()["blocks"] == 28
    assert 1 < most[0] <= BLOCKS_IN_MEMORY - 1


def test_an_error_of_a_block_comes_up_and_ends_the_upload() -> None:
    def send(block: str, data: bytes) -> None:
        raise TransientStreamError("the service is busy")

    staged = BlockUpload("part", send, 10)
    with pytest.raises(TransientStreamError, match="the service is busy"):
        staged.write(b"x" * 1000)
    with pytest.raises(ValueError, match="part is finished or aborted"):
        staged.finish()


def test_blocks_of_other_attempts_do_not_get_into_an_object(storage: AzureBlobStorage) -> None:
    handles = {content: upload(storage, "backfill/abc.COMPLETED", content) for content in (b"one", b"two", b"six")}
    start = threading.Barrier(3)

    def publish(content: bytes) -> bool:
        start.wait()
        return storage.publish("backfill/abc.COMPLETED", json.loads(json.dumps(handles[content])), 3)

    with ThreadPoolExecutor(3) as pool:
        assert [*pool.map(publish, handles)] == [True, True, True]
    assert storage.read("backfill/abc.COMPLETED") in handles


def test_a_handle_is_for_one_name(storage: AzureBlobStorage) -> None:
    handle = json.loads(json.dumps(upload(storage, "data/part-1", b"one")))
    with pytest.raises(FatalStreamError) as raised:
        storage.publish("data/part-2", handle, 3)
    assert (
        str(raised.value) == f"{storage.location}: cannot publish data/part-2: 'data/part-1' was staged by that handle"
    )


def test_directory_markers_are_no_objects(storage: AzureBlobStorage, container: ContainerClient) -> None:
    for name in ("lake/orders", "lake/orders/data", "lake/orders/data/day=1"):
        container.upload_blob(name, b"", metadata={"hdi_isfolder": "true"})
    container.upload_blob("lake/orders/data/day=1/part", b"x", metadata={"owner": "somebody"})
    assert [found.name for found in storage.list()] == ["data/day=1/part"]
    assert storage.stat("data/day=1") is None
    for call in (storage.open, storage.read):
        with pytest.raises(FileNotFoundError, match=r"there is no data/day=1$"):
            call("data/day=1")
    assert [*storage.staged()] == []


def test_a_listing_has_the_folder_only_and_is_read_page_by_page(
    storage: AzureBlobStorage, proxy: FaultProxy, container: ContainerClient
) -> None:
    for name in ("lake/orders/data/1", "lake/orders/data2/2", "lake/orders2/data/3", "lake/other", "orders/data/4"):
        container.upload_blob(name, b"")
    assert [found.name for found in storage.list()] == ["data/1", "data2/2"]
    assert [found.name for found in storage.list("data")] == ["data/1"]
    listing = storage.list("data")
    before = proxy.count("GET", "comp=list")
    next(listing)
    assert proxy.count("GET", "comp=list") == before + 1


def test_what_a_killed_probe_leaves_is_no_object(storage: AzureBlobStorage, container: ContainerClient) -> None:
    container.upload_blob("lake/orders/_arcane/stage/probe-1", b"")
    container.upload_blob("lake/orders/data//odd", b"")
    assert [*storage.list()] == []


def test_long_listings_have_several_pages(storage: AzureBlobStorage, proxy: FaultProxy) -> None:
    for index in range(7):
        storage.create(f"data/{index}", b"")
    proxy.requests.clear()
    assert [found.name for found in storage._pages("data/", 3)] == [f"lake/orders/data/{index}" for index in range(7)]
    assert proxy.count("GET", "comp=list") == 3


def test_a_parquet_file_is_read_by_ranges(storage: AzureBlobStorage, proxy: FaultProxy) -> None:
    table = pa.table({f"c{n}": pa.array(random.Random(n).choices(range(1 << 60), k=100_000)) for n in range(8)})
    target = io.BytesIO()
    pq.write_table(table, target, compression="none", use_dictionary=False)
    content = target.getvalue()
    storage.replace("part.parquet", content)
    proxy.requests.clear()
    with storage.open("part.parquet") as stream:
        file = pq.ParquetFile(stream)
        assert file.read(["c3"]).column("c3").equals(table.column("c3"))
    assert len(proxy.requests) <= 5


def test_reading_from_front_to_back_takes_few_requests(storage: AzureBlobStorage, proxy: FaultProxy) -> None:
    content = random.Random(2).randbytes(10_000_000)
    storage.replace("big", content)
    proxy.requests.clear()
    with storage.open("big") as stream:
        assert b"".join(iter(lambda: stream.read(50_000), b"")) == content
    assert len(proxy.requests) <= 10


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 200_000])
def test_any_seek_and_read_gives_what_a_file_gives(storage: AzureBlobStorage, size: int) -> None:
    rng = random.Random(size)
    content = rng.randbytes(size)
    storage.replace("a", content)
    expected = io.BytesIO(content)
    with storage.open("a") as stream:
        for _ in range(25):
            offset, length = rng.randint(0, size + 10), rng.choice([0, 1, 1000, 100_000, -1])
            assert stream.seek(offset) == expected.seek(offset)
            assert stream.read(length) == expected.read(length)
            assert stream.tell() == expected.tell()
        with pytest.raises(ValueError, match="negative seek"):
            stream.seek(-size - 1, 2)


def test_a_reader_notices_that_the_object_was_replaced(storage: AzureBlobStorage) -> None:
    storage.replace("a", b"1" * 300_000)
    with storage.open("a") as stream:
        storage.replace("a", b"2" * 300_000)
        with pytest.raises(TransientStreamError) as raised:
            stream.read()
    assert str(raised.value) == f"{storage.location}: a was changed or deleted while it was read"


@pytest.mark.parametrize("name", ["a.", "a./b", "a\ufffe", "a\uffff"])
def test_names_that_azure_changes_are_refused(storage: AzureBlobStorage, name: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        storage.create(name, b"")
    assert str(raised.value) == (
        f"{storage.location}: {name!r} cannot be a name on Azure: no segment may end in a dot, "
        "and U+FFFE and U+FFFF are not allowed"
    )
    with pytest.raises(ConfigurationError, match="is too long, folders and all: Azure takes 1024 bytes"):
        storage.create("a" * 1020, b"")

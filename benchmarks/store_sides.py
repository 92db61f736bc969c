"""The two sides of `stores`: a sink with its commits, and a script that uploads the same parts; in one process."""

import gc
import http.client
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pyarrow as pa

from arcane_framework import Batch, Grouping, Wait, Watermark
from arcane_framework._core.storage import Storage
from arcane_framework.sinks import ParquetSettings, ParquetSink
from arcane_framework.sinks.parquet import parquet_writer
from arcane_framework.storage import StorageOpener
from benchmarks.child import Stopwatch, peak_memory
from benchmarks.parts import RepeatedBatch, run_graph, services
from benchmarks.writing import mixed_rows

SIDES = ("sink", "plain", "plain, threads")
UPLOAD_THREADS = 2
"""As many as a sink sends requests with at the same time."""

Upload = Callable[[str, io.BytesIO], object]
Variant = Mapping[str, Any]
"""What is measured: `location`, `settings` (of the storage), `data` (`random` or `mixed`), and a `name`."""


class Watch(Stopwatch):
    """Also counts requests, and the CPU seconds of the server."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self._pid = pid
        self._requests = len(REQUESTS)
        self._server = server_cpu(pid)

    def read(self) -> dict[str, float]:
        result = super().read()
        return {**result, "requests": len(REQUESTS) - self._requests, "server": server_cpu(self._pid) - self._server}


class TimedSource(RepeatedBatch):
    """Notes when its first batch is asked for: the sink is open then."""

    def __init__(self, data: pa.RecordBatch, times: int, pid: int = 0) -> None:
        super().__init__(data, times)
        self._pid = pid
        self.watch = Watch(pid)

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        self.opening = self.watch.read()
        self.watch = Watch(self._pid)
        yield from super().stream(watermark)


REQUESTS: list[str] = []
"""Each request that this process has sent, repetitions included."""


def measure(variants: Sequence[Variant], parts: int, rows: int, turn: int) -> dict[str, float]:
    """Each side of each variant once; the order of the sides changes with `turn`. Keys are `variant|side|figure`."""
    count_requests()
    found = {}
    for variant in variants:
        data = random_rows(rows) if variant["data"] == "random" else mixed_rows(rows // 10)
        for number in range(len(SIDES)):
            side = SIDES[(number + turn) % len(SIDES)]
            result = SIDE[side](variant, data, parts)
            gc.collect()
            found.update({f"{variant['name']}|{side}|{key}": value for key, value in result.items()})
    return found


def sink(variant: Variant, data: pa.RecordBatch, parts: int) -> dict[str, float]:
    """Our side: each part is committed and published by itself."""
    storage = opened(variant, new_folder())
    source = TimedSource(data, parts, variant["pid"])
    target = ParquetSink(storage, grouping=Grouping(rows=data.num_rows), parquet=ParquetSettings())
    summary = run_graph(services(), source, [], target)
    result = source.watch.read()
    assert summary.parts == parts
    clear(storage)
    return {**result, "opening": source.opening["wall"], "nbytes": summary.nbytes}


def plain(variant: Variant, data: pa.RecordBatch, parts: int, threads: int = 0) -> dict[str, float]:
    """A script: encodes and uploads one part after the other, or uploads on `threads` threads while it encodes on."""
    folder = new_folder()
    with uploader(variant, folder) as upload:
        # So that both have a connection, and the SDK its modules.
        upload("first", io.BytesIO(b"\0"))
        watch = Watch(variant["pid"])
        encoded = (encode(data) for _ in range(parts))
        nbytes = upload_all(upload, encoded, threads) if threads else sum(sent(upload, file) for file in encoded)
        result = watch.read()
    clear(opened(variant, folder))
    return {**result, "nbytes": nbytes}


def plain_with_threads(variant: Variant, data: pa.RecordBatch, parts: int) -> dict[str, float]:
    """The script with as many threads as the sink."""
    return plain(variant, data, parts, UPLOAD_THREADS)


SIDE = {"sink": sink, "plain": plain, "plain, threads": plain_with_threads}


def encode(data: pa.RecordBatch) -> io.BytesIO:
    """A part as the sink encodes it."""
    file = io.BytesIO()
    table = pa.Table.from_batches([data])
    with parquet_writer(file, data.schema, table, ParquetSettings()) as writer:
        writer.write_table(table, row_group_size=data.num_rows)
    file.seek(0)
    return file


def sent(upload: Upload, file: io.BytesIO) -> int:
    """Upload a file; its size."""
    nbytes = file.getbuffer().nbytes
    upload(f"part-{uuid4().hex}.parquet", file)
    return nbytes


def upload_all(upload: Upload, encoded: Iterator[io.BytesIO], threads: int) -> int:
    """Upload on threads; holds no more files than these and one."""
    free = BoundedSemaphore(threads)

    def one(file: io.BytesIO) -> int:
        try:
            return sent(upload, file)
        finally:
            free.release()

    with ThreadPoolExecutor(threads) as pool:
        sending = []
        for file in encoded:
            free.acquire()
            sending.append(pool.submit(one, file))
        return sum(each.result() for each in sending)


@contextmanager
def uploader(variant: Variant, folder: str) -> Iterator[Upload]:
    """The one-call upload of the store's SDK, with the SDK's own settings."""
    settings, location = variant["settings"], variant["location"]
    if variant["store"] == "disk":
        Path(location, folder).mkdir()
        yield lambda name, file: write_file(Path(location, folder, name), file)
    elif variant["store"] == "S3":
        import boto3

        client = boto3.client(
            "s3",
            endpoint_url=settings["AWS_ENDPOINT_URL"],
            region_name=settings["AWS_REGION"],
            aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
        )
        bucket = urlsplit(location).netloc
        yield lambda name, file: client.put_object(Bucket=bucket, Key=f"lake/{folder}/{name}", Body=file)
    else:
        from azure.core.credentials import AzureNamedKeyCredential
        from azure.storage.blob import ContainerClient

        key = AzureNamedKeyCredential(settings["AZURE_STORAGE_ACCOUNT"], settings["AZURE_STORAGE_KEY"])
        endpoint, container = settings["AZURE_STORAGE_ENDPOINT"], location.partition("@")[0]
        with ContainerClient(endpoint, container, credential=key) as container_client:
            yield lambda name, file: container_client.upload_blob(f"lake/{folder}/{name}", file)


def write_file(path: Path, content: io.BytesIO) -> None:
    """The least that a durable file takes."""
    with path.open("wb") as file:
        file.write(content.getbuffer())
        file.flush()
        os.fsync(file.fileno())


def random_rows(count: int) -> pa.RecordBatch:
    """8 bytes a row that nothing makes smaller: encoding them is cheap."""
    return pa.record_batch({"n": pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(os.urandom(8 * count))])})


def new_folder() -> str:
    """A name that is used once."""
    return f"run-{uuid4().hex}"


def opened(variant: Variant, folder: str) -> Storage:
    """A folder of the store."""
    return StorageOpener(settings=variant["settings"])(variant["location"]).folder(folder)


def clear(storage: Storage) -> None:
    """Remove what a run has left, or the server's memory would grow."""
    for entry in list(storage.list()):
        storage.delete(entry.name)


def server_cpu(pid: int) -> float:
    """CPU seconds of a process so far; 0 without one."""
    if not pid:
        return 0.0
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def count_requests() -> None:
    """Take note of each HTTP request of this process: both SDKs send theirs by the standard library."""
    send = http.client.HTTPConnection.putrequest

    def counted(self: Any, method: str, url: str, *arguments: Any, **options: Any) -> None:
        REQUESTS.append(method)
        send(self, method, url, *arguments, **options)

    http.client.HTTPConnection.putrequest = counted  # type: ignore[method-assign]


class FreshBatches(TimedSource):
    """Batches that are made when they are asked for, as those of a real source."""

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        rows = self._data.num_rows
        self.before = peak_memory()
        for number in range(self._times):
            yield Batch(random_rows(rows), {"batch": number})


def memory(variant: Variant, parts: int, rows: int, batches: int) -> dict[str, float]:
    """Peak memory over that of the opened sink, in MB, of parts of `rows` rows that come in `batches` batches each."""
    source = FreshBatches(random_rows(rows // batches), parts * batches)
    target = ParquetSink(opened(variant, new_folder()), grouping=Grouping(rows=rows), parquet=ParquetSettings())
    summary = run_graph(services(), source, [], target)
    assert summary.parts == parts
    return {"above": (peak_memory() - source.before) * (1 << 20) / 1e6, "part": summary.nbytes / parts / 1e6}

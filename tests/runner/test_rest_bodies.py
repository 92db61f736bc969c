"""Bodies that a REST stream cannot read, is not to read, or would read for ever."""

import gzip
import json

import pytest

from tests.rest_api import Fault, serve
from tests.runner.processes import Stream
from tests.runner.rest_cases import (
    PAGE_2,
    PAGE_3,
    Case,
    check,
    failed,
    for_ever,
    message,
    script,
)
from tests.runner.rest_streams import (
    FIXED,
    OFFSET,
    PAGED_FIXED,
    TOKEN,
    UNPAGED,
    RestStream,
)

# Bodies.


def unread(reason: str) -> str:
    remedy = "Check urlTemplate: the API has to answer with JSON"
    return f"FatalStreamError: {PAGE_2}: the response cannot be read: {reason}. {remedy}"


def misshapen(reason: str) -> str:
    remedy = "Correct responsePropertyKeyChain or resolverPropertyKeyChain"
    return f"FatalStreamError: {PAGE_2}: the response cannot be read: {reason}. {remedy}"


NESTED_ARRAYS = "[" * 100_000 + "]" * 100_000
TOO_DEEP = "arrays and objects are nested too deep"
NO_NUMBER = "TotalPages, the number of pages by resolverPropertyKeyChain, is not a whole number: correct the key chain"
NO_ARRAY = "not the array of rows: correct responsePropertyKeyChain"
BODIES = {
    "object": (
        '{"data":{"items":{}},"TotalPages":4}',
        f"FatalStreamError: {PAGE_2}: data.items is an object, {NO_ARRAY}",
    ),
    "text": ('{"data":{"items":"x"},"TotalPages":4}', f"FatalStreamError: {PAGE_2}: data.items is a text, {NO_ARRAY}"),
    "array at a step": ('{"data":[1],"TotalPages":4}', misshapen("data: expected an object, found an array")),
    "number at a step": ('{"data":7,"TotalPages":4}', misshapen("data: expected an object, found a number")),
    "number": ("7", misshapen("the document: expected an object, found a number")),
    "array": ("[]", misshapen("the document: expected an object, found an array")),
    "HTML": ("<!DOCTYPE html>", unread("invalid character (byte 0)")),
    "two documents": ('{"TotalPages":4}{}', unread("more text follows the document (byte 16)")),
    "two lines": ('{"TotalPages":4}\n{}\n', unread("more text follows the document (byte 17)")),
    "no UTF-8": ('{"data":{"items":["\udcff"]},"TotalPages":4}', unread("the text is not UTF-8 (byte 19)")),
    "UTF-16": ("\udcff\udcfe{\0}\0", unread("the text is UTF-16; JSON is read in UTF-8 (byte 0)")),
    "half a pair": ('{"TotalPages":4,"x":"\\ud800"}', unread("a text holds half of a surrogate pair (byte 27)")),
    "control character": ('{"TotalPages":4,"x":"\1"}', unread("invalid character (byte 21)")),
    "NaN": ('{"TotalPages":4,"x":NaN}', unread("invalid character (byte 20)")),
    "nested": (f'{{"data":{{"items":[{NESTED_ARRAYS}]}},"TotalPages":4}}', unread(TOO_DEEP)),
    "nested and cut": ('{"data":{"items":[' + "[" * 100_000, unread(TOO_DEEP)),
    "nothing": (
        "{}",
        f"TransientStreamError: {PAGE_2}: the answer has neither rows nor TotalPages, although the page was announced. "
        "It is asked for again by the next run",
    ),
    "total is a text": ('{"data":{"items":[]},"TotalPages":"many"}', f"FatalStreamError: {PAGE_2}: {NO_NUMBER}"),
    "empty": ("", failed("the document ends too early (byte 0)")),
    "blank": (" \n", failed("the document ends too early (byte 2)")),
    "cut": ('{"data":{"items":[{"id":1}', failed("the document ends too early (byte 26)")),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_not_what_was_expected_ends_the_stream_at_its_page(stream: Stream, name: str) -> None:
    body, expected = BODIES[name]
    check(stream, Case(2 if expected.startswith("Transient") else 1, expected, for_ever(page=2, body=body), rows=10))


@pytest.mark.parametrize(
    ("body", "found"), [('{"error": "x"}', "an object"), ("null", "null"), ("1", "a number"), ('"x"', "a text")]
)
def test_the_body_of_an_unpaged_api_without_a_key_chain_has_to_be_the_array(
    stream: Stream, body: str, found: str
) -> None:
    expected = (
        f"FatalStreamError: the window WINDOW: the response is {found}, not the array of rows: "
        "name it in responsePropertyKeyChain"
    )
    check(stream, Case(1, expected, for_ever(body=body), UNPAGED, FIXED))


MISFITS = {
    '{"id": "x"}': "column 'id' holds a text, which does not fit int64",
    '{"count": 2147483648}': "column 'count' holds a number outside of int32, which does not fit int32",
    '{"id": ' + "9" * 5000 + "}": "column 'id' holds a number of more than 4300 digits, which does not fit int64",
    "null": "it is null; a row is an object",
}


@pytest.mark.parametrize("row", MISFITS, ids=range(len(MISFITS)))
def test_a_row_that_does_not_fit_the_schema_of_parquet_ends_the_stream_and_is_not_shown(
    stream: Stream, row: str
) -> None:
    with serve(
        script(PAGED_FIXED, faults=for_ever(page=2, body=f'{{"data":{{"items":[{{}},{row}]}},"TotalPages":4}}'))
    ) as api:
        rest = RestStream(stream, api.url)
        ended = rest.run_here(spec={"sinkFormat": "parquet"})
        assert (ended.code, message(ended, api)) == (
            2,
            f"SchemaInconsistentError: {PAGE_2}, row 1: {MISFITS[row]}. "
            "Correct apiSchemaEncoded, or set quarantine: true to set such rows aside",
        )
        assert rest.position()["backfill"]["watermark"]["pages"] == 1


# Compression and size.

BOMB = gzip.compress(b'{"TotalPages":' + b" " * (20 << 20) + b"4}").decode("utf-8", "surrogateescape")
GZIP = {"Content-Encoding": "gzip"}
LARGE = (
    f"FatalStreamError: {PAGE_2}: the response has more than 5000 bytes: "
    "ask the API for smaller pages, or raise maxResponseBytes"
)
SIZES = {
    "bomb": Case(
        1,
        f"FatalStreamError: {PAGE_2}: the response unpacks to more than 250 times its size and 16777216 bytes: ask the "
        "API for smaller pages (such a response stays refused whatever maxResponseBytes is)",
        for_ever(page=2, body=BOMB, headers=GZIP),
        rows=10,
    ),
    "packed": Case(1, LARGE, for_ever(page=2, body=BOMB, headers=GZIP), spec={"maxResponseBytes": 5000}, rows=10),
    "large": Case(1, LARGE, for_ever(page=2, body=" " * 5001), spec={"maxResponseBytes": 5000}, rows=10),
    "brotli": Case(
        1,
        f"FatalStreamError: {PAGE_2}: the response is encoded as 'br', although only gzip, deflate was asked for: "
        "switch that encoding off at the server",
        for_ever(page=2, body="{}", headers={"Content-Encoding": "br"}),
        rows=10,
    ),
    "damaged": Case(
        2, failed("the gzip data of the response is damaged"), for_ever(page=2, body="{}", headers=GZIP), rows=10
    ),
    "cut": Case(
        2, failed("the gzip data of the response ends early"), for_ever(page=2, body=BOMB[:9000], headers=GZIP), rows=10
    ),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_body_that_is_too_large_or_wrongly_packed_is_refused(stream: Stream, name: str) -> None:
    check(stream, SIZES[name])


# Pages that never end.

LOOPS = {
    "the same token": Case(
        1,
        f"FatalStreamError: {PAGE_2}: next holds the token that this page was asked for with: reading on would never "
        "end. Correct resolverPropertyKeyChain, or the API",
        for_ever(body='{"items": [{}], "next": "a"}'),
        TOKEN,
        rows=1,
    ),
    "a circle of tokens": Case(
        1,
        f"FatalStreamError: {PAGE_3}: the API gave a page token that it has given in this window before: reading on "
        "would never end. Correct resolverPropertyKeyChain, or the API",
        (
            Fault(request=2, body='{"items": [{"id": 2}], "next": "b"}'),
            Fault(body='{"items": [{"id": 1}], "next": "a"}', times=None),
        ),
        TOKEN,
        rows=2,
    ),
    "the same page": Case(
        1,
        "FatalStreamError: page 10 of the window WINDOW: the last 10 pages hold the same rows: the API does not "
        "seem to look at the page that it is asked for. Correct the field of type RESPONSE_PAGE in "
        "templatedFields, or pageResolverConfiguration",
        for_ever(body='{"items": [{}]}'),
        OFFSET,
        rows=1,
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_pages_that_would_never_end_are_an_error(stream: Stream, name: str) -> None:
    check(stream, LOOPS[name])


def test_a_refused_row_is_not_in_the_message(stream: Stream) -> None:
    body = json.dumps({"data": {"items": [{"id": "hidden-word"}]}, "TotalPages": 4})
    with serve(script(PAGED_FIXED, faults=for_ever(body=body))) as api:
        ended = RestStream(stream, api.url).run_here(spec={"sinkFormat": "parquet"})
    assert (ended.code, "hidden-word" in ended.stderr) == (2, False)

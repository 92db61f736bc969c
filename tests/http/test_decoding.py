import gzip
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest

from arcane_framework import FatalStreamError
from arcane_framework.http.decoding import RATIO_FROM, read_body
from arcane_framework.http.errors import TryAgainError

MIB = 1024 * 1024
BODY = b'[{"id": 1, "name": "a"}]' * 1_000


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


ENCODINGS = {
    "": BODY,
    "identity": BODY,
    "gzip": gzip.compress(BODY),
    "GZIP": gzip.compress(BODY),
    "x-gzip": gzip.compress(BODY),
    "deflate": zlib.compress(BODY),
    " deflate ": raw_deflate(BODY),
}


def in_chunks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def read(chunks: Iterator[bytes] | list[bytes], encoding: str, max_bytes: int = 256 * MIB) -> bytes:
    return read_body(chunks, encoding, max_bytes=max_bytes, what="page 3")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", [1, 7, 4_096, MIB])
def test_a_body_is_decoded_however_it_is_cut_into_chunks(encoding: str, size: int) -> None:
    assert read(in_chunks(ENCODINGS[encoding], size), encoding) == BODY


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_bytes_are_an_empty_body(encoding: str) -> None:
    assert read([], encoding) == b""


@pytest.mark.parametrize("size", [1, 5, MIB])
def test_gzip_of_several_members_is_one_body(size: int) -> None:
    data = gzip.compress(b"one") + gzip.compress(b"two") + b"\0\0\0\0"
    assert read(in_chunks(data, size), "gzip") == b"onetwo"


@pytest.mark.parametrize("size", [1, MIB])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", " deflate "])
def test_compressed_data_that_ends_early_is_tried_again(encoding: str, size: int) -> None:
    data = ENCODINGS[encoding]
    for length in (1, 5, 12, len(data) // 2, len(data) - 1):
        with pytest.raises(TryAgainError) as caught:
            read(in_chunks(data[:length], size), encoding)
        assert caught.value.reason == f"the {encoding.strip()} data of the response ends early"


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", b"no gzip at all"),
        ("gzip", gzip.compress(BODY)[:-8] + b"\0" * 8),
        ("gzip", gzip.compress(BODY) + b"rest"),
        ("deflate", b"\xff\xff no deflate"),
        ("deflate", zlib.compress(BODY)[:-4] + b"\0\0\0\0"),
    ],
)
def test_damaged_compressed_data_is_tried_again(encoding: str, data: bytes) -> None:
    with pytest.raises(TryAgainError) as caught:
        read([data], encoding)
    assert caught.value.reason == f"the {encoding} data of the response is damaged"


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "nonsense\x1b"])
def test_an_encoding_that_was_not_asked_for_is_refused_by_name(encoding: str) -> None:
    with pytest.raises(FatalStreamError) as caught:
        read([b"x"], encoding)
    shown = encoding.replace("\x1b", "")
    assert str(caught.value) == (
        f"page 3: the response is encoded as {shown!r}, although only gzip, deflate was asked for: "
        "switch that encoding off at the server"
    )


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
def test_a_body_may_be_as_large_as_the_limit_and_no_larger(encoding: str) -> None:
    data = ENCODINGS[encoding]
    assert read([data], encoding, len(BODY)) == BODY
    with pytest.raises(FatalStreamError) as caught:
        read([data], encoding, len(BODY) - 1)
    assert str(caught.value) == (
        f"page 3: the response has more than {len(BODY) - 1} bytes: ask the API for smaller pages, "
        "or raise maxResponseBytes"
    )


@pytest.mark.parametrize("size", [512, MIB])
def test_a_bomb_is_refused_by_its_ratio_in_bounded_memory(size: int) -> None:
    bomb = gzip.compress(bytes(200 * MIB), 9)
    tracemalloc.start()
    try:
        with pytest.raises(FatalStreamError) as caught:
            read(in_chunks(bomb, size), "gzip")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(caught.value) == (
        f"page 3: the response unpacks to more than 250 times its size and {RATIO_FROM} bytes: ask the API for "
        "smaller pages (such a response stays refused whatever maxResponseBytes is)"
    )
    assert peak < 40 * MIB


def test_a_bomb_is_refused_by_its_size_in_bounded_memory() -> None:
    bomb = gzip.compress(bytes(200 * MIB), 9)
    tracemalloc.start()
    try:
        with pytest.raises(FatalStreamError, match="more than 4194304 bytes"):
            read([bomb], "gzip", 4 * MIB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 14 * MIB


def test_a_small_body_may_be_one_thing_repeated() -> None:
    zeros = bytes(RATIO_FROM)
    assert read([gzip.compress(zeros, 9)], "gzip") == zeros


def test_the_time_is_checked_while_a_body_arrives() -> None:
    checks: list[int] = []
    read_body([b"a", b"b"], "", max_bytes=10, what="page 3", check=lambda: checks.append(1))
    assert len(checks) >= 2

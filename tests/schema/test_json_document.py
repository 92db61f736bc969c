"""Documents and key chains: what is read, what is refused and how it is named."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcane_framework.schema.json_document import JsonError, KeyChains, TruncatedJson, kind_of

BODY = b' {"total": 3 ,"result": {"rows": [1, {"a" : 2}], "next": null}} \n'


@pytest.mark.parametrize(
    ("chain", "found"),
    [
        ((), BODY.strip()),
        (("total",), b"3"),
        (("result", "rows"), b'[1, {"a" : 2}]'),
        (("result", "next"), b"null"),
        (("result", "next", "url"), None),
        (("result", "missing"), None),
        (("missing", "rows"), None),
    ],
)
def test_a_chain_leads_to_the_raw_text_of_a_value(chain: tuple[str, ...], found: bytes | None) -> None:
    assert KeyChains(chain).read(BODY) == (found,)


def test_several_chains_may_share_steps_or_lie_inside_one_another() -> None:
    chains = KeyChains(["result", "next"], [], ["result"], ["result", "rows"], ["total"], ["total"])
    assert chains.read(BODY) == (
        b"null",
        BODY.strip(),
        b'{"rows": [1, {"a" : 2}], "next": null}',
        b'[1, {"a" : 2}]',
        b"3",
        b"3",
    )


def test_without_chains_a_document_is_only_checked() -> None:
    assert KeyChains().read(b"[]") == ()
    with pytest.raises(JsonError):
        KeyChains().read(b"[}")


@pytest.mark.parametrize(
    "name", ["", "a.b", "é😀", "__class__", "f0", "self", 'a"b', "a\\b", "a\nb", "\0", " ", "class"]
)
def test_properties_may_have_any_name(name: str) -> None:
    for ascii_only in (True, False):
        body = json.dumps({"other": 0, name: {name: 7, "x": 8}}, ensure_ascii=ascii_only).encode()
        assert KeyChains([name, name], [name, "x"], [name, "y"]).read(body) == (b"7", b"8", None)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"a":1,"a":2}', b"2"),
        (b'{"a":{"b":1},"a":null}', None),
        (b'{"a":[],"a":{"b":2}}', b"2"),
        (b'{"a":{"b":2},"\\u0061":{}}', None),
    ],
)
def test_of_a_property_that_occurs_twice_the_last_one_counts(body: bytes, found: bytes | None) -> None:
    chain = ("a",) if found == b"2" and b"[]" not in body else ("a", "b")
    assert KeyChains(chain).read(body) == (found,)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[]", "the document: expected an object, found an array"),
        (b'"x"', "the document: expected an object, found a text"),
        (b'{"result": [1]}', "result: expected an object, found an array"),
        (b'{"result": {"rows": "secret"}}', "result.rows: expected an object, found a text"),
        (b'{"result": {"rows": 17}}', "result.rows: expected an object, found a number"),
        (b'{"result": {"rows": -1}}', "result.rows: expected an object, found a number"),
        (b'{"result": {"rows": false}}', "result.rows: expected an object, found a boolean"),
    ],
)
def test_a_step_into_something_else_than_an_object_is_an_error(body: bytes, message: str) -> None:
    with pytest.raises(JsonError) as error:
        KeyChains(["result", "rows", "items"]).read(body)
    assert str(error.value) == message
    assert error.value.position is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"a":1}{"a":2}', "more text follows the document (byte 7)"),
        (b'{"a":1}\n{"a":2}', "more text follows the document (byte 8)"),
        (b'{"a":1}x', "more text follows the document (byte 7)"),
        (b'\xef\xbb\xbf{"a":1}x', "more text follows the document (byte 10)"),
        (b'{"a":NaN}', "invalid character (byte 5)"),
        (b'{"a":-Infinity}', "invalid character (byte 6)"),
        (b'{"a":01}', "invalid number (byte 6)"),
        (b'{"a":1.}', "invalid number (byte 7)"),
        (b'{"a":.5}', "invalid character (byte 5)"),
        (b'{"a":+5}', "invalid character (byte 5)"),
        (b"{'a':1}", "object keys must be strings (byte 1)"),
        (b'{"a":1,}', "trailing comma in object (byte 7)"),
        (b'{"a":"x\ny"}', "invalid character (byte 7)"),
        (b'{"a":"x\ty"}', "invalid character (byte 7)"),
        (b'{"a":"\\x"}', "invalid escaped character (byte 7)"),
        (b'{"skipped":"\xff","a":1}', "the text is not UTF-8 (byte 12)"),
        (b'{"a":"\xc0\x80"}', "the text is not UTF-8 (byte 6)"),
        (b'{"a":"\xed\xa0\x80"}', "the text is not UTF-8 (byte 6)"),
        (b'{"a":"\\ud800"}', "a text holds half of a surrogate pair (byte 12)"),
        (b'{"a":"\\ud800 and more text"}', "a text holds half of a surrogate pair (byte 12)"),
        (b'{"a":"\\udc00 and more text"}', "a text holds half of a surrogate pair (byte 12)"),
        (b'{"a":"\\ud800\\ud800"}', "a text holds half of a surrogate pair (byte 18)"),
        ("[]".encode("utf-16"), "the text is UTF-16; JSON is read in UTF-8 (byte 0)"),
        ("[]".encode("utf-32"), "the text is UTF-32; JSON is read in UTF-8 (byte 0)"),
        (b"\xfe\xff\0[\0]", "the text is UTF-16; JSON is read in UTF-8 (byte 0)"),
        (b"<html>secret</html>", "invalid character (byte 0)"),
    ],
)
def test_what_is_no_document_is_refused_with_a_reason_and_a_place(body: bytes, message: str) -> None:
    with pytest.raises(JsonError) as error:
        KeyChains(["a"]).read(body)
    assert str(error.value) == message
    assert not isinstance(error.value, TruncatedJson)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"\xef\xbb\xbf",
        b'{"a":[1,2',
        b'{"a"',
        b'{"a":"x',
        b'{"a":tru',
        b'{"a":-',
        b'{"a":1e',
        b'{"a":"\\',
        b'{"a":"\\u1',
        b'{"a":"\\ud83d',
        b'{"a":"\\ud83d\\',
        b'{"a":"\\ud83d\\ude',
        b'{"a":"\\\\ud83d"',
        '{"a":"é'.encode()[:-1],
    ],
)
def test_a_text_that_ends_too_early_has_an_error_of_its_own(body: bytes) -> None:
    with pytest.raises(TruncatedJson) as error:
        KeyChains(["a"]).read(body)
    assert str(error.value) == f"the document ends too early (byte {len(body)})"


def test_every_beginning_of_a_document_is_truncated() -> None:
    body = json.dumps({"a": [1.5e3, "é😀\n\\", True, None, {"": -0.1}], "b": "😀"}).encode()
    for ascii_only in (body, json.dumps(json.loads(body), ensure_ascii=False).encode()):
        for end in range(len(ascii_only)):
            with pytest.raises(TruncatedJson):
                KeyChains(["a"]).read(ascii_only[:end])


def test_a_byte_order_mark_is_dropped() -> None:
    assert KeyChains((), ["a"]).read(b'\xef\xbb\xbf{"a":1}') == (b'{"a":1}', b"1")


@pytest.mark.parametrize("chain", [(), ("a",), ("b",)])
@pytest.mark.parametrize("text", [b"[" * 10**5, b"[" * 10**5 + b"]" * 10**5, b'{"a":' * 10**5 + b"1" + b"}" * 10**5])
def test_endless_nesting_is_an_error_and_no_crash(chain: tuple[str, ...], text: bytes) -> None:
    with pytest.raises(JsonError, match=r"^arrays and objects are nested too deep$"):
        KeyChains(chain).read(b'{"a":' + text + b"}")


def test_errors_hold_nothing_of_the_document() -> None:
    for body in (b'{"hunter2":hunter2}', b'{"a":"hunter2', b'{"a":"hunter2"}hunter2', b'{"a":"hunter2\xff"}'):
        with pytest.raises(JsonError) as error:
            KeyChains(["a", "b"]).read(body)
        assert "hunter2" not in repr(error.value)
        assert error.value.__cause__ is None
        assert error.value.__suppress_context__


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('ab"\\\n😀'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"', max_size=2), inner, max_size=3),
    max_leaves=12,
)


@given(values, st.lists(st.lists(st.text('ab"', max_size=2), max_size=3), max_size=4), st.booleans())
def test_chains_find_what_pythons_json_finds(value: Any, chains: list[list[str]], pretty: bool) -> None:
    body = json.dumps(value, indent=2 if pretty else None).encode()
    wrong = [chain for chain in chains if _leads_nowhere(value, chain)]
    if wrong:
        with pytest.raises(JsonError, match="expected an object, found"):
            KeyChains(*chains).read(body)
        return
    found = KeyChains(*chains).read(body)
    for chain, raw in zip(chains, found, strict=True):
        assert (raw is None) == (_follow(value, chain) is _MISSING)
        assert raw is None or json.loads(raw) == _follow(value, chain)


_MISSING = object()


def _follow(value: Any, chain: list[str]) -> Any:
    for key in chain:
        value = value.get(key, _MISSING) if isinstance(value, dict) else _MISSING
    return value


def _leads_nowhere(value: Any, chain: list[str]) -> bool:
    for key in chain:
        if value is None:
            return False
        if not isinstance(value, dict):
            return True
        if key not in value:
            return False
        value = value[key]
    return False


@given(
    st.binary(max_size=30)
    | st.text('{}[]",:0123e-.\\utrfalsn \ud83d\ude00', max_size=30).map(lambda t: t.encode("utf-8", "surrogatepass"))
)
def test_what_is_accepted_is_a_document_for_pythons_json_too(body: bytes) -> None:
    try:
        (raw,) = KeyChains(()).read(body)
    except JsonError:
        return
    assert raw is not None
    assert raw == body.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n")
    json.loads(raw.decode(), parse_constant=pytest.fail)


def test_threads_share_an_instance() -> None:
    chains = KeyChains(["result", "rows"], ["total"])
    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(lambda _: chains.read(BODY), range(100)))
    assert found == {(b'[1, {"a" : 2}]', b"3")}


def test_kinds_have_names() -> None:
    texts = [b" {}", b"[]", b'""', b"true", b"false", b"null", b"-1", b"0"]
    names = ["an object", "an array", "a text", "a boolean", "a boolean", "null", "a number", "a number"]
    assert [kind_of(text) for text in texts] == names
    assert sys.getrecursionlimit() < 10**5  # or the tests of nesting would have to nest deeper

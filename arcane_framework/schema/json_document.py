"""One JSON document: whether it is well formed, and the raw text of what stands at some key chains."""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import pyarrow as pa

if TYPE_CHECKING:
    import msgspec

WHITESPACE = b" \t\n\r"
"""What JSON allows between values."""

_BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_KINDS = {b"{": "an object", b"[": "an array", b'"': "a text", b"t": "a boolean", b"f": "a boolean", b"n": "null"}
_EMPTY_ARRAY = re.compile(rb"[ \t\r\n]*\[[ \t\r\n]*\]")
_UNMATCHABLE = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')
_PLACED = re.compile(r"(?:JSON is malformed: )?(?P<reason>.*) \(byte (?P<position>\d+)\)")
_ENDS_EARLY = "the document ends too early"
_HALF_PAIR = "a text holds half of a surrogate pair"
_HALF_AT_END = re.compile(rb'\\u[dD][89abAB][0-9a-fA-F]{2}"')
_LONE_SURROGATE = re.compile(r"surrogate|unexpected end of hex escape")


class JsonError(ValueError):
    """A text is no JSON document, or not of the expected shape.

    Attributes:
        reason: What is wrong; never a part of the document, whose values may be secret.
        position: Where, in bytes from the start of the body; None when it is not one place.
    """

    def __init__(self, reason: str, position: int | None = None) -> None:
        super().__init__(reason if position is None else f"{reason} (byte {position})")
        self.reason = reason
        self.position = position


class TruncatedJson(JsonError):  # noqa: N818 - it names a state of the text
    """The text is well formed as far as it goes, and ends too early: a repeated request may bring the rest."""


def kind_of(raw: bytes) -> str:
    """What the raw text of a well-formed JSON value is, for a message: "an object", "a text", "null"."""
    return _KINDS.get(raw.lstrip(WHITESPACE)[:1], "a number")


def is_empty_array(raw: bytes) -> bool:
    """Whether the raw text of a well-formed JSON value is an array without elements."""
    return _EMPTY_ARRAY.match(raw) is not None


def check_utf8(text: bytes) -> None:
    """Check without a copy that a text is UTF-8; it runs at many GB/s and without the interpreter's lock.

    Raises:
        TruncatedJson: It ends within a character.
        JsonError: It is not; the error has the place.
    """
    offsets = bytes(8) + len(text).to_bytes(8, sys.byteorder)
    one = pa.Array.from_buffers(pa.large_string(), 1, [None, pa.py_buffer(offsets), pa.py_buffer(text)])
    try:
        one.validate(full=True)
    except pa.ArrowInvalid:
        try:
            text.decode()
        except UnicodeDecodeError as error:
            if error.reason == "unexpected end of data":
                raise TruncatedJson(_ENDS_EARLY, len(text)) from None
            raise JsonError("the text is not UTF-8", error.start) from None
        raise


class KeyChains:
    """Reads what stands at fixed key chains of a document, without making Python objects of the rest.

    A chain names properties from the outside to the inside; `()` is the whole document. One chain may lie inside
    another. A property that occurs twice in an object counts with its last value.

    An instance may be used by several threads at once.
    """

    def __init__(self, *chains: Sequence[str]) -> None:
        self._chains = tuple(tuple(chain) for chain in chains)
        self._root = _Node()
        for index, chain in enumerate(self._chains):
            self._root.add(chain, index)

    def read(self, body: bytes) -> tuple[bytes | None, ...]:
        """Read the whole body, which must be exactly one JSON document in UTF-8; a byte order mark is dropped.

        Blocks for about half a second a GB, with the interpreter's lock.

        Args:
            body: A response's body.

        Returns:
            The raw JSON text at each chain, in the order of the chains. None when a property on the way is missing
            or a step meets null; the end of a chain being null gives `b"null"`.

        Raises:
            TruncatedJson: The body ends too early; it may be empty.
            JsonError: It is no JSON document in UTF-8, it is nested too deep, or a step meets something else than an
                object.
        """
        text = _without_mark(body)
        try:
            return self._read(text)
        except JsonError as error:
            if error.position is None or len(text) == len(body):
                raise
            raise type(error)(error.reason, error.position + len(_BOM)) from None

    def _read(self, text: bytes) -> tuple[bytes | None, ...]:
        import msgspec

        found: list[bytes | None] = [None] * len(self._chains)
        check_utf8(text)
        try:
            whole = text.strip(WHITESPACE) if self._root.ends else text
            self._root.collect(whole, self._root.decoder.decode(text), found)
        except msgspec.ValidationError:
            # Some value on the way is no object; if it is not the last one of its name, it does not count.
            decode_raw(text)
            return tuple(_walk(text, chain) for chain in self._chains)
        except (msgspec.DecodeError, RecursionError) as error:
            refuse(text, error)
        return tuple(found)


@dataclass
class _Node:
    """A step of the chains: which chains end here, and where the others go on."""

    ends: list[int] = field(default_factory=list)
    children: dict[str, "_Node"] = field(default_factory=dict)

    def add(self, chain: Sequence[str], index: int) -> None:
        node = self
        for key in chain:
            node = node.children.setdefault(key, _Node())
        node.ends.append(index)

    @cached_property
    def decoder(self) -> "msgspec.json.Decoder[Any]":
        import msgspec

        return msgspec.json.Decoder(self.shape)

    @property
    def shape(self) -> Any:
        """What msgspec shall make of the value here."""
        import msgspec

        if not self.children:
            return msgspec.Raw
        if not matchable(self.children):
            return dict[str, msgspec.Raw] | None
        return row_of({key: child.inner_shape for key, child in self.children.items()}) | None

    @property
    def inner_shape(self) -> Any:
        import msgspec

        return msgspec.Raw if self.ends else self.shape

    def collect(self, raw: bytes, value: Any, found: list[bytes | None]) -> None:
        """Put what the chains through here end at into `found`."""
        for index in self.ends:
            found[index] = raw
        if value is None or not self.children:
            return
        for number, (key, child) in enumerate(self.children.items()):
            inner = value.get(key) if isinstance(value, dict) else getattr(value, f"f{number}")
            if inner is not None:
                child.collect_inner(inner, found)

    def collect_inner(self, value: Any, found: list[bytes | None]) -> None:
        import msgspec

        if not isinstance(value, msgspec.Raw):
            self.collect(b"", value, found)
            return
        raw = bytes(value)
        self.collect(raw, self.decoder.decode(raw) if self.children else None, found)


def row_of(shapes: dict[str, Any]) -> Any:
    """A msgspec struct with the fields `f0`, `f1`, ... for properties of any name; None where one is missing.

    Raises:
        ValueError: A name holds a quote, a backslash or a control character, which msgspec has no way to match.
    """
    import msgspec

    fields = [(f"f{number}", shape, None) for number, shape in enumerate(shapes.values())]
    names = {f"f{number}": key for number, key in enumerate(shapes)}
    return msgspec.defstruct("Properties", fields, rename=names)


def matchable(names: Iterable[str]) -> bool:
    """Whether msgspec has a way to match properties of these names to fields."""
    return not any(_UNMATCHABLE.search(name) for name in names)


def properties_of(names: Sequence[str]) -> Callable[[bytes], list[bytes | None]]:
    """A function that reads the raw texts of these properties from an object's raw text; None where one is missing.

    The function raises `msgspec.ValidationError` for the text of something else than an object.
    """
    import msgspec

    if not matchable(names):
        every = msgspec.json.Decoder(dict[str, msgspec.Raw])
        return lambda raw: [_bytes(value) for value in map(every.decode(raw).get, names)]
    some = msgspec.json.Decoder(row_of(dict.fromkeys(names, msgspec.Raw)))
    return lambda raw: [_bytes(value) for value in msgspec.structs.astuple(some.decode(raw))]


def _bytes(value: "msgspec.Raw | None") -> bytes | None:
    return None if value is None else bytes(value)


def decode_raw(text: bytes) -> None:
    """Check that a text is exactly one well-formed JSON value; its UTF-8 is not looked at.

    Raises:
        JsonError: It is not, or it is nested too deep.
    """
    import msgspec

    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError) as error:
        refuse(text, error)


def _walk(text: bytes, chain: Sequence[str]) -> bytes | None:
    import msgspec

    raw = text.strip(WHITESPACE)
    for depth, key in enumerate(chain):
        if kind_of(raw) == "null":
            return None
        if not raw.startswith(b"{"):
            place = ".".join(chain[:depth]) or "the document"
            raise JsonError(f"{place}: expected an object, found {kind_of(raw)}")
        value = msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).get(key)
        if value is None:
            return None
        raw = bytes(value)
    return raw


def refuse(text: bytes, error: Exception) -> NoReturn:
    """Raise the `JsonError` for what msgspec has said about a text."""
    if isinstance(error, RecursionError):
        raise JsonError("arrays and objects are nested too deep") from None
    placed = _PLACED.fullmatch(str(error))
    if placed is None:
        _refuse_end(text)
    if _LONE_SURROGATE.search(placed["reason"]):
        raise JsonError(_HALF_PAIR, int(placed["position"])) from None
    if placed["reason"] == "trailing characters":  # msgspec names the byte behind the first of them
        raise JsonError("more text follows the document", int(placed["position"]) - 1) from None
    if int(placed["position"]) >= len(text):
        raise TruncatedJson(_ENDS_EARLY, len(text)) from None
    raise JsonError(placed["reason"], int(placed["position"])) from None


def _refuse_end(text: bytes) -> NoReturn:
    """Raise the error for a text whose end the decoder has reached.

    It says so as well about half of a surrogate pair at the end of a last text, as it wants to see the other half.
    """
    import msgspec

    if _HALF_AT_END.search(text[-12:]):
        try:
            msgspec.json.decode(text + b" " * 12, type=msgspec.Raw)
        except msgspec.DecodeError as error:
            placed = _PLACED.fullmatch(str(error))
            if placed is not None and _LONE_SURROGATE.search(placed["reason"]):
                raise JsonError(_HALF_PAIR, int(placed["position"])) from None
    raise TruncatedJson(_ENDS_EARLY, len(text)) from None


def _without_mark(body: bytes) -> bytes:
    for mark, encoding in _OTHER_BOMS:
        if body.startswith(mark):
            raise JsonError(f"the text is {encoding}; JSON is read in UTF-8", 0)
    return body.removeprefix(_BOM)

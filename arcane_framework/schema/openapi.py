"""An OpenAPI 3.0 schema object, as stream definitions hold it, to an Arrow schema. Pure."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.unicode_text import is_unicode
from arcane_framework.schema.json_text import json_text_field
from arcane_framework.schema.schema_document import InvalidDocument, parse_schema_document

MAX_BYTES = 1 << 20
"""How long the decoded text may be."""

MAX_DEPTH = 64
"""How deep columns may be nested in each other; JSON that is nested deeper is not read anyway."""

_ITEM = "item"  # Arrow's own name for it, so that the type equals `pa.list_(...)` with a bare type.

_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

_COMPOSITIONS = ("oneOf", "anyOf", "allOf", "not")

_SHOWN_CHARACTERS = 200


def schema_from_openapi(encoded: str) -> pa.Schema:
    """The schema of a row, from `apiSchemaEncoded`.

    Every column is nullable, whatever `required` and `nullable` say. A column that may hold any JSON value is a
    string of JSON text, see `is_json_text`: an object without properties, a missing or unknown type, several types,
    a reference or a composition. `string` with format `byte` stays the base64 text that it is.

    Args:
        encoded: The base64 of a JSON or YAML text; line breaks in it and a byte order mark in the text are fine.

    Raises:
        ConfigurationError: It cannot be read, or describes no columns; the message names the property.
    """
    try:
        document = parse_schema_document(_decoded(encoded))
        return pa.schema(_properties(document, "", 0))
    except InvalidDocument as error:
        raise ConfigurationError(f"apiSchemaEncoded {error}") from None


def _decoded(encoded: str) -> str:
    compact = re.sub(r"\s+", "", encoded)
    if len(compact) > MAX_BYTES * 4 // 3 + 4:
        raise _too_large()
    # Not left to the decoder, which lets some surplus padding pass.
    if not _BASE64.fullmatch(compact):
        raise InvalidDocument("is not base64: encode the text of the schema, as in 'base64 -w0 schema.yaml'")
    content = base64.b64decode(compact)
    if len(content) > MAX_BYTES:
        raise _too_large()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidDocument(f"is the base64 of something else than UTF-8 text (byte {error.start})") from None


def _too_large() -> InvalidDocument:
    return InvalidDocument(f"is larger than {MAX_BYTES >> 20} MiB: it must describe one row, not the whole API")


def _properties(described: Mapping[str, Any], path: str, depth: int) -> list[pa.Field]:
    properties = described.get("properties")
    if not path and (not isinstance(properties, Mapping) or not properties):
        raise InvalidDocument(
            "has no properties: it must be one schema object that describes a row, as in "
            '{"type": "object", "properties": {"id": {"type": "integer"}}}'
        )
    if not isinstance(properties, Mapping):
        raise InvalidDocument(
            f"cannot be used: the properties of {_shown(path)} are no object; leave them out for a column of JSON text"
        )
    return [_field(name, value, f"{path}.{name}" if path else name, depth) for name, value in properties.items()]


def _field(name: str, described: Any, path: str, depth: int) -> pa.Field:
    if not isinstance(described, Mapping):
        raise InvalidDocument(
            f"cannot be used: {_shown(path)} is described by something else than an object, "
            'such as {"type": "string"}'
        )
    if depth >= MAX_DEPTH:
        raise InvalidDocument(f"cannot be used: {_shown(path)} is nested more than {MAX_DEPTH} levels deep")
    if not is_unicode(name):
        raise InvalidDocument(f"cannot be used: the name {_shown(path)} has half of a surrogate pair")
    data_type = _data_type(described, path, depth)
    return json_text_field(name) if data_type is None else pa.field(name, data_type)


def _data_type(described: Mapping[str, Any], path: str, depth: int) -> pa.DataType | None:
    """The Arrow type; None for a column of JSON text."""
    kind = _kind(described.get("type"))
    if "$ref" in described or kind is None:
        return None
    scalar = _SCALARS.get(kind)
    if scalar is not None:
        return scalar(described.get("format"))
    # A composition may add properties that are not listed here, or take them away.
    if any(key in described for key in _COMPOSITIONS):
        return None
    if kind == "array":
        items = described["items"] if described.get("items") is not None else {}
        return pa.list_(_field(_ITEM, items, f"{path}[]", depth + 1))
    if kind == "object" and described.get("properties") not in (None, {}):
        return pa.struct(_properties(described, path, depth + 1))
    return None


def _kind(declared: Any) -> str | None:
    """The one type that is not null: OpenAPI 3.1 lists several."""
    kinds = declared if isinstance(declared, list) else [declared]
    named = {kind for kind in kinds if isinstance(kind, str) and kind != "null"}
    others = [kind for kind in kinds if kind is not None and not isinstance(kind, str)]
    return named.pop() if len(named) == 1 and not others else None


def _integer(form: Any) -> pa.DataType:
    return pa.int32() if form == "int32" else pa.int64()


def _number(form: Any) -> pa.DataType:
    if form == "decimal":
        return pa.decimal128(38, 18)
    return pa.float32() if form == "float" else pa.float64()


def _string(form: Any) -> pa.DataType:
    if form == "date-time":
        return pa.timestamp("us", tz="UTC")
    return pa.date32() if form == "date" else pa.string()


_SCALARS: dict[str, Callable[[Any], pa.DataType]] = {
    "boolean": lambda _: pa.bool_(),
    "integer": _integer,
    "number": _number,
    "string": _string,
}


def _shown(path: str) -> str:
    return json.dumps(path if len(path) <= _SHOWN_CHARACTERS else f"{path[:_SHOWN_CHARACTERS]}...")

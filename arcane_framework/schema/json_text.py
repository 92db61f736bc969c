"""Columns whose values may be any JSON value: strings, marked in the field's metadata."""

import pyarrow as pa

JSON_TEXT = b"arcane.text"
"""The key of the field metadata that marks such a column; its value is `json`."""

_JSON = b"json"


def json_text_field(name: str) -> pa.Field:
    """A nullable string field for any value: a text stays as it is, all else is its JSON text, `1` or `{"b": []}`."""
    return pa.field(name, pa.string(), metadata={JSON_TEXT: _JSON})


def is_json_text(field: pa.Field) -> bool:
    """Whether the field's values are JSON texts, and not plain texts.

    Equality of Arrow schemas and types does not look at metadata; this function does.
    """
    return (field.metadata or {}).get(JSON_TEXT) == _JSON

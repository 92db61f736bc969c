"""A short, stable name for an Arrow schema, used in the names of parts."""

import hashlib

import pyarrow as pa
import pyarrow.types as pat

from arcane_framework._core.raw_json import declared_schema

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
HASH_LENGTH = 7


def schema_hash(schema: pa.Schema) -> str:
    """Seven characters of `[0-9a-z]` that change when a column's name, type, order or nullability does.

    Made from a text of our own, not from the library's serialised bytes, so that a new release
    of Arrow does not rename every part. Metadata does not count. Rows of raw JSON text have the name of
    their declared schema.
    """
    declared = declared_schema(schema) or schema
    number = int.from_bytes(hashlib.sha256(canonical_schema(declared).encode()).digest())
    digits = []
    for _ in range(HASH_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(digits)


def canonical_schema(schema: pa.Schema) -> str:
    """The schema as the text that `schema_hash` hashes: one column a line."""
    return "\n".join(_field_text(field) for field in schema)


def _field_text(field: pa.Field) -> str:
    return f"{field.name!r}: {_type_text(field.type)}{'' if field.nullable else ' not null'}"


def _type_text(data_type: pa.DataType) -> str:
    if pat.is_dictionary(data_type):
        return f"dictionary<{_type_text(data_type.index_type)}, {_type_text(data_type.value_type)}>"
    children = [data_type.field(index) for index in range(data_type.num_fields)]
    if children:
        kind = str(data_type).split("<", maxsplit=1)[0]
        length = f"[{data_type.list_size}]" if pat.is_fixed_size_list(data_type) else ""
        return f"{kind}<{', '.join(_field_text(child) for child in children)}>{length}"
    return str(data_type)


def difference(expected: pa.Schema, actual: pa.Schema) -> str:
    """What differs between two schemas, in words, by column: for error messages."""
    missing = [f"missing column {name!r}" for name in expected.names if name not in actual.names]
    surplus = [f"unexpected column {name!r}" for name in actual.names if name not in expected.names]
    changed = [
        f"column {field.name!r} is {_short(actual.field(field.name))} instead of {_short(field)}"
        for field in expected
        if actual.get_field_index(field.name) >= 0 and not actual.field(field.name).equals(field)
    ]
    found = missing + surplus + changed
    return "; ".join(found) if found else "the order of the columns differs"


def _short(field: pa.Field) -> str:
    return f"{field.type}{'' if field.nullable else ' not null'}"

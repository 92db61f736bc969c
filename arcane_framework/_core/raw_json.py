"""Rows as the JSON text that they came as: one text column that stands for a declared schema."""

import pyarrow as pa

_DECLARED = b"arcane.declared_schema"


def raw_json_schema(declared: pa.Schema) -> pa.Schema:
    """The schema of batches whose only column, a `large_string`, holds each row as its JSON text on one line.

    JSON lines sinks write such rows as they are. The schema's short name and the schema file are those of `declared`.

    Args:
        declared: What the rows are said to hold; they are not checked against it.
    """
    metadata = {_DECLARED: declared.serialize().to_pybytes()}
    return pa.schema([pa.field("json", pa.large_string(), nullable=False, metadata=metadata)])


def declared_schema(schema: pa.Schema) -> pa.Schema | None:
    """What rows of raw JSON text are said to hold; None for all other schemas."""
    if len(schema) != 1 or schema.field(0).metadata is None:
        return None
    serialized = schema.field(0).metadata.get(_DECLARED)
    return None if serialized is None else pa.ipc.read_schema(pa.py_buffer(serialized))

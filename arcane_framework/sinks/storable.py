"""What files can hold: checked before anything is written, so that what is committed can be read."""

import pyarrow as pa
import pyarrow.parquet as pq

from arcane_framework._core.errors import ConfigurationError, SchemaInconsistentError
from arcane_framework._core.rows import no_rows, without_dictionaries


def check_schema(schema: pa.Schema) -> None:
    """Refuse what no file could give back.

    Raises:
        ConfigurationError: There are no columns, two have one name, or a type has no place in Parquet,
            which every stream's schema file is written in.
    """
    if not schema.names:
        raise ConfigurationError("the schema has no columns: a file could not even hold the number of rows")
    doubled = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if doubled:
        raise ConfigurationError(f"the schema has several columns named {doubled[0]!r}: give each its own name")
    for field in schema:
        try:
            empty = without_dictionaries(pa.Table.from_batches([no_rows(pa.schema([field]))]))
            pq.write_table(empty, pa.BufferOutputStream())
        except (pa.ArrowException, NotImplementedError) as error:
            raise ConfigurationError(
                f"column {field.name!r} of type {field.type} cannot be stored: convert it with map_batches ({error})"
            ) from error


def check_nulls(group: pa.Table) -> None:
    """Refuse a null where the schema has none.

    Raises:
        SchemaInconsistentError: Names the column.
    """
    for field, column in zip(group.schema, group.columns, strict=True):
        if not field.nullable and column.null_count:
            raise SchemaInconsistentError(
                f"rows do not fit their schema: column {field.name!r} has {column.null_count} nulls and allows none"
            )

"""Which columns of a Parquet file are worth a dictionary. Pure."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

LOOKED_AT_ROWS = 8192
"""Rows that are looked at: enough to tell a country from an id, and quick beside the encoding of a group."""

MOST_DIFFERENT = 0.5
"""Different values, of those that are looked at, up to which a dictionary makes a column smaller and not slower."""

FIRST_ROWS = 1024
ALL_DIFFERENT = 0.98
"""What so few rows already show: a column whose values never repeat."""


def dictionary_columns(group: pa.Table) -> list[str]:
    """The columns that repeat their values, as Parquet writers name them: leaves of nested columns by their path.

    Maps are left out. A dictionary of values that hardly repeat is built, found to be too large and thrown away,
    which takes about half of an encoder's time.

    Args:
        group: The first rows of a file; at least one.
    """
    head = group.slice(0, LOOKED_AT_ROWS).combine_chunks()
    columns = ((field.name, head.column(index).chunk(0)) for index, field in enumerate(head.schema))
    return [path for name, column in columns for path, leaf in _leaves(name, column) if _repeats(leaf)]


def _leaves(path: str, column: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    if pat.is_struct(column.type):
        for index, field in enumerate(column.type.fields):
            yield from _leaves(f"{path}.{field.name}", column.field(index))
    elif pat.is_list(column.type) or pat.is_large_list(column.type):
        yield from _leaves(f"{path}.list.element", column.flatten())
    else:
        yield path, column


def _repeats(leaf: pa.Array) -> bool:
    if pat.is_boolean(leaf.type) or pat.is_nested(leaf.type) or len(leaf) == leaf.null_count:
        return False
    try:
        return _share(leaf.slice(0, FIRST_ROWS)) <= ALL_DIFFERENT and _share(leaf) <= MOST_DIFFERENT
    except pa.ArrowNotImplementedError:  # of types that are compared in no way
        return False


def _share(leaf: pa.Array) -> float:
    """How many of the values are different ones; 0 when there are none."""
    values = len(leaf) - leaf.null_count
    return pc.count_distinct(leaf).as_py() / values if values else 0.0

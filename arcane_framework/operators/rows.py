"""Operators that change rows. None of them can lose a watermark, also where no row is left."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from reactivex import operators as ops

from arcane_framework._core.batch import Batch
from arcane_framework._core.errors import SchemaInconsistentError
from arcane_framework._core.graph import NamedOperator
from arcane_framework._core.rows import batch_from_rows


def map_batches(function: Callable[[pa.RecordBatch], pa.RecordBatch]) -> NamedOperator:
    """Replace each batch's rows by `function(rows)`.

    It is called with batches of no rows, too (the first one of each run tells the sink the schema), and must
    give every result the same columns.
    """

    def apply(batch: Batch) -> Batch:
        data = function(batch.data)
        if not isinstance(data, pa.RecordBatch):
            raise TypeError(f"map_batches: {_name(function)} returned a {type(data).__name__}, not a RecordBatch")
        return batch.with_data(data)

    return NamedOperator("map_batches", ops.map(apply), function=_name(function))


def map_rows(
    function: Callable[[dict[str, Any]], Mapping[str, Any]],
    *,
    schema: pa.Schema | None = None,
    quarantine: bool = False,
) -> NamedOperator:
    """Replace each row by `function(row)`, rows being mappings: convenient, and slow beside `map_batches`.

    Args:
        function: Called once a row.
        schema: The results' schema; None: that of the rows.
        quarantine: Set rows aside that do not fit `schema` instead of failing.

    Raises:
        SchemaInconsistentError: (in the stream) a result does not fit; names the row and the column.
    """

    def apply(batch: Batch) -> Batch:
        results = [function(row) for row in batch.data.to_pylist()]
        data, bad = batch_from_rows(
            results, schema or batch.data.schema, quarantine=quarantine, location=f"map_rows: {_name(function)}"
        )
        return replace(batch, data=data, quarantined=(*batch.quarantined, *bad))

    return NamedOperator("map_rows", ops.map(apply), function=_name(function))


def filter_rows(condition: "pc.Expression | Callable[[pa.RecordBatch], pa.Array]") -> NamedOperator:
    """Keep the rows for which `condition` holds; null counts as false.

    Args:
        condition: An Arrow expression, as `pc.field("amount") > 0`, or a function from rows to booleans.
    """

    def apply(batch: Batch) -> Batch:
        if not batch.num_rows:
            return batch
        if isinstance(condition, pc.Expression):
            return batch.with_data(_filter(batch.data, condition))
        return batch.with_data(batch.data.filter(condition(batch.data)))

    text = str(condition) if isinstance(condition, pc.Expression) else _name(condition)
    return NamedOperator("filter_rows", ops.map(apply), condition=text)


def _filter(data: pa.RecordBatch, condition: pc.Expression) -> pa.RecordBatch:
    from pyarrow import acero  # loads the dataset library, and with it pandas where that is installed

    # What RecordBatch.filter does with an expression, without its threads: half the time for a small batch.
    source = acero.Declaration("table_source", acero.TableSourceNodeOptions(pa.Table.from_batches([data])))
    kept = acero.Declaration("filter", acero.FilterNodeOptions(condition), inputs=[source]).to_table(use_threads=False)
    batches = kept.combine_chunks().to_batches()
    return batches[0] if batches else data.slice(0, 0)


def select(*columns: str) -> NamedOperator:
    """Keep only `columns`, in the order given.

    Raises:
        SchemaInconsistentError: (in the stream) there is no such column; names it and those there are.
    """

    def apply(batch: Batch) -> Batch:
        missing: Sequence[str] = [name for name in columns if name not in batch.data.schema.names]
        if missing:
            raise SchemaInconsistentError(
                f"select: there is no column {missing[0]!r}; the columns are {', '.join(batch.data.schema.names)}"
            )
        return batch.with_data(batch.data.select(list(columns)))

    return NamedOperator("select", ops.map(apply), columns=", ".join(columns))


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__)).rsplit(".", 1)[-1].strip("<>")

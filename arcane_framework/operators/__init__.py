"""Operators for `Stream.pipe`. Plain reactivex operators may stand between them."""

from arcane_framework.operators.gather import gather
from arcane_framework.operators.observe import count_rows, log_batches, named
from arcane_framework.operators.prefetch import prefetch
from arcane_framework.operators.rebatch import rebatch
from arcane_framework.operators.rows import filter_rows, map_batches, map_rows, select

__all__ = [
    "count_rows",
    "filter_rows",
    "gather",
    "log_batches",
    "map_batches",
    "map_rows",
    "named",
    "prefetch",
    "rebatch",
    "select",
]

"""Operators that watch batches go by."""

from reactivex import operators as ops

from arcane_framework._core.batch import Batch
from arcane_framework._core.graph import NamedOperator, Operator
from arcane_framework._core.services import Logger, Metrics


def count_rows(metrics: Metrics, name: str) -> NamedOperator:
    """Add the rows that pass to the counter `name`."""

    def count(batch: Batch) -> None:
        if batch.num_rows:
            metrics.increment(name, batch.num_rows)

    return NamedOperator("count_rows", ops.do_action(count), metric=name)


def log_batches(log: Logger, event: str = "batch") -> NamedOperator:
    """Log rows and bytes of each batch that passes, at debug level; never its content."""

    def write(batch: Batch) -> None:
        if batch.num_rows:
            log.debug(event, rows=batch.num_rows, bytes=batch.nbytes, watermark=batch.watermark is not None)

    return NamedOperator("log_batches", ops.do_action(write), event=event)


def named(name: str, *operators: Operator) -> NamedOperator:
    """Several operators as one step, called `name` in a picture of the graph."""
    return NamedOperator(name, lambda source: source.pipe(*operators))

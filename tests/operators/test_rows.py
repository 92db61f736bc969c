from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from arcane_framework import Batch, Grouping, Operator, QuarantinedRow, SchemaInconsistentError, Wait
from arcane_framework.operators import count_rows, filter_rows, log_batches, map_batches, map_rows, named, select
from tests.core.graphs import Recorder, Run, Script, numbers

FOREVER = Wait(None)


def run(*operators: Operator) -> Recorder:
    sink = Recorder(Grouping(rows=100))
    Run(Script([numbers(0, 4, 4), FOREVER]), sink, *operators).stop()
    return sink


def greater_than(value: int) -> Callable[[pa.RecordBatch], pa.Array]:
    return lambda data: pc.greater(data.column(0), value)


@pytest.mark.parametrize("condition", [pc.field("n") > 1, greater_than(1)])
def test_filter_rows_keeps_the_rows_for_which_the_condition_holds(condition: Any) -> None:
    assert run(filter_rows(condition)).groups == [[[2, 3]]]


def test_a_filter_that_drops_every_row_keeps_the_watermark() -> None:
    sink = run(filter_rows(greater_than(99)))
    assert (sink.groups, sink.watermarks) == ([[]], [4])


def test_map_batches_changes_columns_and_tells_the_sink_before_the_first_row() -> None:
    sink = run(map_batches(lambda data: data.append_column("text", pc.cast(data.column(0), pa.string()))))
    assert sink.run is not None
    assert sink.run.schema.names == ["n", "text"]


def test_map_batches_names_the_function_that_returns_no_record_batch() -> None:
    def to_list(data: pa.RecordBatch) -> Any:
        return data.to_pylist()

    with pytest.raises(TypeError, match="map_batches: to_list returned a list, not a RecordBatch"):
        Run(Script([numbers(0, 1, 1)]), Recorder(), map_batches(to_list)).end()


def test_map_rows_takes_and_gives_mappings() -> None:
    schema = pa.schema([("text", pa.string())])
    sink = run(map_rows(lambda row: {"text": f"<{row['n']}>"}, schema=schema))
    assert sink.groups == [[["<0>", "<1>", "<2>", "<3>"]]]


def test_map_rows_names_the_row_and_the_column_that_does_not_fit() -> None:
    def spoil(row: dict[str, Any]) -> dict[str, Any]:
        return {"n": "three" if row["n"] == 3 else row["n"]}

    with pytest.raises(SchemaInconsistentError) as caught:
        Run(Script([numbers(0, 4, 4)]), Recorder(), map_rows(spoil)).end()
    assert str(caught.value) == (
        "map_rows: spoil, row 3: column 'n' holds a str that does not fit int64. "
        "Correct the schema, or set quarantine: true to set such rows aside"
    )


def test_map_rows_sets_rows_aside_when_asked_to() -> None:
    sink = run(map_rows(lambda row: {"n": None if row["n"] else 0, "x": 1} if row["n"] == 2 else row, quarantine=True))
    assert sink.groups == [[[0, 1, 3]]]
    assert sink.set_aside == [
        QuarantinedRow("column 'x' is not in the schema", "map_rows: lambda, row 2", '{"n": null, "x": 1}')
    ]


def test_select_keeps_columns_in_the_order_given() -> None:
    add = map_batches(lambda data: data.append_column("m", data.column(0)))
    sink = run(add, select("m", "n"))
    assert sink.run is not None
    assert sink.run.schema.names == ["m", "n"]


def test_select_names_the_missing_column_and_those_there_are() -> None:
    with pytest.raises(SchemaInconsistentError, match="select: there is no column 'x'; the columns are n"):
        Run(Script([]), Recorder(), select("x")).end()


def test_count_rows_and_log_batches_see_rows_and_never_values() -> None:
    counted: list[tuple[str, float]] = []
    logged: list[dict[str, Any]] = []

    class Watching:
        def increment(self, name: str, value: float = 1) -> None:
            counted.append((name, value))

        def debug(self, event: str, **fields: Any) -> None:
            logged.append({"event": event, **fields})

        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    watching: Any = Watching()
    run(count_rows(watching, "rows.seen"), log_batches(watching, "seen"))
    assert counted == [("rows.seen", 4)]
    assert logged == [{"event": "seen", "rows": 4, "bytes": 32, "watermark": True}]


def test_named_makes_several_operators_one() -> None:
    assert run(named("clean", filter_rows(greater_than(0)), filter_rows(greater_than(1)))).groups == [[[2, 3]]]


def test_an_operator_of_ones_own_changes_rows_and_keeps_the_position() -> None:
    from reactivex import operators as ops

    def reverse(batch: Batch) -> Batch:
        return batch.with_data(batch.data.take(pa.array(range(batch.num_rows - 1, -1, -1), pa.int64())))

    sink = run(ops.map(reverse))
    assert (sink.groups, sink.watermarks) == ([[[3, 2, 1, 0]]], [4])

from collections.abc import Iterator
from datetime import timedelta

import pyarrow as pa
import pytest

from arcane_framework import Batch, Mode, SchemaInconsistentError, SourceTags, TransientStreamError, Wait
from arcane_framework.testing import ScriptedSource, Step, StreamTestFactory, rows_batch
from tests.testing.small_plugins import SCHEMA, SPEC, reading, rows


def played(items: Iterator[Batch | Wait]) -> list[object]:
    return [item if isinstance(item, Wait) else (item.data.to_pylist(), item.watermark) for item in items]


def test_rows_become_a_batch_of_the_schema_with_its_watermark() -> None:
    batch = rows_batch(SCHEMA, [{"id": 1, "text": "a"}, {"id": 2}], {"n": 2})
    assert batch.data.schema.equals(SCHEMA)
    assert batch.data.to_pylist() == [{"id": 1, "text": "a"}, {"id": 2, "text": None}]
    assert batch.watermark == {"n": 2}


def test_rows_that_do_not_fit_are_named() -> None:
    with pytest.raises(SchemaInconsistentError, match=r"^row 1: column 'id' holds a str that does not fit int64"):
        rows_batch(SCHEMA, [{"id": 1}, {"id": "x"}])


def test_steps_are_played_in_order_and_a_stream_then_waits() -> None:
    batch = rows_batch(SCHEMA, rows(2), {"n": 2})
    source = ScriptedSource(SCHEMA, [(rows(1), None), Wait(5), batch])
    expected = [(rows(1), None), Wait(5), (rows(2), {"n": 2})]
    assert played(source.stream(None)) == [*expected, Wait(None)]
    assert played(source.backfill(None)) == expected


def test_a_stream_ends_when_asked_to(arcane_stream: StreamTestFactory) -> None:
    test = arcane_stream(reading(ScriptedSource(SCHEMA, [(rows(1), {"n": 1})], ends=True)), SPEC).start()
    assert test.exit_code == 0
    assert test.rows() == rows(1)


def test_a_backfill_may_have_steps_of_its_own() -> None:
    source = ScriptedSource(SCHEMA, [(rows(3), {"n": 3})], backfill=[(rows(1), {"n": 1})])
    assert played(source.backfill(None)) == [(rows(1), {"n": 1})]
    assert played(source.stream(None)) == [(rows(3), {"n": 3}), Wait(None)]


def test_by_default_each_start_plays_from_the_first_step() -> None:
    source = ScriptedSource(SCHEMA, [(rows(1), {"n": 1})], ends=True)
    assert played(source.stream({"n": 1})) == [(rows(1), {"n": 1})]


def test_it_resumes_behind_the_last_step_with_the_stored_watermark() -> None:
    steps: list[Step] = [(rows(1), {"n": 1}), (rows(2), {"n": 1}), (rows(3), {"n": 3})]
    source = ScriptedSource(SCHEMA, steps, resume=True, ends=True)
    assert played(source.stream({"n": 1})) == [(rows(3), {"n": 3})]
    assert played(source.stream({"n": 3})) == []
    assert len(played(source.stream(None))) == 3


def test_streaming_resumes_before_its_first_step_at_a_watermark_of_the_backfill() -> None:
    source = ScriptedSource(SCHEMA, [(rows(2), {"n": 2})], backfill=[(rows(1), {"n": 1})], resume=True, ends=True)
    assert played(source.stream({"n": 1})) == [(rows(2), {"n": 2})]


def test_a_stored_watermark_that_no_step_has_is_an_error() -> None:
    source = ScriptedSource(SCHEMA, [(rows(1), {"n": 1})], resume=True)
    with pytest.raises(AssertionError, match=r"^no step of the scripted source has the stored watermark {'n': 9}$"):
        list(source.stream({"n": 9}))


def test_an_exception_is_raised_once() -> None:
    source = ScriptedSource(SCHEMA, [(rows(1), None), TransientStreamError("cut"), (rows(2), None)], ends=True)
    with pytest.raises(TransientStreamError, match=r"^cut$"):
        list(source.stream(None))
    assert played(source.stream(None)) == [(rows(1), None), (rows(2), None)]


def test_it_remembers_how_it_was_started(arcane_stream: StreamTestFactory) -> None:
    source = ScriptedSource(SCHEMA, [(rows(1), {"n": 1}), Wait(60), (rows(2), {"n": 2})], resume=True)
    with pytest.raises(AssertionError, match=r"^the source was never started$"):
        _ = source.last_start
    test = arcane_stream(reading(source), SPEC, backfilling=True).start()
    test.stop()
    test.restart()
    test.advance(60)
    test.restart(backfilling=False)
    assert [(run.mode, run.watermark) for run in source.starts] == [
        (Mode.BACKFILL, None),
        (Mode.BACKFILL, {"n": 1}),
        (Mode.STREAM, {"n": 2}),
    ]
    assert source.last_start == (Mode.STREAM, {"n": 2})


def test_its_tags_are_those_of_the_metrics(arcane_stream: StreamTestFactory) -> None:
    source = ScriptedSource(SCHEMA, [(rows(1), {"n": 1})], tags=SourceTags("shop.example", "orders"))
    test = arcane_stream(reading(source), SPEC).start()
    assert test.metrics.tags("rows.incoming")["stream_source_entity"] == "orders"


def test_a_changed_schema_makes_a_new_part_when_the_source_allows_it(arcane_stream: StreamTestFactory) -> None:
    wider = pa.schema([*SCHEMA, ("colour", pa.string())])
    steps: list[Step] = [
        (rows(1), {"n": 1}),
        Wait(60),
        rows_batch(wider, [{"id": 2, "text": "b", "colour": "red"}], {"n": 2}),
    ]
    test = arcane_stream(reading(ScriptedSource(SCHEMA, steps, schema_changes="new_part")), SPEC).start()
    test.advance(timedelta(minutes=2))
    assert test.rows() == [*rows(1), {"id": 2, "text": "b", "colour": "red"}]
    assert test.table().schema.names == ["id", "text", "colour"]
    assert len([name for name in test.files() if name.startswith("schema/")]) == 2

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arcane_framework import (
    Batch,
    ConfigurationError,
    FatalStreamError,
    Mode,
    QuarantinedRow,
    RunnableGraph,
    SchemaMismatchError,
    Services,
    SinkContext,
    StreamGraphBuilder,
    TransientStreamError,
    Wait,
    to_sink,
)
from arcane_framework.operators import gather, prefetch, rebatch
from arcane_framework.sinks import ParquetSink, PartLayout, Segments
from arcane_framework.testing import (
    CapturedStatus,
    ScriptedSource,
    Step,
    StreamTest,
    StreamTestFactory,
    VirtualClock,
    rows_batch,
)
from tests.testing.small_plugins import (
    SCHEMA,
    SPEC,
    Api,
    Counting,
    reading,
    reading_into_json_lines,
    rows,
)


def test_a_backfill_ends_with_its_completion_token(arcane_stream: StreamTestFactory) -> None:
    source = ScriptedSource(SCHEMA, [(rows(1, 2), {"n": 2}), Wait(30), (rows(3), None)])
    test = arcane_stream(reading(source), SPEC, backfilling=True).start()
    assert not [name for name in test.files() if name.endswith(".COMPLETED")]
    test.advance(30)
    assert test.exit_code == 0
    assert test.rows("backfill") == rows(1, 2, 3)
    assert test.rows("data") == []
    assert [name for name in test.files() if name.endswith(".COMPLETED")] == [
        f"backfill/{test.commits()[-1].schema_hash}.COMPLETED"
    ]


def test_a_day_of_polling_takes_a_moment(arcane_stream: StreamTestFactory) -> None:
    test = arcane_stream(reading(Counting()), SPEC).start()
    test.advance(timedelta(days=1))
    assert test.rows() == rows(*range(1, 26))
    assert test.position().stream == {"id": 25}
    assert test.clock.now() == datetime(2026, 1, 2, tzinfo=UTC)


def test_rows_are_held_no_longer_than_the_grouping_interval(arcane_stream: StreamTestFactory) -> None:
    spec = {**SPEC, "groupingIntervalSeconds": 7, "rowsPerGroup": 1000}
    test = arcane_stream(reading(ScriptedSource(SCHEMA, [(rows(1), {"n": 1})])), spec).start()
    test.advance(6.999)
    assert test.rows() == []
    test.advance(0.001)
    assert test.rows() == rows(1)


def test_a_stop_ends_a_wait_at_once(arcane_stream: StreamTestFactory) -> None:
    test = arcane_stream(reading(ScriptedSource(SCHEMA, [(rows(1), {"n": 1}), Wait(3600)])), SPEC).start()
    assert test.running
    test.stop()
    assert not test.running
    assert test.exit_code == 0
    assert test.rows() == rows(1)
    assert test.clock.monotonic() == 0


def test_a_restart_goes_on_at_the_watermark_with_nothing_twice(arcane_stream: StreamTestFactory) -> None:
    steps: list[Step] = [
        (rows(1, 2), {"n": 2}),
        (rows(3), None),
        TransientStreamError("the line is cut"),
        (rows(4), {"n": 4}),
    ]
    source = ScriptedSource(SCHEMA, steps, resume=True)
    test = arcane_stream(reading(source), SPEC).start()
    assert test.exit_code == 2
    assert test.error == "TransientStreamError: the line is cut"
    assert test.rows() == rows(1, 2)
    test.restart()
    assert source.last_start == (Mode.STREAM, {"n": 2})
    test.advance(10)
    assert test.rows() == rows(1, 2, 3, 4)
    assert test.error is None


def test_streaming_goes_on_after_a_backfill(arcane_stream: StreamTestFactory) -> None:
    source = ScriptedSource(SCHEMA, [(rows(3), {"n": 3})], backfill=[(rows(1, 2), {"n": 2})], resume=True)
    test = arcane_stream(reading(source), SPEC, backfilling=True).start()
    assert test.exit_code == 0
    test.restart(backfilling=False)
    test.stop()
    assert (test.rows("backfill"), test.rows()) == (rows(1, 2), rows(3))
    assert [(run.mode, run.watermark) for run in source.starts] == [(Mode.BACKFILL, None), (Mode.STREAM, {"n": 2})]


def test_a_stopped_backfill_has_no_token_and_asks_for_a_restart(arcane_stream: StreamTestFactory) -> None:
    source = ScriptedSource(SCHEMA, [(rows(1), {"n": 1}), Wait(60), (rows(2), {"n": 2})], resume=True)
    test = arcane_stream(reading(source), SPEC, backfilling=True, backfill_id="b1").start()
    test.stop()
    assert test.exit_code == 2
    assert not [name for name in test.files() if name.endswith(".COMPLETED")]
    test.restart()
    test.advance(60)
    assert test.exit_code == 0
    assert test.rows("backfill") == rows(1, 2)


def test_a_second_signal_changes_nothing(arcane_stream: StreamTestFactory) -> None:
    test = arcane_stream(reading(Counting()), SPEC).start()
    test.stop()
    test.stop()
    assert test.exit_code == 0
    assert test.rows() == rows(1)


def test_a_signal_during_the_start_ends_the_stream_before_it_reads(arcane_stream: StreamTestFactory) -> None:
    source = ScriptedSource(SCHEMA, [(rows(1), {"n": 1})])
    test = arcane_stream(reading(source), SPEC)
    test.stop()
    assert test.start().exit_code == 0
    assert source.starts == []


def test_a_schema_mismatch_is_reported_and_ends_with_0(arcane_stream: StreamTestFactory) -> None:
    steps: list[Step] = [(rows(1), {"n": 1}), SchemaMismatchError("column 'colour' is new")]
    test = arcane_stream(reading(ScriptedSource(SCHEMA, steps)), SPEC).start()
    assert test.exit_code == 0
    assert test.status.mismatches == ["column 'colour' is new"]
    assert test.rows() == rows(1)


def test_a_schema_mismatch_that_cannot_be_reported_ends_with_2(arcane_stream: StreamTestFactory) -> None:
    status = CapturedStatus(TransientStreamError("the cluster does not answer"))
    source = ScriptedSource(SCHEMA, [SchemaMismatchError("column 'colour' is new")])
    test = arcane_stream(reading(source), SPEC, status=status).start()
    assert test.exit_code == 2
    assert test.status.mismatches == []
    assert test.error == "the cluster does not answer"


def test_fatal_errors_and_defects_end_with_1(arcane_stream: StreamTestFactory) -> None:
    source = ScriptedSource(SCHEMA, [FatalStreamError("the table is gone"), ZeroDivisionError("a defect")])
    test = arcane_stream(reading(source), SPEC).start()
    assert (test.exit_code, test.error) == (1, "FatalStreamError: the table is gone")
    test.restart()
    assert test.exit_code == 1
    assert "a defect" in str(test.error)


def test_a_configuration_error_ends_with_1_and_names_all_fields(arcane_stream: StreamTestFactory) -> None:
    test = arcane_stream(Api, {"rowsPerGroup": "many", "groupsPerFile": 0}).start()
    assert test.exit_code == 1
    assert test.error == (
        "the spec of stream 'test' cannot be used:\n"
        "  sinkLocation: is required and missing; add it to the spec\n"
        '  rowsPerGroup: must be a whole number, without quotes (got "many")\n'
        "  groupsPerFile: must be greater than 0 (got 0)\n"
        "  url: is required and missing; add it to the spec\n"
        "  authToken: is a secret and missing; set the environment variable ARCANE__AUTHTOKEN "
        "(authToken is read as well)"
    )
    assert test.files() == []


def test_a_builder_that_raises_ends_with_1(arcane_stream: StreamTestFactory) -> None:
    class Broken(StreamGraphBuilder[SinkContext]):
        def build_graph(self, context: SinkContext) -> RunnableGraph:
            raise ConfigurationError("this kind needs a table")

    test = arcane_stream(Broken, SPEC).start()
    assert (test.exit_code, test.error) == (1, "this kind needs a table")


def test_quarantined_rows_are_beside_the_others(arcane_stream: StreamTestFactory) -> None:
    bad = QuarantinedRow("no number", "page 1, row 2", '{"id": "x"}')
    step = replace(rows_batch(SCHEMA, rows(1), {"n": 1}), quarantined=(bad,))
    test = arcane_stream(reading(ScriptedSource(SCHEMA, [step])), SPEC).start()
    test.advance(10)
    assert test.rows() == rows(1)
    assert test.quarantined() == [{"reason": "no number", "location": "page 1, row 2", "raw": '{"id": "x"}'}]
    assert test.rows("_arcane/quarantine") == test.quarantined()


@pytest.mark.parametrize("operator", [prefetch(1 << 20), rebatch(rows=2, within=1)], ids=["prefetch", "rebatch"])
def test_graphs_of_several_threads_run_under_virtual_time(arcane_stream: StreamTestFactory, operator: object) -> None:
    steps = [step for n in range(1, 20) for step in ((rows(n), {"n": n}), Wait(600))]
    test = arcane_stream(reading(ScriptedSource(SCHEMA, steps), operator), SPEC).start()  # type: ignore[arg-type]
    test.advance(timedelta(hours=4))
    assert test.rows() == rows(*range(1, 20))
    test.stop()
    assert test.exit_code == 0


def test_gathered_sources_run_under_virtual_time(arcane_stream: StreamTestFactory) -> None:
    parts = [
        ScriptedSource(SCHEMA, [(rows(10 * part + n), {"n": n}) if n % 2 else Wait(60.0 * part) for n in range(9)])
        for part in range(1, 6)
    ]
    test = arcane_stream(reading(gather(parts, 1 << 20)), SPEC, backfilling=True).start()
    test.advance(timedelta(hours=1))
    assert test.exit_code == 0
    assert sorted(row["id"] for row in test.rows("backfill")) == [10 * p + n for p in range(1, 6) for n in (1, 3, 5, 7)]


def test_json_lines_are_read_like_parquet(arcane_stream: StreamTestFactory) -> None:
    test = arcane_stream(reading_into_json_lines(ScriptedSource(SCHEMA, [(rows(1, 2), {"n": 2})])), SPEC).start()
    test.stop()
    assert test.rows() == rows(1, 2)
    assert test.table().to_pylist() == rows(1, 2)


def test_json_lines_may_hold_the_line_ends_of_other_alphabets(arcane_stream: StreamTestFactory) -> None:
    row = {"id": 1, "text": "a\u2028b\u2029c\u0085d"}
    test = arcane_stream(reading_into_json_lines(ScriptedSource(SCHEMA, [([row], {"n": 1})])), SPEC).start()
    test.stop()
    assert test.rows() == [row]


def test_a_table_has_the_schema_of_the_parts(arcane_stream: StreamTestFactory) -> None:
    test = arcane_stream(reading(ScriptedSource(SCHEMA, [(rows(1, 2), {"n": 2})])), SPEC).start()
    with pytest.raises(AssertionError, match=r"^nothing has been committed to data/; there are: \['schema/"):
        test.table()
    test.stop()
    assert test.table().equals(pa.Table.from_pylist(rows(1, 2), schema=SCHEMA))


def test_metrics_are_captured_with_all_their_tags(arcane_stream: StreamTestFactory) -> None:
    test = arcane_stream(reading(Counting()), SPEC, stream_id="orders", stream_kind="RestApiFixedAuth").start()
    test.advance(3600)
    assert test.metrics.count("rows.incoming") == 2
    assert test.metrics.count("rows.incoming", mode="stream") == 2
    assert test.metrics.count("rows.incoming", mode="backfill") == 0
    assert test.metrics.count("never") == 0
    assert test.metrics.values("commit.duration") == [0, 0]
    assert test.metrics.tags("rows.incoming") == {
        "kind": "rest_api_fixed_auth",
        "mode": "stream",
        "stream_id": "orders",
        "stream_source_location": "unknown",
        "stream_source_entity": "unknown",
    }
    with pytest.raises(AssertionError, match=r"^the metric 'never' was never touched; there are: .*rows.incoming"):
        test.metrics.tags("never")


def test_logs_are_the_real_lines_in_virtual_time(arcane_stream: StreamTestFactory) -> None:
    test = arcane_stream(reading(Counting()), SPEC).start()
    test.advance(100)
    committed = next(line for line in test.logs if line["event"] == "committed")
    assert committed["timestamp"] == "2026-01-01T00:00:10+00:00"
    assert committed["streamId"] == "test"
    assert committed["rows"] == 1


@pytest.mark.parametrize(
    "location",
    ["memory://lake", "/lake", "lake", "file:///lake", "s3a://bucket/x", "abfss://c@a.dfs.core.windows.net/x"],
)
def test_every_location_is_in_memory(
    arcane_stream: StreamTestFactory, location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    test = arcane_stream(reading(ScriptedSource(SCHEMA, [(rows(1), {"n": 1})])), {"sinkLocation": location}).start()
    test.stop()
    assert test.rows() == rows(1)
    assert test.open(location).folder("test").location.startswith("memory://")
    assert list(tmp_path.iterdir()) == []
    assert not Path("/lake").exists()


def test_real_folders_are_used_when_the_test_asks_for_them(arcane_stream: StreamTestFactory, tmp_path: Path) -> None:
    source = ScriptedSource(SCHEMA, [(rows(1), {"n": 1})])
    test = arcane_stream(reading(source), {"sinkLocation": tmp_path}, real_folders=True).start()
    test.stop()
    (part,) = (tmp_path / "test" / "data").glob("*.parquet")
    assert pq.read_table(part).to_pylist() == test.rows() == rows(1)


def test_a_location_that_is_none_is_refused_as_outside_of_a_test(arcane_stream: StreamTestFactory) -> None:
    test = arcane_stream(reading(Counting()), {"sinkLocation": "gopher://lake"}).start()
    assert test.exit_code == 1
    assert test.error == (
        "gopher://lake: locations of the kind gopher:// are not known; use s3://bucket/folder, "
        "abfss://container@account.dfs.core.windows.net/folder, file:///folder or a path"
    )


def test_a_stream_with_two_sinks_folders_has_to_be_asked_about_one(arcane_stream: StreamTestFactory) -> None:
    source = ScriptedSource(SCHEMA, [(rows(1), {"n": 1})])
    test = arcane_stream(reading(source), {"sinkLocation": "/first"}).start()
    test.stop()
    test.restart(spec={"sinkLocation": "/second"})
    test.stop()
    with pytest.raises(AssertionError) as caught:
        test.rows()
    assert str(caught.value) == (
        "stream 'test' has several folders (memory://disk/first/test, memory://disk/second/test): "
        "say which one with location=..."
    )
    assert test.rows(location="/second") == rows(1)


def test_two_runners_of_one_stream_fence_each_other(arcane_stream: StreamTestFactory) -> None:
    first = arcane_stream(reading(Counting()), SPEC).start()
    second = arcane_stream(reading(Counting()), SPEC, storage=first.storage).start()
    first.advance(10)
    assert first.exit_code == 2
    assert "another runner" in str(first.error)
    assert second.running
    assert second.rows() == rows(1)


def test_one_stream_can_read_what_another_has_written(arcane_stream: StreamTestFactory) -> None:
    first = arcane_stream(reading(ScriptedSource(SCHEMA, [(rows(1), {"n": 1})])), SPEC, stream_id="first").start()
    first.stop()
    second = arcane_stream(reading(Counting()), SPEC, stream_id="second", storage=first.storage).start()
    assert [entry.name for entry in second.open("/lake").list("first/data")] == [
        f"first/{name}" for name in first.files() if name.startswith("data/")
    ]


@dataclass(frozen=True)
class Shop(Services):
    currency: str = "SEK"


def test_a_plugins_own_services_are_made_from_the_tests(arcane_stream: StreamTestFactory) -> None:
    seen: list[Services] = []

    class Selling(StreamGraphBuilder[SinkContext]):
        def build_graph(self, context: SinkContext) -> RunnableGraph:
            seen.append(self.services)
            sink = ParquetSink(self.services.storage(context.sink_location))
            return self.start(ScriptedSource(SCHEMA, [], ends=True)).pipe(to_sink(sink))

    def services(base: Services) -> Services:
        return Shop(**{name: getattr(base, name) for name in base.__dataclass_fields__})

    test = arcane_stream(Selling, SPEC, services=services).start()
    assert test.exit_code == 0
    (shop,) = seen
    assert isinstance(shop, Shop)
    assert shop.storage is test.storage


class Forgiving:
    def handle(self, error: Exception) -> int | None:
        return 7 if isinstance(error, FatalStreamError) else None


def test_a_plugins_own_exception_handler_decides(arcane_stream: StreamTestFactory) -> None:
    source = ScriptedSource(SCHEMA, [FatalStreamError("the table is gone")])
    assert arcane_stream(reading(source), SPEC, exception_handler=Forgiving()).start().exit_code == 7


def test_secrets_reach_the_context_and_no_log_line(arcane_stream: StreamTestFactory) -> None:
    spec = {**SPEC, "url": "https://shop.example/orders"}
    test = arcane_stream(Api, spec, secrets={"ARCANE__AUTHTOKEN": "canary-canary"})
    test.http.reply("GET", "https://shop.example/orders?page=*", json=rows(1), times=None)
    test.start()
    assert test.http.requests[0].headers["authorization"] == "canary-canary"
    assert "canary-canary" not in str(test.logs)


def test_a_stream_that_still_runs_has_no_exit_code(arcane_stream: StreamTestFactory) -> None:
    test = arcane_stream(reading(Counting()), SPEC)
    with pytest.raises(AssertionError, match=r"^stream 'test' was never started: call start\(\)$"):
        _ = test.exit_code
    test.start()
    with pytest.raises(AssertionError) as caught:
        _ = test.exit_code
    assert str(caught.value) == (
        "stream 'test' is still running: let time pass with advance(...), or stop() it\n"
        "threads: arcane-committer, arcane-graph, arcane-host, arcane-writer\n"
        "log:\n"
        "  2026-01-01T00:00:00+00:00 info starting mode=stream watermark=None anything_to_do=True"
    )


@pytest.mark.parametrize(
    "ask",
    [
        lambda test: test.advance(1),
        lambda test: test.rows(),
        lambda test: test.table(),
        lambda test: test.quarantined(),
        lambda test: test.files(),
        lambda test: test.position(),
        lambda test: test.commits(),
    ],
)
def test_a_stream_that_was_never_started_says_so(
    arcane_stream: StreamTestFactory, ask: Callable[[StreamTest], object]
) -> None:
    test = arcane_stream(reading(Counting()), SPEC)
    with pytest.raises(AssertionError, match=r"^stream 'test' was never started: call start\(\)$"):
        ask(test)


def test_a_failed_assertion_shows_how_the_stream_is(arcane_stream: StreamTestFactory) -> None:
    test = arcane_stream(reading(Counting()), SPEC)
    assert repr(test) == "<StreamTest 'test', never started>"
    test.start()
    assert repr(test) == "<StreamTest 'test', running>"
    test.stop()
    assert repr(test) == "<StreamTest 'test', exit code 0>"
    cut = ScriptedSource(SCHEMA, [TransientStreamError("the line is cut")])
    test.restart(builder=reading(cut))
    assert repr(test) == "<StreamTest 'test', exit code 2, error: TransientStreamError: the line is cut>"


def test_a_folder_that_no_stream_has_is_refused(arcane_stream: StreamTestFactory) -> None:
    test = arcane_stream(reading(Counting()), SPEC).start()
    assert test.rows("backfill") == test.quarantined() == []
    test.advance(60)
    with pytest.raises(AssertionError) as caught:
        test.rows("backfil")
    assert str(caught.value) == (
        "stream 'test' has no folder 'backfil': rows are in 'data', 'backfill', '_arcane/quarantine'; "
        "folders there now: 'data', 'schema'"
    )
    assert test.rows("data/") == rows(1)


def test_a_folder_named_by_the_sinks_settings_can_be_read(arcane_stream: StreamTestFactory) -> None:
    class Renamed(StreamGraphBuilder[SinkContext]):
        def build_graph(self, context: SinkContext) -> RunnableGraph:
            layout = PartLayout(segments=Segments(data="rows"), partition_by_date=True)
            sink = ParquetSink(self.services.storage(context.sink_location), part_layout=layout)
            return self.start(Counting()).pipe(to_sink(sink))

    test = arcane_stream(Renamed, SPEC).start()
    test.advance(60)
    assert test.rows("rows") == test.rows("rows/_batch_date=2026-01-01") == rows(1)
    assert test.rows() == []


def test_a_running_stream_is_neither_started_nor_restarted(arcane_stream: StreamTestFactory) -> None:
    test = arcane_stream(reading(Counting()), SPEC)
    with pytest.raises(AssertionError, match=r"^stream 'test' has to end before a restart\n"):
        test.restart()
    test.start()
    with pytest.raises(AssertionError, match=r"^stream 'test' was started before: use restart\(\) after its end$"):
        test.start()
    with pytest.raises(AssertionError, match=r"^stream 'test' has to end before a restart\n"):
        test.restart()


def test_settings_that_no_stream_can_have_fail_the_test_itself() -> None:
    with pytest.raises(ConfigurationError, match="STREAMCONTEXT__STREAM_ID: names the stream's folder"):
        StreamTest(reading(Counting()), SPEC, stream_id="../other").start()


def test_leaving_the_with_block_stops_the_stream() -> None:
    with StreamTest(reading(Counting()), SPEC).start() as test:
        test.advance(60)
    assert test.exit_code == 0
    assert test.clock.threads == []


class Stuck(Counting):
    """Leaves a thread behind that nobody ends."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.ended = False

    def stream(self, watermark: object) -> "object":  # type: ignore[override]

        def wait() -> None:
            self.clock.wait_for(lambda: self.ended)

        self.clock.spawn(wait, "forgotten")
        yield Wait(None)

    def end(self) -> None:
        with self.clock.changing():
            self.ended = True


def test_a_thread_left_behind_fails_the_test() -> None:
    clock = VirtualClock()
    source = Stuck(clock)
    test = StreamTest(reading(source), SPEC, clock=clock).start()
    test.close()
    with pytest.raises(AssertionError, match=r"^threads were left behind:\nforgotten:\n"):
        clock.check_no_threads()
    source.end()
    clock.check_no_threads()


def test_a_stream_that_does_not_stop_is_shown_with_its_threads() -> None:
    clock = VirtualClock()
    released: list[bool] = []

    class Deaf(Counting):
        def poll(self, watermark: object) -> list[Batch]:
            clock.wait_for(lambda: bool(released))
            return []

    test = StreamTest(reading(Deaf()), SPEC, clock=clock).start()
    with pytest.raises(
        AssertionError, match=r"^stream 'test' did not stop when it was told to\nthreads: arcane-committer"
    ):
        test.close()
    with clock.changing():
        released.append(True)
    test.close()
    assert test.exit_code == 0


def test_the_first_error_of_a_with_block_is_the_one_that_is_shown() -> None:
    clock = VirtualClock()
    released: list[bool] = []

    class Deaf(Counting):
        def poll(self, watermark: object) -> list[Batch]:
            clock.wait_for(lambda: bool(released))
            return []

    first = ValueError("the first")
    test = StreamTest(reading(Deaf()), SPEC, clock=clock)
    with suppress(ValueError), test:
        test.start()
        raise first
    assert first.__notes__[0].startswith("and then: stream 'test' did not stop when it was told to")
    with clock.changing():
        released.append(True)
    test.close()

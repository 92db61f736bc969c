"""The pytest plugin, in a pytest of its own, as a plugin author has it."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ("pytester",)

ROWS = '[{"id": 1, "name": "ö"}, {"id": 2, "name": None}]'


def run(pytester: pytest.Pytester, test: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(test_it=test)
    return pytester.runpytest_subprocess(
        "-q", "-p", "no:randomly", "-p", "no:xdist", "-p", "no:cacheprovider", *options
    )


def test_loading_the_plugin_loads_nothing_of_the_kit() -> None:
    program = (
        "import sys, arcane_framework\n"
        "before = set(sys.modules)\n"
        "import pytest\n"
        "with_pytest = set(sys.modules)\n"
        "import arcane_framework.testing.plugin\n"
        "loaded = {name for name in set(sys.modules) - with_pytest if name.startswith('arcane_framework')}\n"
        "print(sorted(loaded), sorted({'httpx2', 'structlog', 'pyarrow.parquet'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "['arcane_framework.testing', 'arcane_framework.testing.plugin'] []\n"


def test_a_missing_golden_file_is_a_failure_that_says_how_to_write_it(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_orders(golden):\n    golden('text')\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *AssertionError: golden/test_orders.txt is missing: "
            "write it with pytest --update-golden, and read it before you keep it"
        ]
    )
    assert not Path("golden").exists()


def test_a_golden_file_is_written_when_asked_for_and_compared_from_then_on(pytester: pytest.Pytester) -> None:
    test = f"def test_orders(golden):\n    golden({ROWS})\n    golden('one\\ntwo\\n', 'other.txt')\n"
    run(pytester, test, "--update-golden").assert_outcomes(passed=1)
    written = {path.name: path.read_text("utf-8") for path in (pytester.path / "golden").iterdir()}
    assert written == {
        "test_orders.jsonl": '{"id": 1, "name": "ö"}\n{"id": 2, "name": null}\n',
        "other.txt": "one\ntwo\n",
    }
    run(pytester, test).assert_outcomes(passed=1)


def test_a_golden_file_that_differs_is_shown_line_by_line(pytester: pytest.Pytester) -> None:
    run(pytester, f"def test_orders(golden):\n    golden({ROWS})\n", "--update-golden").assert_outcomes(passed=1)
    result = run(pytester, f"def test_orders(golden):\n    golden({ROWS.replace('None', repr('x'))})\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *golden/test_orders.jsonl differs; if this run is right, write it anew with pytest --update-golden",
            "E *--- golden/test_orders.jsonl",
            "E *+++ this run",
            'E * {"id": 1, "name": "ö"}',
            'E *-{"id": 2, "name": null}',
            'E *+{"id": 2, "name": "x"}',
        ]
    )
    assert "null" in (pytester.path / "golden" / "test_orders.jsonl").read_text("utf-8")


def test_the_fixtures_run_a_stream_and_clean_it_up(pytester: pytest.Pytester) -> None:
    test = """
        import pyarrow as pa
        from arcane_framework import SinkContext, StreamGraphBuilder, to_sink
        from arcane_framework.sinks import ParquetSink
        from arcane_framework.testing import ScriptedSource

        source = ScriptedSource(pa.schema([("id", pa.int64())]), [([{"id": 1}], {"n": 1})])

        class Ids(StreamGraphBuilder[SinkContext]):
            def build_graph(self, context):
                return self.start(source).pipe(to_sink(ParquetSink(self.services.storage(context.sink_location))))

        kept = []

        def test_rows(arcane_stream, virtual_clock, golden):
            test = arcane_stream(Ids, {"sinkLocation": "/lake"}).start()
            assert test.clock is virtual_clock
            virtual_clock.advance(10)
            golden(test.table())
            assert test.running
            kept.append(test)

        def test_afterwards():
            assert not kept[0].running
            assert kept[0].clock.threads == []
    """
    run(pytester, test, "--update-golden").assert_outcomes(passed=2)
    assert (pytester.path / "golden" / "test_rows.txt").read_text("utf-8") == 'id: int64\n\n{"id": 1}\n'
    run(pytester, test).assert_outcomes(passed=2)


def test_a_thread_left_behind_by_a_test_is_an_error(pytester: pytest.Pytester) -> None:
    test = """
        def test_it(virtual_clock):
            virtual_clock.spawn(lambda: virtual_clock.wait_for(lambda: False), "forgotten")
    """
    result = run(pytester, test)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["E *AssertionError: threads were left behind:", "E *forgotten:"])

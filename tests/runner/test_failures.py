"""What a stream that fails leaves behind: its exit code, its message, and every row exactly once in the next run."""

import subprocess
import sys
from typing import Any

import pytest

from tests.runner.processes import NUMBERS, PLUGINS, TIMEOUT, Stream

FAILED = "the stream has failed"
UNEXPECTED = "unexpected error"
TRANSIENT = "TransientStreamError: the API at https://***@example.test/orders is not available"


def test_an_error_before_the_first_batch_leaves_nothing(stream: Stream) -> None:
    ended = stream.run(spec={"failAt": 0})
    assert (ended.code, ended.error["event"], ended.error["error"]) == (2, FAILED, TRANSIENT)
    assert stream.rows() == []
    assert stream.run().code == 0
    assert stream.rows() == [*range(10)]


def test_an_error_after_the_last_batch_keeps_all_of_them(stream: Stream) -> None:
    ended = stream.run(spec={"failAt": 10})
    assert (ended.code, ended.error["event"], ended.error["error"]) == (2, FAILED, TRANSIENT)
    assert stream.rows() == [*range(10)]
    assert stream.run().code == 0
    assert stream.rows() == [*range(10)]


@pytest.mark.parametrize(
    ("failure", "code", "event", "error"),
    [
        ("transient", 2, FAILED, TRANSIENT),
        (
            "misfit",
            2,
            FAILED,
            "SchemaInconsistentError: page 2, row 0: column 'n' holds a str that does not fit int64. "
            "Correct the schema, or set quarantine: true to set such rows aside",
        ),
        (
            "fatal",
            1,
            FAILED,
            "FatalStreamError: the change log of dbo.orders was cleaned up: start a backfill",
        ),
        ("defect", 1, UNEXPECTED, "ValueError: a defect of the plugin"),
        ("exit", 1, FAILED, "FatalStreamError: the source ended its thread: SystemExit(0)"),
        ("interrupt", 1, FAILED, "FatalStreamError: the source ended its thread: KeyboardInterrupt()"),
    ],
)
def test_an_error_between_batches_loses_no_row(stream: Stream, failure: str, code: int, event: str, error: str) -> None:
    # Two batches fill two groups; the third one, below a group's rows, is saved at the end.
    spec = {"batchRows": 2, "failAt": 6, "failure": failure, "rowsPerGroup": 4}
    ended = stream.run(spec=spec)
    assert (ended.code, ended.error["event"], ended.error["error"]) == (code, event, error)
    assert ("traceback" in ended.error) is (event == UNEXPECTED)
    assert stream.rows() == [*range(6)]
    assert stream.run().code == 0
    assert stream.rows() == [*range(10)]


def test_a_defects_trace_names_the_plugins_line(stream: Stream) -> None:
    trace = stream.run(spec={"failAt": 0, "failure": "defect"}).error["traceback"]
    assert trace.startswith("Traceback (most recent call last):\n")
    assert 'raise ValueError("a defect of the plugin")\nValueError: a defect of the plugin\n' in trace
    assert "numbers_stream.py" in trace


def test_a_configuration_error_of_a_source_has_no_trace(stream: Stream) -> None:
    ended = stream.run(spec={"failAt": 3, "failure": "configuration"}, ARCANE__LOG_LEVEL="warning")
    assert ended.configuration_error == "there is no table dbo.orders: correct the spec's field table"
    assert len(ended.log) == 1


@pytest.mark.parametrize(
    ("builder", "error"),
    [
        ("FailsInInit", "LookupError: no licence in __init__"),
        ("FailsInBuild", "LookupError: no licence in build_graph"),
    ],
)
def test_a_builder_that_raises_is_a_defect_with_a_trace(stream: Stream, builder: str, error: str) -> None:
    ended = stream.run(f"{PLUGINS}.broken_builders:{builder}")
    assert (ended.code, ended.error["event"], ended.error["error"]) == (1, UNEXPECTED, error)
    assert 'broken_builders.py", line' in ended.error["traceback"]
    assert not stream.lake.exists()


def test_a_builder_that_exits_the_process_does_not_pass_for_a_stream_that_has_ended(stream: Stream) -> None:
    ended = stream.run(f"{PLUGINS}.broken_builders:ExitsInBuild")
    assert (ended.code, ended.error["event"], ended.error["error"]) == (
        1,
        FAILED,
        "FatalStreamError: the plugin ended the process (SystemExit(0)): raise an error instead",
    )


def test_a_failed_backfill_has_no_token_and_its_restart_completes_it(stream: Stream) -> None:
    ended = stream.run(spec={"failAt": 6}, STREAMCONTEXT__BACKFILL="true", STREAMCONTEXT__BACKFILL_ID="b1")
    assert (ended.code, stream.tokens(), stream.rows("backfill")) == (2, [], [*range(6)])
    assert stream.run(STREAMCONTEXT__BACKFILL="true", STREAMCONTEXT__BACKFILL_ID="b1").code == 0
    assert (len(stream.tokens()), stream.rows("backfill")) == (1, [*range(10)])


def test_a_mismatch_outside_a_cluster_is_said_in_the_log_and_ends_with_0(stream: Stream) -> None:
    ended = stream.run(spec={"failAt": 3, "failure": "mismatch"})
    assert ended.code == 0
    warnings = [(line["event"], line.get("error") or line["detail"]) for line in ended.log if line["level"] != "info"]
    assert warnings == [
        ("the stream ends, its source has another schema now", "the table dbo.orders has a new column 'total'"),
        (
            "the schema has changed, start a backfill to reload the stream",
            "the table dbo.orders has a new column 'total'",
        ),
    ]
    assert stream.rows() == [0, 1, 2]


def test_a_mismatch_that_cannot_be_reported_ends_with_2(stream: Stream) -> None:
    spec = {"failAt": 0, "failure": "mismatch"}
    ended = stream.run(spec=spec, KUBERNETES_SERVICE_HOST="127.0.0.1", KUBERNETES_SERVICE_PORT="1")
    assert (ended.code, ended.error["event"], ended.error["error"]) == (
        2,
        "the schema mismatch could not be reported",
        "The schema has changed, and the Job 'orders-1' could not be annotated at https://127.0.0.1:1: "
        "/var/run/secrets/kubernetes.io/serviceaccount/namespace cannot be read; the pod needs a service account with "
        "automountServiceAccountToken: true",
    )
    broken = stream.run(f"{PLUGINS}.hosts:with_broken_status", spec)
    assert (broken.code, broken.error["event"]) == (2, "the status service failed itself")


HANDLED = "the plugin's exception handler decided about an error"


@pytest.mark.parametrize(
    ("host", "failure", "code", "said"),
    [
        ("with_handlers", "transient", 42, {"event": HANDLED, "exit_code": 42, "error": TRANSIENT}),
        (
            "with_handlers",
            "defect",
            77,
            {"event": HANDLED, "exit_code": 77, "error": "ValueError: a defect of the plugin"},
        ),
        ("with_handlers", "fatal", 1, {"event": FAILED}),
        ("with_broken_handler", "transient", 2, {"event": "the plugin's exception handler failed itself"}),
        (
            "with_text_handler",
            "transient",
            2,
            {"event": "the plugin's exception handler returned a str, not an exit code"},
        ),
    ],
)
def test_the_plugins_own_handlers_are_asked_first(
    stream: Stream, host: str, failure: str, code: int, said: dict[str, Any]
) -> None:
    ended = stream.run(f"{PLUGINS}.hosts:{host}", {"failAt": 3, "failure": failure})
    assert ended.code == code
    assert [line for line in ended.log if said.items() <= line.items()], ended.stderr
    assert (ended.log[-1]["event"], ended.log[-1]["exit_code"]) == ("ended", code)


@pytest.mark.parametrize("redirection", ["2>&-", "<&- >&- 2>&-", "2>/dev/full", "2>&1 | true"])
def test_a_log_that_cannot_be_written_does_not_change_how_a_stream_ends(stream: Stream, redirection: str) -> None:
    script = f"set -o pipefail; {sys.executable} -m arcane_framework.run {NUMBERS} {redirection}"
    code = subprocess.run(
        ["bash", "-c", script], env=stream.environment(), cwd=stream.folder, timeout=TIMEOUT, check=False
    ).returncode
    assert code == 0
    assert stream.rows() == [*range(10)]


def test_every_line_of_the_log_has_the_streams_fields(stream: Stream) -> None:
    ended = stream.run(
        NUMBERS,
        ARCANE__LOGGING_PROPERTIES='{"team": "sales", "streamId": "another"}',
        APPLICATION_VERSION="1.2.3",
        STREAMCONTEXT__BACKFILL_ID="b7",
    )
    fields = {
        "streamId": "orders-1",
        "streamKind": "Numbers",
        "backfillId": "b7",
        "Application": "Arcane.Stream",
        "ApplicationVersion": "1.2.3",
        "team": "sales",
    }
    assert [line["event"] for line in ended.log][:: len(ended.log) - 1] == ["starting", "ended"]
    assert all(fields.items() <= line.items() for line in ended.log)
    assert ended.events("committed")[0] == {**ended.events("committed")[0], "rows": 3, "parts": 1, "watermark": "n=3"}


def test_a_library_that_aborts_while_the_process_exits_does_not_change_the_exit_code(stream: Stream) -> None:
    note = stream.folder / "note"
    ended = stream.run(f"{PLUGINS}.aborts_at_exit:Numbers", None, NOTE_AT_EXIT=str(note))
    assert ended.code == 0
    assert note.read_text() == "left", "a plugin's own exit handlers are called"
    assert stream.rows() == [*range(10)]


@pytest.mark.parametrize("host", [None, "127.0.0.1"])
def test_a_missing_agent_is_told_in_a_cluster_only(stream: Stream, host: str | None) -> None:
    missing = str(stream.folder / "dsd.socket")
    ended = stream.run(
        METRICS_ENABLED=None, ARCANE_FRAMEWORK__DATADOG_SOCKET_PATH=missing, KUBERNETES_SERVICE_HOST=host
    )
    assert ended.code == 0
    assert len(ended.events("metrics are not sent, the stream goes on")) == (0 if host is None else 1)

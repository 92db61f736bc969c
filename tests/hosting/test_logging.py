"""The log's lines as a collector or a person gets them."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
import structlog

from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.services import Logger, StreamIdentity
from arcane_framework.hosting.logging import (
    LogFormat,
    capture_library_logs,
    make_logger,
    parse_format,
    parse_level,
    stream_fields,
)

HOSTILE = "a\nb\r\nc\x1b[31mred\x00\x07\x7f\x85\u2028\u2029\u202e\ud800 {json}"


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().split("\n")[:-1]]


def test_a_record_is_one_json_object_with_the_fields_of_the_stream() -> None:
    stream = io.StringIO()
    identity = StreamIdentity("orders", "RestApiFixedAuth", backfilling=True, backfill_id="b1")
    fields = stream_fields(identity, "1.2.3", {"team": "data", "streamId": "other", "level": "none"})
    make_logger(stream=stream, fields=fields).info("committed", rows=3)
    (line,) = lines(stream)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "event": "committed",
        "streamId": "orders",
        "streamKind": "RestApiFixedAuth",
        "backfillId": "b1",
        "Application": "Arcane.Stream",
        "ApplicationVersion": "1.2.3",
        "team": "data",
        "rows": 3,
    }


def test_fields_that_are_not_known_are_left_out() -> None:
    stream = io.StringIO()
    make_logger(stream=stream, fields=stream_fields(StreamIdentity("a", "B"), None)).info("x")
    assert set(lines(stream)[0]) == {"timestamp", "level", "event", "streamId", "streamKind", "Application"}


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_one_record_is_one_line_whatever_its_values_hold(log_format: LogFormat) -> None:
    stream = io.StringIO()
    log = make_logger(level="debug", stream=stream, log_format=log_format, fields={"bound": HOSTILE})
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.error(HOSTILE, exc_info=True, nested={HOSTILE: [HOSTILE]}, **{HOSTILE: HOSTILE})
    text = stream.getvalue()
    assert text.endswith("\n")
    assert not [character for character in text[:-1] if ord(character) < 32 or 127 <= ord(character) < 160]
    assert len(text.splitlines()) == 1
    assert "\u202e" not in text
    text.encode("utf-8")


def test_json_keeps_the_text_that_it_escapes() -> None:
    stream = io.StringIO()
    make_logger(stream=stream).info("x", value=HOSTILE)
    assert lines(stream)[0]["value"] == HOSTILE


def test_the_console_format_is_for_people() -> None:
    stream = io.StringIO()
    make_logger(stream=stream, log_format="console").warning("slow\nsink", rows=3, where="a\tb")
    line = stream.getvalue()
    assert "[warning" in line
    assert "slow\\nsink" in line
    assert "rows=3" in line
    assert "a\\tb" in line.replace("\\\\", "\\")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_format_is_json_unless_the_stream_is_a_terminal() -> None:
    terminal, file = Terminal(), io.StringIO()
    make_logger(stream=terminal).info("x")
    make_logger(stream=file).info("x")
    assert not terminal.getvalue().startswith("{")
    assert file.getvalue().startswith("{")


def test_the_default_stream_is_standard_error_at_the_time_of_the_call(capsys: pytest.CaptureFixture[str]) -> None:
    make_logger().info("here")
    captured = capsys.readouterr()
    assert '"event":"here"' in captured.err
    assert captured.out == ""


def test_records_below_the_level_are_dropped() -> None:
    stream = io.StringIO()
    log = make_logger(level="warning", stream=stream)
    log.debug("no")
    log.info("no")
    log.warning("yes")
    log.error("yes")
    assert [line["level"] for line in lines(stream)] == ["warning", "error"]


@pytest.mark.parametrize(
    ("text", "level"),
    [("debug", 10), ("INFO", 20), ("Information", 20), (" warn ", 30), ("Error", 40), ("Fatal", 50), ("Verbose", 10)],
)
def test_levels_are_known_by_both_generations_names(text: str, level: int) -> None:
    assert parse_level(text) == level


def test_an_unknown_level_names_those_there_are() -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_logger(level="loud")
    assert str(caught.value) == (
        "'loud' is no log level: set ARCANE__LOG_LEVEL to debug, info, warning, error or critical"
    )


def test_an_unknown_format_names_those_there_are() -> None:
    assert (parse_format("JSON"), parse_format(" console ")) == ("json", "console")
    with pytest.raises(ConfigurationError) as caught:
        parse_format("xml")
    assert str(caught.value) == "'xml' is no log format: set ARCANE__LOG_FORMAT to json or console"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_credential_and_no_known_secret_is_shown(log_format: LogFormat) -> None:
    stream = io.StringIO()
    log = make_logger(
        level="debug", stream=stream, log_format=log_format, secrets=["known-c4nary"], fields={"x": "known-c4nary"}
    )
    try:
        try:
            raise KeyError("Pwd=c4nary")
        except KeyError as inner:
            raise ValueError("at https://u:c4nary@h with known-c4nary") from inner
    except ValueError as error:
        log.error("Bearer c4nary", exc_info=True, url="https://h/?sig=c4nary", password="c4nary", failure=error)
    text = stream.getvalue()
    assert "c4nary" not in text
    assert "at https://***@h with ***" in text


def test_an_error_is_told_in_one_field_and_its_trace_only_at_debug() -> None:
    info, debug = io.StringIO(), io.StringIO()
    for stream, level in ((info, "info"), (debug, "debug")):
        try:
            raise ValueError("broken")
        except ValueError as error:
            make_logger(level=level, stream=stream).error("failed", exc_info=error)
    assert lines(info)[0]["error"] == "ValueError: broken"
    assert "traceback" not in lines(info)[0]
    assert lines(debug)[0]["error"] == "ValueError: broken"
    assert "test_logging.py" in lines(debug)[0]["traceback"]


def test_an_error_given_as_a_field_is_told_by_type_and_message() -> None:
    stream = io.StringIO()
    make_logger(stream=stream).warning("failed", error=OSError(28, "No space left"))
    assert lines(stream)[0]["error"] == "OSError: [Errno 28] No space left"


def test_a_value_whose_text_cannot_be_had_does_not_raise() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    stream = io.StringIO()
    make_logger(stream=stream).info("x", value=Broken(), exc_info=True)
    assert lines(stream)[0]["value"] == "<Broken>"


def test_it_is_a_logger_of_the_core_and_bound_fields_stay() -> None:
    stream = io.StringIO()
    log: Logger = make_logger(stream=stream)
    log.bind(part="p1").bind(rows=2).info("x")
    log.info("y")
    first, second = lines(stream)
    assert (first["part"], first["rows"]) == ("p1", 2)
    assert "part" not in second


def test_nothing_is_configured_globally() -> None:
    before = structlog.get_config()
    make_logger(stream=io.StringIO()).info("x")
    assert not structlog.is_configured()
    assert structlog.get_config() == before


def test_lines_of_many_threads_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w", encoding="utf-8") as stream:
        log = make_logger(stream=stream)

        def write(number: int) -> None:
            for index in range(200):
                log.info("x", thread=number, index=index, filler="f" * 500)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    seen = {(line["thread"], line["index"]) for line in map(json.loads, path.read_text().splitlines())}
    assert len(seen) == 8 * 200


def test_a_closed_stream_does_not_raise() -> None:
    stream = io.StringIO()
    log = make_logger(stream=stream)
    stream.close()
    log.error("nobody hears it")
    assert stream.closed


def test_a_reader_that_has_gone_does_not_raise() -> None:
    program = """
import os, sys, time
from arcane_framework.hosting.logging import make_logger
read, write = os.pipe()
os.dup2(write, 2); os.close(write); os.close(read)
log = make_logger()
for number in range(100):
    log.error("nobody reads it", number=number)
print("alive", flush=True)
os._exit(0)  # the interpreter's own attempt to write what is left may end with 120
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "alive\n")


def test_a_full_pipe_that_must_not_block_does_not_raise() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    with open(read, "rb") as reader, open(write, "w", encoding="utf-8", closefd=False) as stream:
        log = make_logger(stream=stream)
        for number in range(3000):
            log.error("nobody keeps up", number=number, filler="f" * 100)
        assert len(os.read(reader.fileno(), 1 << 20)) > 0
        while True:
            try:
                stream.flush()
                break
            except BlockingIOError:
                os.read(reader.fileno(), 1 << 20)
    os.close(write)


def test_what_libraries_log_goes_the_same_way() -> None:
    stream = io.StringIO()
    library = logging.getLogger("some.library")
    with capture_library_logs(make_logger(level="debug", stream=stream, secrets=["known-c4nary"])):
        library.debug("payload")
        library.info("payload")
        library.warning("retry %s for %s", "https://u:c4nary@h/", "known-c4nary")
        try:
            raise OSError("Authorization: c4nary")
        except OSError:
            library.exception("failed\nbadly")
    warning, error = lines(stream)
    assert (warning["level"], warning["event"]) == ("warning", "retry https://***@h/ for ***")
    assert warning["logger"] == "some.library"
    assert (error["level"], error["event"], error["error"]) == ("error", "failed\nbadly", "OSError: Authorization: ***")
    assert "c4nary" not in stream.getvalue()


def test_http_debug_lines_of_libraries_are_redacted() -> None:
    stream = io.StringIO()
    with capture_library_logs(make_logger(level="debug", stream=stream), "debug"):
        logging.getLogger("urllib3.connectionpool").debug('%s "GET /b?sig=%s HTTP/1.1"', "https://h:443", "c4nary")
    assert lines(stream)[0]["event"] == 'https://h:443 "GET /b?sig=*** HTTP/1.1"'


def test_a_library_whose_arguments_do_not_fit_does_not_raise() -> None:
    # In a process of its own: the test runner's handler raises for such records.
    program = """
import logging
from arcane_framework.hosting.logging import capture_library_logs, make_logger
with capture_library_logs(make_logger()):
    logging.getLogger("some.library").warning("%d of %d", "x")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert json.loads(done.stderr)["event"] == "%d of %d"


def test_capturing_can_be_undone() -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    stream = io.StringIO()
    captured = capture_library_logs(make_logger(stream=stream), "error")
    assert root.level == logging.ERROR
    captured.close()
    logging.getLogger("some.library").error("not ours")
    assert (list(root.handlers), root.level) == before
    assert stream.getvalue() == ""


def test_making_a_logger_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_logger(stream=Terminal()).info("x")

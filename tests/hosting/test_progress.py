"""The live line as a terminal shows it."""

import contextlib
import io
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

import pytest

from arcane_framework._core.clock import SystemClock
from arcane_framework._core.services import Progress
from arcane_framework._core.sink import CommitReport
from arcane_framework.hosting.logging import make_logger
from arcane_framework.hosting.progress import ProgressState, TerminalProgress, progress_line
from arcane_framework.testing import VirtualClock


class ManualClock(SystemClock):
    """Time that moves only by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


def report(rows: int, parts: int = 1, description: str | None = None) -> CommitReport:
    return CommitReport(rows=rows, quarantined=0, nbytes=10, parts=parts, description=description, seconds=0.1)


class Screen:
    """A real terminal and what was written to it."""

    def __init__(self) -> None:
        self._controller, terminal = pty.openpty()
        self.stream: TextIO = os.fdopen(terminal, "w", encoding="utf-8")
        self._chunks: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        # The controller reports EIO when the terminal's last writer has closed it.
        with contextlib.suppress(OSError):
            while chunk := os.read(self._controller, 65536):
                self._chunks.append(chunk)

    def close(self) -> str:
        if not self.stream.closed:
            self.stream.close()
            self._reader.join()
            os.close(self._controller)
        return b"".join(self._chunks).decode()

    def rows(self) -> list[str]:
        """What stays on the screen, line by line, as far as these programs use a terminal."""
        return render(self.close())


def render(output: str) -> list[str]:
    rows: list[str] = [""]
    row = column = 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b.|[\s\S]", output):
        if token == "\r":
            column = 0
        elif token == "\n":
            row, column = row + 1, 0
            rows.extend([""] * (row + 1 - len(rows)))
        elif re.fullmatch(r"\x1b\[2K", token):
            rows[row] = ""
        elif re.fullmatch(r"\x1b\[0?K", token):
            rows[row] = rows[row][:column]
        elif match := re.fullmatch(r"\x1b\[(\d*)A", token):
            row = max(0, row - int(match.group(1) or 1))
        elif not token.startswith("\x1b"):
            rows[row] = rows[row][:column].ljust(column) + token + rows[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in rows if line.strip()]


@pytest.fixture
def screen() -> Iterator[Screen]:
    screen = Screen()
    yield screen
    screen.close()


BOTH = pytest.mark.parametrize("use_rich", [False, True])


def test_the_line_tells_rows_rate_parts_and_position() -> None:
    state = ProgressState(rows=336776, rate=12345.6, parts=4, committed=330000, position="2013-09-30")
    assert progress_line(state) == "336,776 rows  12,346 rows/s  4 parts  330,000 committed  at 2013-09-30"


def test_a_line_without_a_position_ends_earlier() -> None:
    assert progress_line(ProgressState(parts=1)) == "0 rows  0 rows/s  1 part  0 committed"


def test_a_position_cannot_control_the_terminal_or_show_a_credential() -> None:
    line = progress_line(ProgressState(position="a\n\x1b[2Jb https://h/?sig=c4nary"))
    assert line.endswith("  at a\\n\\x1b[2Jb https://h/?sig=***")


@BOTH
def test_the_last_state_stays_on_the_screen(screen: Screen, use_rich: bool) -> None:
    clock = ManualClock()
    progress = TerminalProgress(clock, screen.stream, use_rich=use_rich)
    watching: Progress = progress
    for _ in range(10):
        clock.seconds += 1
        watching.rows_incoming(1000)
    watching.committed(report(9000, parts=2, description="page 9"))
    watching.committed(report(500, parts=1))
    progress.close()
    print("done", file=screen.stream)
    assert screen.rows() == ["10,000 rows  1,000 rows/s  3 parts  9,500 committed  at page 9", "done"]


@BOTH
def test_there_are_at_most_five_updates_a_second(screen: Screen, use_rich: bool) -> None:
    clock = ManualClock()
    progress = TerminalProgress(clock, screen.stream, use_rich=use_rich)
    for _ in range(2000):
        clock.seconds += 0.001
        progress.rows_incoming(1)
    progress.close()
    assert 5 <= screen.close().count(" rows/s") <= 13


@BOTH
def test_a_log_line_is_printed_above_and_does_not_tear_the_line(screen: Screen, use_rich: bool) -> None:
    clock = ManualClock()
    progress = TerminalProgress(clock, screen.stream, use_rich=use_rich)
    log = make_logger(stream=progress.log_stream, log_format="console")
    log.warning("before the first row")
    progress.rows_incoming(7)
    log.warning("slow sink", filler="f" * 150)
    log.warning("another")
    clock.seconds += 1
    progress.rows_incoming(1)
    progress.close()
    log.warning("after the end")
    rows = screen.rows()
    assert ["before the first row" in rows[0], "slow sink" in rows[1]] == [True, True]
    assert "f" * 100 in "".join(rows)
    assert "another" in rows[-3]
    assert rows[-2].startswith("8 rows")
    assert "after the end" in rows[-1]
    assert len([row for row in rows if " rows/s" in row]) == 1


@BOTH
def test_a_line_longer_than_the_terminal_stays_one_line(screen: Screen, use_rich: bool) -> None:
    progress = TerminalProgress(ManualClock(), screen.stream, use_rich=use_rich)
    progress.committed(report(1, description="p" * 500))
    progress.committed(report(1, description="q" * 500))
    progress.close()
    (row,) = screen.rows()
    assert row.startswith("0 rows")
    assert len(row) <= 80


def test_the_rate_is_that_of_the_last_seconds() -> None:
    clock, stream = ManualClock(), io.StringIO()
    progress = TerminalProgress(clock, stream, use_rich=False)
    for _ in range(100):
        clock.seconds += 1
        progress.rows_incoming(1000)
    for _ in range(20):
        clock.seconds += 1
        progress.rows_incoming(10)
    assert stream.getvalue().rsplit("\r", 1)[1].startswith("100,200 rows  10 rows/s")


def test_the_cursor_is_shown_again(screen: Screen) -> None:
    progress = TerminalProgress(ManualClock(), screen.stream, use_rich=True)
    progress.rows_incoming(1)
    progress.close()
    output = screen.close()
    assert output.rfind("\x1b[?25h") > output.rfind("\x1b[?25l") >= 0


@BOTH
def test_a_terminal_that_goes_away_does_not_raise(use_rich: bool) -> None:
    stream = io.StringIO()
    clock = ManualClock()
    progress = TerminalProgress(clock, stream, use_rich=use_rich)
    progress.rows_incoming(1)
    stream.close()
    clock.seconds += 1
    progress.rows_incoming(1)
    progress.committed(report(1))
    make_logger(stream=progress.log_stream, log_format="json").error("nobody sees it")
    progress.close()
    progress.close()
    assert stream.closed


@BOTH
def test_many_threads_may_report(screen: Screen, use_rich: bool) -> None:
    progress = TerminalProgress(SystemClock(), screen.stream, use_rich=use_rich)
    log = make_logger(stream=progress.log_stream, log_format="json")

    def work() -> None:
        for _ in range(300):
            progress.rows_incoming(1)
            progress.committed(report(1))
        log.error("done")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    progress.close()
    assert re.match(r"1,200 rows  [\d,]+ rows/s  1,200 parts  1,200 committed$", screen.rows()[-1])


def test_without_rich_the_plain_line_is_shown() -> None:
    program = """
import sys
sys.modules["rich"] = None
from arcane_framework._core.clock import SystemClock
from arcane_framework.hosting.progress import TerminalProgress
progress = TerminalProgress(SystemClock(), sys.stdout)
progress.rows_incoming(3)
progress.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=True)
    assert done.stdout.startswith(b"\r3 rows  ")
    assert done.stdout.endswith(b"  0 parts  0 committed\x1b[K\n")


def test_the_line_stands_from_the_start_on_also_while_nothing_comes() -> None:
    terminal = io.StringIO()
    progress = TerminalProgress(VirtualClock(), terminal, use_rich=False)
    progress.close()
    assert terminal.getvalue() == ""
    progress = TerminalProgress(VirtualClock(), terminal, use_rich=False)
    progress.started("page 9")
    assert "0 rows  0 rows/s  0 parts  0 committed  at page 9" in terminal.getvalue()
    progress.close()


def test_quarantined_rows_are_shown_when_there_are_any() -> None:
    state = ProgressState(rows=3, committed=1, quarantined=2)
    assert progress_line(state) == "3 rows  0 rows/s  0 parts  1 committed  2 quarantined"

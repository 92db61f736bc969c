"""One live line for the person at the terminal."""

import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from arcane_framework._core.clock import Clock
from arcane_framework.hosting.logging import escape_controls
from arcane_framework.hosting.redaction import redact

if TYPE_CHECKING:
    from arcane_framework._core.sink import CommitReport

UPDATE_SECONDS: Final = 0.2
"""At most five updates a second: more cannot be read and cost the stream time."""

TERMINAL_LOG_LEVEL: Final = "warning"
"""The default log level beside a live line: what is below it would only push the line down."""

_RATE_SECONDS = 10.0
_FALLBACK_COLUMNS = 80


@dataclass(frozen=True, slots=True)
class ProgressState:
    """What the line shows.

    Attributes:
        rows: Emitted by the source.
        rate: Rows per second, lately.
        parts: Committed.
        committed: Rows committed.
        quarantined: Rows set aside.
        position: The source's own words for the last committed watermark.
    """

    rows: int = 0
    rate: float = 0.0
    parts: int = 0
    committed: int = 0
    quarantined: int = 0
    position: str | None = None


def progress_line(state: ProgressState) -> str:
    """The line's text, without line ends and control characters; pure."""
    columns = [
        f"{state.rows:,} rows",
        f"{state.rate:,.0f} rows/s",
        f"{state.parts:,} {'part' if state.parts == 1 else 'parts'}",
        f"{state.committed:,} committed",
    ]
    if state.quarantined:
        columns.append(f"{state.quarantined:,} quarantined")
    if state.position is not None:
        columns.append(f"at {escape_controls(redact(state.position))}")
    return "  ".join(columns)


class TerminalProgress:
    """Implements `Progress` on a terminal, with `rich` when it is installed, else with a carriage return.

    Log lines do not tear the line when the logger writes to `log_stream`: they are printed above
    it. The first error of the terminal ends the display, never the stream. Any thread.

    Args:
        clock: Measures the rate and the time between two updates.
        stream: The terminal, normally standard error.
        use_rich: None uses it when it is installed.
    """

    def __init__(self, clock: Clock, stream: TextIO, *, use_rich: bool | None = None) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._state = ProgressState()
        self._samples: deque[tuple[float, int]] = deque([(clock.monotonic(), 0)])
        self._shown_at: float | None = None
        self._drawn = False
        self._redact: Callable[[str], str] = redact
        self._stream = stream
        self._line: _LiveLine | None = _open_line(stream, use_rich)
        self.log_stream = _LogStream(self._print_above, stream)

    def redact_with(self, redactor: Callable[[str], str]) -> None:
        """Hide the run's secrets, too; called once they are known, before the graph runs."""
        self._redact = redactor

    def started(self, position: str | None) -> None:
        """See `Progress`. From here on the line is shown, also while nothing comes."""
        with self._lock:
            self._state = replace(self._state, position=None if position is None else self._redact(position))
            self._update()

    def rows_incoming(self, rows: int) -> None:
        """See `Progress`."""
        with self._lock:
            self._state = replace(self._state, rows=self._state.rows + rows)
            self._update()

    def committed(self, report: "CommitReport") -> None:
        """See `Progress`."""
        with self._lock:
            self._state = replace(
                self._state,
                parts=self._state.parts + report.parts,
                committed=self._state.committed + report.rows,
                quarantined=self._state.quarantined + report.quarantined,
                position=self._state.position if report.description is None else self._redact(report.description),
            )
            self._update()

    def close(self) -> None:
        """Show the last state and leave the line; what comes later goes below it. Does not raise."""
        with self._lock:
            self._shown_at = None
            if self._drawn:
                self._update()
            line, self._line = self._line, None
            if line is not None and self._drawn:
                self._guarded(line.close)

    def _update(self) -> None:
        now = self._clock.monotonic()
        if self._line is None or (self._shown_at is not None and now - self._shown_at < UPDATE_SECONDS):
            return
        self._shown_at, self._drawn = now, True
        self._state = replace(self._state, rate=self._rate(now))
        line, text = self._line, progress_line(self._state)
        self._guarded(lambda: line.show(text))

    def _rate(self, now: float) -> float:
        self._samples.append((now, self._state.rows))
        while len(self._samples) > 2 and now - self._samples[1][0] >= _RATE_SECONDS:
            self._samples.popleft()
        since, rows = self._samples[0]
        return (self._state.rows - rows) / (now - since) if now > since else 0.0

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception:  # a terminal that has gone away is no reason to end a stream
            self._line = None

    def _print_above(self, text: str) -> None:
        with self._lock:
            if self._line is None:
                self._stream.write(text)
                self._stream.flush()
            else:
                self._line.print_above(text)


class _LiveLine(Protocol):
    def show(self, text: str) -> None: ...
    def print_above(self, text: str) -> None: ...
    def close(self) -> None: ...


class _LogStream:
    """What a logger writes to so that its lines land above the live line."""

    def __init__(self, print_above: Callable[[str], None], terminal: TextIO) -> None:
        self._print_above = print_above
        self._terminal = terminal

    def write(self, text: str) -> int:
        self._print_above(text)
        return len(text)

    def flush(self) -> None:
        """Every write is flushed."""

    def isatty(self) -> bool:
        return self._terminal.isatty()


class _PlainLine:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._text = ""

    def show(self, text: str) -> None:
        self._text = text[: _columns(self._stream) - 1]
        self._write(f"\r{self._text}\x1b[K")

    def print_above(self, text: str) -> None:
        self._write(f"\r\x1b[K{text}{self._text}")

    def close(self) -> None:
        self._write("\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class _RichLine:
    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        # Without rich's own thread and without its hands on sys.stderr: updates come from the graph.
        self._console = Console(file=stream, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._started = False

    def show(self, text: str) -> None:
        from rich.text import Text

        if not self._started:
            self._started = True
            self._live.start()
        self._live.update(Text(text, style="cyan", no_wrap=True, overflow="ellipsis"), refresh=True)

    def print_above(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text.from_ansi(text.rstrip("\n")), soft_wrap=True)

    def close(self) -> None:
        if self._started:
            self._live.stop()


def _open_line(stream: TextIO, use_rich: bool | None) -> _LiveLine:
    if use_rich is False:
        return _PlainLine(stream)
    try:
        return _RichLine(stream)
    except ImportError:
        if use_rich:
            raise
        return _PlainLine(stream)


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _FALLBACK_COLUMNS
    except (OSError, ValueError):
        return _FALLBACK_COLUMNS

"""Structured logs: one record, one line, no secrets, and never a reason for a stream to end.

Nothing is configured globally: `make_logger` builds a logger from explicit parts, and
`capture_library_logs` can be undone.
"""

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from types import MappingProxyType, TracebackType
from typing import Any, Final, Literal, Protocol, Self

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.services import Logger, StreamIdentity
from arcane_framework.hosting.redaction import describe_error, make_redactor, redact_event

LogFormat = Literal["json", "console"]

APPLICATION: Final = "Arcane.Stream"

_LEVELS: Mapping[str, int] = MappingProxyType(
    {
        "trace": logging.DEBUG,
        "verbose": logging.DEBUG,
        "debug": logging.DEBUG,
        "info": logging.INFO,
        "information": logging.INFO,
        "warn": logging.WARNING,
        "warning": logging.WARNING,
        "error": logging.ERROR,
        "critical": logging.CRITICAL,
        "fatal": logging.CRITICAL,
    }
)
_ERROR_FIELDS = ("error", "traceback")
_RESERVED = frozenset({"event", "level", "timestamp", *_ERROR_FIELDS})
# Line ends and terminal controls, also those beyond ASCII, and the marks that turn text around.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


class LogStream(Protocol):
    """Where lines go: a text file, standard error, or `TerminalProgress.log_stream`."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> None: ...
    def isatty(self) -> bool: ...


def parse_level(text: str) -> int:
    """The number of a log level's name, in any letter case; the .NET names are understood, too.

    Raises:
        ConfigurationError: There is no such level; names those there are.
    """
    level = _LEVELS.get(text.strip().lower())
    if level is None:
        raise ConfigurationError(
            f"{text!r} is no log level: set ARCANE__LOG_LEVEL to debug, info, warning, error or critical"
        )
    return level


def parse_format(text: str) -> LogFormat:
    """`json` or `console`, in any letter case.

    Raises:
        ConfigurationError: It is neither.
    """
    match text.strip().lower():
        case "json":
            return "json"
        case "console":
            return "console"
    raise ConfigurationError(f"{text!r} is no log format: set ARCANE__LOG_FORMAT to json or console")


def stream_fields(
    stream: StreamIdentity, application_version: str | None, properties: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """The fields that every line of a run has, for `make_logger`; pure.

    Args:
        stream: Whose run it is.
        application_version: Of the plugin's image (`APPLICATION_VERSION`).
        properties: Those of `ARCANE__LOGGING_PROPERTIES`; they cannot replace the others.
    """
    own = {
        "streamId": stream.stream_id,
        "streamKind": stream.stream_kind,
        "backfillId": stream.backfill_id,
        "Application": APPLICATION,
        "ApplicationVersion": application_version,
    }
    return {**{key: value for key, value in properties.items() if key not in _RESERVED}, **own}


def make_logger(
    *,
    level: str | int | None = None,
    log_format: LogFormat | None = None,
    stream: LogStream | None = None,
    fields: Mapping[str, Any] = MappingProxyType({}),
    secrets: Iterable[str] = (),
) -> FilteringBoundLogger:
    """Make a logger that satisfies `Logger`; it may be used on any thread and never raises because of its stream.

    Exceptions, given as `exc_info` or as a field, become the text `error`; at level debug
    `exc_info` also gives the field `traceback`.

    Args:
        level: What is below it is dropped, at next to no cost; None is info.
        log_format: None writes JSON unless `stream` is a terminal.
        stream: Where lines go; None is standard error as it is now.
        fields: On every line.
        secrets: Known secret values; see `redaction.redact`.

    Raises:
        ConfigurationError: `level` is unknown.
    """
    target = sys.stderr if stream is None else stream
    number = level if isinstance(level, int) else parse_level(level or "info")
    logger: FilteringBoundLogger = structlog.wrap_logger(
        _LineWriter(target),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _render_error(with_traceback=number <= logging.DEBUG),
            redact_event(make_redactor(secrets)),
            *_renderers(log_format, _is_terminal(target)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        context_class=dict,
        cache_logger_on_first_use=False,
    ).bind(**{key: value for key, value in fields.items() if value is not None})
    return logger


def escape_controls(text: str) -> str:
    """Return `text` on one line: line ends, terminal controls and direction marks as escapes."""
    return _UNPRINTABLE.sub(lambda match: match.group().encode("unicode_escape", "surrogatepass").decode(), text)


class CapturedLogs:
    """The standard library's logging, led into a logger of ours until it is closed."""

    def __init__(self, logger: Logger, level: int) -> None:
        self._handler = _Forwarder(logger, level)
        self._root = logging.getLogger()
        self._root_level = self._root.level
        self._root.addHandler(self._handler)
        self._root.setLevel(level)

    def close(self) -> None:
        """Put the standard library's logging back as it was."""
        self._root.removeHandler(self._handler)
        self._root.setLevel(self._root_level)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def capture_library_logs(logger: Logger, level: str | int = "warning") -> CapturedLogs:
    """Lead what libraries log through `logger` and its redaction; close the result to undo it.

    Args:
        logger: Of `make_logger`.
        level: What is below it is dropped. Libraries may log payloads below warning.
    """
    return CapturedLogs(logger, level if isinstance(level, int) else parse_level(level))


class _Forwarder(logging.Handler):
    def __init__(self, logger: Logger, level: int) -> None:
        super().__init__(level)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # the library's arguments do not fit its format; its text is better than nothing
            message = str(record.msg)
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        if record.levelno >= logging.ERROR:
            self._logger.error(message, **fields)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(message, **fields)
        elif record.levelno >= logging.INFO:
            self._logger.info(message, **fields)
        else:
            self._logger.debug(message, **fields)


class _LineWriter:
    """What structlog writes to: every method appends one line."""

    def __init__(self, stream: LogStream) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def _write(self, line: str) -> None:
        with self._lock:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                # The reader has gone (EPIPE), does not keep up (EAGAIN), or the stream is closed
                # (ValueError): there is no other place to report to, and a log line is no reason to end.
                return

    debug = info = warning = error = critical = msg = _write


def _renderers(log_format: LogFormat | None, terminal: bool) -> list[Processor]:
    """What makes an event a line; the format None depends on where it goes."""
    if log_format == "json" or (log_format is None and not terminal):
        return [_render_json]
    renderer = structlog.dev.ConsoleRenderer(colors=terminal)
    return [_render_terminal(renderer)] if terminal else [_escape_fields, renderer]


def _render_error(*, with_traceback: bool) -> Processor:
    def processor(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        error = _exception(event.pop("exc_info", None))
        if error is not None:
            event["error"] = describe_error(error)
            if with_traceback:
                event["traceback"] = "".join(traceback.format_exception(error))
        return event

    return processor


def _exception(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    elif exc_info and not isinstance(exc_info, BaseException):
        exc_info = sys.exc_info()[1]
    return exc_info if isinstance(exc_info, BaseException) else None


def _render_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    first = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    # DEL is the one control character that JSON leaves as it is.
    return json.dumps({**first, **event}, separators=(",", ":")).replace("\x7f", "\\u007f")


def _escape_fields(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {escape_controls(key): _escape_value(value) for key, value in event.items()}


def _render_terminal(renderer: Callable[[Any, str, MutableMapping[str, Any]], str]) -> Processor:
    """For a person: the error below its line, and each line of it on one of its own."""

    def processor(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        errors = [str(event.pop(name)) for name in _ERROR_FIELDS if name in event]
        below = [f"    {escape_controls(line)}" for error in errors for line in error.splitlines()]
        return "\n".join([renderer(logger, method, _escape_fields(logger, method, event)), *below])

    return processor


def _escape_value(value: Any) -> Any:
    if isinstance(value, str):
        return escape_controls(value)
    if isinstance(value, (dict, list)):
        return escape_controls(json.dumps(value, ensure_ascii=False))
    return value


def _is_terminal(stream: LogStream) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False

"""`python -m arcane_framework.run [PLUGIN]`: runs one stream and ends with its exit code."""

# ruff: noqa: E402 - the signals' handlers come before the imports
import atexit
import os
import signal

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_OWNS_PROCESS = __name__ == "__main__"
_received_early: list[int] = []
_exit_code: list[int] = []


def _leave() -> None:
    if _exit_code:
        drop_unwritable_output()
        os._exit(_exit_code[0])


if _OWNS_PROCESS:
    # Arrow's own pools keep what several threads have freed; the system's costs nothing and gives it back. To be
    # set before Arrow is loaded.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # The first to be registered is the last to be called, after the handlers of plugins and profilers: beyond it
    # there are only the exits of libraries in C++, and one that aborts there would replace the exit code.
    atexit.register(_leave)
    # The imports below take a while, in which a signal would kill the process without a word or, as a container's
    # first process has it, be lost.
    for _number in _STOP_SIGNALS:
        signal.signal(_number, lambda number, _frame: _received_early.append(number))

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from arcane_framework._core.clock import SystemClock
from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.kill_switch import KillSwitch
from arcane_framework._core.services import StreamIdentity
from arcane_framework.hosting.environment import (
    APPLICATION_VERSION,
    LOG_FORMAT,
    STREAM_ID,
    STREAM_KIND,
    RunOptions,
    credential_values,
    read_environment,
)
from arcane_framework.hosting.exit_codes import FAILED
from arcane_framework.hosting.failures import log_error
from arcane_framework.hosting.host import find_host
from arcane_framework.hosting.lifetime import SignalLifetime
from arcane_framework.hosting.logging import LogFormat, make_logger, parse_format, stream_fields
from arcane_framework.hosting.standard_streams import drop_unwritable_output, open_missing_streams


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run the stream that the arguments and the environment describe; returns its exit code.

    Args:
        arguments: The command line without the program's name; by default the process's.
        environ: By default the process's.
    """
    variables = os.environ if environ is None else environ
    options = parse_options(sys.argv[1:] if arguments is None else arguments)
    # A plugin may take long to import.
    early_stop = KillSwitch(SystemClock())
    early = SignalLifetime(_STOP_SIGNALS)
    early.start(early_stop.stop)
    if _received_early:
        early_stop.stop()
    try:
        return _run(variables, options, early_stop)
    finally:
        if _OWNS_PROCESS:
            # The exit code stands; a second signal must not change it while the interpreter ends.
            for number in _STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
        else:
            early.close()


def _run(variables: Mapping[str, str], options: RunOptions, early_stop: KillSwitch) -> int:
    try:
        settings = read_environment(variables, options)
        return find_host(options.plugin, settings).run(settings, variables, early_stop)
    except (Exception, KeyboardInterrupt) as error:
        # The signals have their handlers: also an interrupt is something that the plugin's code has raised.
        stream = StreamIdentity(
            options.stream_id or variables.get(STREAM_ID, ""), options.stream_kind or variables.get(STREAM_KIND, "")
        )
        log = make_logger(
            log_format=_log_format(variables),
            fields=stream_fields(stream, variables.get(APPLICATION_VERSION)),
            secrets=credential_values(variables),
        )
        log_error(log, error)
        return FAILED


def _log_format(variables: Mapping[str, str]) -> LogFormat | None:
    try:
        return parse_format(variables[LOG_FORMAT])
    except (KeyError, ConfigurationError):
        return None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        # Not argparse's 2, which tells the operator to start the Job again.
        self.exit(FAILED, f"{self.prog}: {message}\n")


def parse_options(arguments: Sequence[str]) -> RunOptions:
    """Read the command line; ends the process with a usage message and code 1 when it is wrong."""
    parser = _Parser(prog="python -m arcane_framework.run", description="Run one stream.")
    parser.add_argument("plugin", nargs="?", help="module:Builder, module:host, or the name of an entry point")
    parser.add_argument("--spec", type=Path, metavar="FILE", help="the stream's spec, YAML or JSON, for a local run")
    parser.add_argument("--backfill", action="store_true", help="reload the stream in full")
    parser.add_argument("--backfill-id", help="the backfill's identity: the same one resumes it, another begins anew")
    parser.add_argument("--stream-id", help="by default 'local' in a local run")
    parser.add_argument("--stream-kind", help="the custom resource's kind")
    found = parser.parse_args(arguments)
    return RunOptions(
        spec_file=found.spec,
        backfill=found.backfill,
        backfill_id=found.backfill_id,
        stream_id=found.stream_id,
        stream_kind=found.stream_kind,
        plugin=found.plugin,
    )


if _OWNS_PROCESS:
    open_missing_streams()
    try:
        _exit_code.append(main())
        sys.exit(_exit_code[0])
    finally:
        drop_unwritable_output()  # also when something else has ended the process, which `_leave` leaves alone

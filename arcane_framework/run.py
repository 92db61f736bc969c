"""`python -m arcane_framework.run [PLUGIN]`: runs one stream and ends with its exit code."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from arcane_framework._core.errors import ConfigurationError
from arcane_framework.hosting.environment import RunOptions, read_environment
from arcane_framework.hosting.host import StreamHost
from arcane_framework.hosting.lifetime import SignalLifetime
from arcane_framework.hosting.logging import make_logger
from arcane_framework.hosting.plugins import find_plugin


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run the stream that the arguments and the environment describe; returns its exit code.

    Args:
        arguments: The command line without the program's name; by default the process's.
        environ: By default the process's.
    """
    variables = os.environ if environ is None else environ
    options = parse_options(sys.argv[1:] if arguments is None else arguments)
    # A plugin may take long to import, and a container's first process ignores signals that it has no handler for.
    early = SignalLifetime()
    early.start(lambda: None)
    try:
        settings = read_environment(variables, options)
        plugin = find_plugin(options.plugin, settings.identity.stream_kind, StreamHost)
        host = plugin if isinstance(plugin, StreamHost) else StreamHost(plugin)
        return host.run(settings, variables, lambda: early.interrupted)
    except ConfigurationError as error:
        make_logger().error("configuration error", error=str(error))
        return 1
    finally:
        early.close()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        # Not argparse's 2, which tells the operator to start the Job again.
        self.exit(1, f"{self.prog}: {message}\n")


def parse_options(arguments: Sequence[str]) -> RunOptions:
    """Read the command line; ends the process with a usage message and code 1 when it is wrong."""
    parser = _Parser(prog="python -m arcane_framework.run", description="Run one stream.")
    parser.add_argument("plugin", nargs="?", help="module:Builder, module:host, or the name of an entry point")
    parser.add_argument("--spec", type=Path, metavar="FILE", help="the stream's spec, YAML or JSON, for a local run")
    parser.add_argument("--backfill", action="store_true", help="reload the stream in full")
    parser.add_argument("--stream-id", help="by default 'local' in a local run")
    parser.add_argument("--stream-kind", help="the custom resource's kind")
    found = parser.parse_args(arguments)
    return RunOptions(
        spec_file=found.spec,
        backfill=found.backfill,
        stream_id=found.stream_id,
        stream_kind=found.stream_kind,
        plugin=found.plugin,
    )


if __name__ == "__main__":
    sys.exit(main())

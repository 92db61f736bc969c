"""The command `arcane`: looks at streams. It reads only, so it is safe beside running ones."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, or 1 after one line on standard error (or a failed verification).

    Args:
        arguments: The command line without the program's name; by default the process's.
    """
    try:
        import click  # noqa: F401 - an extra
    except ImportError:
        print("arcane: the package click is not installed: run pip install 'arcane-framework[cli]'", file=sys.stderr)
        return 1
    from arcane_framework.cli.commands import run

    return run(sys.argv[1:] if arguments is None else arguments)

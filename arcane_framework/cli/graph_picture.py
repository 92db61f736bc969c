"""Draws a plugin's graph without running it."""

from collections.abc import Mapping
from pathlib import Path

from arcane_framework.hosting import RunOptions, read_environment
from arcane_framework.hosting.host import find_host


def draw(plugin: str, spec: Path | None, *, backfill: bool, environ: Mapping[str, str]) -> str:
    """The Mermaid flowchart of a plugin's graph; the plugin's own code is imported and `build_graph` called.

    Args:
        plugin: `module:Builder`, `module:host` or an entry point's name.
        spec: The spec's file; None takes `STREAMCONTEXT__SPEC`.
        backfill: Whether the graph of a backfill is wanted.
        environ: The environment.

    Raises:
        ConfigurationError: Plugin or spec cannot be used; without secrets.
    """
    settings = read_environment(environ, RunOptions(spec_file=spec, backfill=backfill, plugin=plugin))
    return find_host(plugin, settings).draw(settings)

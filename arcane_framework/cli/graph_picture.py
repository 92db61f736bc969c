"""Builds a plugin's graph without running it, to draw it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from arcane_framework._core.clock import SystemClock
from arcane_framework._core.context import build_context
from arcane_framework._core.errors import ArcaneError, ConfigurationError
from arcane_framework._core.kill_switch import KillSwitch
from arcane_framework._core.services import Services
from arcane_framework.hosting import RunOptions, RunSettings, StreamHost, read_environment
from arcane_framework.hosting.logging import make_logger
from arcane_framework.hosting.plugins import find_plugin
from arcane_framework.storage import StorageOpener

if TYPE_CHECKING:
    import httpx2


def draw(plugin: str, spec: Path | None, *, backfill: bool, environ: Mapping[str, str]) -> str:
    """The Mermaid flowchart of a plugin's graph; the plugin's own code is imported and `build_graph` called.

    Args:
        plugin: `module:Builder`, `module:host` or an entry point's name.
        spec: The spec's file; None takes `STREAMCONTEXT__SPEC`.
        backfill: Whether the graph of a backfill is wanted.
        environ: The environment.

    Raises:
        ConfigurationError: Plugin or spec cannot be used.
    """
    settings = read_environment(environ, RunOptions(spec_file=spec, backfill=backfill, plugin=plugin))
    found = find_plugin(plugin, settings.identity.stream_kind, StreamHost)
    builder = found.builder if isinstance(found, StreamHost) else found
    context_type = builder.context_type(settings.identity.stream_kind)
    context = build_context(context_type, settings.spec, settings.secrets, settings.identity)
    try:
        return builder(_services(settings)).build_graph(context).to_mermaid()
    except ArcaneError:
        raise
    except Exception as error:  # the plugin's own code
        raise ConfigurationError(
            f"the plugin {plugin} cannot build its graph: {type(error).__name__}: {error}"
        ) from error


def _services(settings: RunSettings) -> Services:
    clock = SystemClock()
    return Services(
        stream=settings.identity,
        clock=clock,
        kill_switch=KillSwitch(clock),
        storage=StorageOpener(clock.now),
        http=_http_client,
        log=make_logger(level=settings.log_level),
    )


def _http_client() -> "httpx2.Client":
    import httpx2

    return httpx2.Client()

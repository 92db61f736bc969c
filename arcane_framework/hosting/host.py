"""The host: from settings to an exit code."""

import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from structlog.typing import FilteringBoundLogger

from arcane_framework._core.clock import Clock, SystemClock
from arcane_framework._core.context import StreamContext, build_context, secret_values
from arcane_framework._core.delivery import RunSummary
from arcane_framework._core.errors import (
    ArcaneError,
    ConfigurationError,
    FencedError,
    SchemaMismatchError,
    StreamStopped,
)
from arcane_framework._core.graph import RunnableGraph, StreamGraphBuilder
from arcane_framework._core.kill_switch import KillSwitch
from arcane_framework._core.services import Logger, Metrics, NoMetrics, NoProgress, Progress, Services
from arcane_framework._core.source import Source
from arcane_framework._core.spec_reading import plain_variables
from arcane_framework.hosting.environment import RunSettings
from arcane_framework.hosting.exit_codes import FAILED, exit_code
from arcane_framework.hosting.failures import close_all, exits_as_errors, log_error
from arcane_framework.hosting.lifetime import LifetimeService, SignalLifetime
from arcane_framework.hosting.logging import LogStream, capture_library_logs, make_logger, parse_level, stream_fields
from arcane_framework.hosting.metrics import DogStatsDMetrics, custom_tags, stream_tags
from arcane_framework.hosting.plugins import find_plugin
from arcane_framework.hosting.progress import TERMINAL_LOG_LEVEL, TerminalProgress
from arcane_framework.hosting.redaction import describe_error, make_redactor
from arcane_framework.hosting.runner import GraphRunner, StreamRunner
from arcane_framework.hosting.status import StatusService, choose_status
from arcane_framework.storage import StorageOpener

if TYPE_CHECKING:
    import httpx2

FENCED_PAUSE = (30.0, 60.0)
"""Seconds that a fenced runner waits before it exits, so that two Jobs do not fence each other in a tight loop."""


class ExceptionHandler(Protocol):
    """Decides what becomes of an error before the framework does."""

    def handle(self, error: Exception) -> int | None:
        """The exit code for `error`; None leaves it to the framework."""
        ...


class StreamHost:
    """Runs one stream, once, in this process. Every part can be replaced by an argument.

    Args:
        builder: The plugin's graph builder class.
        runner: Materialises the graph; by default `GraphRunner`.
        lifetime: Says when to stop; by default on SIGTERM and SIGINT.
        status: Reports a schema mismatch; by default on the Job in a cluster, in the log elsewhere.
        exception_handler: Asked first about every error.
        handle_unknown_exception: Asked about errors that are not the framework's; None as its answer is exit code 1.
        services: Turns the default services into the plugin's, for instance into a subclass of `Services`.
        clock: The source of time.
        metrics: Where numbers go, tagged by the host, and closed at the end if they have a `close`; by default the
            Datadog agent, unless metrics are switched off.
        log_stream: Where log lines go; by default standard error.
        fenced_pause: Bounds, in seconds, of the pause of a runner that another one has replaced.
    """

    def __init__(
        self,
        builder: type[StreamGraphBuilder[Any]],
        *,
        runner: StreamRunner | None = None,
        lifetime: LifetimeService | None = None,
        status: StatusService | None = None,
        exception_handler: ExceptionHandler | None = None,
        handle_unknown_exception: Callable[[Exception], int | None] | None = None,
        services: Callable[[Services], Services] | None = None,
        clock: Clock | None = None,
        metrics: Metrics | None = None,
        log_stream: LogStream | None = None,
        fenced_pause: tuple[float, float] = FENCED_PAUSE,
    ) -> None:
        self.builder = builder
        self._runner = runner or GraphRunner()
        self._lifetime = lifetime or SignalLifetime()
        self._status = status
        self._exception_handler = exception_handler
        self._handle_unknown_exception = handle_unknown_exception
        self._services = services or (lambda base: base)
        self._clock = clock or SystemClock()
        self._metrics_target = metrics
        self._log_stream = log_stream
        self._fenced_pause = fenced_pause

    def run(self, settings: RunSettings, environ: Mapping[str, str], early_stop: KillSwitch | None = None) -> int:
        """Run the stream to its end; blocks. Returns the exit code, also when a part of the plugin's own fails.

        Args:
            settings: What the environment and the command line say.
            environ: The environment, to find the cluster in.
            early_stop: Stops the run, too: a signal may come before this call, or while it begins.

        Raises:
            KeyboardInterrupt: Ctrl-C, under a lifetime service that leaves it to Python. Nothing else is raised.
        """
        settings = settings.for_builder(self.builder.__name__)
        kill_switch = KillSwitch(self._clock)
        progress = self._terminal_progress(settings)
        log = self._logger(settings, progress, settings.credential_values())
        try:
            with exits_as_errors():
                self._lifetime.start(kill_switch.stop)
        except Exception as error:
            log_error(log, error)
            return FAILED
        try:
            if early_stop is not None:
                early_stop.on_stop(kill_switch.stop)
            return self._run(settings, environ, kill_switch, progress, log)
        finally:
            close_all(log, self._lifetime)

    def draw(self, settings: RunSettings) -> str:
        """The graph as a Mermaid flowchart: built as for a run, with the same services, and not run; no secrets.

        Called instead of `run`, on the main thread; opens no sink and waits for nothing but the plugin's own code.

        Args:
            settings: What the environment and the command line say.

        Raises:
            ConfigurationError: The plugin cannot build its graph with these settings.
        """
        settings = settings.for_builder(self.builder.__name__)
        secrets = settings.credential_values()
        try:
            with exits_as_errors():
                secrets = self._credentials(settings)
                context = self._context(settings)
                secrets |= secret_values(context)
                log = self._logger(settings, None, secrets)
                services = self._make_services(settings, KillSwitch(self._clock), log, NoMetrics(), NoProgress())
                with capture_library_logs(log):
                    return make_redactor(secrets)(self._graph(services, context).to_mermaid())
        except ConfigurationError as error:
            message = str(error)
        except Exception as error:
            message = f"{self.builder.__name__} cannot build its graph: {describe_error(error)}"
        # Outside of the except blocks: the first error, which the traceback would chain, may hold secrets.
        raise ConfigurationError(make_redactor(secrets)(message))

    def _run(
        self,
        settings: RunSettings,
        environ: Mapping[str, str],
        kill_switch: KillSwitch,
        progress: TerminalProgress | None,
        log: Logger,
    ) -> int:
        summary: RunSummary | None = None
        error: Exception | None = None
        metrics: Metrics = NoMetrics()
        try:
            with exits_as_errors():
                credentials = self._credentials(settings)
                # Also the messages about a wrong spec show what is no secret.
                log = self._logger(settings, progress, credentials)
                context = self._context(settings)
                secrets = credentials | secret_values(context)
                log = self._logger(settings, progress, secrets)
                if progress is not None:
                    progress.redact_with(make_redactor(secrets))
                metrics = self._metrics(settings, environ, context, log, secrets)
                services = self._make_services(settings, kill_switch, log, metrics, progress or NoProgress())
                with capture_library_logs(log):
                    graph = self._graph(services, context)
                    if not kill_switch.stopped:
                        summary = self._runner.run(graph)
        except StreamStopped:
            pass
        except Exception as failure:
            error = failure
        finally:
            close_all(log, progress, metrics)
        return self._conclude(settings, environ, log, kill_switch, summary, error)

    # The parts.

    def _logger(
        self, settings: RunSettings, progress: TerminalProgress | None, secrets: frozenset[str]
    ) -> FilteringBoundLogger:
        # On a terminal the live line says what the lines below a warning do.
        level = settings.log_level
        if level is None and progress is not None:
            level = parse_level(TERMINAL_LOG_LEVEL)
        return make_logger(
            level=level,
            log_format=settings.log_format,
            stream=self._log_stream if progress is None else progress.log_stream,
            fields=stream_fields(settings.identity, settings.application_version, settings.logging_properties),
            secrets=secrets,
        )

    def _terminal_progress(self, settings: RunSettings) -> TerminalProgress | None:
        stream = sys.stderr
        if self._log_stream is not None or settings.log_format == "json" or not stream.isatty():
            return None
        return TerminalProgress(self._clock, stream)

    def _credentials(self, settings: RunSettings) -> frozenset[str]:
        context_type = self.builder.context_type(settings.identity.stream_kind)
        return settings.credential_values(plain_variables(context_type))

    def _context(self, settings: RunSettings) -> StreamContext:
        identity = settings.identity
        context_type = self.builder.context_type(identity.stream_kind)
        return build_context(context_type, settings.spec, settings.secrets, identity)

    def _metrics(
        self,
        settings: RunSettings,
        environ: Mapping[str, str],
        context: StreamContext,
        log: Logger,
        secrets: frozenset[str],
    ) -> Metrics:
        metrics = self._metrics_target
        if metrics is None:
            # Outside a cluster there is seldom an agent, and a warning about it would only puzzle.
            reachable = "KUBERNETES_SERVICE_HOST" in environ or Path(settings.datadog_socket_path).exists()
            if not settings.metrics_enabled or not reachable:
                return NoMetrics()
            metrics = DogStatsDMetrics(log, socket_path=settings.datadog_socket_path, redact=make_redactor(secrets))
        identity = settings.identity
        tags = stream_tags(identity.stream_kind, identity.mode, identity.stream_id, custom=custom_tags(context))
        return metrics.with_tags(tags)

    def _make_services(
        self,
        settings: RunSettings,
        kill_switch: KillSwitch,
        log: Logger,
        metrics: Metrics,
        progress: Progress,
    ) -> Services:
        base = Services(
            stream=settings.identity,
            clock=self._clock,
            kill_switch=kill_switch,
            storage=StorageOpener(self._clock.now, settings.storage_settings),
            http=_http_client,
            log=log,
            metrics=metrics,
            progress=progress,
        )
        return self._services(base)

    def _graph(self, services: Services, context: StreamContext) -> RunnableGraph:
        graph = self.builder(services).build_graph(context)
        if not isinstance(graph, RunnableGraph):
            raise ConfigurationError(
                f"{self.builder.__name__}.build_graph returned a {type(graph).__name__}, not a graph: "
                "end the chain with to_sink(...) and return it"
            )
        if services.stream.backfilling:
            _must_have_backfill(graph.source)
        return graph

    # The end.

    def _conclude(
        self,
        settings: RunSettings,
        environ: Mapping[str, str],
        log: Logger,
        kill_switch: KillSwitch,
        summary: RunSummary | None,
        error: Exception | None,
    ) -> int:
        reported = False
        handled: int | None = None
        if error is not None:
            handled = self._ask_handlers(error, log)
            if handled is None:
                log_error(log, error)
            else:
                log.warning("the plugin's exception handler decided about an error", exit_code=handled, exc_info=error)
            if handled is None and isinstance(error, SchemaMismatchError):
                reported = self._report_mismatch(settings, environ, log, str(error))
            if handled is None and isinstance(error, FencedError):
                self._pause(kill_switch, log)
        code = exit_code(
            error,
            backfilling=settings.identity.backfilling,
            completed=summary is not None and summary.completed,
            mismatch_reported=reported,
            handled=handled,
        )
        known = {} if summary is None else {"rows": summary.rows, "completed": summary.completed}
        log.info("ended", exit_code=code, **known)
        return code

    def _ask_handlers(self, error: Exception, log: Logger) -> int | None:
        try:
            with exits_as_errors():
                handled = self._exception_handler.handle(error) if self._exception_handler is not None else None
                known = isinstance(error, ArcaneError)
                if handled is None and not known and self._handle_unknown_exception is not None:
                    handled = self._handle_unknown_exception(error)
        except Exception as second:
            log.error("the plugin's exception handler failed itself", exc_info=second)
            return None
        if handled is not None and not isinstance(handled, int):
            log.error(f"the plugin's exception handler returned a {type(handled).__name__}, not an exit code")
            return None
        return handled

    def _report_mismatch(self, settings: RunSettings, environ: Mapping[str, str], log: Logger, detail: str) -> bool:
        # A switch of its own: also a run that was told to stop has to report.
        wait = KillSwitch(self._clock).wait
        try:
            with exits_as_errors():
                status = self._status or choose_status(
                    environ,
                    stream_id=settings.identity.stream_id,
                    log=log,
                    wait=wait,
                    monotonic=self._clock.monotonic,
                )
                status.report_schema_mismatch(detail)
        except ArcaneError as failure:
            log.error("the schema mismatch could not be reported", error=str(failure))
            return False
        except Exception as failure:
            log.error("the status service failed itself", exc_info=failure)
            return False
        return True

    def _pause(self, kill_switch: KillSwitch, log: Logger) -> None:
        seconds = random.uniform(*self._fenced_pause)  # noqa: S311 - jitter
        log.warning("waiting, so that two runners do not replace each other over and over", seconds=round(seconds, 1))
        self._clock.wait_for(lambda: kill_switch.stopped, self._clock.monotonic() + seconds)


def find_host(plugin: str | None, settings: RunSettings) -> StreamHost:
    """The host of a run's plugin: its host object, or a host with the default parts for its builder.

    Called once, on the main thread; runs the plugin module's own code.

    Args:
        plugin: `module:Builder`, `module:host` or an entry point's name; None takes the kind's entry point.
        settings: Of the run.

    Raises:
        ConfigurationError: There is no such plugin, or it cannot be imported; without secrets.
    """
    try:
        found = find_plugin(plugin, settings.identity.stream_kind, StreamHost)
    except ConfigurationError as error:
        # It may hold the words of the plugin's own code.
        message = make_redactor(settings.credential_values())(str(error))
    else:
        return found if isinstance(found, StreamHost) else StreamHost(found)
    raise ConfigurationError(message)


def _must_have_backfill(source: Source) -> None:
    # Before the sink is opened: to begin a backfill removes the one before.
    if type(source).backfill is Source.backfill and type(source).batches is Source.batches:
        source.backfill(None)


def _http_client() -> "httpx2.Client":
    from urllib.request import getproxies

    from arcane_framework.http import make_client

    return make_client(proxies=getproxies())

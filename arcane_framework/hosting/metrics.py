"""Numbers for the Datadog agent, at no risk for the stream.

A metric call only adds to a table in memory. A daemon thread of its own sends the table every
few seconds, so that neither an absent library nor an absent, full or vanished socket can slow
the threads of the graph. The table has one entry for each name and set of tags.
"""

import re
import socket
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, Self, runtime_checkable

from arcane_framework._core.services import Logger, Mode

if TYPE_CHECKING:
    from datadog.dogstatsd.base import DogStatsd

NAMESPACE: Final = "arcane.stream"
TAG_PREFIX: Final = "arcane.sneaksanddata.com/"
DEFAULT_SOCKET_PATH: Final = "/var/run/datadog/dsd.socket"
FLUSH_SECONDS: Final = 2.0

_CLOSE_SECONDS = 1.0

_Tags = tuple[tuple[str, str], ...]
_Key = tuple[str, _Tags]


class _StatsClient(Protocol):
    def count(self, metric: str, value: float, tags: list[str]) -> object: ...
    def gauge(self, metric: str, value: float, tags: list[str]) -> object: ...
    def close_socket(self) -> None: ...


def snake_case_kind(kind: str) -> str:
    """The kind as the metrics' tag has it: `_` between a lower-case and an upper-case letter, all lower case."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", kind).lower()


def stream_tags(
    kind: str,
    mode: Mode,
    stream_id: str,
    *,
    custom: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """The tags that all metrics of a run have, for `Metrics.with_tags`; pure. A graph adds those of its source.

    Args:
        kind: The custom resource's kind, as the cluster has it.
        mode: Of the run.
        stream_id: Of the stream.
        custom: Of the spec's `observability.metricTags`; they cannot replace the others.
    """
    return {**custom, "kind": snake_case_kind(kind), "mode": mode.value, "stream_id": stream_id}


@runtime_checkable
class Observability(Protocol):
    """What a context's field `observability` has to hold for custom tags."""

    @property
    def metric_tags(self) -> Mapping[str, str] | None: ...


@runtime_checkable
class ObservedContext(Protocol):
    """A context with the spec's field `observability`."""

    @property
    def observability(self) -> object: ...


def custom_tags(context: object) -> Mapping[str, str]:
    """The spec's `observability.metricTags`, of a context that has these fields; none otherwise."""
    observability = context.observability if isinstance(context, ObservedContext) else None
    return (observability.metric_tags or {}) if isinstance(observability, Observability) else {}


class DogStatsDMetrics:
    """Implements `Metrics` over the Datadog agent's unix socket. See the module for the threads.

    Counters of one flush are added up, of a gauge the last value is sent. What cannot be sent is
    dropped; the first time one warning says why.

    Args:
        log: Gets the warning.
        socket_path: The agent's datagram socket; it may appear, vanish and come back.
        redact: Applied to tag values, so that no credential becomes a label.
        flush_seconds: Time between two flushes, of the real clock.
    """

    def __init__(
        self,
        log: Logger,
        *,
        socket_path: str = DEFAULT_SOCKET_PATH,
        redact: Callable[[str], str] = str,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        self._redact = redact
        self._tags: _Tags = ()
        self._sender = _Sender(log, socket_path, flush_seconds)

    def with_tags(self, tags: Mapping[str, str]) -> Self:
        """The same metrics with more tags, each below the prefix `arcane.sneaksanddata.com/`; they share one sender."""
        tagged = object.__new__(type(self))
        tagged._redact = self._redact
        tagged._sender = self._sender
        added = {key: self._redact(value) for key, value in tags.items()}
        tagged._tags = tuple(sorted({**dict(self._tags), **added}.items()))
        return tagged

    def increment(self, name: str, value: float = 1) -> None:
        """Add to a counter; under a microsecond or so, any thread."""
        self._sender.add((name, self._tags), value)

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge; under a microsecond or so, any thread."""
        self._sender.set((name, self._tags), value)

    def flush(self) -> None:
        """Send what has come together, on the calling thread; does not block and does not raise."""
        self._sender.flush()

    def close(self) -> None:
        """Send the rest and end the thread, within about a second."""
        self._sender.close()


class _Sender:
    """The table and the thread that sends it."""

    def __init__(self, log: Logger, socket_path: str, flush_seconds: float) -> None:
        self._log = log
        self._socket_path = socket_path
        self._flush_seconds = flush_seconds
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._counters: dict[_Key, float] = {}
        self._gauges: dict[_Key, float] = {}
        self._client: _StatsClient | None = None
        self._warned = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def add(self, key: _Key, value: float) -> None:
        with self._lock:
            self._counters[key] = self._counters.get(key, 0) + value

    def set(self, key: _Key, value: float) -> None:
        with self._lock:
            self._gauges[key] = value

    def flush(self) -> None:
        with self._sending:
            with self._lock:
                counters, self._counters = self._counters, {}
                gauges, self._gauges = self._gauges, {}
            if counters or gauges:
                self._send(counters, gauges)

    def close(self) -> None:
        self._closing.set()
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        while not self._closing.wait(self._flush_seconds):
            self.flush()
        self.flush()
        if self._client is not None:
            self._client.close_socket()

    def _send(self, counters: Mapping[_Key, float], gauges: Mapping[_Key, float]) -> None:
        try:
            _check_reachable(self._socket_path)
            if self._client is None:
                self._client = _open_client(self._socket_path)
            for send, values in ((self._client.count, counters), (self._client.gauge, gauges)):
                for (name, tags), value in values.items():
                    # The library answers False when the socket did not take it; the next ones would fare alike.
                    if send(name, value, tags=_texts(tags)) is False:
                        return
        except ImportError:
            self._warn("the package 'datadog' is not installed; install arcane-framework[datadog]")
        except Exception as error:  # a metric is never worth a stream, whatever the library does
            self._warn(f"{self._socket_path}: {getattr(error, 'strerror', None) or type(error).__name__}")

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            self._log.warning("metrics are not sent, the stream goes on", reason=reason)


def _check_reachable(socket_path: str) -> None:
    """Raise `OSError` when nobody listens: the library would log a warning for each packet."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        probe.connect(socket_path)


def _open_client(socket_path: str) -> "DogStatsd":
    # Imported here, off the graph's threads: it takes about 0.2 s.
    from datadog.dogstatsd.base import DogStatsd

    # Timeout 0: a packet that the socket does not take at once is dropped.
    return DogStatsd(
        socket_path=f"unixgram://{socket_path}", namespace=NAMESPACE, disable_telemetry=True, socket_timeout=0
    )


def _texts(tags: _Tags) -> list[str]:
    return [f"{TAG_PREFIX}{key}:{value}" for key, value in tags]

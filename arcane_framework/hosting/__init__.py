"""Running a stream in a process: the host and its replaceable parts."""

from arcane_framework.hosting.environment import RunOptions, RunSettings, read_environment
from arcane_framework.hosting.host import ExceptionHandler, StreamHost
from arcane_framework.hosting.lifetime import LifetimeService, SignalLifetime
from arcane_framework.hosting.runner import GraphRunner, StreamRunner
from arcane_framework.hosting.status import KubernetesJobStatus, LocalStatus, StatusService

__all__ = [
    "ExceptionHandler",
    "GraphRunner",
    "KubernetesJobStatus",
    "LifetimeService",
    "LocalStatus",
    "RunOptions",
    "RunSettings",
    "SignalLifetime",
    "StatusService",
    "StreamHost",
    "StreamRunner",
    "read_environment",
]

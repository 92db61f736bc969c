"""An SDK for data streams that run as Kubernetes Jobs.

Subclass `StreamGraphBuilder`, compose a source, operators and a sink, and run it with
`python -m arcane_framework.run`. Only what is exported here and by the packages `sources`, `sources.rest`, `schema`,
`http`, `sinks`, `storage`, `operators`, `commits`, `hosting` and `testing` is public.
"""

from typing import TYPE_CHECKING

from arcane_framework._core.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from arcane_framework._core.batch import Batch, QuarantinedRow, Wait, Watermark
    from arcane_framework._core.clock import Clock
    from arcane_framework._core.context import (
        FromEnvironment,
        Instant,
        Seconds,
        SinkContext,
        SpecModel,
        StreamContext,
    )
    from arcane_framework._core.delivery import RunSummary
    from arcane_framework._core.errors import (
        ArcaneError,
        ConfigurationError,
        FatalStreamError,
        FencedError,
        SchemaInconsistentError,
        SchemaMismatchError,
        TransientStreamError,
    )
    from arcane_framework._core.graph import (
        NamedOperator,
        Operator,
        RunnableGraph,
        Stream,
        StreamGraphBuilder,
        to_sink,
    )
    from arcane_framework._core.kill_switch import KillSwitch
    from arcane_framework._core.position import BackfillPosition, BackfillState, Position
    from arcane_framework._core.services import Logger, Metrics, Mode, Progress, Services, StreamIdentity
    from arcane_framework._core.sink import CommitReport, Committed, Grouping, Sink, SinkRun
    from arcane_framework._core.source import PollingSource, Source, SourceRun, SourceTags
    from arcane_framework._core.storage import Storage

__all__ = [
    "ArcaneError",
    "BackfillPosition",
    "BackfillState",
    "Batch",
    "Clock",
    "CommitReport",
    "Committed",
    "ConfigurationError",
    "FatalStreamError",
    "FencedError",
    "FromEnvironment",
    "Grouping",
    "Instant",
    "KillSwitch",
    "Logger",
    "Metrics",
    "Mode",
    "NamedOperator",
    "Operator",
    "PollingSource",
    "Position",
    "Progress",
    "QuarantinedRow",
    "RunSummary",
    "RunnableGraph",
    "SchemaInconsistentError",
    "SchemaMismatchError",
    "Seconds",
    "Services",
    "Sink",
    "SinkContext",
    "SinkRun",
    "Source",
    "SourceRun",
    "SourceTags",
    "SpecModel",
    "Storage",
    "Stream",
    "StreamContext",
    "StreamGraphBuilder",
    "StreamIdentity",
    "TransientStreamError",
    "Wait",
    "Watermark",
    "to_sink",
]

# Loaded when they are first asked for: the runner has its signal handlers in place before Arrow is imported,
# and the pytest plugin costs a test run nothing that does not use it.
__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "_core.batch": (
            "Batch",
            "QuarantinedRow",
            "Wait",
            "Watermark",
        ),
        "_core.clock": ("Clock",),
        "_core.context": (
            "FromEnvironment",
            "Instant",
            "Seconds",
            "SinkContext",
            "SpecModel",
            "StreamContext",
        ),
        "_core.delivery": ("RunSummary",),
        "_core.errors": (
            "ArcaneError",
            "ConfigurationError",
            "FatalStreamError",
            "FencedError",
            "SchemaInconsistentError",
            "SchemaMismatchError",
            "TransientStreamError",
        ),
        "_core.graph": (
            "NamedOperator",
            "Operator",
            "RunnableGraph",
            "Stream",
            "StreamGraphBuilder",
            "to_sink",
        ),
        "_core.kill_switch": ("KillSwitch",),
        "_core.position": (
            "BackfillPosition",
            "BackfillState",
            "Position",
        ),
        "_core.services": (
            "Logger",
            "Metrics",
            "Mode",
            "Progress",
            "Services",
            "StreamIdentity",
        ),
        "_core.sink": (
            "CommitReport",
            "Committed",
            "Grouping",
            "Sink",
            "SinkRun",
        ),
        "_core.source": (
            "PollingSource",
            "Source",
            "SourceRun",
            "SourceTags",
        ),
        "_core.storage": ("Storage",),
    },
)

"""The test kit for plugin authors: a whole stream in a test, under virtual time, without a network.

`StreamTest` runs a builder through the real host; `ScriptedSource` and `ScriptedHttp` stand for the outside.
The package's pytest plugin has the fixtures `arcane_stream`, `virtual_clock` and `golden`.
"""

from typing import TYPE_CHECKING

from arcane_framework._core.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from arcane_framework.testing.captures import (
        CapturedLog,
        CapturedMetrics,
        CapturedStatus,
        Measurement,
        ScriptedLifetime,
    )
    from arcane_framework.testing.clock_runner import ClockRunner
    from arcane_framework.testing.golden import Golden
    from arcane_framework.testing.memory_lake import MemoryLake
    from arcane_framework.testing.plugin import StreamTestFactory
    from arcane_framework.testing.scripted_http import ScriptedHttp, SentRequest
    from arcane_framework.testing.scripted_source import ScriptedSource, Step, rows_batch
    from arcane_framework.testing.stream_test import HostOptions, StreamTest, StreamTestOptions
    from arcane_framework.testing.virtual_clock import VirtualClock

__all__ = [
    "CapturedLog",
    "CapturedMetrics",
    "CapturedStatus",
    "ClockRunner",
    "Golden",
    "HostOptions",
    "Measurement",
    "MemoryLake",
    "ScriptedHttp",
    "ScriptedLifetime",
    "ScriptedSource",
    "SentRequest",
    "Step",
    "StreamTest",
    "StreamTestFactory",
    "StreamTestOptions",
    "VirtualClock",
    "rows_batch",
]

# pytest imports this package at every start, for its plugin: the rest is loaded when a test asks for it.
__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "captures": (
            "CapturedLog",
            "CapturedMetrics",
            "CapturedStatus",
            "Measurement",
            "ScriptedLifetime",
        ),
        "clock_runner": ("ClockRunner",),
        "stream_test": (
            "HostOptions",
            "StreamTest",
            "StreamTestOptions",
        ),
        "golden": ("Golden",),
        "memory_lake": ("MemoryLake",),
        "scripted_http": (
            "ScriptedHttp",
            "SentRequest",
        ),
        "scripted_source": (
            "ScriptedSource",
            "Step",
            "rows_batch",
        ),
        "plugin": ("StreamTestFactory",),
        "virtual_clock": ("VirtualClock",),
    },
)

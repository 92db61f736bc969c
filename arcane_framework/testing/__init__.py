"""The test kit for plugin authors: a whole stream in a test, under virtual time, without a network.

`StreamTest` runs a builder through the real host; `ScriptedSource` and `ScriptedHttp` stand for the outside.
The package's pytest plugin has the fixtures `arcane_stream`, `virtual_clock` and `golden`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arcane_framework.testing.captures import (
        CapturedLog,
        CapturedMetrics,
        CapturedStatus,
        Measurement,
        ScriptedLifetime,
    )
    from arcane_framework.testing.golden import Golden
    from arcane_framework.testing.memory_lake import MemoryLake
    from arcane_framework.testing.plugin import StreamTestFactory
    from arcane_framework.testing.scripted_http import ScriptedHttp, SentRequest
    from arcane_framework.testing.scripted_source import ScriptedSource, Step, rows_batch
    from arcane_framework.testing.stream_test import ClockRunner, HostOptions, StreamTest, StreamTestOptions
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

_MODULES = {
    "CapturedLog": "captures",
    "CapturedMetrics": "captures",
    "CapturedStatus": "captures",
    "ClockRunner": "stream_test",
    "Golden": "golden",
    "HostOptions": "stream_test",
    "Measurement": "captures",
    "MemoryLake": "memory_lake",
    "ScriptedHttp": "scripted_http",
    "ScriptedLifetime": "captures",
    "ScriptedSource": "scripted_source",
    "SentRequest": "scripted_http",
    "Step": "scripted_source",
    "StreamTest": "stream_test",
    "StreamTestFactory": "plugin",
    "StreamTestOptions": "stream_test",
    "VirtualClock": "virtual_clock",
    "rows_batch": "scripted_source",
}


def __getattr__(name: str) -> Any:
    # pytest imports this package at every start, for its plugin: the rest is loaded when a test asks for it.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

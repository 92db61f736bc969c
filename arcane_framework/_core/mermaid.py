"""Draws a graph as a Mermaid flowchart."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from arcane_framework._core.sink import Sink
from arcane_framework._core.source import Source


def flowchart(source: Source, steps: Sequence[Callable[..., Any]], sink: Sink) -> str:
    """The text of a flowchart from left to right: source, steps, sink."""
    nodes = [f"source([{_label(type(source).__name__, _source_details(source))}])"]
    nodes += [f"step{number}[{_step_label(step)}]" for number, step in enumerate(steps, start=1)]
    nodes.append(f"sink[({_label(type(sink).__name__, _sink_details(sink))})]")
    names = ["source", *(f"step{number}" for number in range(1, len(steps) + 1)), "sink"]
    lines = ["flowchart LR", *(f"    {node}" for node in nodes), f"    {' --> '.join(names)}"]
    for number, part in enumerate(source.parts.items(), start=1):
        lines.append(f"    part{number}([{_label(*_part(part))}]) --> source")
    return "\n".join(lines) + "\n"


def _part(item: tuple[str, Source]) -> tuple[str, list[str]]:
    name, source = item
    return f"{name}: {type(source).__name__}", _source_details(source)


def _source_details(source: Source) -> list[str]:
    known = [text for text in (source.tags.location, source.tags.entity) if text != "unknown"]
    return [" / ".join(known)] if known else []


def _sink_details(sink: Sink) -> list[str]:
    return [sink.location] if sink.location else []


def _step_label(step: Callable[..., Any]) -> str:
    name = getattr(step, "name", None)
    settings: Mapping[str, object] = getattr(step, "settings", {})
    if name is None:
        name = _function_name(step)
    return _label(name, [f"{key}={value}" for key, value in settings.items()])


def _function_name(step: Callable[..., Any]) -> str:
    # An operator of reactivex is a closure over the function that has its name.
    inner = inspect.getclosurevars(step).nonlocals.get("fun") if inspect.isfunction(step) else None
    return str(getattr(inner or step, "__qualname__", type(step).__name__)).split(".")[0].strip("_")


def _label(title: str, details: Sequence[str]) -> str:
    text = "<br/>".join([title, *details])
    return '"' + text.replace('"', "#quot;") + '"'

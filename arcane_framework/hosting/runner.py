"""Materialises a graph and waits for its end."""

from typing import Protocol

from arcane_framework._core.delivery import RunSummary
from arcane_framework._core.graph import RunnableGraph
from arcane_framework._core.kill_switch import KillSwitch


class StreamRunner(Protocol):
    """Runs a graph to its end. Called once, by the host, on the main thread."""

    def run(self, graph: RunnableGraph) -> RunSummary:
        """Run `graph` and block until sink and source are closed; raises the error that ended it."""
        ...


class GraphRunner:
    """The default runner.

    Attributes:
        kill_switch: Stops the running graph, from any thread: for a program that holds the runner and wants
            to end the stream without a signal. None before `run`.
    """

    def __init__(self) -> None:
        self.kill_switch: KillSwitch | None = None

    def run(self, graph: RunnableGraph) -> RunSummary:
        """See `StreamRunner`."""
        self.kill_switch, result = graph.run()
        return result.result()

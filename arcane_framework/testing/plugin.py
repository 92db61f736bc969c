"""The pytest plugin: fixtures for plugin authors.

pytest imports it at every start where the package is installed, so it imports nothing else of the kit by itself.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, Unpack

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arcane_framework import StreamGraphBuilder
    from arcane_framework.testing import Golden, StreamTest, StreamTestOptions, VirtualClock


class StreamTestFactory(Protocol):
    """The fixture `arcane_stream`: makes a `StreamTest`, which ends with the test."""

    def __call__(
        self,
        builder: "type[StreamGraphBuilder[Any]]",
        spec: "Mapping[str, Any] | None" = None,
        **options: "Unpack[StreamTestOptions]",
    ) -> "StreamTest":
        """See `StreamTest` for the arguments."""
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update-golden`."""
    group = parser.getgroup("arcane-framework")
    group.addoption("--update-golden", action="store_true", help="write the golden files instead of comparing them")


@pytest.fixture
def arcane_stream(virtual_clock: "VirtualClock") -> "Iterator[StreamTestFactory]":
    """A factory of stream tests: `arcane_stream(Builder, spec, ...)`. What still runs is stopped after the test.

    All streams of a test have one clock, that of the fixture `virtual_clock`, unless `clock` or `start` is given.
    """
    from contextlib import ExitStack

    from arcane_framework.testing import StreamTest

    with ExitStack() as tests:

        def make(
            builder: "type[StreamGraphBuilder[Any]]",
            spec: "Mapping[str, Any] | None" = None,
            **options: "Unpack[StreamTestOptions]",
        ) -> StreamTest:
            if "start" not in options:
                options.setdefault("clock", virtual_clock)
            test = StreamTest(builder, spec, **options)
            tests.callback(test.close)
            return test

        yield make


@pytest.fixture
def virtual_clock() -> "Iterator[VirtualClock]":
    """A virtual clock; threads that it has started and that are left behind fail the test."""
    from arcane_framework.testing import VirtualClock

    clock = VirtualClock()
    yield clock
    clock.raise_failures()
    clock.check_no_threads()


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> "Golden":
    """Compares a text, rows or a table with a file in the folder `golden` beside the test. See `Golden`."""
    from arcane_framework.testing import Golden

    return Golden(request.path.parent, request.node.name, update=request.config.getoption("--update-golden"))

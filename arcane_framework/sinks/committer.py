"""Commits on a thread of their own, so that what comes next is encoded and staged meanwhile."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from arcane_framework._core.clock import Clock
from arcane_framework._core.errors import FencedError
from arcane_framework._core.position import Position
from arcane_framework._core.sink import Committed
from arcane_framework.commits.log import CommitLog
from arcane_framework.sinks.background_writer import BackgroundWriter
from arcane_framework.sinks.part_file import PartFile

IN_FLIGHT: Final = 2
"""Commits that may be under way at the same time; of these one is being done, the others wait for it."""


class Committer:
    """Commits and publishes, one commit after the other; from the first one on nobody else may use the log.

    Args:
        clock: The run's clock.
        log: The stream's log.
        writer: Who stages the parts.
    """

    def __init__(self, clock: Clock, log: CommitLog, writer: BackgroundWriter) -> None:
        self._clock = clock
        self._log = log
        self._writer = writer
        self._thread = BackgroundWriter(clock, 0, "arcane-committer")
        self._commits: deque[_Commit] = deque()
        self._error: BaseException | None = None

    @property
    def unfinished(self) -> int:
        """How many commits may not be in the log yet, as far as the waits of `commit` and `wait` have shown."""
        return len(self._commits)

    def commit(self, position: Position, parts: Sequence[PartFile]) -> "Future[Committed]":
        """Commit `parts`, all of which are finished; waits while `IN_FLIGHT` are not done, and raises their error.

        The entry is created when they are staged, and they are published when it is durable.
        """
        self.wait(IN_FLIGHT - 1)
        commit = _Commit(position, parts, self._writer.submitted)
        self._commits.append(commit)
        self._thread.submit(lambda: self._run(commit))
        return commit.future

    def wait(self, at_most: int = 0) -> None:
        """Wait until `at_most` commits are not done; raises the error of the others."""
        while len(self._commits) > at_most:
            future = self._commits[0].future
            self._clock.wait_for(future.done)
            future.result()
            self._commits.popleft()

    def close(self) -> "Sequence[PartFile] | None":
        """End the thread; gives the parts that no entry will ever name, None when a commit is still running."""
        if not self._thread.close():
            return None
        return [part for commit in self._commits if not commit.begun for part in commit.parts]

    def _run(self, commit: "_Commit") -> None:
        try:
            if self._error is not None:
                # A later commit would skip the rows of the one that has failed.
                raise self._error
            done = self._commit(commit)
        except BaseException as error:
            self._error = error
            commit.future.set_exception(error)
        else:
            commit.future.set_result(done)

    def _commit(self, commit: "_Commit") -> Committed:
        self._writer.wait(commit.steps)
        for part in commit.parts:
            part.complete()
        # Out of reach of `close` first: once an entry may name them they must stay.
        commit.begun = True
        try:
            manifest = self._log.append(commit.position, [part.committed() for part in commit.parts])
        except FencedError:
            with suppress(Exception):
                abort(commit.parts)  # certainly not named by any entry
            raise
        self._log.publish(manifest)
        self._log.compact()
        data = [part for part in commit.parts if part.kind == "data"]
        return Committed(parts=len(data), nbytes=sum(part.nbytes for part in data))


@dataclass(slots=True)
class _Commit:
    """`steps` of the writer's have to be done before; `begun`: an entry may name the parts."""

    position: Position
    parts: Sequence[PartFile]
    steps: int
    begun: bool = False
    future: "Future[Committed]" = field(default_factory=Future)


def abort(parts: Sequence[PartFile]) -> None:
    """Leave nothing behind of parts that are not committed."""
    for part in parts:
        part.abort()

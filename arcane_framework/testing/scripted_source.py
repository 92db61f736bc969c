"""A source that does what a test says."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from arcane_framework._core.batch import Batch, Wait, Watermark
from arcane_framework._core.rows import batch_from_rows
from arcane_framework._core.services import Mode
from arcane_framework._core.source import SchemaChanges, Source, SourceRun, SourceTags

Rows = Sequence[Mapping[str, Any]]

Step = Batch | Wait | Exception | tuple[Rows, Watermark | None]
"""What a scripted source does next: emit, wait, raise, or emit rows with the watermark after them."""


def rows_batch(schema: pa.Schema, rows: Rows, watermark: Watermark | None = None) -> Batch:
    """A batch from rows as mappings; a missing column is null.

    Raises:
        SchemaInconsistentError: A row does not fit; names the row and the column.
    """
    return Batch(batch_from_rows(rows, schema)[0], watermark)


class ScriptedSource(Source):
    """Plays steps, one after the other.

    One object can serve several runs of a stream: each start plays the steps from the first, or, with
    `resume`, from behind the one whose watermark is the stored one. An exception is raised once: the next
    run goes on as if it were not there. After the last step a backfill ends; a stream waits until it is
    stopped, or ends, too, with `ends`. Streaming goes on from the last watermark of a backfill.

    Args:
        schema: Of the rows.
        steps: What it does while streaming, and in a backfill unless `backfill` is given.
        backfill: What it does in a backfill.
        resume: Go on behind the stored watermark, as a real source does.
        ends: A stream ends after its last step.
        tags: Where it pretends to read.
        schema_changes: See `Source`.

    Attributes:
        starts: What each run has told it, in order: mode and watermark.
    """

    def __init__(
        self,
        schema: pa.Schema,
        steps: Sequence[Step],
        *,
        backfill: Sequence[Step] | None = None,
        resume: bool = False,
        ends: bool = False,
        tags: SourceTags | None = None,
        schema_changes: SchemaChanges = "fail",
    ) -> None:
        self.schema = schema
        self.tags = tags or SourceTags()
        self.schema_changes = schema_changes
        self.starts: list[SourceRun] = []
        self._steps = list(steps)
        self._backfill = self._steps if backfill is None else list(backfill)
        self._resume = resume
        self._ends = ends
        self._raised: set[int] = set()

    def batches(self, run: SourceRun) -> Iterator[Batch | Wait]:
        self.starts.append(run)
        return super().batches(run)

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        yield from self._play(self._steps, watermark)
        if not self._ends:
            yield Wait(None)

    def backfill(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        yield from self._play(self._backfill, watermark)

    def end_backfill(self, begun: Watermark | None, watermark: Watermark | None) -> Watermark | None:
        return begun if watermark is None else watermark

    @property
    def last_start(self) -> tuple[Mode, Watermark | None]:
        """Mode and watermark of the newest run.

        Raises:
            AssertionError: It was never started.
        """
        if not self.starts:
            raise AssertionError("the source was never started")
        return self.starts[-1].mode, self.starts[-1].watermark

    def _play(self, steps: Sequence[Step], watermark: Watermark | None) -> Iterator[Batch | Wait]:
        for step in steps[self._first(steps, watermark) :]:
            if isinstance(step, Exception):
                if id(step) not in self._raised:
                    self._raised.add(id(step))
                    raise step
            elif isinstance(step, tuple):
                yield rows_batch(self.schema, *step)
            else:
                yield step

    def _first(self, steps: Sequence[Step], watermark: Watermark | None) -> int:
        if not self._resume or watermark is None:
            return 0
        marks = [_watermark(step) for step in steps]
        if watermark not in marks:
            if steps is self._steps and watermark in map(_watermark, self._backfill):
                return 0
            raise AssertionError(f"no step of the scripted source has the stored watermark {dict(watermark)}")
        return len(marks) - marks[::-1].index(watermark)


def _watermark(step: Step) -> Watermark | None:
    if isinstance(step, tuple):
        return step[1]
    return step.watermark if isinstance(step, Batch) else None

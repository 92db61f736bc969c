"""Joins several sources into one, each read on a thread of its own."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

import pyarrow as pa

from arcane_framework._core.batch import Batch, Wait, Watermark
from arcane_framework._core.clock import JOIN_SECONDS
from arcane_framework._core.errors import ConfigurationError, FatalStreamError, StreamStopped
from arcane_framework._core.rows import no_rows
from arcane_framework._core.schema_hash import difference
from arcane_framework._core.services import Mode
from arcane_framework._core.source import Source, SourceRun, SourceTags, close_generator, not_a_batch, snapshot
from arcane_framework.operators.hand_off import HandOff


def gather(sources: Sequence[Source] | Mapping[str, Source], nbytes: int) -> Source:
    """One source made of several: the shards of a backfill, say.

    Each part is read on a thread of its own and held back at its share of `nbytes`. The watermark is the
    vector of all parts'. While one part is between two watermarks only its batches pass, so that the vector
    always covers all rows before it; parts that mark every batch interleave freely.

    Args:
        sources: The parts; a mapping's keys (a sequence's numbers) name them in the watermark, so they
            must stay the same over restarts.
        nbytes: Bytes held for all parts together.

    Raises:
        ConfigurationError: There are no parts, their schemas differ, or `nbytes` is not positive.
    """
    parts = dict(sources) if isinstance(sources, Mapping) else {str(i): source for i, source in enumerate(sources)}
    if not parts:
        raise ConfigurationError("gather needs at least one source")
    if nbytes <= 0:
        raise ConfigurationError(f"gather: nbytes must be greater than zero, not {nbytes}")
    return _Gathered(parts, nbytes)


class _Gathered(Source):
    def __init__(self, parts: Mapping[str, Source], nbytes: int) -> None:
        first = next(iter(parts.values()))
        for name, source in parts.items():
            if not source.schema.equals(first.schema):
                raise ConfigurationError(
                    f"gather: source {name!r} has another schema than the first: "
                    f"{difference(first.schema, source.schema)}"
                )
        self.schema = first.schema
        self.tags = SourceTags(first.tags.location, ",".join(dict.fromkeys(s.tags.entity for s in parts.values())))
        self.schema_changes = first.schema_changes
        if len({source.schema_changes for source in parts.values()}) > 1:
            raise ConfigurationError("gather: the sources must agree on schema_changes, 'fail' or 'new_part'")
        self.parts = parts
        self._nbytes = nbytes

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        raise FatalStreamError("a gathered source is run by `batches`")

    def batches(self, run: SourceRun) -> Iterator[Batch | Wait]:
        vector = dict(run.watermark or {})
        share = max(1, self._nbytes // len(self.parts))
        readers = [
            _Reader(name, source, HandOff(run.clock, share), run, cast("dict[str, Any]", vector.get(name) or {}))
            for name, source in self.parts.items()
        ]
        running = [reader for reader in readers if not reader.done]
        threads = [run.clock.spawn(reader.run, f"arcane-gather-{reader.name}") for reader in running]
        try:
            yield from _Joined(self.schema, running, vector, run.mode).batches()
        finally:
            for reader in running:
                reader.hand_off.close()
            for thread in threads:
                thread.join(JOIN_SECONDS)

    def begin_backfill(self) -> Watermark | None:
        return cast(Watermark, {name: _plain(source.begin_backfill()) for name, source in self.parts.items()})

    def end_backfill(self, begun: Watermark | None, watermark: Watermark | None) -> Watermark | None:
        ends = {}
        for name, source in self.parts.items():
            start = cast("Watermark | None", (begun or {}).get(name))
            reached = cast("dict[str, Any]", (watermark or {}).get(name) or {}).get("watermark")
            ends[name] = {"watermark": _plain(source.end_backfill(start, reached))}
        return cast(Watermark, ends)

    def moment(self, watermark: Watermark) -> datetime | None:
        reached = [
            source.moment(state["watermark"])
            for name, source in self.parts.items()
            if (state := cast("dict[str, Any]", watermark.get(name) or {})).get("watermark") is not None
        ]
        known = [moment for moment in reached if moment is not None]
        return min(known) if len(known) == len(self.parts) else None

    def describe(self, watermark: Watermark) -> str:
        texts = []
        for name, source in self.parts.items():
            state = cast("dict[str, Any]", watermark.get(name) or {})
            reached = state.get("watermark")
            text = "-" if reached is None else source.describe(reached)
            texts.append(f"{name}: {'done' if state.get('done') else text}")
        return "; ".join(texts)


def _plain(watermark: Watermark | None) -> "dict[str, Any] | None":
    return None if watermark is None else dict(watermark)


class _Reader:
    """Reads one part on its thread into its hand-off."""

    def __init__(self, name: str, source: Source, hand_off: HandOff, run: SourceRun, state: Mapping[str, Any]) -> None:
        self.name = name
        self.hand_off = hand_off
        self.done = run.mode is Mode.BACKFILL and bool(state.get("done"))
        self._source = source
        self._clock = run.clock
        self._kill_switch = run.kill_switch
        self._run = SourceRun(run.mode, state.get("watermark"), run.clock, run.kill_switch)

    def run(self) -> None:
        try:
            self._read()
        except StreamStopped:
            if not self._stopping():
                self.hand_off.end(FatalStreamError(f"gather: source {self.name!r} raised StreamStopped by itself"))
        except Exception as error:
            self.hand_off.end(error)
        except BaseException as error:
            self.hand_off.end(FatalStreamError(f"gather: source {self.name!r} ended its thread: {error!r}"))

    def _read(self) -> None:
        generator = iter(self._source.batches(self._run))
        try:
            for item in generator:
                if self._stopping():
                    return
                if isinstance(item, Wait):
                    self._wait(item)
                elif not isinstance(item, Batch):
                    raise not_a_batch(self._source, item)
                elif not self.hand_off.put(snapshot(item)):
                    return
            if not self._stopping():
                self.hand_off.end()
        finally:
            close_generator(generator)

    def _wait(self, wait: Wait) -> None:
        until = None if wait.seconds is None else self._clock.monotonic() + wait.seconds
        self._clock.wait_for(lambda: self._stopping() or (wait.wake is not None and wait.wake()), until)

    def _stopping(self) -> bool:
        return self._kill_switch.stopped or self.hand_off.closed


class _Joined:
    """Takes from the readers in turn, on the source thread."""

    def __init__(self, schema: pa.Schema, readers: Sequence[_Reader], vector: dict[str, Any], mode: Mode) -> None:
        self._schema = schema
        self._mode = mode
        self._readers = deque(readers)
        self._vector = vector
        self._between: _Reader | None = None
        """The part that has emitted rows after its last watermark."""

    def batches(self) -> Iterator[Batch | Wait]:
        while self._readers:
            yield Wait(None, wake=self._ready)
            reader = self._next()
            item = reader.hand_off.take()
            if isinstance(item, Batch):
                yield self._joined(reader, item)
            elif item is not None:
                if item.error is not None:
                    raise item.error
                yield from self._ended(reader)

    def _candidates(self) -> Sequence[_Reader]:
        return self._readers if self._between is None else (self._between,)

    def _ready(self) -> bool:
        return any(reader.hand_off.ready() for reader in self._candidates())

    def _next(self) -> _Reader:
        for reader in list(self._candidates()):
            if reader.hand_off.ready():
                self._readers.remove(reader)
                self._readers.append(reader)
                return reader
        return self._candidates()[0]

    def _joined(self, reader: _Reader, batch: Batch) -> Batch:
        if batch.watermark is None:
            if batch.num_rows or batch.quarantined:
                self._between = reader
            return batch
        self._between = None
        self._vector[reader.name] = {"watermark": dict(batch.watermark)}
        return replace(batch, watermark=self._snapshot())

    def _ended(self, reader: _Reader) -> Iterator[Batch]:
        """A part has been read to its end: its last rows are covered, a resumed backfill leaves it out."""
        if self._between is reader and self._mode is Mode.STREAM:
            raise FatalStreamError(
                f"gather: source {reader.name!r} ended with rows after its last watermark, which can never be "
                "committed: give the last batch a watermark"
            )
        self._readers.remove(reader)
        self._between = None
        state = dict(self._vector.get(reader.name) or {})
        self._vector[reader.name] = {**state, "done": True}
        yield Batch(no_rows(self._schema), self._snapshot())

    def _snapshot(self) -> Watermark:
        return cast(Watermark, dict(self._vector))

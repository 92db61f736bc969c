"""JSON lines parts."""

import io

import pyarrow as pa
import pyarrow.compute as pc

from arcane_framework._core.raw_json import declared_schema
from arcane_framework.sinks.part_file import Encoder, PartFile
from arcane_framework.sinks.part_sink import PartSink

PIECE_ROWS = 16384
"""Rows that are encoded at a time, so that the text of a whole group is never held."""


class JsonLinesSink(PartSink):
    """Writes one JSON object a line, UTF-8; see `PartSink` for arguments and layout.

    Columns keep their order and nulls are written. Timestamps and dates are ISO 8601 texts, decimals plain
    numbers, binary hexadecimal text; NaN and infinity, which JSON has not, become null. Rows that come as raw
    JSON text are written as they are.
    """

    suffix = ".json"

    def encoder(self, schema: pa.Schema, target: PartFile) -> Encoder:
        return _JsonLinesEncoder(target) if declared_schema(schema) is None else _RawLinesEncoder(target)


class _JsonLinesEncoder:
    def __init__(self, target: PartFile) -> None:
        self._target = target

    def write(self, group: pa.Table) -> None:
        # Imported here: a stream that writes Parquet need not load it.
        from arro3.io import write_ndjson

        for piece in group.to_batches(max_chunksize=PIECE_ROWS):
            lines = io.BytesIO()
            write_ndjson(piece, lines, explicit_nulls=True)
            self._target.write(lines.getbuffer())

    def close(self) -> None:
        pass


class _RawLinesEncoder:
    def __init__(self, target: PartFile) -> None:
        self._target = target
        self._nothing, self._newline = (pa.scalar(text, pa.large_string()) for text in ("", "\n"))

    def write(self, group: pa.Table) -> None:
        for piece in group.column(0).chunks:
            if not len(piece):
                continue
            lines = pc.binary_join_element_wise(piece, self._nothing, self._newline)
            text = lines.buffers()[2]
            nbytes = pc.sum(pc.binary_length(lines)).as_py()
            self._target.write(memoryview(text)[:nbytes])

    def close(self) -> None:
        pass

"""Parquet parts."""

from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from arcane_framework._core.context import ParquetSpec
from arcane_framework._core.errors import ConfigurationError, SchemaInconsistentError
from arcane_framework._core.position import Position
from arcane_framework._core.raw_json import declared_schema
from arcane_framework._core.sink import Grouping, SinkRun
from arcane_framework._core.storage import Storage
from arcane_framework.sinks.dictionary_columns import dictionary_columns
from arcane_framework.sinks.layout_settings import PartLayout
from arcane_framework.sinks.part_file import Encoder, PartFile
from arcane_framework.sinks.part_sink import PartSink


@dataclass(frozen=True, slots=True)
class ParquetSettings:
    """How Parquet parts are encoded.

    Attributes:
        compression: The codec of all columns.
        compression_level: The codec's own scale; None is its default.
        dictionary: Columns to encode with a dictionary; True for all, False for none, `auto` for those that repeat
            their values in a part's first rows, which takes half the time and less space.
        statistics: Whether column statistics are written.

    Raises:
        ConfigurationError: The codec has no such level.
    """

    compression: Literal["snappy", "zstd", "gzip", "lz4", "none"] = "snappy"
    compression_level: int | None = None
    dictionary: bool | tuple[str, ...] | Literal["auto"] = "auto"
    statistics: bool = True

    @classmethod
    def of(cls, spec: ParquetSpec) -> "ParquetSettings":
        """What a stream's spec says."""
        dictionary: bool | Literal["auto"] = "auto" if spec.dictionary == "auto" else spec.dictionary == "all"
        return cls(spec.compression, spec.compression_level, dictionary, spec.statistics)

    def __post_init__(self) -> None:
        if self.compression == "none":
            return
        try:
            pa.Codec(self.compression, self.compression_level)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ConfigurationError(f"parquet: {error}") from None


class ParquetSink(PartSink):
    """Writes Parquet parts, one row group for each group of rows; see `PartSink` for the layout.

    Args:
        storage: The sink's location, as `services.storage(location)` gives it.
        grouping: How rows are cut into groups and when they are committed.
        part_layout: Where parts go and what is written beside them.
        parquet: How they are encoded.
    """

    suffix = "-chunk.parquet"

    def __init__(
        self,
        storage: Storage,
        *,
        grouping: Grouping = Grouping(),
        part_layout: PartLayout = PartLayout(),
        parquet: ParquetSettings = ParquetSettings(),
    ) -> None:
        super().__init__(storage, grouping=grouping, part_layout=part_layout)
        self._parquet = parquet

    def open(self, run: SinkRun) -> Position:
        if declared_schema(run.schema) is not None:
            raise ConfigurationError(
                "the source gives rows as raw JSON text, which a Parquet file cannot hold as columns: "
                "let the source read them by its schema, or write them with JsonLinesSink"
            )
        return super().open(run)

    def encoder(self, schema: pa.Schema, target: PartFile) -> Encoder:
        return _ParquetEncoder(schema, target, self._parquet)


class _ParquetEncoder:
    def __init__(self, schema: pa.Schema, target: PartFile, settings: ParquetSettings) -> None:
        self._schema = schema
        self._target = target
        self._settings = settings
        self._writer: pq.ParquetWriter | None = None

    def write(self, group: pa.Table) -> None:
        if self._writer is None:
            self._writer = parquet_writer(self._target, self._schema, group, self._settings)
        try:
            self._writer.write_table(group, row_group_size=group.num_rows)
        except pa.ArrowInvalid as error:
            raise SchemaInconsistentError(f"rows do not fit their schema: {error}") from error

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def parquet_writer(target: Any, schema: pa.Schema, group: pa.Table, settings: ParquetSettings) -> pq.ParquetWriter:
    """A writer for a file whose first rows are those of `group`.

    Args:
        target: A path, or an object to write to.
        schema: Of the file.
        group: At least one row.
        settings: How to encode.
    """
    dictionary: Any = settings.dictionary
    if dictionary == "auto":
        dictionary = dictionary_columns(group)
    return pq.ParquetWriter(
        target,
        schema,
        compression=settings.compression,
        compression_level=settings.compression_level,
        use_dictionary=list(dictionary) if dictionary and not isinstance(dictionary, bool) else bool(dictionary),
        write_statistics=settings.statistics,
    )

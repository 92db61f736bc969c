"""What a part sink writes beside its parts, as settings."""

from dataclasses import dataclass, field

from arcane_framework.commits.layout import Segments

__all__ = ["PartitionField", "PartLayout", "Segments"]


@dataclass(frozen=True, slots=True)
class PartitionField:
    """One partition of the data, for consumers that read `metadata/v0/partitions.json`.

    Attributes:
        description: For people.
        field_name: The column.
        field_format: Its format.
        field_expression: The expression that it was computed with; empty when it is a plain column.
        is_date_partition: Whether it is the date partition.
    """

    description: str
    field_name: str
    field_format: str
    field_expression: str = ""
    is_date_partition: bool = False


@dataclass(frozen=True, slots=True)
class PartLayout:
    """Where parts go and what is written beside them.

    Attributes:
        segments: The folder names.
        partition_by_date: Put parts into `_batch_date=yyyy-MM-dd` folders, by the date (UTC) of staging.
        schema_file: Write an empty Parquet file with the schema, once per schema.
        merge_key: The merge key column to name in the schema file's metadata; None when there is none.
        partitions: Written to `metadata/v0/partitions.json`; the file is removed when there are none.
    """

    segments: Segments = field(default_factory=Segments)
    partition_by_date: bool = False
    schema_file: bool = True
    merge_key: str | None = None
    partitions: tuple[PartitionField, ...] = ()

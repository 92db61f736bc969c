"""Ready-made sinks."""

from arcane_framework.sinks.json_lines import JsonLinesSink
from arcane_framework.sinks.layout_settings import PartitionField, PartLayout, Segments
from arcane_framework.sinks.parquet import ParquetSettings, ParquetSink

__all__ = ["JsonLinesSink", "ParquetSettings", "ParquetSink", "PartLayout", "PartitionField", "Segments"]

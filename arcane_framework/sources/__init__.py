"""Sources: the protocol for one's own, and (in later releases) the ready-made ones."""

from arcane_framework._core.batch import Batch, QuarantinedRow, Wait, Watermark
from arcane_framework._core.source import PollingSource, Source, SourceRun, SourceTags

__all__ = ["Batch", "PollingSource", "QuarantinedRow", "Source", "SourceRun", "SourceTags", "Wait", "Watermark"]

"""Sources: the protocol for one's own. The ready-made ones have packages of their own: `sources.rest`."""

from arcane_framework._core.batch import Batch, QuarantinedRow, Wait, Watermark
from arcane_framework._core.source import PollingSource, Source, SourceRun, SourceTags

__all__ = ["Batch", "PollingSource", "QuarantinedRow", "Source", "SourceRun", "SourceTags", "Wait", "Watermark"]

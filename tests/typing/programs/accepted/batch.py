"""A batch keeps its position when its rows change."""

import pyarrow as pa

from arcane_framework._core.batch import Batch, Watermark

watermark: Watermark = {"page": 3}
batch = Batch(pa.record_batch({"id": [1]}), watermark)
rows: int = batch.with_data(batch.data.slice(0, 0)).num_rows

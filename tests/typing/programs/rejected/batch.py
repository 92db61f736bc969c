"""A batch is a value, and its position is a JSON object."""

import pyarrow as pa

from arcane_framework._core.batch import Batch

batch = Batch(pa.record_batch({"id": [1]}), "page 3")  # error: arg-type | reportArgumentType
batch.watermark = None  # error: read-only | reportAttributeAccessIssue

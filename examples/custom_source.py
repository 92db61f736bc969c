import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pyarrow as pa

from arcane_framework import Batch, PollingSource, Watermark


class SqliteTable(PollingSource):
    schema = pa.schema([("id", pa.int64()), ("name", pa.string())])

    def __init__(self, path: str, interval: float) -> None:
        self.path, self.interval = path, interval

    def poll(self, watermark: Watermark | None) -> Iterator[Batch]:
        with closing(sqlite3.connect(self.path)) as db:
            after = (watermark or {"id": 0})["id"]
            rows = db.execute("SELECT id, name FROM customers WHERE id > ? ORDER BY id", [after])
            while some := rows.fetchmany(1000):
                yield self.batch([{"id": id_, "name": name} for id_, name in some], {"id": some[-1][0]})

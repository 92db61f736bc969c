import sqlite3

import pyarrow as pa

from arcane_framework import Position, Sink, SinkRun


class SqliteSink(Sink):
    def __init__(self, path: str) -> None:
        self.db = sqlite3.connect(path, check_same_thread=False)

    def open(self, run: SinkRun) -> Position:
        return Position.model_validate_json(self.db.execute("SELECT max(json) FROM position").fetchone()[0] or "{}")

    def write(self, group: pa.Table) -> None:
        self.db.executemany("INSERT INTO customers VALUES (:id, :name)", group.to_pylist())

    def commit(self, position: Position) -> None:
        self.db.execute("REPLACE INTO position VALUES (1, ?)", [position.model_dump_json()])
        self.db.commit()

    def discard(self) -> None:
        self.db.rollback()

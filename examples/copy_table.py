"""A plugin made of an own source and an own sink: copies a table of one SQLite database into another.

`python -m arcane_framework.run examples.copy_table:CopyTable --spec FILE`, the spec being
`{"sourcePath": "crm.db", "targetPath": "copy.db"}`.
"""

import sqlite3
from contextlib import closing
from datetime import timedelta

from arcane_framework import Grouping, Position, RunnableGraph, Seconds, StreamContext, StreamGraphBuilder, to_sink
from examples.custom_sink import SqliteSink
from examples.custom_source import SqliteTable

TABLES = """
    CREATE TABLE IF NOT EXISTS customers (id INTEGER, name TEXT);
    CREATE TABLE IF NOT EXISTS position (id INTEGER PRIMARY KEY, json TEXT);
"""


class CopyContext(StreamContext):
    source_path: str
    target_path: str
    interval_seconds: Seconds = timedelta(seconds=5)


class CustomersSink(SqliteSink):
    grouping = Grouping(rows=1000, within=1.0)

    def begin_backfill(self, position: Position) -> None:
        self.db.execute("DELETE FROM customers")
        self.commit(position)


class CopyTable(StreamGraphBuilder[CopyContext]):
    def build_graph(self, context: CopyContext) -> RunnableGraph:
        with closing(sqlite3.connect(context.target_path)) as db:
            db.executescript(TABLES)
        source = SqliteTable(context.source_path, context.interval_seconds.total_seconds())
        return self.start(source).pipe(to_sink(CustomersSink(context.target_path)))

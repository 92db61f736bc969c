"""A scripted REST API over real sockets, for tests with real clients.

`serve` starts one on a thread, `serve_process` in a process of its own; `Script` says what it does, `Table` and its
pure functions what rows it has, `RunningApi.journal` what clients have asked.

It imitates an API as the source meets them: HTTP/1.1 with connections that are kept, TLS, gzip; rows with instants
that appear as time passes, asked for by `from` and `to` in the query or in a JSON body (`POST`); the paths
`/unpaged`, `/nested`, `/counter`, `/offset` and `/token` (any path that ends so); headers or tokens that every
request needs; refusals, a rate limit and all kinds of broken answers.

| path | parameters | answer |
|---|---|---|
| unpaged | | `[...]` |
| nested | | `{"result": {"rows": [...]}}` |
| counter | `page`, from 1 | `{"TotalPages": 3, "data": {"items": [...]}}`, 0 pages without rows |
| offset | `offset` from 0, or `page` from 1 | `{"items": [...]}`, empty after the end |
| token | `page`: empty, then what `next` says | `{"items": [...], "next": "..."}` |
| token-endpoint | | `{"token": "...", "expiresIn": 3600}` |

It does not imitate chunked transfer (it neither sends it nor reads it), HTTP/2, pipelining, cookies, cache headers,
or a database that changes under a reader: the rows of a window that has passed are the same for ever.
"""

from tests.rest_api.data import ROW_SCHEMA, ListedRows, Row, Rows, Table, encoded_schema, read_instant, write_instant
from tests.rest_api.running import RunningApi, serve, serve_process
from tests.rest_api.script import Action, Entry, Fault, Script, TokenAuth

__all__ = [
    "ROW_SCHEMA",
    "Action",
    "Entry",
    "Fault",
    "ListedRows",
    "Row",
    "Rows",
    "RunningApi",
    "Script",
    "Table",
    "TokenAuth",
    "encoded_schema",
    "read_instant",
    "serve",
    "serve_process",
    "write_instant",
]

"""Responses to batches: first a quick look for the next request, then the rows."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from arcane_framework._core.batch import Batch
from arcane_framework._core.errors import FatalStreamError, SchemaInconsistentError
from arcane_framework._core.raw_json import raw_json_schema
from arcane_framework._core.rows import no_rows
from arcane_framework.http import TruncatedBodyError
from arcane_framework.schema.json_document import JsonError, KeyChains, TruncatedJson, is_empty_array, kind_of
from arcane_framework.schema.json_rows import JsonRows, raw_rows


@dataclass(frozen=True, slots=True)
class PageText:
    """What a quick look at a response has found.

    Attributes:
        what: Names the page in messages.
        rows: The JSON text of the array of rows; None when there is none.
        page_info: The JSON text of what the pager looks at; None when a property on the way is missing or null.
        has_rows: Whether the array has elements.
        no_content: The response's status says that there is nothing (204).
    """

    what: str
    rows: bytes | None
    page_info: bytes | None
    has_rows: bool
    no_content: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return len(self.rows or b"")


class Responses:
    """Reads the responses of one API. Stateless after it was made; its methods may be called on any thread.

    Args:
        declared: The schema of a row.
        rows_at: The properties on the way to the array of rows; empty: the response is the array.
        page_info_at: The properties on the way to what the pager looks at; None without a pager.
        raw: Whether rows are left as their JSON text.
        quarantine: Whether rows that do not fit are set aside.
    """

    def __init__(
        self,
        declared: pa.Schema,
        rows_at: Sequence[str],
        page_info_at: Sequence[str] | None,
        *,
        raw: bool,
        quarantine: bool,
    ) -> None:
        self.schema = raw_json_schema(declared) if raw else declared
        self.rows_at = tuple(rows_at)
        self._chains = KeyChains(rows_at) if page_info_at is None else KeyChains(rows_at, page_info_at)
        self._rows = None if raw else JsonRows(declared, quarantine=quarantine)

    def scan(self, body: bytes | None, what: str) -> PageText:
        """Find the rows' text and the pager's; for the fetching thread.

        Args:
            body: The whole response; None when the status says that there is nothing (204).
            what: Names the page.

        Raises:
            TruncatedBodyError: The response ends too early; asking again may help.
            FatalStreamError: It is not what the key chains say.
        """
        if body is None:
            return PageText(what, None, None, has_rows=False, no_content=True)
        try:
            rows, *page_info = self._chains.read(body)
        except TruncatedJson as error:
            raise TruncatedBodyError(str(error)) from None
        except JsonError as error:
            raise FatalStreamError(f"{what}: the response cannot be read: {error}. {_remedy(error)}") from None
        array = self._array(rows, what)
        has_rows = array is not None and not is_empty_array(array)
        return PageText(what, array, page_info[0] if page_info else None, has_rows)

    def parse(self, text: PageText) -> Batch:
        """The rows as a batch without a watermark; may take long.

        Raises:
            SchemaInconsistentError: A row does not fit.
            FatalStreamError: A row is beyond all limits.
        """
        if text.rows is None:
            return Batch(no_rows(self.schema))
        if self._rows is None:
            return Batch(raw_rows(text.rows, self.schema, text.what))
        data, quarantined = self._rows.parse(text.rows, text.what)
        self._must_hold_a_column(data, text.rows, text.what)
        return Batch(data, None, quarantined)

    @staticmethod
    def _must_hold_a_column(data: pa.RecordBatch, rows: bytes, what: str) -> None:
        """Refuse a page whose rows have none of the columns: the schema is not theirs."""
        if not data.num_rows or any(column.null_count < data.num_rows for column in data.columns):
            return
        if not any(json.dumps(name, ensure_ascii=False).encode() in rows for name in data.schema.names):
            names = ", ".join(repr(name) for name in data.schema.names[:3])
            raise SchemaInconsistentError(
                f"{what}: no row has any of the columns ({names} ...): apiSchemaEncoded must describe one row, "
                "not the whole response"
            )

    def _array(self, rows: bytes | None, what: str) -> bytes | None:
        """The array's text; missing and null say that there are no rows, but not at the top."""
        found = "null" if rows is None else kind_of(rows)
        if found == "an array":
            return rows
        if found == "null" and self.rows_at:
            return None
        place = ".".join(self.rows_at) or "the response"
        remedy = "correct responsePropertyKeyChain" if self.rows_at else "name it in responsePropertyKeyChain"
        raise FatalStreamError(f"{what}: {place} is {found}, not the array of rows: {remedy}")


def _remedy(error: JsonError) -> str:
    if error.reason.endswith(("found an array", "found a text", "found a number", "found a boolean")):
        return "Correct responsePropertyKeyChain or resolverPropertyKeyChain"
    return "Check urlTemplate: the API has to answer with JSON"

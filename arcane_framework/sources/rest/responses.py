"""Responses to batches: first a quick look for the next request, then the rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from arcane_framework._core.batch import Batch
from arcane_framework._core.errors import FatalStreamError
from arcane_framework._core.raw_json import raw_json_schema
from arcane_framework._core.rows import no_rows
from arcane_framework.http import TruncatedBodyError
from arcane_framework.schema.json_document import JsonError, KeyChains, TruncatedJson
from arcane_framework.schema.json_rows import JsonRows, raw_rows


@dataclass(frozen=True, slots=True)
class PageText:
    """What a quick look at a response has found.

    Attributes:
        what: Names the page in messages.
        rows: The JSON text of the array of rows; None when there is none.
        page_info: The JSON text of what the pager looks at; None when a property on the way is missing or null.
    """

    what: str
    rows: bytes | None
    page_info: bytes | None

    @property
    def has_rows(self) -> bool:
        """Whether the array has elements."""
        return self.rows is not None and self.rows[1:].lstrip()[:1] != b"]"

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
            return PageText(what, None, None)
        try:
            rows, *page_info = self._chains.read(body)
        except TruncatedJson as error:
            raise TruncatedBodyError(str(error)) from None
        except JsonError as error:
            raise FatalStreamError(f"{what}: the response cannot be read: {error}. {_remedy(error)}") from None
        return PageText(what, self._array(rows, what), page_info[0] if page_info else None)

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
        return Batch(data, None, quarantined)

    def _array(self, rows: bytes | None, what: str) -> bytes | None:
        """The array's text; missing and null say that there are no rows, but not at the top."""
        text = b"null" if rows is None else rows.strip()
        if text.startswith(b"["):
            return text
        if text == b"null" and self.rows_at:
            return None
        found = {b"{": "an object", b'"': "a text", b"t": "a boolean", b"f": "a boolean", b"n": "null"}
        place = ".".join(self.rows_at) or "the response"
        remedy = "correct responsePropertyKeyChain" if self.rows_at else "name it in responsePropertyKeyChain"
        raise FatalStreamError(f"{what}: {place} is {found.get(text[:1], 'a number')}, not the array of rows: {remedy}")


def _remedy(error: JsonError) -> str:
    if error.reason.endswith(("found an array", "found a text", "found a number", "found a boolean")):
        return "Correct responsePropertyKeyChain or resolverPropertyKeyChain"
    return "Check urlTemplate: the API has to answer with JSON"

"""Reads the pages of a window: fetched on one thread, parsed on others, taken in order by the source."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from arcane_framework._core.batch import Batch, Wait
from arcane_framework._core.clock import JOIN_SECONDS, Clock
from arcane_framework._core.errors import FatalStreamError, StreamStopped, TransientStreamError
from arcane_framework._core.services import Logger
from arcane_framework.http import HttpRequest, HttpStatusError, shown_url
from arcane_framework.operators.ordered_work import OrderedWork
from arcane_framework.sources.rest.api_client import ApiClient
from arcane_framework.sources.rest.pagers import Pager, Pointer
from arcane_framework.sources.rest.responses import PageText, Responses
from arcane_framework.sources.rest.templates import Placement, RequestTemplate
from arcane_framework.sources.rest.url_template import is_link, origin_of
from arcane_framework.sources.rest.window_position import WindowPosition
from arcane_framework.sources.rest.windows import Windows

PARSE_WORKERS = 2
"""Parsers release the interpreter's lock for most of their time; a third gains nothing beside fetching and writing."""

EMPTY_PAGES = 10
"""So many empty pages in a row, and still more to come, are worth a word."""

SAME_PAGES = 10
"""So many equal pages in a row, none of them empty, are taken for an API that does not look at the page."""

LOOKED_AT_BYTES = 1 << 16
"""How much of a page is compared with the one before."""

UNKNOWN_TOKEN = (400, 404, 410)
"""How APIs refuse a page token that they no longer know."""


@dataclass(frozen=True, slots=True)
class PageReader:
    """Reads windows, one at a time.

    Attributes:
        template: The request.
        windows: How windows are asked for.
        pager: How pages follow each other; None: one request gives a whole window.
        responses: How responses are read.
        clock: The run's clock.
        log: The run's logger.
        spec: A short name of what is asked for; positions in the middle of a window carry it.
        nbytes: Bytes of responses that may be held, fetched and not yet taken.
    """

    template: RequestTemplate
    windows: Windows
    pager: Pager | None
    responses: Responses
    clock: Clock
    log: Logger
    spec: str
    nbytes: int

    def read(self, position: WindowPosition, client: ApiClient) -> Iterator[Batch | Wait]:
        """The pages from `position` on to the window's end, each with its watermark.

        A generator for the source thread. When it ends early the run ends: it closes the client, too.
        """
        work: OrderedWork[Batch] = OrderedWork(
            self.clock, self.nbytes, PARSE_WORKERS, "arcane-parse", lambda batch: batch.nbytes
        )
        fetching = _Fetching(self, position, client, work)
        thread = self.clock.spawn(fetching.run, "arcane-fetch")
        ended = False
        try:
            while not ended:
                yield Wait(None, wake=work.ready)
                item = work.take()
                if isinstance(item, Batch):
                    yield item
                elif item is not None:
                    if item.error is not None:
                        raise item.error
                    if fetching.stopped:
                        raise StreamStopped
                    ended = True
        finally:
            if not ended:
                client.close()
            work.close()
            thread.join(JOIN_SECONDS)


class _Fetching:
    """The fetching thread: asks for page after page and gives their texts to the parsers.

    Attributes:
        stopped: It has ended before the window has.
    """

    def __init__(
        self, reader: PageReader, position: WindowPosition, client: ApiClient, work: OrderedWork[Batch]
    ) -> None:
        self._reader = reader
        self._position = replace(position, spec=reader.spec)
        self._client = client
        self._work = work
        self._loops = _LoopGuard(position)
        self.stopped = False
        # A run that goes on in a window has not seen its first pages.
        self._has_array = position.pages > 0 or not reader.responses.rows_at

    def run(self) -> None:
        try:
            self._fetch_all()
        except StreamStopped:
            self.stopped = True
            self._work.end()
        except Exception as error:
            self._work.end(error)
        except BaseException as error:
            self._work.end(FatalStreamError(f"the fetching thread ended: {error!r}"))

    def _fetch_all(self) -> None:
        pager = self._reader.pager
        page = self._position.next_page
        if pager is not None and page is None:
            page = pager.first()
        resumed = self._position.next_page is not None
        request = self._request(page)
        while True:
            text = self._fetch(request, page, resumed)
            self._has_array = self._has_array or text.rows is not None
            page, total = self._next_page(page, text)
            self._position = position = self._position.page_read(page, pager, total, self._loops.looks)
            # Before the position is passed on: one whose next page cannot be asked for must not be stored.
            following = None if page is None else self._request(page)
            stored = None if self._loops.suspicious else position
            if not self._work.put(_Parsing(self._reader.responses, text, stored), text.nbytes) or following is None:
                break
            request, resumed = following, False
        if not self._has_array:
            self._warn_of_no_array()
        self._work.end()

    def _request(self, page: Pointer | None) -> HttpRequest:
        """The request for the page after those that have been read; refused when it cannot or must not be sent."""
        reader, window = self._reader, self._position.window
        try:
            resolved = reader.template.resolve(
                reader.windows.asked_from(window), window.end, None if page is None else str(page)
            )
        except FatalStreamError as error:
            raise FatalStreamError(f"{self._what}: {error}") from None
        headers = {} if resolved.content_type is None else {"Content-Type": resolved.content_type}
        shown = _shown_url(reader.template, page, resolved.url)
        request = HttpRequest(resolved.method, resolved.url, headers, resolved.body, self._what, shown)
        self._client.check(request)
        return request

    def _fetch(self, request: HttpRequest, page: Pointer | None, resumed: bool) -> PageText:
        responses = self._reader.responses
        try:
            return self._client.fetch(request, lambda body: responses.scan(body, request.what))
        except HttpStatusError as error:
            if resumed and isinstance(page, str) and error.status in UNKNOWN_TOKEN:
                raise FatalStreamError(
                    f"{request.what} was refused (HTTP {error.status}) where an earlier run had stopped: the API no "
                    "longer knows the stored page token. Nothing was skipped or read again; begin a new backfill "
                    "(another STREAMCONTEXT__BACKFILL_ID, or --backfill-id)"
                ) from None
            raise

    def _next_page(self, page: Pointer | None, text: PageText) -> tuple[Pointer | None, int | None]:
        """The page after `page`, and the number of pages as far as it is known."""
        pager, known = self._reader.pager, self._position.total
        if pager is None or page is None:
            return None, None
        said = pager.total(text.page_info)
        says_nothing = text.rows is None and not text.no_content and (text.page_info or b"null").strip() == b"null"
        if known is not None and says_nothing:
            # Announced by a page before: this is no empty page, but an answer about something else.
            raise TransientStreamError(
                f"{self._what}: the answer has neither rows nor {'.'.join(pager.key_chain)}, although the page was "
                "announced. It is asked for again by the next run"
            )
        total = known if said is None else said
        try:
            following = pager.after(page, text.page_info, has_rows=text.has_rows, total=total)
            self._loops.check(following, text, endless=total is None)
        except FatalStreamError as error:
            raise FatalStreamError(f"{self._what}: {error}") from None
        if self._loops.empty == EMPTY_PAGES and total is not None:
            self._warn_of_empty_pages()
        return following, total

    def _warn_of_empty_pages(self) -> None:
        self._reader.log.warning(
            f"the last {EMPTY_PAGES} pages of {self._position.window} had no rows, and the API announces more: "
            "resolverPropertyKeyChain may name the number of rows instead of the number of pages"
        )

    def _warn_of_no_array(self) -> None:
        place = ".".join(self._reader.responses.rows_at)
        self._reader.log.warning(
            f"no response of {self._position.window} had {place}, the array of rows by responsePropertyKeyChain: "
            "that is taken for no rows. If there should be some, correct it"
        )

    @property
    def _what(self) -> str:
        window = f"the window {self._position.window}"
        return window if self._reader.pager is None else f"page {self._position.pages + 1} of {window}"


def _shown_url(template: RequestTemplate, page: Pointer | None, url: str) -> str:
    # Page tokens are secrets, and may stand in the path.
    paged = template.page_field
    if paged is not None and paged.placement is Placement.URL and page is not None and is_link(str(page)):
        return shown_url(origin_of(url) or "")
    return shown_url(template.url)


@dataclass(frozen=True, slots=True)
class _Parsing:
    """A page's way to a batch; called on a worker's thread."""

    responses: Responses
    text: PageText
    position: WindowPosition | None

    def __call__(self) -> Batch:
        batch = self.responses.parse(self.text)
        if self.position is None:
            return batch
        # The end of a window behind a page that has named another one: that page's token may not live long.
        prompt = not self.text.has_rows and self.position.complete and self.position.pages > 1
        return replace(batch, watermark=self.position.watermark(), prompt=prompt)


class _LoopGuard:
    """Notices when a window's pages go round in a circle.

    Attributes:
        looks: Of the newest page, when only its rows can tell that the window does not end.
        empty: Pages without rows since the last one with some.
    """

    def __init__(self, position: WindowPosition) -> None:
        pointer = position.next_page
        self._tokens = {hash(pointer)} if isinstance(pointer, str) else set()
        self.looks = position.looks
        self._same = 1
        self.empty = 0

    @property
    def suspicious(self) -> bool:
        """Whether the newest page is like the one before: it is not stored until another one has come."""
        return self.looks is not None and self._same > 1

    def check(self, following: Pointer | None, text: PageText, *, endless: bool) -> None:
        """Look at a page that has been read.

        Args:
            following: The page after it.
            text: What it holds.
            endless: Nothing says how many pages there are.

        Raises:
            FatalStreamError: Going on would never end.
        """
        if isinstance(following, str):
            token = hash(following)
            if token in self._tokens:
                raise FatalStreamError(
                    "the API gave a page token that it has given in this window before: reading on would never end. "
                    "Correct resolverPropertyKeyChain, or the API"
                )
            self._tokens.add(token)
        self.empty = 0 if text.has_rows else self.empty + 1
        if following is None or not text.has_rows or not endless:
            self.looks = None
            return
        rows = text.rows or b""
        looks = f"{len(rows)}-{zlib.crc32(rows[:LOOKED_AT_BYTES]):08x}"
        self._same = self._same + 1 if looks == self.looks else 1
        self.looks = looks
        if self._same == SAME_PAGES:
            raise FatalStreamError(
                f"the last {SAME_PAGES} pages hold the same rows: the API does not seem to look at the page that it is "
                "asked for. Correct the field of type RESPONSE_PAGE in templatedFields, or pageResolverConfiguration"
            )

"""The REST API source: windows of time, page by page."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from arcane_framework._core.batch import Batch, Wait, Watermark
from arcane_framework._core.errors import ConfigurationError, FatalStreamError
from arcane_framework._core.rows import no_rows
from arcane_framework._core.services import Services
from arcane_framework._core.source import Source, SourceTags
from arcane_framework.http import Authorization, HttpSettings, RateLimit, check_url
from arcane_framework.sources.rest.api_client import ApiClient, connect
from arcane_framework.sources.rest.authentication import FixedHeaders, TokenSettings
from arcane_framework.sources.rest.page_reader import PageReader
from arcane_framework.sources.rest.pagers import Pager
from arcane_framework.sources.rest.responses import Responses
from arcane_framework.sources.rest.templates import RequestTemplate
from arcane_framework.sources.rest.window_position import WindowPosition
from arcane_framework.sources.rest.windows import Windows

FUTURE = timedelta(minutes=5)
"""How much clocks may differ without a word."""

HELD_BYTES = 8 << 20
"""Responses that are fetched ahead of what is written."""


@dataclass(frozen=True, kw_only=True)
class RestApi:
    """What an API is asked and how its answers are read.

    Attributes:
        template: The request.
        schema: The schema of a row; see `schema_from_openapi`, and `JsonRows` for the types that it may have.
        rows_at: The properties on the way to the array of rows; empty: the response is the array.
        pager: How pages follow each other; None: one request gives a whole window.
        authorization: Fixed headers, how to get a token, or one of your own.
        rate_limit: How often it may be asked; None: as often as needed.
        http: Timeouts, retries and limits.

    Raises:
        ConfigurationError: The parts do not fit together, or the URL leads where a stream never connects.
    """

    template: RequestTemplate
    schema: pa.Schema
    rows_at: tuple[str, ...] = ()
    pager: Pager | None = None
    authorization: Authorization | TokenSettings = field(default_factory=lambda: FixedHeaders({}))
    rate_limit: RateLimit | None = None
    http: HttpSettings = field(default_factory=lambda: HttpSettings(timeout=60.0))

    def __post_init__(self) -> None:
        url = self.template.url
        try:
            check_url(url, trusted=[url], allowed_hosts=self.http.allowed_hosts, what="urlTemplate")
        except FatalStreamError as error:
            raise ConfigurationError(str(error)) from None
        page = self.template.page_field
        if self.pager is not None and page is None:
            raise ConfigurationError(
                "templatedFields: a paged API needs a field of type RESPONSE_PAGE, which says where the page goes"
            )
        if self.pager is not None and isinstance(self.pager.first(), int) and not self.template.asks_for_pages:
            raise ConfigurationError(
                f"templatedFields: no template holds @{page.name if page else ''}, so every request would be for the "
                "same page: write it where the page goes"
            )
        if self.pager is None and page is not None:
            raise ConfigurationError(
                "templatedFields: Cannot return the resolved template as there are unresolved fields: "
                f"{page.name}. A field of type RESPONSE_PAGE is for kinds with pages"
            )


class RestApiSource(Source):
    """Reads what has changed in an API, window by window; each window once, its pages in order.

    Windows are contiguous: each begins where the one before has ended, which a stored position remembers. A
    backfill reads one window, from `backfill_from` to its own start. The watermark holds the window and the next
    page, so that a run that was killed goes on at that page. While a page is parsed and written the next
    one is fetched, as far as `held_bytes` allow. Rows are published once as they were fetched; nothing is promised
    about an API whose pages shift while they are read.

    Args:
        services: Those of the run.
        api: What is asked.
        backfill_from: Where a backfill begins; aware.
        interval: Between two windows.
        look_back: How far the first streaming window reaches back when no position is stored.
        overlap: How much earlier than its start each window is asked for, for APIs with late rows.
        raw: Leave rows as their JSON text, for JSON lines sinks; they are not checked against the schema.
        quarantine: Set rows that do not fit the schema aside instead of failing.
        held_bytes: Bytes of responses that may be fetched ahead.

    Raises:
        ConfigurationError: A length of time is negative (`interval`: or zero), or `backfill_from` names no zone.
    """

    def __init__(
        self,
        services: Services,
        api: RestApi,
        *,
        backfill_from: datetime,
        interval: timedelta,
        look_back: timedelta,
        overlap: timedelta = timedelta(0),
        raw: bool = False,
        quarantine: bool = False,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        _check_times(backfill_from, interval, look_back, overlap)
        template, pager = api.template, api.pager
        page_info_at = None if pager is None else pager.key_chain
        try:
            responses = Responses(api.schema, api.rows_at, page_info_at, raw=raw, quarantine=quarantine)
        except ValueError as error:
            raise ConfigurationError(f"the schema cannot be read from JSON: {error}") from None
        self.schema = responses.schema
        self.tags = SourceTags(template.host, template.path)
        self._services = services
        self._api = api
        self._backfill_from = backfill_from.astimezone(UTC)
        self._interval = interval
        self._windows = Windows(look_back, template.date_formats, overlap)
        paging = None if pager is None else (pager.name, pager.key_chain)
        # Without the host: an API may move.
        target = template.url.partition("://")[2].partition("/")[2]
        request = (target, template.method, template.body, template.fields)
        asked = (request, api.rows_at, paging, self._backfill_from)
        self._spec = hashlib.sha256(repr(asked).encode()).hexdigest()[:8]
        if template.unknown_tokens:
            services.log.warning(
                "the templates hold words that look like fields and are none; they are sent as they are",
                words=", ".join(template.unknown_tokens),
            )
        self._reader = PageReader(
            template, self._windows, pager, responses, services.clock, services.log, self._spec, held_bytes
        )

    def stream(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        """Read window after window, with a pause after each."""
        now = self._services.clock.now()
        if watermark is None:
            # Kept from here on: what is asked for first must not depend on when there is something to ask for.
            position = WindowPosition(self._windows.before_the_first(now))
            yield Batch(no_rows(self.schema), position.watermark())
        else:
            position = self._stored(watermark)
            self._warn_of_the_future(position, now)
        with closing(self._connect()) as client:
            if not position.complete:
                yield from self._read(position, client)
                yield self._pause()
            last = position.window
            while True:
                window = self._windows.next(last, self._services.clock.now())
                if window is not None:
                    yield from self._read(WindowPosition(window), client)
                    last = window
                yield self._pause()

    def backfill(self, watermark: Watermark | None) -> Iterator[Batch | Wait]:
        """Read one window, up to now; a backfill that resumes goes on in its own window."""
        now = self._services.clock.now()
        if self._backfill_from > now:
            raise ConfigurationError("backFillStartDate: lies in the future (it is in milliseconds since 1970)")
        if watermark is None:
            position = WindowPosition(self._windows.backfill(self._backfill_from, now))
        else:
            position = self._stored(watermark)
            self._must_be_the_same(position)
        if watermark is None or not position.complete:
            with closing(self._connect()) as client:
                yield from self._read(position, client)

    def end_backfill(self, begun: Watermark | None, watermark: Watermark | None) -> Watermark | None:
        """The first streaming window begins where the backfill's has ended."""
        return watermark

    def describe(self, watermark: Watermark) -> str:
        return WindowPosition.from_watermark(watermark).describe()

    def moment(self, watermark: Watermark) -> datetime | None:
        position = WindowPosition.from_watermark(watermark)
        return position.window.end if position.complete else position.window.start

    def _read(self, position: WindowPosition, client: ApiClient) -> Iterator[Batch | Wait]:
        clock, services = self._services.clock, self._services
        started = clock.monotonic()
        services.log.debug("reading a window", window=str(position.window), page=position.pages + 1)
        yield from self._reader.read(position, client)
        services.metrics.with_tags(self.tags.metric_tags).gauge("poll.duration", clock.monotonic() - started)

    def _stored(self, watermark: Watermark) -> WindowPosition:
        position = WindowPosition.from_watermark(watermark)
        position.check_pager(self._api.pager)
        return position

    def _warn_of_the_future(self, position: WindowPosition, now: datetime) -> None:
        if position.window.end > now + FUTURE:
            self._services.log.warning(
                f"the last window, {position.window}, ends in the future: nothing is asked for before that. "
                "Correct the clock, or run a new backfill"
            )

    def _must_be_the_same(self, position: WindowPosition) -> None:
        if not position.complete and position.spec not in (None, self._spec):
            raise ConfigurationError(
                f"the unfinished backfill ({position.describe()}) was begun with another request, start date or key "
                "chain: its pages would not fit together. Set them back, or begin a new backfill (another "
                "STREAMCONTEXT__BACKFILL_ID, or --backfill-id)"
            )

    def _connect(self) -> ApiClient:
        api = self._api
        return connect(self._services, api.template.url, api.authorization, api.rate_limit, api.http)

    def _pause(self) -> Wait:
        return Wait(self._interval.total_seconds())


def _check_times(backfill_from: datetime, interval: timedelta, look_back: timedelta, overlap: timedelta) -> None:
    if backfill_from.tzinfo is None:
        raise ConfigurationError("backfill_from: must name its time zone, such as UTC")
    if interval <= timedelta(0):
        raise ConfigurationError("Change capture interval must be greater than zero.")
    for name, length in (("look_back", look_back), ("overlap", overlap)):
        if length < timedelta(0):
            raise ConfigurationError(f"{name}: must not be negative")

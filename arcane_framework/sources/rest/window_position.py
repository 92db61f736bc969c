"""How far the windows have been read, and its form as a watermark."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from arcane_framework._core.batch import Watermark
from arcane_framework._core.errors import ConfigurationError, FatalStreamError
from arcane_framework.sources.rest.pagers import Pager, Pointer
from arcane_framework.sources.rest.windows import Window, instant_text


@dataclass(frozen=True, slots=True)
class WindowPosition:
    """A window, read as a whole or up to a page.

    Attributes:
        window: The window.
        pages: Pages of it that have been read.
        next_page: The page to ask for next; None when the window has been read as a whole, and at its beginning.
        resolver_type: How its pages are counted; None unless `next_page` is given.
        total: The number of pages by the latest response that said it; None when none did, or nothing asks.
        looks: What the last page looks like, where nothing but its rows tells an endless window.
        spec: A short name of what was asked for.
    """

    window: Window
    pages: int = 0
    next_page: Pointer | None = None
    resolver_type: str | None = None
    total: int | None = None
    looks: str | None = None
    spec: str | None = None

    @classmethod
    def from_watermark(cls, watermark: Watermark) -> "WindowPosition":
        """The position that `watermark` holds.

        Raises:
            FatalStreamError: It is none of this source.
        """
        try:
            window = Window(_instant(watermark["from"]), _instant(watermark["to"]))
            pages, pointer, resolver = watermark["pages"], watermark.get("next"), watermark.get("resolver")
        except (KeyError, TypeError, ValueError):
            raise _foreign() from None
        total, looks = watermark.get("total"), watermark.get("looks")
        if type(pages) is not int or not isinstance(pointer, (int, str, type(None))):
            raise _foreign()
        return cls(
            window,
            pages,
            pointer,
            resolver,
            total if isinstance(total, int) else None,
            looks if isinstance(looks, str) else None,
            watermark.get("spec"),
        )

    @property
    def complete(self) -> bool:
        """Whether the window has been read as a whole; of a position that was stored."""
        return self.next_page is None

    def page_read(
        self, next_page: Pointer | None, pager: Pager | None, total: int | None = None, looks: str | None = None
    ) -> "WindowPosition":
        """The position after one more page."""
        resolver = None if pager is None or next_page is None else pager.name
        return replace(
            self, pages=self.pages + 1, next_page=next_page, resolver_type=resolver, total=total, looks=looks
        )

    def watermark(self) -> dict[str, Any]:
        """The position after a page as a small JSON object."""
        found: dict[str, Any] = {
            "from": instant_text(self.window.start),
            "to": instant_text(self.window.end),
            "pages": self.pages,
        }
        if self.next_page is not None:
            found |= {"next": self.next_page, "resolver": self.resolver_type}
            known = {"total": self.total, "looks": self.looks, "spec": self.spec}
            found |= {name: value for name, value in known.items() if value is not None}
        return found

    def check_pager(self, pager: Pager | None) -> None:
        """Refuse to go on in the middle of a window whose pages were counted in another way.

        Raises:
            ConfigurationError: Names both ways.
        """
        now = None if pager is None else pager.name
        if self.next_page is not None and self.resolver_type != now:
            raise ConfigurationError(
                f"the stored position is in the middle of a window ({self.describe()}) that was read with the page "
                f"resolver {self.resolver_type}, and the spec says {now or 'that there is none'}: set "
                "pageResolverConfiguration back until that window has been read, or begin a new backfill "
                "(another STREAMCONTEXT__BACKFILL_ID, or --backfill-id)"
            )

    def describe(self) -> str:
        """In words, without the token, which may be a secret."""
        return f"{self.window}" if self.complete else f"{self.window}, page {self.pages}"


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _foreign() -> FatalStreamError:
    return FatalStreamError(
        "the stored position is not one of a REST API source: another kind of stream has written it. "
        "Run a new backfill, or give the stream another id"
    )

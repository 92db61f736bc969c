"""Positions inside windows, and their watermarks."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from arcane_framework import ConfigurationError, FatalStreamError
from arcane_framework.sources.rest import CounterPager, OffsetPager, Pager, TokenPager
from arcane_framework.sources.rest.window_position import WindowPosition
from arcane_framework.sources.rest.windows import Window

WINDOW = Window(datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 2, 12, 30, 15, 250_000, tzinfo=UTC))
COUNTER, OFFSET, TOKEN = CounterPager(("n",)), OffsetPager(("items",), 10), TokenPager(("next",))


@pytest.mark.parametrize(
    ("position", "watermark", "text"),
    [
        (
            WindowPosition(WINDOW).page_read(None, None),
            {"from": "2024-05-01T00:00:00Z", "to": "2024-05-02T12:30:15.250000Z", "pages": 1},
            "2024-05-01T00:00:00Z to 2024-05-02T12:30:15.250000Z",
        ),
        (
            WindowPosition(WINDOW).page_read(2, COUNTER).page_read(3, COUNTER),
            {
                "from": "2024-05-01T00:00:00Z",
                "to": "2024-05-02T12:30:15.250000Z",
                "pages": 2,
                "next": 3,
                "resolver": "COUNTER",
            },
            "2024-05-01T00:00:00Z to 2024-05-02T12:30:15.250000Z, page 2",
        ),
        (
            WindowPosition(WINDOW).page_read(2, COUNTER, 7),
            {
                "from": "2024-05-01T00:00:00Z",
                "to": "2024-05-02T12:30:15.250000Z",
                "pages": 1,
                "next": 2,
                "resolver": "COUNTER",
                "total": 7,
            },
            "2024-05-01T00:00:00Z to 2024-05-02T12:30:15.250000Z, page 1",
        ),
        (
            WindowPosition(WINDOW).page_read("a-token", TOKEN),
            {
                "from": "2024-05-01T00:00:00Z",
                "to": "2024-05-02T12:30:15.250000Z",
                "pages": 1,
                "next": "a-token",
                "resolver": "TOKEN",
            },
            "2024-05-01T00:00:00Z to 2024-05-02T12:30:15.250000Z, page 1",
        ),
        (
            WindowPosition(WINDOW).page_read(2, COUNTER).page_read(None, COUNTER),
            {"from": "2024-05-01T00:00:00Z", "to": "2024-05-02T12:30:15.250000Z", "pages": 2},
            "2024-05-01T00:00:00Z to 2024-05-02T12:30:15.250000Z",
        ),
    ],
)
def test_a_position_is_kept_in_its_watermark_and_described_without_its_token(
    position: WindowPosition, watermark: dict[str, Any], text: str
) -> None:
    assert position.watermark() == watermark
    assert WindowPosition.from_watermark(json.loads(json.dumps(watermark))) == position
    assert position.describe() == text


def test_a_window_is_complete_when_its_last_page_has_been_read() -> None:
    begun = WindowPosition(WINDOW)
    assert not begun.page_read(0, OFFSET).complete
    assert begun.page_read(0, OFFSET).page_read(None, OFFSET).complete


@pytest.mark.parametrize(
    "watermark",
    [
        {},
        {"id": 3},
        {"from": "2024-05-01T00:00:00Z", "to": "2024-05-02T00:00:00Z"},
        {"from": "2024-05-01T00:00:00Z", "to": "yesterday", "pages": 1},
        {"from": 1, "to": 2, "pages": 1},
        {"from": "2024-05-01T00:00:00Z", "to": "2024-05-02T00:00:00Z", "pages": True},
        {"from": "2024-05-01T00:00:00Z", "to": "2024-05-02T00:00:00Z", "pages": 1, "next": [2]},
    ],
)
def test_a_watermark_of_another_source_is_refused(watermark: dict[str, Any]) -> None:
    with pytest.raises(FatalStreamError) as error:
        WindowPosition.from_watermark(watermark)
    assert str(error.value) == (
        "the stored position is not one of a REST API source: another kind of stream has written it. "
        "Run a new backfill, or give the stream another id"
    )


@pytest.mark.parametrize(("pager", "says"), [(COUNTER, "COUNTER"), (OFFSET, "OFFSET"), (None, "that there is none")])
def test_the_page_resolver_cannot_change_in_the_middle_of_a_window(pager: Pager | None, says: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        WindowPosition(WINDOW).page_read("secret", TOKEN).check_pager(pager)
    assert str(error.value) == (
        "the stored position is in the middle of a window (2024-05-01T00:00:00Z to 2024-05-02T12:30:15.250000Z, "
        f"page 1) that was read with the page resolver TOKEN, and the spec says {says}: set "
        "pageResolverConfiguration back until that window has been read, or begin a new backfill "
        "(another STREAMCONTEXT__BACKFILL_ID, or --backfill-id)"
    )


@pytest.mark.parametrize("pager", [COUNTER, OFFSET, TOKEN, None])
def test_the_page_resolver_may_change_between_two_windows(pager: Pager | None) -> None:
    WindowPosition(WINDOW).page_read(None, TOKEN).check_pager(pager)

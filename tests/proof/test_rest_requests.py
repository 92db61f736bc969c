"""The judge of requests notices what it is there for, and knows what a run has to ask for."""

from typing import Any

import pytest

from tests.proof.cells import Start
from tests.proof.rest_cells import REST_CELLS, Pager, RestCell
from tests.proof.rest_requests import PageOf, requests_problem
from tests.rest_api import Entry

BACKFILL = ("2023-01-01T00:00:00Z", "2023-01-02T12:30:00Z")
FIRST = ("2023-01-01T00:00:00Z", "2023-01-01T18:30:00Z")
SECOND = ("2023-01-01T18:30:00Z", "2023-01-02T12:30:00Z")
REMAINING = [PageOf(*FIRST, 2), PageOf(*FIRST, 3), PageOf(*SECOND, 1)]


def cell(pager: Pager, *, backfilling: bool) -> RestCell:
    return next(found for found in REST_CELLS if (found.pager, found.backfilling) == (pager, backfilling))


def asked(page: PageOf, status: int = 200) -> Entry:
    parameters = {"from": page.start, "to": page.end}
    return Entry(1, "data", "GET", "/counter", "/counter", parameters, {}, "", 1, 0.0, 0.0, page.page, 8, status)


def problem(*entries: Entry, whole: bool = False) -> str:
    return requests_problem(entries, REMAINING, whole=whole)


def start(backfilling: bool, stream: Any = None, backfill: Any = None, backfill_id: str = "first") -> Start:
    return Start(1, backfilling, backfill_id, {"stream": stream, "backfill": backfill}, undisturbed=False)


def test_a_run_that_asks_for_what_remains_is_right() -> None:
    assert problem(*map(asked, REMAINING), whole=True) == ""


def test_a_run_that_ends_early_is_right_unless_it_was_to_come_to_its_end() -> None:
    assert problem(asked(REMAINING[0])) == ""
    assert problem(asked(REMAINING[0]), whole=True) == "has asked for 1 pages of 3"
    assert problem() == ""
    assert problem(whole=True) == "has asked for 0 pages of 3"


def test_a_run_beside_others_may_find_more_committed_than_there_was_when_it_was_started() -> None:
    assert problem(*map(asked, REMAINING[1:])) == ""
    assert "page 3" in problem(*map(asked, REMAINING[1:]), whole=True)


def test_a_committed_page_must_not_be_asked_for() -> None:
    assert problem(asked(PageOf(*FIRST, 1)), asked(REMAINING[0])) == (
        "has asked for page 1 of 2023-01-01T00:00:00Z to 2023-01-01T18:30:00Z "
        "where page 2 of 2023-01-01T00:00:00Z to 2023-01-01T18:30:00Z was next"
    )


def test_a_page_must_not_be_asked_for_twice() -> None:
    assert "page 2" in problem(asked(REMAINING[0]), asked(REMAINING[0]))


def test_a_page_must_not_be_left_out() -> None:
    assert "page 1" in problem(asked(REMAINING[0]), asked(REMAINING[2]))


def test_nothing_may_be_asked_for_after_the_end() -> None:
    assert problem(*map(asked, REMAINING), asked(PageOf(*SECOND, 2))).endswith("where nothing was next")


def test_a_window_must_not_have_moved() -> None:
    assert "page 2" in problem(asked(PageOf(FIRST[0], SECOND[1], 2)))


def test_a_page_that_failed_is_asked_for_again() -> None:
    assert problem(asked(REMAINING[0], 503), asked(REMAINING[0], 401), *map(asked, REMAINING), whole=True) == ""


def test_a_page_that_failed_must_not_be_skipped() -> None:
    assert problem(asked(REMAINING[0], 503), asked(REMAINING[1])) == (
        "has asked for page 3 of 2023-01-01T00:00:00Z to 2023-01-01T18:30:00Z "
        "after page 2 of 2023-01-01T00:00:00Z to 2023-01-01T18:30:00Z had failed"
    )


@pytest.mark.parametrize(("pager", "pages"), [("COUNTER", 5), ("OFFSET", 6), ("TOKEN", 5)])
def test_a_backfill_asks_for_the_pages_of_its_one_window(pager: Pager, pages: int) -> None:
    schedule = cell(pager, backfilling=True).schedule
    whole = [PageOf(*BACKFILL, page) for page in range(1, pages + 1)]
    read = {"from": BACKFILL[0], "to": BACKFILL[1], "pages": 2, "next": 3}
    running = {"id": "first", "state": "running", "watermark": read}
    assert schedule.remaining(start(True)) == whole
    assert schedule.remaining(start(True, backfill=running)) == whole[2:]
    assert schedule.remaining(start(True, backfill=running, backfill_id="second")) == whole
    assert schedule.remaining(start(True, backfill=running, backfill_id="")) == whole[2:]
    assert schedule.remaining(start(True, backfill={**running, "state": "completed"})) == []


@pytest.mark.parametrize(
    ("pager", "pages"), [("COUNTER", [3, 3, 1, 1, 2]), ("OFFSET", [4, 4, 1, 2, 3]), ("TOKEN", [3, 3, 1, 1, 2])]
)
def test_a_stream_asks_for_the_pages_of_one_window_after_the_other(pager: Pager, pages: list[int]) -> None:
    schedule = cell(pager, backfilling=False).schedule
    whole = schedule.remaining(start(False))
    windows = list(dict.fromkeys((page.start, page.end) for page in whole))
    assert windows[:2] == [FIRST, SECOND]
    assert [sum((page.start, page.end) == window for page in whole) for window in windows] == pages
    middle = {"from": SECOND[0], "to": SECOND[1], "pages": 1, "next": "t"}
    assert schedule.remaining(start(False, middle)) == whole[pages[0] + 1 :]
    end = {"from": SECOND[0], "to": SECOND[1], "pages": pages[1]}
    assert schedule.remaining(start(False, end)) == whole[pages[0] + pages[1] :]


@pytest.mark.parametrize("found", REST_CELLS, ids=lambda found: found.name)
def test_a_position_covers_the_rows_of_all_windows_before_it_and_of_its_pages(found: RestCell) -> None:
    expected = found.expected
    window = BACKFILL if found.backfilling else FIRST
    middle = {"from": window[0], "to": window[1], "pages": 2, "next": 17}
    end = {"from": SECOND[0], "to": SECOND[1], "pages": 3}
    assert expected.covered(None, backfill=found.backfilling) == []
    assert expected.covered(middle, backfill=found.backfilling) == list(range(16))
    assert expected.backfilled() == (list(range(37)) if found.backfilling else [])
    assert expected.covered(end, backfill=False) == ([] if found.backfilling else list(range(37)))
    assert expected.backfilled() + expected.streamed() == list(range(56))

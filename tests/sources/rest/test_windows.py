"""Windows of time: contiguous, cut to what the requests can say."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcane_framework.sources.rest.windows import Window, Windows

HOUR = timedelta(hours=1)
SECONDS = "yyyy-MM-ddTHH:mm:ssZ"
DAYS = "yyyy-MM-dd"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NOW = at("2024-05-08T12:34:56.789")


def test_the_first_window_reaches_back_by_the_look_back() -> None:
    windows = Windows(HOUR, (SECONDS,))
    before = windows.before_the_first(NOW)
    assert before == Window(NOW - HOUR, NOW - HOUR)
    assert windows.next(before, NOW) == Window(NOW - HOUR, at("2024-05-08T12:34:56"))


def test_a_window_begins_where_the_one_before_has_ended() -> None:
    last = Window(at("2024-05-08T10:00:00"), at("2024-05-08T11:00:00"))
    assert Windows(HOUR, (SECONDS,)).next(last, NOW) == Window(last.end, at("2024-05-08T12:34:56"))


def test_a_backfill_is_one_window_up_to_now() -> None:
    assert Windows(HOUR, (SECONDS,)).backfill(at("2020-01-01"), NOW) == Window(
        at("2020-01-01"), at("2024-05-08T12:34:56")
    )


@pytest.mark.parametrize(
    ("formats", "end"),
    [
        ((), "2024-05-08T12:34:56.789"),
        ((SECONDS,), "2024-05-08T12:34:56"),
        (("o",), "2024-05-08T12:34:56.789"),
        ((DAYS,), "2024-05-08T00:00:00"),
        ((SECONDS, DAYS), "2024-05-08T00:00:00"),
        (("yyyy-MM-dd HH:mm",), "2024-05-08T12:34:00"),
    ],
)
def test_a_window_ends_at_an_instant_that_the_requests_can_name(formats: tuple[str, ...], end: str) -> None:
    window = Windows(HOUR, formats).next(Window(at("2024-05-01"), at("2024-05-02")), NOW)
    assert window is not None
    assert window.end == at(end)


def test_there_is_nothing_to_ask_for_until_the_next_instant_that_requests_can_name() -> None:
    last = Window(at("2024-05-07"), at("2024-05-08"))
    assert Windows(HOUR, (DAYS,)).next(last, NOW) is None


def test_a_clock_that_was_set_back_makes_no_window_that_ends_before_it_begins() -> None:
    last = Window(at("2024-05-08T13:00:00"), at("2024-05-08T14:00:00"))
    assert Windows(HOUR, (SECONDS,)).next(last, NOW) is None
    assert Windows(HOUR).backfill(at("2025-01-01"), NOW) == Window(at("2025-01-01"), at("2025-01-01"))


def test_an_overlap_changes_what_is_asked_for_and_not_the_window() -> None:
    windows = Windows(HOUR, (SECONDS,), timedelta(seconds=90))
    window = Window(at("2024-05-08T10:00:00"), at("2024-05-08T11:00:00"))
    assert windows.asked_from(window) == at("2024-05-08T09:58:30")
    following = windows.next(window, NOW)
    assert following is not None
    assert following.start == window.end


INSTANTS = st.integers(946_684_800_000_000, 4_102_444_800_000_000).map(
    lambda microseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)


@given(
    st.lists(INSTANTS, min_size=1, max_size=8),
    st.sampled_from([(), (SECONDS,), (DAYS,), (DAYS, SECONDS), ("o",), ("yyyyMMddHHmmss",), ("yyyy-MM",)]),
)
def test_windows_leave_no_gap_and_never_overlap_whatever_the_clock_does(
    clock: list[datetime], formats: tuple[str, ...]
) -> None:
    windows = Windows(HOUR, formats)
    last = Window(clock[0], clock[0])
    for now in clock:
        window = windows.next(last, now)
        if window is not None:
            assert window.start == last.end < window.end <= now
            last = window


def test_lengths_that_reach_beyond_the_calendar_end_at_its_beginning() -> None:
    windows = Windows(timedelta(days=999_999), (SECONDS,), timedelta(days=999_999))
    first = datetime.min.replace(tzinfo=UTC)
    assert windows.before_the_first(NOW) == Window(first, first)
    assert windows.asked_from(Window(first, NOW)) == first

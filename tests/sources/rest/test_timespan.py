"""Lengths of time as .NET writes them."""

import pytest

from arcane_framework.sources.rest.timespan import parse_timespan


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("01:00:00", 3_600),
        ("00:30:00", 1_800),
        ("00:30", 1_800),
        ("1.00:00:00", 86_400),
        ("1.02:03:04", 93_784),
        ("00:00:01.5", 1.5),
        ("00:00:00.0000001", 1e-7),
        (" 01:00:00 ", 3_600),
        # Days, as the original reads it.
        ("3600", 3_600 * 86_400),
        ("0", 0),
    ],
)
def test_a_length_of_time_is_read_as_dotnet_reads_it(text: str, seconds: float) -> None:
    assert parse_timespan(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "one hour", "1h", "01:60:00", "01:00:60", "25:00:00", "PT1H", "1:2:3:4:5", "-1", "٣"]
)
def test_what_is_no_length_of_time_counts_as_not_given(text: str) -> None:
    assert parse_timespan(text) is None

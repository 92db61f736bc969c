from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from arcane_framework._core.errors import ConfigurationError
from arcane_framework.sources.rest.date_format import check_date_format, format_date, truncate

INSTANT = datetime(2023, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
EVENING = datetime(987, 11, 25, 22, 44, 55, 123_456, tzinfo=UTC)
WHOLE_SECOND = datetime(2023, 1, 2, 0, 4, 5, tzinfo=UTC)

STANDARD = [
    ("", "01/02/2023 03:04:05 +00:00"),
    ("o", "2023-01-02T03:04:05.6780000+00:00"),
    ("O", "2023-01-02T03:04:05.6780000+00:00"),
    ("r", "Mon, 02 Jan 2023 03:04:05 GMT"),
    ("R", "Mon, 02 Jan 2023 03:04:05 GMT"),
    ("D", "Monday, 02 January 2023"),
    ("T", "03:04:05"),
    ("F", "Monday, 02 January 2023 03:04:05"),
    ("G", "01/02/2023 03:04:05"),
    ("y", "2023 January"),
    ("Y", "2023 January"),
    ("s", "2023-01-02T03:04:05"),
    ("u", "2023-01-02 03:04:05Z"),
    ("d", "01/02/2023"),
    ("t", "03:04"),
    ("f", "Monday, 02 January 2023 03:04"),
    ("g", "01/02/2023 03:04"),
    ("m", "January 02"),
    ("M", "January 02"),
]

CUSTOM = [
    (INSTANT, "yyyy-MM-ddTHH:mm:ssZ", "2023-01-02T03:04:05Z"),
    (INSTANT, "yyyyMMddHHmmss", "20230102030405"),
    (EVENING, "y yy yyy yyyy yyyyy yyyyyyy", "87 87 987 0987 00987 0000987"),
    (datetime(2005, 1, 1, tzinfo=UTC), "y|yy", "5|05"),
    (datetime(1, 1, 1, tzinfo=UTC), "yyyy-yyy-%y", "0001-001-1"),
    (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "o", "9999-12-31T23:59:59.9999990+00:00"),
    (INSTANT, "M MM MMM MMMM MMMMM", "1 01 Jan January January"),
    (INSTANT, "d dd ddd dddd ddddd", "2 02 Mon Monday Monday"),
    (INSTANT, "H HH HHH|h hh hhh", "3 03 03|3 03 03"),
    (EVENING, "H HH HHH|h hh hhh", "22 22 22|10 10 10"),
    (WHOLE_SECOND, "H HH|h hh", "0 00|12 12"),
    (datetime(2023, 1, 1, 12, tzinfo=UTC), "H hh tt", "12 12 PM"),
    (INSTANT, "m mm mmm|s ss sss", "4 04 04|5 05 05"),
    (EVENING, "m mm mmm|s ss sss", "44 44 44|55 55 55"),
    (EVENING, "f ff fff ffff fffff ffffff fffffff", "1 12 123 1234 12345 123456 1234560"),
    (EVENING, "F FF FFF FFFF FFFFF FFFFFF FFFFFFF", "1 12 123 1234 12345 123456 123456"),
    (INSTANT, "ss.fff|ss.FFFFF|ss.ff", "05.678|05.678|05.67"),
    (WHOLE_SECOND, "ss.FFF|ss,FFF|ss.fff", "05|05,|05.000"),
    (WHOLE_SECOND, "ss'.'F", "05"),
    (WHOLE_SECOND, "ss.'x'FF", "05.x"),
    (WHOLE_SECOND, "ss.%F", "05"),
    (INSTANT, "t tt ttt", "A AM AM"),
    (EVENING, "t tt ttt", "P PM PM"),
    (INSTANT, "K|KK|z zz zzz zzzz", "+00:00|+00:00+00:00|+0 +00 +00:00 +00:00"),
    (INSTANT, "yyyy g ggg", "2023 A.D. A.D."),
    (INSTANT, "yyyy/MM/dd HH:mm", "2023/01/02 03:04"),
    (INSTANT, "'yyyy' yyyy \"MM\" MM", "yyyy 2023 MM 01"),
    (INSTANT, r"'it\'s' yyyy", "it's 2023"),
    (INSTANT, r"\d\dd\\", "dd2\\"),
    (INSTANT, "''yyyy", "2023"),
    (INSTANT, "'\"'yyyy", '"2023'),
    (INSTANT, "%d", "2"),
    (INSTANT, "%dd", "22"),
    (INSTANT, "%M%d", "12"),
    (INSTANT, "%h%x", "3x"),
    (INSTANT, "%K", "+00:00"),
    (INSTANT, "yyyy-MM-dd at HH", "2023-01-02 aA 03"),
    (INSTANT, "YYYY-MM-DD", "YYYY-01-DD"),
    (INSTANT, "DD SS TT ZZ", "DD SS TT ZZ"),
    (INSTANT, "yyyy年MM月", "2023年01月"),
    (INSTANT, "  ", "  "),
    (INSTANT, "\n\n", "\n\n"),
]

REFUSED = [
    ("U", "the date format 'U' is not valid: it is not defined for an instant with an offset; use 'u' or 'F'"),
    *(
        (
            text,
            f"the date format {text!r} is not valid: a format of one character is a standard format, "
            "one of d D f F g G m M o O r R s t T u y Y; "
            "a single custom specifier is written with a percent sign, as in '%H'",
        )
        for text in ("x", "H", "K", "h", "z", "S", "Z", "/", " ", "%", "\\", "'")
    ),
    ("yyyy'T", "the date format \"yyyy'T\" is not valid: the quote ' at character 5 is not closed"),
    ('"a', "the date format '\"a' is not valid: the quote \" at character 1 is not closed"),
    ("'a\\'", "the date format \"'a\\\\'\" is not valid: the quote ' at character 1 is not closed"),
    ("'a\\", "the date format \"'a\\\\\" is not valid: the quote ' at character 1 is not closed"),
    ("yy%'", "the date format \"yy%'\" is not valid: the quote ' at character 4 is not closed"),
    (
        "yyyy\\",
        r"the date format 'yyyy\\' is not valid: the backslash at its end must be followed by a character; "
        r"write \\ for one",
    ),
    (
        "yyyy%",
        "the date format 'yyyy%' is not valid: the % at character 5 must be followed by a specifier, as in '%d'",
    ),
    ("%%d", "the date format '%%d' is not valid: the % at character 1 must be followed by a specifier, as in '%d'"),
    ("ss.ffffffff", "the date format 'ss.ffffffff' is not valid: at most 7 f may follow each other, not 8"),
    ("FFFFFFFFF", "the date format 'FFFFFFFFF' is not valid: at most 7 F may follow each other, not 9"),
]

# Each format with the finest thing that it shows of INSTANT_WITH_ALL.
INSTANT_WITH_ALL = datetime(2023, 8, 17, 21, 35, 46, 987_654, tzinfo=UTC)
PRECISIONS = [
    ("o", INSTANT_WITH_ALL),
    ("s", datetime(2023, 8, 17, 21, 35, 46, tzinfo=UTC)),
    ("u", datetime(2023, 8, 17, 21, 35, 46, tzinfo=UTC)),
    ("r", datetime(2023, 8, 17, 21, 35, 46, tzinfo=UTC)),
    ("F", datetime(2023, 8, 17, 21, 35, 46, tzinfo=UTC)),
    ("G", datetime(2023, 8, 17, 21, 35, 46, tzinfo=UTC)),
    ("T", datetime(2023, 8, 17, 21, 35, 46, tzinfo=UTC)),
    ("", datetime(2023, 8, 17, 21, 35, 46, tzinfo=UTC)),
    ("f", datetime(2023, 8, 17, 21, 35, tzinfo=UTC)),
    ("g", datetime(2023, 8, 17, 21, 35, tzinfo=UTC)),
    ("t", datetime(2023, 8, 17, 21, 35, tzinfo=UTC)),
    ("d", datetime(2023, 8, 17, tzinfo=UTC)),
    ("D", datetime(2023, 8, 17, tzinfo=UTC)),
    ("m", datetime(2023, 8, 17, tzinfo=UTC)),
    ("y", datetime(2023, 8, 1, tzinfo=UTC)),
    ("yyyy", datetime(2023, 1, 1, tzinfo=UTC)),
    ("yyyy-MM", datetime(2023, 8, 1, tzinfo=UTC)),
    ("yyyy-MM-dd", datetime(2023, 8, 17, tzinfo=UTC)),
    ("yyyy dddd", datetime(2023, 8, 17, tzinfo=UTC)),
    ("yyyy-MM-dd tt", datetime(2023, 8, 17, 12, tzinfo=UTC)),
    ("yyyy-MM-ddTHH", datetime(2023, 8, 17, 21, tzinfo=UTC)),
    ("yyyy-MM-dd hh tt", datetime(2023, 8, 17, 21, tzinfo=UTC)),
    ("yyyy-MM-ddTHH:mm:00Z", datetime(2023, 8, 17, 21, 35, tzinfo=UTC)),
    ("yyyy-MM-ddTHH:mm:ssZ", datetime(2023, 8, 17, 21, 35, 46, tzinfo=UTC)),
    ("ss.f", datetime(2023, 8, 17, 21, 35, 46, 900_000, tzinfo=UTC)),
    ("ss.fff", datetime(2023, 8, 17, 21, 35, 46, 987_000, tzinfo=UTC)),
    ("ss.FFFFF", datetime(2023, 8, 17, 21, 35, 46, 987_650, tzinfo=UTC)),
    ("ss.ffffff", INSTANT_WITH_ALL),
    ("ss.FFFFFFF", INSTANT_WITH_ALL),
    ("'static' K g zzz", INSTANT_WITH_ALL),
]

INSTANTS = st.datetimes(timezones=st.just(UTC))
FORMATS = st.sampled_from([text for text, _ in STANDARD] + [text for text, _ in PRECISIONS])


@pytest.mark.parametrize(("text", "expected"), STANDARD)
def test_standard_formats_write_what_dotnet_writes(text: str, expected: str) -> None:
    check_date_format(text)
    assert format_date(INSTANT, text) == expected


@pytest.mark.parametrize(("instant", "text", "expected"), CUSTOM)
def test_custom_formats_write_what_dotnet_writes(instant: datetime, text: str, expected: str) -> None:
    check_date_format(text)
    assert format_date(instant, text) == expected


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_a_format_that_dotnet_refuses_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_date_format(text)
    assert str(caught.value) == message
    with pytest.raises(ConfigurationError):
        format_date(INSTANT, text)
    with pytest.raises(ConfigurationError):
        truncate(INSTANT, [text])


@pytest.mark.parametrize("month", range(1, 13))
def test_months_have_their_english_names(month: int) -> None:
    months = "January February March April May June July August September October November December"
    names = months.split(" ")
    written = format_date(datetime(2024, month, 1, tzinfo=UTC), "MMM MMMM")
    assert written == f"{names[month - 1][:3]} {names[month - 1]}"


@pytest.mark.parametrize("day", range(1, 8))
def test_days_have_their_english_names(day: int) -> None:
    days = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
    names = days.split(" ")
    written = format_date(datetime(2024, 7, day, tzinfo=UTC), "ddd dddd")
    assert written == f"{names[day - 1][:3]} {names[day - 1]}"


@pytest.mark.parametrize("hour", range(24))
def test_hours_of_both_clocks_name_the_same_hour(hour: int) -> None:
    instant = datetime(2024, 7, 1, hour, tzinfo=UTC)
    assert format_date(instant, "hh tt") == instant.strftime("%I %p")


def test_an_instant_of_another_zone_is_written_in_utc() -> None:
    instant = datetime(2023, 1, 2, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    assert format_date(instant, "yyyy-MM-ddTHH:mm:ssK") == "2023-01-01T19:45:00+00:00"
    assert truncate(instant, ["yyyy-MM-dd"]) == datetime(2023, 1, 1, tzinfo=UTC)


def test_a_naive_instant_is_refused() -> None:
    naive = datetime(2023, 1, 2)  # noqa: DTZ001
    with pytest.raises(ValueError, match="the instant must be aware"):
        format_date(naive, "s")
    with pytest.raises(ValueError, match="the instant must be aware"):
        truncate(naive, ["s"])


@pytest.mark.parametrize(("text", "expected"), PRECISIONS)
def test_an_instant_is_cut_to_what_a_format_shows(text: str, expected: datetime) -> None:
    assert truncate(INSTANT_WITH_ALL, [text]) == expected


def test_the_coarsest_of_several_formats_decides() -> None:
    assert truncate(INSTANT_WITH_ALL, ["s", "yyyy-MM-dd", "o"]) == datetime(2023, 8, 17, tzinfo=UTC)


def test_a_format_that_shows_nothing_has_no_say() -> None:
    assert truncate(INSTANT_WITH_ALL, ["'now'", "yyyy-MM"]) == datetime(2023, 8, 1, tzinfo=UTC)


def test_without_formats_the_instant_stays_as_it_is() -> None:
    assert truncate(INSTANT_WITH_ALL, []) == INSTANT_WITH_ALL


@given(INSTANTS, st.lists(FORMATS, max_size=3))
def test_cutting_twice_is_cutting_once_and_never_moves_forward(instant: datetime, formats: list[str]) -> None:
    cut = truncate(instant, formats)
    assert cut <= instant
    assert cut.tzinfo is UTC
    assert truncate(cut, formats) == cut


@given(INSTANTS, FORMATS)
def test_the_cut_instant_is_written_like_the_instant(instant: datetime, text: str) -> None:
    assert format_date(truncate(instant, [text]), text) == format_date(instant, text)


@given(INSTANTS, st.sampled_from(["o", "yyyy-MM-ddTHH:mm:ss.FFFFFFF"]))
def test_a_full_format_reads_back_as_the_same_instant(instant: datetime, text: str) -> None:
    assert datetime.fromisoformat(format_date(instant, text)).replace(tzinfo=UTC) == instant


@given(st.text(alphabet="yMdHhmsfFtKzgTZ:/-. '\"\\%x", max_size=12), INSTANTS)
def test_a_format_that_passes_the_check_loses_nothing_by_cutting_first(text: str, instant: datetime) -> None:
    try:
        check_date_format(text)
    except ConfigurationError:
        reject()
    cut = truncate(instant, [text])
    assert cut <= instant
    assert format_date(cut, text) == format_date(instant, text)

"""Windows of the ready-made REST kinds under virtual time: backfills, streaming, restarts."""

from datetime import timedelta
from typing import Any

import pytest

from arcane_framework.testing import ScriptedHttp
from tests.plugins.rest_streams import HOST, START, ids, items, queries, spec, stream

UNPAGED = "RestApiFixedAuth"
ITEMS = "/items?from="


def windows(http: ScriptedHttp) -> list[tuple[str, str]]:
    """The windows that were asked for, the date left out."""
    asked = [url.removeprefix(ITEMS).split("&to=") for url in queries(http)]
    return [(start.removeprefix("2024-05-08T"), end.removeprefix("2024-05-08T")) for start, end in asked]


def answering(*pages: Any) -> ScriptedHttp:
    """An API that answers one request after the other, and then always without rows."""
    http = ScriptedHttp()
    for page in pages:
        http.reply("GET", f"{HOST}/items?*", json=page)
    return http.reply("GET", f"{HOST}/items?*", json=[], times=None)


def test_a_backfill_is_one_request_from_the_start_date_to_now() -> None:
    http = ScriptedHttp().reply(
        "GET", f"{HOST}/items?from=2023-01-01T00:00:00Z&to=2024-05-08T12:00:00Z", json=items(1, 2)
    )
    with stream(UNPAGED, spec(), http, backfilling=True).start() as test:
        assert test.exit_code == 0
        assert ids(test, "backfill") == [1, 2]
        assert http.requests[0].headers["x-api-key"] == "not-a-secret"
        assert any(name.endswith(".COMPLETED") for name in test.files())
        assert test.position().stream == {
            "from": "2023-01-01T00:00:00Z",
            "to": "2024-05-08T12:00:00Z",
            "pages": 1,
        }


def test_the_first_streaming_window_reaches_back_by_the_look_back_and_the_next_ones_leave_no_gap() -> None:
    http = answering(items(1), items(2), [], items(3))
    with stream(UNPAGED, spec(), http).start() as test:
        test.advance(180)
        assert windows(http) == [
            ("11:00:00Z", "12:00:00Z"),
            ("12:00:00Z", "12:01:00Z"),
            ("12:01:00Z", "12:02:00Z"),
            ("12:02:00Z", "12:03:00Z"),
        ]
        test.stop()
        assert test.exit_code == 0
        assert ids(test) == [1, 2, 3]


def test_time_that_a_request_takes_is_in_the_next_window() -> None:
    http = ScriptedHttp().reply("GET", f"{HOST}/items?*", json=items(1), delay=25)
    http.reply("GET", f"{HOST}/items?*", json=[], times=None)
    with stream(UNPAGED, spec(), http).start() as test:
        test.advance(120)
        assert windows(http) == [("11:00:00Z", "12:00:00Z"), ("12:00:00Z", "12:01:25Z")]


def test_after_a_backfill_streaming_begins_where_the_backfills_window_has_ended() -> None:
    http = ScriptedHttp().reply("GET", f"{HOST}/items?*", json=items(1), delay=20)
    http.reply("GET", f"{HOST}/items?*", json=[], times=None)
    with stream(UNPAGED, spec(), http, backfilling=True).start() as test:
        test.advance(timedelta(hours=3))
        assert test.exit_code == 0
        test.restart(backfilling=False).advance(1)
        assert windows(http)[1] == ("12:00:00Z", "15:00:00Z")


def test_a_restart_goes_on_where_the_last_window_has_ended() -> None:
    http = answering(items(1), items(2))
    with stream(UNPAGED, spec(), http).start() as test:
        test.advance(60)
        test.stop()
        test.advance(7_200)
        test.restart().advance(1)
        assert windows(http)[1:] == [("12:00:00Z", "12:01:00Z"), ("12:01:00Z", "14:01:00Z")]


def test_an_overlap_widens_what_is_asked_for() -> None:
    http = answering()
    with stream(UNPAGED, spec(windowOverlapSeconds=90), http).start() as test:
        test.advance(60)
        assert windows(http) == [("10:58:30Z", "12:00:00Z"), ("11:58:30Z", "12:01:00Z")]


def test_windows_of_days_are_asked_for_once_a_day() -> None:
    def day(name: str, kind: str) -> dict[str, str]:
        return {"fieldType": kind, "fieldName": name, "formatString": "yyyy-MM-dd"}

    fields = [day("from", "FILTER_DATE_BETWEEN_FROM"), day("to", "FILTER_DATE_BETWEEN_TO")]
    http = answering()
    given = spec(templatedFields=fields, changeCaptureIntervalSeconds=3600, lookBackInterval=86_400)
    with stream(UNPAGED, given, http).start() as test:
        test.advance(timedelta(days=2))
        assert queries(http) == [
            "/items?from=2024-05-07&to=2024-05-08",
            "/items?from=2024-05-08&to=2024-05-09",
            "/items?from=2024-05-09&to=2024-05-10",
        ]


def test_an_api_that_is_only_told_a_beginning_is_asked_from_the_last_windows_end() -> None:
    field = {"fieldType": "FILTER_DATE_FROM", "fieldName": "date", "formatString": "yyyy-MM-ddTHH:mm:ssZ"}
    http = ScriptedHttp().reply("GET", f"{HOST}/data?*", json=[], times=None)
    given = spec(urlTemplate=f"{HOST}/data?date=@date", templatedFields=[field])
    with stream(UNPAGED, given, http).start() as test:
        test.advance(60)
        assert queries(http) == ["/data?date=2024-05-08T11:00:00Z", "/data?date=2024-05-08T12:00:00Z"]


def test_the_originals_numbers_of_a_backfill() -> None:
    field = {"fieldType": "FILTER_DATE_FROM", "fieldName": "date", "formatString": "yyyy-MM-ddTHH:mm:ssZ"}
    http = ScriptedHttp().reply("GET", f"{HOST}/data?date=2023-01-01T00:00:00Z", json=items(1, 2))
    given = spec(urlTemplate=f"{HOST}/data?date=@date", templatedFields=[field])
    with stream(UNPAGED, given, http, backfilling=True).start() as test:
        assert test.exit_code == 0
        assert len(test.rows("backfill")) == 2
        assert http.unused == []


def test_the_originals_numbers_of_a_stream_with_a_slow_limit() -> None:
    http = ScriptedHttp().reply("GET", f"{HOST}/items?*", json=items(1, 2), times=None)
    given = spec(changeCaptureIntervalSeconds=1, internalRateLimitCount=1, internalRateLimitInterval=60)
    with stream(UNPAGED, given, http).start() as test:
        test.advance(5)
        test.stop()
        assert ids(test) == [1, 2]
        assert len(http.requests) == 1


def test_a_burst_is_one_request_and_the_average_is_kept() -> None:
    http = ScriptedHttp().reply("GET", f"{HOST}/items?*", json=[], times=None)
    given = spec(changeCaptureIntervalSeconds=1, internalRateLimitCount=6, internalRateLimitInterval=60)
    with stream(UNPAGED, given, http).start() as test:
        test.advance(60)
        times = [(request.time - http.requests[0].time).total_seconds() for request in http.requests]
        assert times == pytest.approx([0, 10, 20, 30, 40, 50, 60])


@pytest.mark.parametrize("interval", [0, -1])
def test_an_interval_that_is_not_positive_is_a_configuration_error(interval: int) -> None:
    with stream(UNPAGED, spec(changeCaptureIntervalSeconds=interval), ScriptedHttp()).start() as test:
        assert test.exit_code == 1
        assert "changeCaptureIntervalSeconds: must" in str(test.error)


def test_an_empty_window_moves_the_position() -> None:
    http = answering()
    with stream(UNPAGED, spec(), http).start() as test:
        test.advance(120)
        test.stop()
        assert test.rows() == []
        stored = test.position().stream
        assert stored is not None
        assert stored["to"] == "2024-05-08T12:02:00Z"


def test_the_first_window_does_not_depend_on_when_there_is_something_to_ask_for() -> None:
    def dated(name: str, kind: str, form: str) -> dict[str, str]:
        return {"fieldType": kind, "fieldName": name, "formatString": form}

    fields = [
        dated("from", "FILTER_DATE_BETWEEN_FROM", "yyyy-MM-ddTHH:mm:ssZ"),
        dated("to", "FILTER_DATE_BETWEEN_TO", "yyyy-MM-dd"),
    ]
    http = answering()
    with stream(UNPAGED, spec(templatedFields=fields, changeCaptureIntervalSeconds=3600), http).start() as test:
        test.advance(timedelta(hours=4))
        test.stop()
        test.restart().advance(timedelta(hours=24))
        assert queries(http)[0] == "/items?from=2024-05-08T11:00:00Z&to=2024-05-09"


def test_a_stream_that_looks_back_by_nothing_begins_when_it_starts() -> None:
    http = answering()
    with stream(UNPAGED, spec(lookBackInterval=0), http).start() as test:
        test.advance(60)
        assert windows(http) == [("12:00:00Z", "12:01:00Z")]


def test_an_api_of_days_that_is_only_told_a_beginning_is_asked_once_a_day() -> None:
    field = {"fieldType": "FILTER_DATE_FROM", "fieldName": "date", "formatString": "yyyy-MM-dd"}
    http = ScriptedHttp().reply("GET", f"{HOST}/data?*", json=[], times=None)
    given = spec(urlTemplate=f"{HOST}/data?date=@date", templatedFields=[field], changeCaptureIntervalSeconds=3600)
    with stream(UNPAGED, {**given, "lookBackInterval": 86_400}, http).start() as test:
        test.advance(timedelta(days=2))
        assert queries(http) == ["/data?date=2024-05-07", "/data?date=2024-05-08", "/data?date=2024-05-09"]


def test_a_date_that_stands_in_no_template_has_no_say_in_the_windows() -> None:
    unused = {"fieldType": "FILTER_DATE_BETWEEN_TO", "fieldName": "unused", "formatString": "yyyy-MM-dd"}
    http = ScriptedHttp().reply("GET", f"{HOST}/data?*", json=[], times=None)
    given = spec(urlTemplate=f"{HOST}/data?date=@from", templatedFields=[*spec()["templatedFields"][:1], unused])
    with stream(UNPAGED, given, http).start() as test:
        test.advance(60)
        assert queries(http) == ["/data?date=2024-05-08T11:00:00Z", "/data?date=2024-05-08T12:00:00Z"]


def test_a_position_in_the_future_is_told_in_the_log() -> None:
    http = answering()
    with stream(UNPAGED, spec(), http).start() as test:
        test.advance(1)
        test.stop()
        early = stream(UNPAGED, spec(), answering(), storage=test.storage, start=START - timedelta(days=1))
        with early.start() as second:
            second.advance(3_600)
            (warning,) = [line["event"] for line in second.logs if line["level"] == "warning"]
            assert warning == (
                "the last window, 2024-05-08T11:00:00.500000Z to 2024-05-08T12:00:00Z, ends in the future: nothing "
                "is asked for before that. Correct the clock, or run a new backfill"
            )
            assert second.http.requests == []

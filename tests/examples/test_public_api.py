"""The spec for a public API, against a script that answers as the API's documentation says."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from arcane_framework.hosting.spec_documents import read_spec_file
from arcane_framework.plugins.rest_api import RestApiStream
from arcane_framework.testing import ScriptedHttp, StreamTest

SPEC = Path(__file__).parents[2] / "examples" / "public_api.yaml"
URL = "https://earthquake.usgs.gov/fdsnws/event/1/query?*"
START = datetime(2025, 3, 1, 6, 30, 0, 250_000, tzinfo=UTC)


def feature(number: int, magnitude: float | None) -> dict[str, Any]:
    """An event with all that the catalogue says about one, more than the spec asks for."""
    return {
        "type": "Feature",
        "properties": {
            "mag": magnitude,
            "place": f"{number} km S of Nowhere",
            "time": 1_740_000_000_000 + number,
            "updated": 1_740_000_600_000,
            "tz": None,
            "url": f"https://earthquake.usgs.gov/earthquakes/eventpage/xx{number}",
            "felt": None,
            "alert": None,
            "status": "automatic",
            "tsunami": 0,
            "sig": 312,
            "net": "xx",
            "ids": f",xx{number},",
            "nst": 41,
            "rms": 0.63,
            "magType": "mb",
            "type": "earthquake",
            "title": f"M {magnitude}",
        },
        "geometry": {"type": "Point", "coordinates": [-45.8177, 21, 10.25]},
        "id": f"xx{number}",
    }


def collection(*features: dict[str, Any]) -> dict[str, Any]:
    metadata = {"generated": 1_740_000_700_000, "title": "USGS Earthquakes", "status": 200, "count": len(features)}
    return {"type": "FeatureCollection", "metadata": metadata, "features": list(features)}


def stream(http: ScriptedHttp, *, backfilling: bool) -> StreamTest:
    spec = {**read_spec_file(SPEC), "sinkLocation": "/lake"}
    secrets = {"ARCANE__AUTHHEADERS": "{}"}
    return StreamTest(
        RestApiStream,
        spec,
        stream_kind="RestApiPagedFixedAuth",
        http=http,
        start=START,
        secrets=secrets,
        backfilling=backfilling,
    )


def asked(http: ScriptedHttp) -> list[dict[str, str]]:
    return [{name: values[0] for name, values in parse_qs(urlsplit(each.url).query).items()} for each in http.requests]


def test_the_backfill_reads_page_after_page_until_one_is_empty() -> None:
    http = ScriptedHttp()
    for page in (
        collection(feature(1, 4.5), feature(2, None)),
        collection(feature(3, 6)),
        collection(),
    ):
        http.reply("GET", URL, json=page)
    with stream(http, backfilling=True).start() as test:
        test.advance(30)
        assert test.error is None
        assert test.exit_code == 0
        rows = test.rows("backfill")
        assert [(row["id"], row["properties"]["mag"]) for row in rows] == [("xx1", 4.5), ("xx2", None), ("xx3", 6.0)]
        assert rows[2] == {
            "id": "xx3",
            "properties": {
                "mag": 6.0,
                "magType": "mb",
                "place": "3 km S of Nowhere",
                "time": 1_740_000_000_003,
                "updated": 1_740_000_600_000,
                "status": "automatic",
                "tsunami": 0,
                "sig": 312,
                "url": "https://earthquake.usgs.gov/earthquakes/eventpage/xx3",
            },
            "geometry": {"coordinates": [-45.8177, 21.0, 10.25]},
        }
    window = {"starttime": "2024-12-31T23:00:00", "endtime": "2025-03-01T06:30:00"}
    fixed = {"format": "geojson", "minmagnitude": "4.5", "orderby": "time-asc", "limit": "1000"}
    assert asked(http) == [{**fixed, **window, "offset": offset} for offset in ("1", "1001", "2001")]
    # Nobody has to say who they are, and there is one request every two seconds.
    assert "authorization" not in http.requests[0].headers
    assert [(each.time - START).total_seconds() for each in http.requests] == [0, 2, 4]


def test_the_stream_asks_once_an_hour_and_for_the_hour_before_again() -> None:
    http = ScriptedHttp().reply("GET", URL, json=collection(), times=None)
    with stream(http, backfilling=False).start() as test:
        test.advance(2 * 3600 + 60)
        test.stop()
        assert test.exit_code == 0
    assert [(each["starttime"], each["endtime"]) for each in asked(http)] == [
        ("2025-02-28T05:30:00", "2025-03-01T06:30:00"),
        ("2025-03-01T05:30:00", "2025-03-01T07:30:00"),
        ("2025-03-01T06:30:00", "2025-03-01T08:30:00"),
    ]


def test_an_answer_of_another_kind_is_not_taken_for_an_empty_one() -> None:
    http = ScriptedHttp().reply("GET", URL, text="Error 400: Bad Request", times=None)
    with stream(http, backfilling=True).start() as test:
        test.advance(30)
        assert test.exit_code == 1
        assert "page 1 of the window 2025-01-01T00:00:00Z to 2025-03-01T06:30:00Z" in str(test.error)

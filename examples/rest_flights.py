"""The demo of the REST API source: `make demo-rest`, or `python -m examples.rest_flights`.

It starts the API of `examples/rest_flights_api.py` on loopback and reads it with the ready-made kind
RestApiPagedDynamicAuth: a spec and the environment are all there is, no plugin. Started again after Ctrl-C, it goes
on with the page where it was stopped; when the backfill has come to its end, it starts from nothing.
"""

import argparse
import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.request import urlopen

from arcane_framework import ArcaneError, BackfillState, Position
from examples.demo import Demo, add_options, missing_package, say, tell_missing
from examples.rest_flights_api import CLIENT

KIND = "RestApiPagedDynamicAuth"
INTEGER = {"type": "integer"}
TEXT = {"type": "string"}
TIMES = ("dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay")
ROW = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("year", "month", "day", *TIMES), INTEGER),
        "carrier": TEXT,
        "flight": INTEGER,
        **dict.fromkeys(("tailnum", "origin", "dest"), TEXT),
        **dict.fromkeys(("air_time", "distance", "hour", "minute"), INTEGER),
        "time_hour": {"type": "string", "format": "date-time"},
    },
}
"""A row, as OpenAPI describes it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.rest_flights", description="The demo of the REST source.")
    add_options(parser)
    given = parser.parse_args(arguments)
    demo = Demo("examples.rest_flights", "demo-rest", "rest-flights", given.folder, given.sink)
    if missing := missing_package():
        return tell_missing(demo.target, missing)
    try:
        with running_api() as url:
            return run(replace(demo, secrets=secrets(url)), url)
    except KeyboardInterrupt:
        say(f"\nStopped. {demo.start_again()} goes on from there.")
        return 0
    except ArcaneError as error:
        say(f"The demo cannot go on: {error}")
        return 1


def run(demo: Demo, url: str) -> int:
    """The backfill and what has come of it; returns the exit code."""
    prepare(demo)
    spec = demo.folder / "rest-flights.json"
    demo.folder.mkdir(parents=True, exist_ok=True)
    spec.write_text(json.dumps(make_spec(url, demo.location), indent=2) + "\n")
    say(f"\nThe API serves all flights of 2013 at {url}/flights, in pages, to those who have a token.")
    say(f"How it is read is in {spec} and in the variables {', '.join(demo.secrets)}.")
    ended = demo.run(KIND, "--spec", str(spec), "--stream-id", demo.stream_id, "--backfill")
    tell_statistics(url)
    if ended.interrupted or ended.code != 0:
        return demo.tell_end("The backfill", ended)
    say(f"All of that was asked for again, and no page was left out: {demo.rows():,} flights.")
    demo.show()
    return 0


def prepare(demo: Demo) -> None:
    """Say where an earlier demo has stopped; one that has come to its end is removed."""
    position = demo.state.position()
    if position.backfill is not None and position.backfill.state is BackfillState.COMPLETED:
        say(f"The demo in {demo.location} has come to its end before: starting from nothing.")
        demo.lake.remove()
    elif position != Position():
        say(f"Going on where the demo in {demo.location} has stopped.")


@contextmanager
def running_api() -> Iterator[str]:
    """The API in a process of its own; gives its URL."""
    command = [sys.executable, "-m", "examples.rest_flights_api"]
    # A session of its own: Ctrl-C is for the stream, which needs the API until it has ended.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as api:
        assert api.stdin is not None
        assert api.stdout is not None
        try:
            yield api.stdout.readline().strip()
        finally:
            api.stdin.close()


def secrets(url: str) -> dict[str, str]:
    """What a Job gets from a Kubernetes secret."""
    return {
        "ARCANE__AUTHURL": f"{url}/token",
        "ARCANE__TOKENHTTPMETHOD": "POST",
        "ARCANE__TOKENREQUESTBODY": json.dumps(CLIENT),
        "ARCANE__TOKENPROPERTYNAME": "access_token",
        "ARCANE__EXPIRATIONPERIODPROPERTYNAME": "expires_in",
    }


def make_spec(url: str, location: str) -> dict[str, Any]:
    """The stream's spec. It asks faster than the API allows, to see what happens then."""
    date = {"formatString": "yyyy-MM-ddTHH:mm:ssZ"}
    return {
        "urlTemplate": f"{url}/flights?from=@from&to=@to&page=@page",
        "templatedFields": [
            {"fieldName": "from", "fieldType": "FILTER_DATE_BETWEEN_FROM", **date},
            {"fieldName": "to", "fieldType": "FILTER_DATE_BETWEEN_TO", **date},
            {"fieldName": "page", "fieldType": "RESPONSE_PAGE"},
        ],
        "pageResolverConfiguration": {"resolverType": "COUNTER", "resolverPropertyKeyChain": ["total_pages"]},
        "responsePropertyKeyChain": ["flights"],
        "apiSchemaEncoded": base64.b64encode(json.dumps(ROW).encode()).decode(),
        "backFillStartDate": "2013-01-01T00:00:00Z",
        "changeCaptureIntervalSeconds": 60,
        "lookBackInterval": 3600,
        "httpTimeout": 30,
        "internalRateLimitCount": 8,
        "internalRateLimitInterval": 1,
        "sinkFormat": "parquet",
        "sinkLocation": location,
        "rowsPerGroup": 50_000,
        "groupingIntervalSeconds": 1,
    }


def tell_statistics(url: str) -> None:
    """Say what the API has refused; the stream has asked for it again."""
    with urlopen(f"{url}/statistics", timeout=10) as response:
        counts = json.load(response)
    pages, tokens, fast, down = (counts.get(name, 0) for name in ("pages", "tokens", "429", "503"))
    say(
        f"\nThe API has served {pages} pages and {tokens} tokens. It has refused {fast} requests that came too fast "
        f"(429) and {down} when it was not available (503)."
    )


if __name__ == "__main__":
    sys.exit(main())

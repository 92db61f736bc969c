"""The demo of the REST source, as a user starts it, stopped once on its way."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from arcane_framework.commits import StreamState
from arcane_framework.storage import LocalStorage
from examples.flights_data import read_blocks
from examples.rest_flights import KIND, ROW, running_api
from examples.rest_flights_api import CLIENT, PAGE_ROWS, REQUESTS, Api, Flights, Reply
from tests.examples.flights_check import differences

ROOT = Path(__file__).parents[2]
END = """
Flights and their mean delay at departure:
origin    flights  mean delay, minutes
EWR       120,835                 15.1
JFK       111,279                 12.1
LGA       104,662                 10.3
all       336,776
"""


def start_demo(folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "examples.rest_flights", "--folder", str(folder)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def committed(folder: Path) -> int:
    return sum(part.rows for part in StreamState(LocalStorage(folder / "rest-flights")).parts())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A folder in which the demo was stopped by Ctrl-C and started again, and what both have said."""
    folder = tmp_path_factory.mktemp("demo") / "demo data"
    first = start_demo(folder)
    deadline = time.monotonic() + 30
    while committed(folder) == 0 and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    # To all processes of the terminal's foreground, as the key does it.
    os.killpg(first.pid, signal.SIGINT)
    stopped, errors = first.communicate(timeout=20)
    assert first.returncode == 0, errors
    again = start_demo(folder)
    finished, errors = again.communicate(timeout=40)
    assert again.returncode == 0, errors
    assert "Traceback" not in errors
    return folder, stopped, finished


def test_control_c_is_no_failure_and_the_demo_goes_on_at_the_page_where_it_has_stopped(
    runs: tuple[Path, str, str],
) -> None:
    folder, stopped, finished = runs
    said = re.search(r"The backfill was stopped: ([\d,]+) flights so far[.] `(.*)` goes on from there[.]\n$", stopped)
    assert said, stopped
    before = int(said[1].replace(",", ""))
    assert 0 < before < 336_776
    assert said[2] == f"python -m examples.rest_flights --folder '{folder}'"
    assert finished.startswith(f"Going on where the demo in {folder} has stopped.\n")
    # All pages that were not yet committed, and none twice.
    served = re.search(r"The API has served (\d+) pages", finished)
    assert served, finished
    assert int(served[1]) == 34 - before // PAGE_ROWS
    assert before % PAGE_ROWS == 0


def test_the_demo_tells_what_the_api_has_refused_and_ends_with_a_query_over_all_flights(
    runs: tuple[Path, str, str],
) -> None:
    _, stopped, finished = runs
    pattern = r"It has refused (\d+) requests that came too fast \(429\) and (\d+) when it was not available \(503\)[.]"
    refused = [re.search(pattern, text) for text in (stopped, finished)]
    assert all(refused)
    assert sum(int(found[1]) for found in refused if found) > 0
    assert sum(int(found[2]) for found in refused if found) > 0
    assert "\nAll of that was asked for again, and no page was left out: 336,776 flights.\n" in finished
    assert finished.endswith(END)


def test_the_files_hold_exactly_the_rows_of_the_data_set(runs: tuple[Path, str, str], tmp_path: Path) -> None:
    folder, *_ = runs
    found = differences(f"{folder}/rest-flights/[bd]*/**/part-*.parquet", tmp_path)
    assert found == (336_776, 336_776, 0, 0)


def test_the_demo_is_a_spec_and_variables_and_no_plugin(runs: tuple[Path, str, str]) -> None:
    folder, _, finished = runs
    assert f"-m arcane_framework.run {KIND} --spec '{folder}/rest-flights.json'" in finished


def test_the_row_of_the_spec_is_that_of_the_data_set() -> None:
    assert list(ROW["properties"]) == next(read_blocks()).schema.names


# The API alone.


@pytest.fixture(scope="module")
def flights() -> Flights:
    return Flights()


def test_pages_are_pieces_of_the_window_in_the_order_of_time(flights: Flights) -> None:
    window = ("2013-02-01T00:00:00Z", "2013-03-01T00:00:00Z")
    pages = [flights.page(*window, number) for number in (1, 2, 3, 4)]
    assert [page["total_pages"] for page in pages] == [3] * 4
    assert [len(page["flights"]) for page in pages[:2] + pages[3:]] == [PAGE_ROWS, PAGE_ROWS, 0]
    hours = [row["time_hour"] for page in pages for row in page["flights"]]
    assert hours == sorted(hours)
    assert window[0] <= hours[0]
    assert hours[-1] < window[1]
    assert flights.page("2014-01-02T00:00:00Z", "2015-01-01T00:00:00Z", 1) == {"total_pages": 0, "flights": []}


def test_the_api_refuses_what_has_no_token_what_is_wrong_and_what_is_too_fast() -> None:
    api = Api()

    def get(page: str, token: str) -> Reply:
        return api.reply("GET", f"/flights?from=2013-01-01&to=2013-01-02&page={page}", token, b"")

    assert get("1", "guessed").status == 401
    assert api.reply("POST", "/token", "", b'{"client": "demo"}').status == 403
    body = str(CLIENT).replace("'", '"').encode()
    token = api.reply("POST", "/token", "", body).content["access_token"]
    assert get("one", token).status == 400
    answers = [get("1", token) for _ in range(REQUESTS)]
    assert [answer.status for answer in answers] == [200] * (REQUESTS - 1) + [429]
    assert answers[-1].retry_after in (1, 2, 3)
    assert api.reply("GET", "/statistics", "", b"").content["429"] == 1


def test_the_api_ends_with_the_demo() -> None:
    threads = threading.active_count()
    with running_api() as url, urlopen(f"{url}/statistics", timeout=10) as response:
        assert response.read() == b"{}"
    with pytest.raises(OSError, match="refused"):
        urlopen(f"{url}/statistics", timeout=10)
    assert threading.active_count() == threads

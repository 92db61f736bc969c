"""The command `arcane` as a process, and the picture of a graph."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from arcane_framework.cli import main

ROOT = Path(__file__).parents[2]

PLUGIN = """
from arcane_framework import StreamContext, StreamGraphBuilder, to_sink
from examples.hello_world import Greetings
from examples.custom_sink import SqliteSink
from arcane_framework.operators import filter_rows

class Context(StreamContext):
    path: str

class Tidy(StreamGraphBuilder[Context]):
    def build_graph(self, context):
        keep = filter_rows(lambda rows: rows["greeting"].is_valid())
        return self.start(Greetings()).pipe(keep, to_sink(SqliteSink(context.path)))

class Broken(StreamGraphBuilder[Context]):
    def build_graph(self, context):
        raise LookupError("no\\nsuch table")
"""


def run(*command: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    (tmp_path / "tidy_plugin.py").write_text(PLUGIN)
    (tmp_path / "spec.json").write_text('{"path": ":memory:"}')
    return tmp_path


def test_a_graph_is_drawn_without_being_run(plugins: Path) -> None:
    found = run("-m", "arcane_framework.cli", "graph", "tidy_plugin:Tidy", "--spec", "spec.json", cwd=plugins)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == (
        "flowchart LR\n"
        '    source(["Greetings"])\n'
        '    step1["filter_rows<br/>condition=lambda"]\n'
        '    sink[("SqliteSink")]\n'
        "    source --> step1 --> sink\n"
    )


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        ("tidy_plugin:Broken", "the plugin tidy_plugin:Broken cannot build its graph: LookupError: no such table"),
        (
            "tidy_plugin:Tydi",
            "there is no plugin tidy_plugin:Tydi: the module tidy_plugin has the builders Broken, Tidy",
        ),
        (
            "nowhere:Tidy",
            "the plugin nowhere:Tidy cannot be imported: there is no module 'nowhere', neither in the current "
            "directory nor installed",
        ),
    ],
)
def test_a_plugin_that_cannot_be_drawn_is_one_line(plugins: Path, plugin: str, message: str) -> None:
    found = run("-m", "arcane_framework.cli", "graph", plugin, "--spec", "spec.json", cwd=plugins)
    assert (found.returncode, found.stdout, found.stderr) == (1, "", f"arcane: {message}\n")


def test_without_click_the_command_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['click'] = None; from arcane_framework.cli import main; sys.exit(main(['state']))"
    found = run("-c", code, cwd=tmp_path)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == "arcane: the package click is not installed: run pip install 'arcane-framework[cli]'\n"


def test_a_reader_that_goes_away_is_no_error_message(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    spec = tmp_path / "spec.json"
    spec.write_text(f'{{"sinkLocation": "{lake}"}}')
    run("-m", "arcane_framework.run", "examples.hello_world:Hello", "--spec", str(spec), "--backfill", cwd=tmp_path)
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "arcane_framework.cli", "state", str(lake)]
    found = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (found.returncode, found.stderr) == (1, "")


def test_without_arguments_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out == (
        "Usage: arcane [OPTIONS] COMMAND [ARGS]...\n\n  Look at streams.\n\n"
        "Options:\n  -h, --help  Show this message and exit.\n\n"
        "Commands:\n"
        "  graph  Draw the graph of a plugin.\n"
        "  state  Show where streams are, and verify their parts.\n"
    )

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


HOST = """
from dataclasses import dataclass

from arcane_framework import RunnableGraph, Services, StreamContext, StreamGraphBuilder, to_sink
from arcane_framework.hosting import StreamHost
from examples.custom_sink import SqliteSink
from examples.hello_world import Greetings

@dataclass(frozen=True, kw_only=True)
class PluginServices(Services):
    path: str

class Tidy(StreamGraphBuilder[StreamContext]):
    def build_graph(self, context):
        kind = type(self.services).__name__ + context.stream_kind
        return self.start(Greetings()).pipe(to_sink(type(kind, (SqliteSink,), {})(self.services.path)))

host = StreamHost(Tidy, services=lambda base: PluginServices(**vars(base), path=":memory:"))
"""

LEAKY = """
import logging
import os
import sys

from pydantic import SecretStr, field_validator

from arcane_framework import StreamContext, StreamGraphBuilder, to_sink
from arcane_framework.operators import named
from examples.custom_sink import SqliteSink
from examples.hello_world import Greetings

PLACE, CANARY = os.environ["PLACE"], os.environ["ARCANE__PHRASE"]

if PLACE == "import":
    raise RuntimeError("LEAK " + CANARY)

class Context(StreamContext):
    phrase: SecretStr
    pin_code: SecretStr

    @field_validator("phrase")
    @classmethod
    def check(cls, value):
        if PLACE == "validator":
            raise ValueError("LEAK " + CANARY)
        return value

class Leaky(StreamGraphBuilder[Context]):
    def build_graph(self, context):
        text = f"LEAK {context.phrase.get_secret_value()} {context.pin_code.get_secret_value()}"
        if PLACE == "build":
            raise LookupError(text)
        if PLACE == "chain":
            raise LookupError("LEAK") from ValueError(text)
        if PLACE == "exit":
            sys.exit(text)
        if PLACE == "log":
            self.services.log.warning(text)
        if PLACE == "library log":
            logging.getLogger("library").warning(text)
        step = named(text, lambda rows: rows) if PLACE == "picture" else named("LEAK", lambda rows: rows)
        return self.start(Greetings()).pipe(step, to_sink(SqliteSink(":memory:")))
"""


def run(*command: str, cwd: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
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
        ("tidy_plugin:Broken", "Broken cannot build its graph: LookupError: no such table"),
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


def test_a_hosts_graph_is_drawn_with_the_services_of_its_runs(tmp_path: Path) -> None:
    (tmp_path / "host_plugin.py").write_text(HOST)
    (tmp_path / "spec.json").write_text("{}")
    found = run("-m", "arcane_framework.cli", "graph", "host_plugin:host", "--spec", "spec.json", cwd=tmp_path)
    assert (found.returncode, found.stderr) == (0, "")
    assert '    sink[("PluginServicesTidy")]\n' in found.stdout


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("import", 1),
        ("validator", 1),
        ("build", 1),
        ("chain", 1),
        ("exit", 1),
        ("log", 0),
        ("library log", 0),
        ("picture", 0),
    ],
)
def test_drawing_a_graph_shows_no_secret(tmp_path: Path, place: str, code: int) -> None:
    (tmp_path / "leaky_plugin.py").write_text(LEAKY)
    (tmp_path / "spec.json").write_text("{}")
    (tmp_path / "pin").write_text("canary-two=?pin")
    found = run(
        *("-m", "arcane_framework.cli", "graph", "leaky_plugin:Leaky", "--spec", "spec.json"),
        cwd=tmp_path,
        PLACE=place,
        ARCANE__PHRASE="canary one/+&:phrase",
        ARCANE__PINCODE_FILE=str(tmp_path / "pin"),
    )
    assert found.returncode == code, found.stderr
    assert "LEAK" in found.stdout + found.stderr
    assert "***" in found.stdout + found.stderr
    assert "canary" not in found.stdout + found.stderr


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

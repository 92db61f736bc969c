"""Bad input: one message that names the field and the remedy, exit code 1, no trace, and nothing on the disk."""

import json
from pathlib import Path

import pytest

from tests.runner.processes import NUMBERS, PLUGINS, Stream

CANNOT_START = "the stream cannot start with these settings:\n  "
SPEC_CANNOT_BE_USED = "the spec of stream 'orders-1' cannot be used:"


def test_a_missing_spec_is_named(stream: Stream) -> None:
    ended = stream.run(STREAMCONTEXT__SPEC=None)
    assert ended.configuration_error == (
        f"{CANNOT_START}STREAMCONTEXT__SPEC: is required and missing; the operator sets it to the stream "
        "definition's spec, for a local run give --spec FILE"
    )
    assert (ended.error["streamId"], ended.error["streamKind"]) == ("orders-1", "Numbers")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ('{"sinkLocation": ', "is not JSON (line 1, column 18)"),
        ('["sinkLocation"]', "is no object: it must hold keys with values"),
    ],
)
def test_a_spec_that_is_no_json_object_is_named_by_its_variable(stream: Stream, spec: str, reason: str) -> None:
    assert stream.run(STREAMCONTEXT__SPEC=spec).configuration_error == f"{CANNOT_START}STREAMCONTEXT__SPEC: {reason}"


def test_all_wrong_variables_are_listed_at_once(stream: Stream) -> None:
    ended = stream.run(
        "",
        STREAMCONTEXT__SPEC="{",
        STREAMCONTEXT__OVERRIDE="[]",
        STREAMCONTEXT__BACKFILL="maybe",
        STREAMCONTEXT__STREAM_ID=None,
        STREAMCONTEXT__STREAM_KIND=None,
        ARCANE__LOG_LEVEL="loud",
        ARCANE__LOG_FORMAT="xml",
        METRICS_ENABLED="2",
    )
    assert ended.configuration_error.splitlines() == [
        "the stream cannot start with these settings:",
        "  STREAMCONTEXT__STREAM_ID: is required and missing; the operator sets it, or give --stream-id",
        "  STREAMCONTEXT__STREAM_KIND: is required and missing; the operator sets it, or give --stream-kind",
        '  STREAMCONTEXT__BACKFILL: must be true or false (got "maybe")',
        "  STREAMCONTEXT__SPEC: is not JSON (line 1, column 2)",
        "  STREAMCONTEXT__OVERRIDE: is no object: it must hold keys with values",
        "  ARCANE__LOG_LEVEL: 'loud' is no log level: set ARCANE__LOG_LEVEL to debug, info, warning, error or critical",
        "  ARCANE__LOG_FORMAT: 'xml' is no log format: set ARCANE__LOG_FORMAT to json or console",
        '  METRICS_ENABLED: must be true or false (got "2")',
    ]


def test_all_wrong_fields_are_listed_at_once_by_their_spec_names(stream: Stream) -> None:
    wrong = {
        "sinkLocation": "",
        "rowsPerGroup": "3",
        "groupingIntervalSeconds": "soon",
        "groupsPerFile": 0,
        "TOTAL": 1.5,
        "batchRows": None,
        "failure": "often",
        "ends": ["return"],
        "pauseSeconds": {"seconds": 1},
    }
    assert stream.run(spec=wrong).configuration_error.splitlines() == [
        SPEC_CANNOT_BE_USED,
        '  sinkLocation: must have a length of 1 or more (got "")',
        '  rowsPerGroup: must be a whole number, without quotes (got "3")',
        "  groupingIntervalSeconds: must be a whole number of seconds, or a text such as 'PT30S', '30 seconds', "
        "'5 minutes', '60s' (got \"soon\")",
        "  groupsPerFile: must be greater than 0 (got 0)",
        "  total: must be a whole number, without quotes (got 1.5)",
        "  batchRows: must be a whole number, without quotes (got null)",
        "  failure: must be 'transient', 'mismatch', 'misfit', 'fatal', 'configuration', 'defect', 'exit' or "
        "'interrupt' (got \"often\")",
        "  ends: must be 'return', 'wait' or 'poll' (got a list)",
        "  pauseSeconds: must be a number, without quotes (got an object)",
    ]
    assert not stream.lake.exists()


def test_a_required_field_that_is_missing_is_named(stream: Stream) -> None:
    assert stream.run(STREAMCONTEXT__SPEC="{}").configuration_error == (
        f"{SPEC_CANNOT_BE_USED}\n  sinkLocation: is required and missing; add it to the spec"
    )


def test_missing_secrets_are_named_with_their_variables(stream: Stream) -> None:
    assert stream.run(f"{PLUGINS}.leaky:Leaky").configuration_error.splitlines() == [
        SPEC_CANNOT_BE_USED,
        "  phrase: is a secret and missing; set the environment variable ARCANE__PHRASE (phrase is read as well)",
        "  pinned: is a secret and missing; set the environment variable ARCANE__PINNED (pinned is read as well)",
        "  connectionString: is a secret and missing; set the environment variable ARCANE__CONNECTIONSTRING "
        "(connectionString is read as well)",
    ]


def register(stream: Stream, **kinds: str) -> str:
    """Install a package that registers `kinds`; gives the path to find it on."""
    information = stream.folder / "plugins_of_a_test-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: plugins-of-a-test\nVersion: 1.0\n")
    lines = [f"{kind} = {target}" for kind, target in kinds.items()]
    (information / "entry_points.txt").write_text("\n".join(["[arcane_framework.streams]", *lines, ""]))
    return f"{stream.environment()['PYTHONPATH']}:{stream.folder}"


def test_an_unknown_kind_lists_the_known_ones_and_a_known_one_runs(stream: Stream) -> None:
    path = register(stream, Numbers=NUMBERS, QuickHost=f"{PLUGINS}.hosts:plain")
    unknown = stream.run("", STREAMCONTEXT__STREAM_KIND="Nmbers", PYTHONPATH=path)
    assert unknown.configuration_error == (
        "no plugin is installed for the stream kind 'Nmbers'; known are: Numbers, QuickHost, RestApiDynamicAuth, "
        "RestApiFixedAuth, RestApiPagedDynamicAuth, RestApiPagedFixedAuth. "
        "Install the package that registers it, or name the plugin as module:Builder"
    )
    assert stream.run("", PYTHONPATH=path).code == 0
    assert stream.run("QuickHost", {"total": 13}, STREAMCONTEXT__STREAM_KIND="Any", PYTHONPATH=path).code == 0
    assert stream.rows() == [*range(13)]


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (
            "no_such_plugin:Orders",
            "the plugin no_such_plugin:Orders cannot be imported: there is no module 'no_such_plugin', "
            "neither in the current directory nor installed",
        ),
        (
            f"{PLUGINS}.needs_a_library:Orders",
            f"the plugin {PLUGINS}.needs_a_library:Orders cannot be imported: it needs the module "
            "'no_such_library', which is not installed",
        ),
        (
            f"{PLUGINS}.raises_at_import:Orders",
            f"the plugin {PLUGINS}.raises_at_import:Orders cannot be imported: RuntimeError: no licence "
            "(raises_at_import.py, line 3)",
        ),
        (
            f"{PLUGINS}.refuses_at_import:Orders",
            "this plugin needs the variable ORDERS_REGION: set it in the stream class",
        ),
        (
            f"{PLUGINS}.numbers_stream:Nmbers",
            f"there is no plugin {PLUGINS}.numbers_stream:Nmbers: the module {PLUGINS}.numbers_stream has the "
            "builder Numbers",
        ),
        (
            f"{PLUGINS}.numbers_stream:NumbersSource",
            f"{PLUGINS}.numbers_stream:NumbersSource is neither a stream graph builder class nor a StreamHost object "
            f"(it is the class NumbersSource); the module {PLUGINS}.numbers_stream has the builder Numbers",
        ),
        (
            f"{PLUGINS}.broken_builders:NamesNoContext",
            "NamesNoContext does not say which context it takes: "
            "write class NamesNoContext(StreamGraphBuilder[YourContext])",
        ),
        (
            f"{PLUGINS}.broken_builders:ReturnsNothing",
            "ReturnsNothing.build_graph returned a NoneType, not a graph: end the chain with to_sink(...) "
            "and return it",
        ),
        (
            f"{PLUGINS}.broken_builders:ForgetsTheSink",
            "ForgetsTheSink.build_graph returned a Stream, not a graph: end the chain with to_sink(...) and return it",
        ),
        (f"{PLUGINS}.broken_builders:Refuses", "total: must be even for this plugin; change it in the spec"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_explained(stream: Stream, plugin: str, message: str) -> None:
    assert stream.run(plugin).configuration_error == message
    assert not stream.lake.exists()


def test_a_backfill_of_a_source_without_one_is_refused_before_the_sink_is_touched(stream: Stream) -> None:
    plugin = f"{PLUGINS}.broken_builders:StreamOnly"
    assert stream.run(STREAMCONTEXT__BACKFILL="true").code == 0
    assert stream.run(plugin, STREAMCONTEXT__BACKFILL="true").configuration_error == (
        "StreamOnlySource has no backfill: give it a method backfill, or run the stream without one"
    )
    assert len(stream.tokens()) == 1
    assert stream.rows("backfill") == [*range(10)]
    assert stream.run(plugin, {"total": 12}).code == 0
    assert stream.rows() == [*range(12)]


LONG = "x" * 256


@pytest.mark.parametrize(
    ("stream_id", "shown"),
    [("../up", '"../up"'), ("..", '".."'), ("a\\b", '"a\\\\b"'), ("/etc", '"/etc"'), (LONG, f'"{LONG[:60]}..."')],
)
def test_a_stream_id_that_is_no_folder_name_is_refused(stream: Stream, stream_id: str, shown: str) -> None:
    assert stream.run(STREAMCONTEXT__STREAM_ID=stream_id).configuration_error == (
        f"{CANNOT_START}STREAMCONTEXT__STREAM_ID: names the stream's folder, so it cannot hold '/' or a backslash, "
        f"be '.' or '..', or be longer than 255 bytes (got {shown})"
    )
    assert not stream.lake.exists()


def test_a_stream_id_with_control_characters_is_refused_on_one_line(stream: Stream) -> None:
    ended = stream.run(STREAMCONTEXT__STREAM_ID='a\n{"level":"info"}\x1b[31m')
    assert ended.configuration_error == (
        f"{CANNOT_START}STREAMCONTEXT__STREAM_ID: holds a character that cannot be printed "
        '(got "a\\n{\\"level\\":\\"info\\"}\\u001b[31m")'
    )
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--spec",), "argument --spec: expected one argument"),
        (("--speck", "x"), "unrecognized arguments: --speck"),
        (("one", "two"), "unrecognized arguments: two"),
    ],
)
def test_a_wrong_command_line_ends_with_1(stream: Stream, arguments: tuple[str, ...], message: str) -> None:
    with stream.start(stream.environment(), *arguments) as running:
        ended = running.end()
    assert ended.code == 1
    assert message in ended.stderr.splitlines()[-1]
    assert ended.stderr.startswith("usage: python -m arcane_framework.run ")


def test_a_local_run_needs_a_spec_file_only(stream: Stream) -> None:
    yaml, broken = stream.folder / "spec.yaml", stream.folder / "broken.yaml"
    yaml.write_text(f"sinkLocation: {stream.lake}  # a folder\ntotal: 4\nrowsPerGroup: 3\n")
    broken.write_text("sinkLocation: [")
    environment = stream.environment()
    nothing = {name: value for name, value in environment.items() if not name.startswith("STREAMCONTEXT")}
    with stream.start(nothing, NUMBERS, "--spec", str(yaml)) as running:
        assert running.end().code == 0
    local = Stream(stream.folder, stream.lake, "local")
    assert local.rows() == [*range(4)]
    with stream.start(nothing, NUMBERS, "--spec", "missing.yaml") as running:
        missing = running.end().configuration_error
    assert missing == f"{CANNOT_START}--spec: missing.yaml cannot be read (No such file or directory)"
    with stream.start(nothing, NUMBERS, "--spec", str(broken)) as running:
        assert running.end().configuration_error == f"{CANNOT_START}--spec: {broken} is not YAML (line 1, column 16)"


def test_the_kind_of_a_host_object_in_a_local_run_is_its_builders_name(stream: Stream) -> None:
    spec = stream.folder / "spec.json"
    spec.write_text(json.dumps({"sinkLocation": str(stream.lake)}))
    nothing = {name: value for name, value in stream.environment().items() if not name.startswith("STREAMCONTEXT")}
    with stream.start(nothing, f"{PLUGINS}.hosts:plain", "--spec", str(spec)) as running:
        ended = running.end()
    assert (ended.code, {line["streamKind"] for line in ended.log}) == (0, {"Numbers"})


def test_options_go_before_the_environment_and_the_override_over_the_spec(stream: Stream) -> None:
    file = stream.folder / "spec.json"
    file.write_text(json.dumps({"sinkLocation": str(stream.lake), "total": 4, "rowsPerGroup": 3}))
    override = json.dumps({"TOTAL": 7})
    options = ("--spec", str(file), "--backfill", "--stream-id", "mine", "--stream-kind", "Mine")
    ended = stream.run(NUMBERS, {"total": 1}, *options, STREAMCONTEXT__OVERRIDE=override)
    assert (ended.code, ended.log[-1]["streamKind"]) == (0, "Mine")
    mine = Stream(stream.folder, stream.lake, "mine")
    assert (mine.rows(), mine.rows("backfill")) == ([], [*range(7)])
    assert len(mine.tokens()) == 1


def test_a_sink_location_that_cannot_be_is_explained(stream: Stream) -> None:
    stream.lake.write_text("a file")
    assert stream.run().configuration_error == (
        f"{stream.lake}/orders-1: cannot use this folder: a part of the path is a file where a folder is needed; "
        "remove it or choose another location"
    )
    assert stream.lake.read_text() == "a file"
    assert stream.run(spec={"sinkLocation": "ftp://user:pass@host/x"}).configuration_error == (
        "ftp://***@host/x: locations of the kind ftp:// are not known; use s3://bucket/folder, "
        "abfss://container@account.dfs.core.windows.net/folder, file:///folder or a path"
    )


def test_a_console_log_without_a_terminal_keeps_an_error_on_one_line(stream: Stream, tmp_path: Path) -> None:
    ended = stream.run(STREAMCONTEXT__SPEC=None, ARCANE__LOG_FORMAT="console")
    assert ended.code == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "STREAMCONTEXT__SPEC: is required and missing" in ended.stderr

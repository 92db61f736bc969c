import json
import logging
import pickle
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.services import StreamIdentity
from arcane_framework.hosting.environment import RunOptions, RunSettings, read_environment
from arcane_framework.hosting.spec_documents import merge_override, parse_json_object

CANARY = "canary-7f3a-do-not-show"
HEADING = "the stream cannot start with these settings:"
COMPLETE = {
    "STREAMCONTEXT__SPEC": '{"sinkLocation": "/lake", "source": {"table": "a", "rows": 1}}',
    "STREAMCONTEXT__STREAM_ID": "orders-1",
    "STREAMCONTEXT__STREAM_KIND": "Orders",
}


def read(options: RunOptions | None = None, **environ: str) -> RunSettings:
    return read_environment({**COMPLETE, **environ}, options)


def problems_of(environ: Mapping[str, str], options: RunOptions | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        read_environment(environ, options)
    assert str(caught.value).splitlines()[0] == HEADING
    assert caught.value.__context__ is None
    return caught.value.problems


def test_a_complete_environment_gives_settings_with_defaults() -> None:
    settings = read()
    assert settings.spec == {"sinkLocation": "/lake", "source": {"table": "a", "rows": 1}}
    assert settings.identity == StreamIdentity("orders-1", "Orders", backfilling=False, backfill_id=None)
    assert (settings.log_level, settings.log_format, settings.logging_properties) == (None, None, {})
    assert settings.metrics_enabled
    assert settings.datadog_socket_path == "/var/run/datadog/dsd.socket"
    assert settings.application_version is None
    assert len(settings.storage_settings) == 0


def test_every_setting_is_read_from_its_variable() -> None:
    settings = read(
        STREAMCONTEXT__BACKFILL="true",
        STREAMCONTEXT__BACKFILL_ID="b-7",
        ARCANE__LOGGING_PROPERTIES='{"team": "sales"}',
        ARCANE__LOG_LEVEL="Debug",
        ARCANE__LOG_FORMAT="Console",
        METRICS_ENABLED="False",
        ARCANE_FRAMEWORK__DATADOG_SOCKET_PATH="/tmp/dsd",
        APPLICATION_VERSION="1.2.3",
    )
    assert settings.identity == StreamIdentity("orders-1", "Orders", backfilling=True, backfill_id="b-7")
    assert (settings.log_level, settings.log_format) == (logging.DEBUG, "console")
    assert settings.logging_properties == {"team": "sales"}
    assert not settings.metrics_enabled
    assert settings.datadog_socket_path == "/tmp/dsd"
    assert settings.application_version == "1.2.3"


def test_the_packages_log_level_goes_before_the_general_one() -> None:
    assert read(LOG_LEVEL="error").log_level == logging.ERROR
    assert read(LOG_LEVEL="error", ARCANE__LOG_LEVEL="warning").log_level == logging.WARNING


@pytest.mark.parametrize(
    ("text", "backfilling"),
    [("true", True), ("TRUE", True), ("True ", True), ("false", False), ("False", False), ("", False)],
)
def test_the_backfill_flag_is_read_in_any_letter_case(text: str, backfilling: bool) -> None:
    assert read(STREAMCONTEXT__BACKFILL=text).identity.backfilling is backfilling


def test_all_problems_are_listed_together() -> None:
    environ = {
        "STREAMCONTEXT__BACKFILL": "yes",
        "ARCANE__LOGGING_PROPERTIES": "[]",
        "ARCANE__LOG_LEVEL": "loud",
        "ARCANE__LOG_FORMAT": "xml",
        "METRICS_ENABLED": "1",
    }
    with pytest.raises(ConfigurationError) as caught:
        read_environment(environ)
    assert str(caught.value) == "\n".join(
        [
            HEADING,
            "  STREAMCONTEXT__STREAM_ID: is required and missing; the operator sets it, or give --stream-id",
            "  STREAMCONTEXT__STREAM_KIND: is required and missing; the operator sets it, or give --stream-kind",
            '  STREAMCONTEXT__BACKFILL: must be true or false (got "yes")',
            (
                "  STREAMCONTEXT__SPEC: is required and missing; the operator sets it to the stream definition's spec, "
                "for a local run give --spec FILE"
            ),
            (
                "  ARCANE__LOG_LEVEL: 'loud' is no log level: "
                "set ARCANE__LOG_LEVEL to debug, info, warning, error or critical"
            ),
            "  ARCANE__LOG_FORMAT: 'xml' is no log format: set ARCANE__LOG_FORMAT to json or console",
            "  ARCANE__LOGGING_PROPERTIES: is no object: it must hold keys with values",
            '  METRICS_ENABLED: must be true or false (got "1")',
        ]
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not JSON (line 1, column 2)"),
        (f'{{"a": 1,\n "{CANARY}" 2}}', "is not JSON (line 2, column 28)"),
        (f'{{"password": "{CANARY}"', "is not JSON (line 1, column 39)"),
        (f'"{CANARY}"', "is no object: it must hold keys with values"),
        ("null", "is no object: it must hold keys with values"),
        ('{"a": NaN}', "is not JSON: it holds a number that JSON does not allow or that is too long"),
        ('{"a": ' + "9" * 5_000 + "}", "is not JSON: it holds a number that JSON does not allow or that is too long"),
        ('{"a": ' + "[" * 64 + "]" * 64 + "}", "is nested more than 64 levels deep"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "is nested more than 64 levels deep"),
    ],
)
@pytest.mark.parametrize("variable", ["STREAMCONTEXT__SPEC", "STREAMCONTEXT__OVERRIDE", "ARCANE__LOGGING_PROPERTIES"])
def test_text_that_is_no_json_object_is_located_and_not_shown(variable: str, text: str, reason: str) -> None:
    assert problems_of({**COMPLETE, variable: text}) == (f"{variable}: {reason}",)


def test_63_levels_inside_the_spec_are_read() -> None:
    text = '{"a": ' + "[" * 63 + "]" * 63 + "}"
    assert read(STREAMCONTEXT__SPEC=text).spec == json.loads(text)


@pytest.mark.parametrize("stream_id", ["a/b", "/", "..", ".", "a\\b", "x" * 256, "ä" * 128])
def test_a_stream_id_that_is_no_folder_name_is_refused(stream_id: str) -> None:
    (problem,) = problems_of({**COMPLETE, "STREAMCONTEXT__STREAM_ID": stream_id})
    assert problem.startswith(
        "STREAMCONTEXT__STREAM_ID: names the stream's folder, so it cannot hold '/' or a backslash, "
        "be '.' or '..', or be longer than 255 bytes (got "
    )


@pytest.mark.parametrize("variable", ["STREAM_ID", "STREAM_KIND", "BACKFILL_ID"])
@pytest.mark.parametrize("text", ["a\nb", "a\x7f", "\udcff"])
def test_unprintable_characters_in_names_are_refused(variable: str, text: str) -> None:
    assert problems_of({**COMPLETE, f"STREAMCONTEXT__{variable}": text}) == (
        f"STREAMCONTEXT__{variable}: holds a character that cannot be printed (got {json.dumps(text)})",
    )


@pytest.mark.parametrize("stream_id", ["orders", "Orders_1.v2", "a..b", "заказы", "with blank", "x" * 255])
def test_ordinary_stream_ids_are_allowed(stream_id: str) -> None:
    assert read(STREAMCONTEXT__STREAM_ID=stream_id).identity.stream_id == stream_id


def test_the_override_is_merged_over_the_spec() -> None:
    settings = read(STREAMCONTEXT_SPEC_OVERRIDE='{"Source": {"rows": 2}, "extra": [1]}')
    assert settings.spec == {"sinkLocation": "/lake", "source": {"table": "a", "rows": 2}, "extra": [1]}


def test_the_newer_override_variable_replaces_the_older() -> None:
    settings = read(STREAMCONTEXT__OVERRIDE='{"a": 1}', STREAMCONTEXT_SPEC_OVERRIDE='{"a": 2, "b": 2}')
    assert (settings.spec["a"], "b" in settings.spec) == (1, False)


@pytest.mark.parametrize(
    ("spec", "override", "merged"),
    [
        ({"a": 1}, {}, {"a": 1}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"rowsPerGroup": 1}, {"ROWSPERGROUP": 2}, {"rowsPerGroup": 2}),
        ({"a": 1, "A": 2}, {"A": 3}, {"a": 1, "A": 3}),
        ({"a": 1, "b": 2}, {"A": None}, {"b": 2}),
        ({}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
    ],
)
def test_overrides_merge_as_a_json_merge_patch_in_any_letter_case(
    spec: dict[str, JsonValue], override: dict[str, JsonValue], merged: dict[str, JsonValue]
) -> None:
    before = json.dumps([spec, override])
    assert merge_override(spec, override) == merged
    assert json.dumps([spec, override]) == before


keys = st.sampled_from(["a", "B", "cc", "Dd"])
values = st.none() | st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2)
objects = st.recursive(st.dictionaries(keys, values, max_size=3), lambda inner: st.dictionaries(keys, inner | values))


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value


@given(objects, objects, st.booleans())
def test_an_override_wins_wherever_it_speaks_and_nowhere_else(
    spec: dict[str, JsonValue], override: dict[str, JsonValue], recase: bool
) -> None:
    def check(base: Any, patch: Any, merged: Any) -> None:
        if not isinstance(patch, dict):
            assert merged == patch
            return
        base = base if isinstance(base, dict) else {}
        assert merged.keys() == (base.keys() | patch.keys()) - {key for key in patch if patch[key] is None}
        for key, value in merged.items():
            if key in patch:
                check(base.get(key), patch[key], value)
            else:
                assert value == base[key]

    merged = merge_override(spec, {key.swapcase() if recase and key in spec else key: v for key, v in override.items()})
    check(spec, override, merged)
    assert merge_override(merged, override) == merged
    assert merge_override({}, spec) == without_nulls(spec)


def test_secrets_are_all_variables_but_the_streams_own() -> None:
    settings = read(ARCANE__AUTHHEADERS="h", connectionString="c", AZURE_STORAGE_CONNECTION="z", ARCANE__EMPTY="")
    assert dict(settings.secrets) == {
        "ARCANE__AUTHHEADERS": "h",
        "connectionString": "c",
        "AZURE_STORAGE_CONNECTION": "z",
    }


def test_a_secret_can_be_given_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"from file\n")
    secrets = read(ARCANE__APIKEY_FILE=str(tmp_path / "secret")).secrets
    assert secrets["ARCANE__APIKEY"] == "from file"
    both = read(ARCANE__APIKEY_FILE=str(tmp_path / "secret"), ARCANE__APIKEY="from variable").secrets
    assert both["ARCANE__APIKEY"] == "from variable"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"\xff" + CANARY.encode(), "no UTF-8 text"),
        (b"x" * 1_048_577, "larger than 1 MiB"),
    ],
)
def test_an_unreadable_secret_file_is_a_problem_that_shows_neither_path_nor_content(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / CANARY
    if content is not None:
        path.write_bytes(content)
    assert problems_of({**COMPLETE, "ARCANE__APIKEY_FILE": str(path)}) == (
        f"ARCANE__APIKEY_FILE: the file that it names cannot be read ({reason})",
    )


def test_storage_settings_are_read_under_all_prefixes() -> None:
    variables = {
        "ARCANE.STREAM.RESTAPI__AWS_ENDPOINT_URL": "old",
        "ARCANE__AWS_ENDPOINT_URL": "new",
        "ARCANE.STREAM.RESTAPI__AWS_REGION": "region",
        "ARCANE__AZURE_ENDPOINT": "azure",
        "AWS_REGION": "left to the SDK",
        "ARCANE__AUTHHEADERS": "h",
    }
    settings = read_environment({**COMPLETE, **variables}).storage_settings
    assert dict(settings) == {"AWS_ENDPOINT_URL": "new", "AWS_REGION": "region", "AZURE_ENDPOINT": "azure"}
    assert dict(read_environment({**COMPLETE, **dict(reversed(variables.items()))}).storage_settings) == dict(settings)


def test_of_aws_own_names_those_are_read_that_its_sdk_does_not_know() -> None:
    names = ("AWS_REGION", "AWS_MAX_ATTEMPTS", "AWS_S3_ADDRESSING_STYLE", "AWS_ACCESS_KEY_ID", "AWS_REGION_2")
    settings = read_environment({**COMPLETE, **dict.fromkeys(names, "x")}).storage_settings
    assert dict(settings) == dict.fromkeys(names[:3], "x")


def test_values_of_variables_that_are_credentials_by_name_are_known_to_the_log() -> None:
    settings = read(
        AWS_SECRET_ACCESS_KEY="s", connectionString="c", ARCANE__AUTHHEADERS="h", HOME="/root", PWD="/a", OLDPWD="/b"
    )
    assert settings.credential_values() == {"s", "c", "h"}
    assert settings.credential_values(plain={"arcane__AuthHeaders"}) == {"s", "c"}


def test_values_of_the_packages_variables_are_secrets_unless_they_are_settings_of_its_own() -> None:
    settings = read(
        ARCANE__PHRASE="p",
        ARCANE__LOG_LEVEL="debug",
        ARCANE__LOG_FORMAT="json",
        ARCANE__LOGGING_PROPERTIES="{}",
        ARCANE__AWS_REGION="r",
        ARCANE__AWS_SECRET_ACCESS_KEY="k",
    )
    assert settings.credential_values() == {"p", "k"}


def test_settings_show_no_secret_and_refuse_to_be_pickled() -> None:
    settings = read(
        ARCANE__APIKEY=CANARY, ARCANE__AWS_SECRET_ACCESS_KEY=CANARY, STREAMCONTEXT__SPEC=f'{{"a": "{CANARY}"}}'
    )
    assert CANARY not in repr(settings) + str(settings.secrets) + repr(settings.storage_settings)
    with pytest.raises(TypeError, match="environment variables cannot be pickled"):
        pickle.dumps(settings)


def local(path: Path, text: str | bytes, **options: Any) -> RunOptions:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return RunOptions(spec_file=path, **{"stream_kind": "Orders", **options})


def test_a_local_run_needs_a_file_and_a_plugin_only(tmp_path: Path) -> None:
    options = RunOptions(spec_file=tmp_path / "spec.yaml", plugin="examples.orders:Orders")
    (tmp_path / "spec.yaml").write_text("sinkLocation: /lake\nsource:\n  rows: 5\n")
    settings = read_environment({}, options)
    assert settings.spec == {"sinkLocation": "/lake", "source": {"rows": 5}}
    assert settings.identity == StreamIdentity("local", "Orders")


def test_a_kind_that_is_only_the_name_after_the_module_becomes_that_of_the_builder(tmp_path: Path) -> None:
    settings = read_environment({}, local(tmp_path / "s.json", "{}", stream_kind=None, plugin="plugin:host"))
    assert (settings.identity.stream_kind, settings.kind_is_assumed) == ("host", True)
    settled = settings.for_builder("Orders")
    assert (settled.identity, settled.kind_is_assumed) == (StreamIdentity("local", "Orders"), False)


@pytest.mark.parametrize(
    ("environ", "options", "kind"),
    [
        ({}, {"stream_kind": "Given", "plugin": "plugin:host"}, "Given"),
        ({"STREAMCONTEXT__STREAM_KIND": "Set"}, {"stream_kind": None, "plugin": "plugin:host"}, "Set"),
        ({}, {"stream_kind": None, "plugin": "EntryPoint"}, "EntryPoint"),
    ],
)
def test_a_kind_that_was_given_stays(
    tmp_path: Path, environ: dict[str, str], options: dict[str, str | None], kind: str
) -> None:
    settings = read_environment(environ, local(tmp_path / "s.json", "{}", **options))
    assert settings.for_builder("Orders").identity.stream_kind == kind


def test_options_replace_the_environment(tmp_path: Path) -> None:
    options = local(tmp_path / "s.json", '{"b": 1}', backfill=True, stream_id="mine", stream_kind="Mine")
    settings = read_environment({**COMPLETE, "STREAMCONTEXT__OVERRIDE": '{"c": 2}'}, options)
    assert settings.spec == {"b": 1, "c": 2}
    assert settings.identity == StreamIdentity("mine", "Mine", backfilling=True)


def test_options_work_without_a_spec_file() -> None:
    identity = read(RunOptions(stream_id="mine", backfill=True)).identity
    assert identity == StreamIdentity("mine", "Orders", backfilling=True)


def test_a_local_run_without_plugin_needs_a_kind(tmp_path: Path) -> None:
    options = local(tmp_path / "s.json", "{}", stream_kind=None)
    assert problems_of({}, options) == (
        "STREAMCONTEXT__STREAM_KIND: is required and missing; the operator sets it, or give --stream-kind",
    )


def test_yaml_words_mean_what_they_mean_in_json(tmp_path: Path) -> None:
    text = (
        "{a: yes, b: 010, c: 12:30, d: 2024-01-01, e: 0x10, f: 1_000, g: ~, h: true, i: -5, j: 1.5, k: '5', "
        "l: 1e3, m: .inf, 1: one, n: , o: 0}"
    )
    assert read_environment({}, local(tmp_path / "spec.yml", text)).spec == {
        "a": "yes",
        "b": "010",
        "c": "12:30",
        "d": "2024-01-01",
        "e": "0x10",
        "f": "1_000",
        "g": None,
        "h": True,
        "i": -5,
        "j": 1.5,
        "k": "5",
        "l": 1000.0,
        "m": ".inf",
        "1": "one",
        "n": None,
        "o": 0,
    }


def test_yaml_anchors_and_merge_keys_are_read(tmp_path: Path) -> None:
    text = "base: &base {rows: 1, table: a}\nsource:\n  <<: *base\n  rows: 2\n"
    assert read_environment({}, local(tmp_path / "spec.yaml", text)).spec["source"] == {"rows": 2, "table": "a"}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("s.json", f'{{"{CANARY}"', "is not JSON (line 1, column 27)"),
        ("s.yaml", f"a: {CANARY}\n b: [", "is not YAML (line 2, column 3)"),
        ("s.yaml", "a: !!python/object:os.system {}", "is not YAML (line 1, column 4)"),
        ("s.yaml", "a: \x01", "is not YAML"),
        ("s.yaml", f"- {CANARY}", "is no object: it must hold keys with values"),
        ("s.yaml", "", "is no object: it must hold keys with values"),
        ("s.yaml", "a: !!set {x}", "holds a value that JSON has no word for (a date, set, binary or infinite value)"),
        ("s.yaml", "a: &a [*a]", "is nested more than 64 levels deep"),
        ("s.yaml", b"a: \xff", "is not UTF-8 text (byte 3)"),
    ],
)
def test_a_spec_file_that_cannot_be_used_is_named_with_the_place(
    tmp_path: Path, name: str, content: str | bytes, reason: str
) -> None:
    path = tmp_path / name
    assert problems_of({}, local(path, content)) == (f"--spec: {path} {reason}",)


def test_a_missing_spec_file_is_named(tmp_path: Path) -> None:
    options = RunOptions(spec_file=tmp_path / "no.yaml", stream_kind="K")
    assert problems_of({}, options) == (f"--spec: {tmp_path / 'no.yaml'} cannot be read (No such file or directory)",)


def test_yaml_without_its_package_is_explained_and_json_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    path = tmp_path / "s.yaml"
    assert problems_of({}, local(path, "a: 1")) == (
        (
            f"--spec: {path} cannot be read as YAML, because the package PyYAML is not installed: "
            "run 'pip install PyYAML' or give the spec as a .json file"
        ),
    )
    assert read_environment({}, local(tmp_path / "s.json", '{"a": 1}')).spec == {"a": 1}


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans()))
def test_any_json_object_is_read_as_it_is(value: dict[str, Any]) -> None:
    assert parse_json_object(json.dumps(value)) == value


@pytest.mark.parametrize("broken", ["STREAMCONTEXT__SPEC", "STREAMCONTEXT__OVERRIDE", "ARCANE__LOGGING_PROPERTIES"])
def test_no_traceback_holds_the_content_of_a_broken_document(broken: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_environment({**COMPLETE, broken: f'{{"key": "{CANARY}', "ARCANE__APIKEY": CANARY})
    assert CANARY not in "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))

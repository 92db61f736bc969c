"""Reads a run's settings from the environment and the command line: the only place that knows the variables' names."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NoReturn

from pydantic import JsonValue

from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.services import StreamIdentity
from arcane_framework._core.spec_problems import shortened
from arcane_framework._core.storage import check_name
from arcane_framework.hosting.logging import LogFormat, parse_format, parse_level
from arcane_framework.hosting.metrics import DEFAULT_SOCKET_PATH
from arcane_framework.hosting.spec_documents import (
    JsonObject,
    UnreadableDocument,
    merge_override,
    parse_json_object,
    read_spec_file,
)

SPEC: Final = "STREAMCONTEXT__SPEC"
OVERRIDES: Final = ("STREAMCONTEXT__OVERRIDE", "STREAMCONTEXT_SPEC_OVERRIDE")
BACKFILL: Final = "STREAMCONTEXT__BACKFILL"
BACKFILL_ID: Final = "STREAMCONTEXT__BACKFILL_ID"
STREAM_ID: Final = "STREAMCONTEXT__STREAM_ID"
STREAM_KIND: Final = "STREAMCONTEXT__STREAM_KIND"
LOGGING_PROPERTIES: Final = "ARCANE__LOGGING_PROPERTIES"
LOG_LEVELS: Final = ("ARCANE__LOG_LEVEL", "LOG_LEVEL")
LOG_FORMAT: Final = "ARCANE__LOG_FORMAT"
METRICS_ENABLED: Final = "METRICS_ENABLED"
DATADOG_SOCKET_PATH: Final = "ARCANE_FRAMEWORK__DATADOG_SOCKET_PATH"
APPLICATION_VERSION: Final = "APPLICATION_VERSION"

LOCAL_STREAM_ID: Final = "local"
MAX_STREAM_ID_BYTES: Final = 255
"""Longer names of folders are refused by the usual file systems."""
MAX_SECRET_FILE_BYTES: Final = 1 << 20

_SECRET_FILE = re.compile(r"(ARCANE__.+)_FILE")
_STORAGE_SETTING = re.compile(
    r"(?P<prefix>ARCANE(?P<assembly>\.[A-Z0-9_.]+)?__)?"
    r"(?P<name>(?(prefix)(?:AWS|AZURE)_.+|(?:AZURE_STORAGE_.+|AWS_(?:REGION|MAX_ATTEMPTS|S3_ADDRESSING_STYLE))))"
)
"""Of the names without a prefix those of AWS that boto3 itself does not know, or that our own would hide from it."""
_FOLDERS = ("PWD", "OLDPWD")
"""The shell's, and no passwords: everything below the current folder would be hidden."""

_CREDENTIAL_NAME = re.compile(
    r"SECRET|PASSWORD|PASSWD|PWD|(?:ACCESS|ACCOUNT|API)_?KEY|CONNECTION|SAS_?TOKEN|SESSION_TOKEN|AUTHHEADERS|CREDENTIAL"
)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says; it goes before the environment.

    Attributes:
        spec_file: `--spec`: a YAML or JSON file instead of `STREAMCONTEXT__SPEC`; makes it a local run.
        backfill: `--backfill`.
        backfill_id: `--backfill-id`.
        stream_id: `--stream-id`; `local` in a local run.
        stream_kind: `--stream-kind`; in a local run, the builder's class name or the entry point's.
        plugin: The plugin's name, if the command line has one.
    """

    spec_file: Path | None = None
    backfill: bool = False
    backfill_id: str | None = None
    stream_id: str | None = None
    stream_kind: str | None = None
    plugin: str | None = None


class EnvironmentVariables(Mapping[str, str]):
    """Variables with their values, which may be secrets: neither printed nor pickled."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = dict(variables)

    def __getitem__(self, name: str) -> str:
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def __repr__(self) -> str:
        return f"<{len(self)} environment variables>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("environment variables cannot be pickled: they may hold secrets")


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Everything that a run takes from its environment.

    Attributes:
        identity: Who is running, and whether it is a backfill.
        spec: The stream definition's spec, the override merged in.
        secrets: Where `build_context` finds secrets, by variable name.
        storage_settings: Keys and endpoints for the stores, without prefix: `AWS_ENDPOINT_URL`, `AZURE_...`.
        log_level: A number of the logging module; None: not set, so the host chooses.
        log_format: None: JSON unless standard error is a terminal.
        logging_properties: Fields for every log line.
        metrics_enabled: Whether to send metrics.
        datadog_socket_path: The DogStatsD socket; it need not exist.
        application_version: Of the plugin's image, for the logs.
        kind_is_assumed: The identity's kind was not given: it is a name from `module:name` until `for_builder`.
    """

    identity: StreamIdentity
    spec: Mapping[str, JsonValue] = field(repr=False)
    secrets: EnvironmentVariables
    storage_settings: EnvironmentVariables
    log_level: int | None
    log_format: LogFormat | None
    logging_properties: Mapping[str, JsonValue]
    metrics_enabled: bool
    datadog_socket_path: str
    application_version: str | None
    kind_is_assumed: bool = False

    def for_builder(self, name: str) -> "RunSettings":
        """The settings with the builder's class name as the stream's kind, unless a kind was given."""
        if not self.kind_is_assumed:
            return self
        return replace(self, identity=replace(self.identity, stream_kind=name), kind_is_assumed=False)

    def credential_values(self, plain: Collection[str] = ()) -> frozenset[str]:
        """See `credential_values`."""
        return credential_values(self.secrets, plain)


def credential_values(variables: Mapping[str, str], plain: Collection[str] = ()) -> frozenset[str]:
    """Values that no log line may show: of variables that are credentials by their name, and of `ARCANE__` secrets.

    Every `ARCANE__` variable that is not the framework's own may be a secret of the plugin. Those that a context
    reads from other variables are given by `secret_values`.

    Args:
        variables: With their values.
        plain: Variables that a context reads as settings that are no secrets, in any letter case.
    """
    shown = {name.casefold() for name in plain}
    return frozenset(
        value for name, value in variables.items() if value and _may_be_a_secret(name) and name.casefold() not in shown
    )


def _may_be_a_secret(name: str) -> bool:
    if name in _FOLDERS:
        return False
    if _CREDENTIAL_NAME.search(name.upper()):
        return True
    own = name in (LOGGING_PROPERTIES, LOG_FORMAT, *LOG_LEVELS) or _STORAGE_SETTING.fullmatch(name)
    return name.startswith("ARCANE__") and not own and not _SECRET_FILE.fullmatch(name)


def read_environment(environ: Mapping[str, str], options: RunOptions | None = None) -> RunSettings:
    """Read the settings of a run. Called once, by the runner; reads the files that options and variables name.

    An empty variable counts as not set.

    Args:
        environ: `os.environ`, or a test's own.
        options: The command line's.

    Raises:
        ConfigurationError: Something is missing or wrong; lists all of it by the names of the variables and options.
    """
    reader = _Reader({name: value for name, value in environ.items() if value}, options or RunOptions())
    secrets = reader.secrets()
    settings = RunSettings(
        identity=reader.identity(),
        spec=reader.spec(),
        secrets=secrets,
        storage_settings=storage_settings(secrets),
        log_level=reader.log_level(),
        log_format=reader.log_format(),
        logging_properties=reader.json_object(LOGGING_PROPERTIES) or {},
        metrics_enabled=reader.flag(METRICS_ENABLED, default=True),
        datadog_socket_path=reader.environ.get(DATADOG_SOCKET_PATH, DEFAULT_SOCKET_PATH),
        application_version=reader.environ.get(APPLICATION_VERSION),
        kind_is_assumed=reader.kind_is_assumed(),
    )
    if reader.problems:
        raise ConfigurationError("the stream cannot start with these settings:", reader.problems)
    return settings


class _Reader:
    """Reads variable by variable and collects what is wrong; what it returns for a wrong one is never used."""

    def __init__(self, environ: Mapping[str, str], options: RunOptions) -> None:
        self.environ = environ
        self.options = options
        self.problems: list[str] = []

    def identity(self) -> StreamIdentity:
        local = self.options.spec_file is not None
        plugin = (self.options.plugin or "").rpartition(":")[2].rpartition(".")[2]
        return StreamIdentity(
            stream_id=self._stream_id(LOCAL_STREAM_ID if local else ""),
            stream_kind=self._name(STREAM_KIND, "--stream-kind", self.options.stream_kind, plugin if local else ""),
            backfilling=self.flag(BACKFILL, default=False) or self.options.backfill,
            backfill_id=self._backfill_id(),
        )

    def kind_is_assumed(self) -> bool:
        given = self.options.stream_kind or self.environ.get(STREAM_KIND)
        return not given and ":" in (self.options.plugin or "")

    def spec(self) -> JsonObject:
        base = self._base_spec()
        override = next((name for name in OVERRIDES if name in self.environ), None)
        return merge_override(base, self.json_object(override) or {}) if override else base

    def secrets(self) -> EnvironmentVariables:
        """All variables but the stream's own, and what the files of `ARCANE__<NAME>_FILE` hold as `ARCANE__<NAME>`."""
        variables = {name: value for name, value in self.environ.items() if not name.startswith("STREAMCONTEXT_")}
        for name, path in self.environ.items():
            match = _SECRET_FILE.fullmatch(name)
            if match and match[1] not in variables:
                variables[match[1]] = self._secret_file(name, path)
        return EnvironmentVariables(variables)

    def json_object(self, name: str) -> JsonObject | None:
        if name not in self.environ:
            return None
        try:
            return parse_json_object(self.environ[name])
        except UnreadableDocument as error:
            self.problems.append(f"{name}: {error}")
            return None

    def flag(self, name: str, *, default: bool) -> bool:
        text = self.environ.get(name, str(default)).strip().lower()
        if text not in ("true", "false"):
            self.problems.append(f"{name}: must be true or false (got {shortened(self.environ[name])})")
        return text == "true"

    def log_level(self) -> int | None:
        name = next((name for name in LOG_LEVELS if name in self.environ), None)
        try:
            return parse_level(self.environ[name]) if name else None
        except ConfigurationError as error:
            self.problems.append(f"{name}: {error}")
            return None

    def log_format(self) -> LogFormat | None:
        try:
            return parse_format(self.environ[LOG_FORMAT]) if LOG_FORMAT in self.environ else None
        except ConfigurationError as error:
            self.problems.append(f"{LOG_FORMAT}: {error}")
            return None

    def _base_spec(self) -> JsonObject:
        path = self.options.spec_file
        if path is not None:
            try:
                return read_spec_file(path)
            except UnreadableDocument as error:
                self.problems.append(f"--spec: {path} {error}")
                return {}
        if SPEC not in self.environ:
            self.problems.append(
                f"{SPEC}: is required and missing; the operator sets it to the stream definition's spec, "
                "for a local run give --spec FILE"
            )
        return self.json_object(SPEC) or {}

    def _stream_id(self, default: str) -> str:
        value = self._name(STREAM_ID, "--stream-id", self.options.stream_id, default)
        if value.isprintable() and value and not _is_folder_name(value):
            self.problems.append(
                f"{STREAM_ID}: names the stream's folder, so it cannot hold '/' or a backslash, "
                f"be '.' or '..', or be longer than {MAX_STREAM_ID_BYTES} bytes (got {shortened(value)})"
            )
        return value

    def _name(self, variable: str, option: str, given: str | None, default: str) -> str:
        value = given or self.environ.get(variable) or default
        if not value:
            self.problems.append(f"{variable}: is required and missing; the operator sets it, or give {option}")
        self._check_printable(variable, value)
        return value

    def _backfill_id(self) -> str | None:
        value = self.options.backfill_id or self.environ.get(BACKFILL_ID)
        self._check_printable(BACKFILL_ID, value or "")
        return value

    def _check_printable(self, variable: str, value: str) -> None:
        if not value.isprintable():
            self.problems.append(f"{variable}: holds a character that cannot be printed (got {shortened(value)})")

    def _secret_file(self, name: str, path: str) -> str:
        # Neither path nor content is shown: a secret that merely ends in _FILE may stand in the path's place.
        try:
            with Path(path).open("rb") as stream:
                content = stream.read(MAX_SECRET_FILE_BYTES + 1)
            if len(content) <= MAX_SECRET_FILE_BYTES:
                return content.decode().removesuffix("\n").removesuffix("\r")
            reason = f"larger than {MAX_SECRET_FILE_BYTES >> 20} MiB"
        except OSError as error:
            reason = error.strerror or "unreadable"
        except UnicodeDecodeError:
            reason = "no UTF-8 text"
        self.problems.append(f"{name}: the file that it names cannot be read ({reason})")
        return ""


def _is_folder_name(name: str) -> bool:
    try:
        return "/" not in check_name(name) and len(name.encode()) <= MAX_STREAM_ID_BYTES
    except ConfigurationError:
        return False


def storage_settings(variables: Mapping[str, str]) -> EnvironmentVariables:
    """The stores' settings without their prefix.

    `ARCANE__` goes before the first generation's assembly names, and these before names without a prefix; what is
    left out boto3 finds by itself.
    """
    matches = [(match, value) for name, value in variables.items() if (match := _STORAGE_SETTING.fullmatch(name))]
    matches.sort(key=lambda found: (found[0]["prefix"] is not None, found[0]["assembly"] is None))
    return EnvironmentVariables({match["name"]: value for match, value in matches})

"""The stream context: a stream definition's spec as a typed, frozen object."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, NoReturn, TypeVar, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PrivateAttr,
    Secret,
    SecretBytes,
    SecretStr,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, ErrorDetails

from arcane_framework._core.durations import Instant, Seconds
from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.services import StreamIdentity
from arcane_framework._core.sink import Grouping
from arcane_framework._core.spec_problems import spec_problems
from arcane_framework._core.spec_reading import FromEnvironment, SpecReading, spelling_table

__all__ = [
    "FromEnvironment",
    "Instant",
    "Seconds",
    "SinkContext",
    "SpecModel",
    "StreamContext",
    "build_context",
    "secret_values",
]

_IDENTITY_NAMES = ("identity", "stream_id", "stream_kind", "is_backfilling", "backfill_id")
_STRICT_TYPES = ("int", "float", "bool")
_NO_SCHEMA_KEYS = ("default", "metadata", "serialization", "expected", "config")


def _make_scalars_strict(node: Any) -> None:
    """Set strict mode on the numbers and booleans of a core schema, in place, unless a field has set its own."""
    if isinstance(node, dict):
        is_schema = isinstance(node.get("type"), str)
        if is_schema and node["type"] in _STRICT_TYPES:
            cast("dict[str, Any]", node).setdefault("strict", True)
        for key, child in node.items():
            if not (is_schema and key in _NO_SCHEMA_KEYS):
                _make_scalars_strict(child)
    elif isinstance(node, (list, tuple)):
        for child in node:
            _make_scalars_strict(child)


class SpecModel(BaseModel):
    """An object inside a spec; a context class and the classes of its nested fields derive from it.

    Fields are written in snake case (`rows_per_group: int`) and read from camelCase keys (`rowsPerGroup`) in
    any letter case; unknown keys are ignored. Another spelling is `Field(validation_alias=AliasChoices(...))`
    with the usual one first. Whole numbers, numbers and booleans in quotes are refused, as are `5.0` and `true`
    for a whole number (`Field(strict=False)` allows them). Secret fields (`SecretStr`) are read from the environment
    only: `auth_headers` from `ARCANE__AUTHHEADERS`, then from `authHeaders` in any letter case, or from the variables
    of a `FromEnvironment` marker; an empty variable counts as not set.

    Validators are pydantic's; the message of a `ValueError` is shown to the user as it is.
    Python code constructs it with field names, for instance in tests.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # Strict mode as a whole would refuse lists for tuples and texts for dates, which JSON has no other way to say.
        schema = handler(source)
        _make_scalars_strict(schema)
        return schema

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        spelling_table(cls)


class StreamContext(SpecModel):
    """A stream's spec and identity, as `build_graph` gets them. Frozen; safe to use on any thread.

    It cannot be pickled, because it holds secrets in the clear.
    """

    _identity: StreamIdentity | None = PrivateAttr(default=None)

    @property
    def identity(self) -> StreamIdentity:
        """Who is running; it comes from the runner, never from the spec.

        Raises:
            RuntimeError: The context was not made by `build_context`.
        """
        if self._identity is None:
            raise RuntimeError("this context has no identity: make it with build_context, or run it in the test kit")
        return self._identity

    @property
    def stream_id(self) -> str:
        """Names the stream, its folder below the sink's location and its Job."""
        return self.identity.stream_id

    @property
    def stream_kind(self) -> str:
        """The custom resource's kind."""
        return self.identity.stream_kind

    @property
    def is_backfilling(self) -> bool:
        """Whether this run reloads the stream in full."""
        return self.identity.backfilling

    @property
    def backfill_id(self) -> str | None:
        """The identity of one backfill, if the operator gives one."""
        return self.identity.backfill_id

    def model_post_init(self, context: Any, /) -> None:
        # Here, so that the plugin's own validators can ask for the mode.
        if isinstance(context, StreamIdentity):
            self._identity = context

    def __getstate__(self) -> NoReturn:
        raise TypeError("a stream context cannot be pickled: it holds secrets in the clear")

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        super().__pydantic_init_subclass__()
        if taken := [name for name in _IDENTITY_NAMES if name in cls.model_fields]:
            raise TypeError(f"{cls.__name__}: {taken[0]} is the stream's identity and cannot be a field")


class ObservabilitySpec(SpecModel):
    """What a stream tells about itself.

    Attributes:
        metric_tags: More tags on all of its metrics.
    """

    metric_tags: dict[str, str] = {}


class ParquetSpec(SpecModel):
    """How Parquet files are encoded; see `ParquetSettings`.

    Attributes:
        compression: The codec of all columns.
        compression_level: The codec's own scale; nothing is its default.
        statistics: Whether column statistics are written.
        dictionary: `auto`: where values repeat; `all` or `none` of the columns.
    """

    compression: Literal["snappy", "zstd", "gzip", "lz4", "none"] = "snappy"
    compression_level: int | None = None
    statistics: bool = True
    dictionary: Literal["auto", "all", "none"] = "auto"


class SinkContext(StreamContext):
    """The sink's fields that all ready-made kinds have.

    Attributes:
        sink_location: Where the stream's folder goes: `file:///lake`, `/lake`.
        rows_per_group: Rows of a row group; as many are committed at the next watermark.
        bytes_per_group: The same in bytes, as they are in memory: a file is some times smaller.
        grouping_interval_seconds: How long rows are held at most before their group is cut.
        groups_per_file: Groups of a file, where more than one come between two watermarks.
        parquet: How Parquet files are encoded.
        quarantine: Set rows that do not fit aside instead of failing, where the source can.
        observability: Tags for its metrics.
    """

    sink_location: Annotated[str, Field(min_length=1)]
    rows_per_group: Annotated[int, Field(gt=0)] = 100_000
    grouping_interval_seconds: Annotated[Seconds, Field(gt=timedelta(0))] = timedelta(seconds=10)
    bytes_per_group: Annotated[int, Field(gt=0)] = 134_217_728
    groups_per_file: Annotated[int, Field(gt=0)] = 1
    parquet: ParquetSpec = ParquetSpec()
    quarantine: bool = False
    observability: ObservabilitySpec | None = None

    @property
    def grouping(self) -> Grouping:
        """The fields as a sink takes them."""
        return Grouping(
            rows=self.rows_per_group,
            nbytes=self.bytes_per_group,
            within=self.grouping_interval_seconds.total_seconds(),
            groups_per_file=self.groups_per_file,
        )


ContextT = TypeVar("ContextT", bound=StreamContext)


def build_context(
    context_type: type[ContextT], spec: Mapping[str, Any], secrets: Mapping[str, str], identity: StreamIdentity
) -> ContextT:
    """Make the context of a run. Called once, by the host, before the graph is built.

    Args:
        context_type: The plugin's context class.
        spec: The stream definition's spec, as JSON has it: dicts, lists, texts, numbers, booleans, None.
        secrets: Environment variables, by name.
        identity: Who is running.

    Raises:
        ConfigurationError: Something is wrong; lists all wrong fields by their spec names, and no secret's value.
    """
    context_type.model_rebuild()
    reading = SpecReading(secrets)
    data = reading.read(context_type, spec)
    context, errors = _validated(context_type, data, identity)
    problems = spec_problems(errors, data, reading)
    # Raised outside of the except block: pydantic's error holds the values, and a traceback would chain it.
    if context is None or problems:
        raise ConfigurationError(f"the spec of stream '{identity.stream_id}' cannot be used:", problems)
    return context


def _validated(
    context_type: type[ContextT], data: Mapping[str, Any], identity: StreamIdentity
) -> tuple[ContextT | None, list[ErrorDetails]]:
    try:
        context = context_type.model_validate(data, by_alias=True, by_name=False, context=identity)
    except ValidationError as error:
        return None, error.errors(include_url=False)
    context._identity = identity  # a subclass may have replaced model_post_init
    return context, []


def secret_values(value: object) -> frozenset[str]:
    """The secrets that a context holds, at any depth, in the clear: for the log's redaction and nothing else."""
    if isinstance(value, (SecretStr, SecretBytes, Secret)):
        return _texts(value.get_secret_value())
    if isinstance(value, BaseModel):
        return frozenset().union(*(secret_values(getattr(value, name)) for name in type(value).model_fields))
    if isinstance(value, Mapping):
        return frozenset().union(*(secret_values(item) for item in value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return frozenset().union(*(secret_values(item) for item in value))
    return frozenset()


def _texts(secret: object) -> frozenset[str]:
    """The texts of a secret that was parsed, for instance the values of a JSON object of headers."""
    if isinstance(secret, bytes):
        return frozenset({secret.decode("utf-8", "replace")})
    if isinstance(secret, str):
        return frozenset({secret})
    items = secret.values() if isinstance(secret, Mapping) else secret
    if isinstance(items, Iterable):
        return frozenset().union(*(_texts(item) for item in items))
    return frozenset()

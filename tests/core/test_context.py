import copy
import json
import pickle
import traceback
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, Field, Json, JsonValue, Secret, SecretStr, ValidationError, field_validator

from arcane_framework._core.context import (
    FromEnvironment,
    Instant,
    Seconds,
    SinkContext,
    SpecModel,
    StreamContext,
    build_context,
    secret_values,
)
from arcane_framework._core.durations import describe_duration, parse_duration, parse_instant
from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.services import StreamIdentity
from arcane_framework._core.sink import Grouping
from arcane_framework._core.spec_reading import plain_variables

IDENTITY = StreamIdentity("orders", "Orders", backfilling=True, backfill_id="b-1")
CANARY = "canary-7f3a-do-not-show"


class Behavior(StrEnum):
    OVERWRITE = "Overwrite"
    MERGE = "Merge"


class Partition(SpecModel):
    field_name: str
    field_format: str = ""
    widths: tuple[int, ...] = ()


class Fields(SpecModel):
    fields: tuple[str, ...]


class Rule(SpecModel):
    all: dict[str, JsonValue] | None = None
    include: Fields | None = None
    nested_rules: "tuple[Rule, ...]" = ()


class SourceConfiguration(SpecModel):
    source_path: str
    primary_keys: tuple[str, ...] = ()
    max_results: int | None = None


class Source(SpecModel):
    configuration: SourceConfiguration
    field_selection_rule: Rule = Rule()


class Shape(SpecModel):
    behavior: Behavior = Behavior.OVERWRITE
    http_method: Literal["GET", "POST"] = "GET"
    day: date | None = None
    ratio: float = 0.1
    is_server_side: bool = False
    limit: int | str = 0
    metric_tags: dict[str, str] = Field(default_factory=dict)
    by_name: dict[str, Partition] = Field(default_factory=dict)
    anything: JsonValue = None


class FullContext(SinkContext):
    sink_location: Annotated[str, Field(min_length=1, validation_alias=AliasChoices("sinkLocation", "targetStorage"))]
    poll_interval: Annotated[Seconds, Field(ge=timedelta(seconds=1), le=timedelta(hours=1))] = timedelta(seconds=30)
    back_fill_start_date: Instant | None = None
    partitions: tuple[Partition, ...] = ()
    source: Source | None = None
    shape: Shape = Shape()


class SecretContext(StreamContext):
    auth_headers: SecretStr
    connection: Annotated[SecretStr, FromEnvironment("AZURE_STORAGE_CONNECTION", "ARCANE__CONNECTIONSTRING")]
    token_headers: Secret[Json[dict[str, str]]] | None = None
    storage_account_key: SecretStr | None = Field(default=None, min_length=3)


SECRETS = {"ARCANE__AUTHHEADERS": "h", "ARCANE__CONNECTIONSTRING": "c"}


def build(spec: Mapping[str, Any], **secrets: str) -> FullContext:
    return build_context(FullContext, spec, secrets, IDENTITY)


def problems_of(
    context_type: type[StreamContext], spec: Mapping[str, Any], secrets: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        build_context(context_type, spec, secrets or {}, IDENTITY)
    assert all(line in str(caught.value) for line in caught.value.problems)
    return caught.value.problems


def recased(value: Any, upper: list[bool]) -> Any:
    """The value with the letters of all keys in another case, as the bits say."""
    if isinstance(value, dict):
        return {
            "".join(
                letter.upper() if upper[(index + len(key)) % len(upper)] else letter.lower()
                for index, letter in enumerate(key)
            ): recased(item, upper)
            for key, item in value.items()
        }
    return [recased(item, upper) for item in value] if isinstance(value, list) else value


NESTED_SPEC: dict[str, Any] = {
    "sinkLocation": "file:///lake",
    "rowsPerGroup": 7,
    "partitions": [{"fieldName": "day", "fieldFormat": "yyyy", "widths": [1, 2]}, {"fieldName": "hour"}],
    "source": {
        "configuration": {"sourcePath": "s3a://b/p", "primaryKeys": ["id"], "maxResults": 3},
        "fieldSelectionRule": {"nestedRules": [{"include": {"fields": ["A", "b"]}}]},
    },
}


def test_fields_are_read_from_camel_case_keys_with_defaults_for_the_rest() -> None:
    context = build({"sinkLocation": "/lake", "groupingIntervalSeconds": 5})
    assert (context.sink_location, context.rows_per_group, context.groups_per_file) == ("/lake", 100_000, 1)
    assert context.grouping_interval_seconds == timedelta(seconds=5)
    assert build({"sinkLocation": "/lake"}).grouping_interval_seconds == timedelta(seconds=10)
    assert build({"sinkLocation": "/lake"}).grouping == Grouping()
    given = build({"sinkLocation": "/lake", "rowsPerGroup": 7, "bytesPerGroup": 1 << 20, "groupsPerFile": 3})
    assert given.grouping == Grouping(rows=7, nbytes=1 << 20, groups_per_file=3)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_keys_match_in_any_letter_case_at_every_level(upper: list[bool]) -> None:
    assert build(recased(NESTED_SPEC, upper)) == build(NESTED_SPEC)


def test_nested_values_arrive_typed() -> None:
    context = build(NESTED_SPEC)
    assert context.partitions[0] == Partition(field_name="day", field_format="yyyy", widths=(1, 2))
    assert context.source is not None
    assert context.source.configuration.primary_keys == ("id",)
    assert context.source.field_selection_rule.nested_rules[0].include == Fields(fields=("A", "b"))


def test_texts_become_dates_enumerations_and_literals() -> None:
    shape = build(
        {"sinkLocation": "x", "shape": {"BEHAVIOR": "Merge", "httpMethod": "POST", "day": "2024-02-29", "ratio": 1}}
    ).shape
    assert shape == Shape(behavior=Behavior.MERGE, http_method="POST", day=date(2024, 2, 29), ratio=1.0)


def test_keys_of_a_map_keep_their_letter_case_and_those_of_objects_in_it_do_not() -> None:
    shape = build(
        {
            "sinkLocation": "x",
            "shape": {
                "metricTags": {"Team": "a", "team": "b"},
                "byName": {"First": {"FIELDNAME": "f"}},
                "anything": {"Key": [1, {"fieldName": None}]},
            },
        }
    ).shape
    assert shape.metric_tags == {"Team": "a", "team": "b"}
    assert shape.by_name == {"First": Partition(field_name="f")}
    assert shape.anything == {"Key": [1, {"fieldName": None}]}


def test_unknown_keys_are_ignored_and_so_are_field_names_in_snake_case() -> None:
    context = build({"sinkLocation": "x", "rows_per_group": 5, "jobTemplateRef": {"name": "n"}, "suspended": "yes"})
    assert context == build({"sinkLocation": "x"})


def test_the_given_spec_is_left_as_it_was() -> None:
    spec = copy.deepcopy(NESTED_SPEC)
    build(spec)
    assert spec == NESTED_SPEC


def test_a_context_is_frozen_at_every_level() -> None:
    context = build(NESTED_SPEC)
    with pytest.raises(ValidationError):
        context.rows_per_group = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        context.partitions[0].field_name = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("rowsPerGroup", "5", 'rowsPerGroup: must be a whole number, without quotes (got "5")'),
        ("rowsPerGroup", True, "rowsPerGroup: must be a whole number, without quotes (got true)"),
        ("rowsPerGroup", 5.0, "rowsPerGroup: must be a whole number, without quotes (got 5.0)"),
        ("rowsPerGroup", None, "rowsPerGroup: must be a whole number, without quotes (got null)"),
        ("rowsPerGroup", [5], "rowsPerGroup: must be a whole number, without quotes (got a list)"),
        ("rowsPerGroup", 0, "rowsPerGroup: must be greater than 0 (got 0)"),
        ("sinkLocation", 5, "sinkLocation: must be a text (got 5)"),
        ("sinkLocation", "", 'sinkLocation: must have a length of 1 or more (got "")'),
        ("sinkLocation", "\ud800", 'sinkLocation: must be a text of valid Unicode characters (got "\\ud800")'),
        ("groupingIntervalSeconds", 0, "groupingIntervalSeconds: must be greater than 0 seconds (got 0)"),
        ("groupingIntervalSeconds", -1, "groupingIntervalSeconds: must not be negative (got -1)"),
        ("pollInterval", "2 hours", 'pollInterval: must be at most 1 hour (got "2 hours")'),
        ("pollInterval", 0, "pollInterval: must be at least 1 second (got 0)"),
        (
            "pollInterval",
            "60",
            (
                "pollInterval: must be a whole number of seconds, or a text such as 'PT30S', '30 seconds', "
                "'5 minutes', '60s' (got \"60\")"
            ),
        ),
        (
            "backFillStartDate",
            "yesterday",
            (
                "backFillStartDate: must be a whole number of milliseconds since 1970, or a text such as "
                "'2024-05-08T12:00:00Z' (got \"yesterday\")"
            ),
        ),
        ("partitions", {}, "partitions: must be a list (got an object)"),
        ("partitions", [{}], "partitions[0].fieldName: is required and missing; add it to the spec"),
        ("partitions", [{"FIELDNAME": 5}], "partitions[0].fieldName: must be a text (got 5)"),
        (
            "partitions",
            [{"fieldName": "a"}, {"fieldName": "b", "widths": [1, "2"]}],
            'partitions[1].widths[1]: must be a whole number, without quotes (got "2")',
        ),
        ("source", 5, "source: must be an object (got 5)"),
        (
            "source",
            {"CONFIGURATION": {}},
            "source.configuration.sourcePath: is required and missing; add it to the spec",
        ),
        (
            "source",
            {"configuration": {"sourcePath": "x", "maxResults": "3"}},
            'source.configuration.maxResults: must be a whole number, without quotes (got "3")',
        ),
        ("shape", {"behavior": "Append"}, "shape.behavior: must be 'Overwrite' or 'Merge' (got \"Append\")"),
        ("shape", {"httpMethod": "get"}, "shape.httpMethod: must be 'GET' or 'POST' (got \"get\")"),
        ("shape", {"ratio": "1"}, 'shape.ratio: must be a number, without quotes (got "1")'),
        ("shape", {"ratio": float("inf")}, "shape.ratio: must be a finite number (got Infinity)"),
        ("shape", {"isServerSide": "true"}, 'shape.isServerSide: must be true or false, without quotes (got "true")'),
        (
            "shape",
            {"limit": []},
            "shape.limit: must be a whole number, without quotes or must be a text (got a list)",
        ),
        ("shape", {"metricTags": {"a b": 5}}, "shape.metricTags['a b']: must be a text (got 5)"),
        (
            "shape",
            {"byName": {"First": {}}},
            "shape.byName.First.fieldName: is required and missing; add it to the spec",
        ),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(field: str, value: object, problem: str) -> None:
    assert problems_of(FullContext, {"sinkLocation": "x", field: value}) == (problem,)


def test_all_wrong_fields_are_listed_at_once() -> None:
    spec = {"rowsPerGroup": "5", "groupsPerFile": 0, "partitions": [{}], "source": {"configuration": {}}}
    with pytest.raises(ConfigurationError) as caught:
        build(spec)
    assert str(caught.value) == (
        "the spec of stream 'orders' cannot be used:\n"
        "  sinkLocation: is required and missing; add it to the spec\n"
        '  rowsPerGroup: must be a whole number, without quotes (got "5")\n'
        "  groupsPerFile: must be greater than 0 (got 0)\n"
        "  partitions[0].fieldName: is required and missing; add it to the spec\n"
        "  source.configuration.sourcePath: is required and missing; add it to the spec"
    )


def test_a_long_value_is_shortened_and_its_control_characters_are_escaped() -> None:
    (long,) = problems_of(FullContext, {"sinkLocation": "x", "rowsPerGroup": "z" * 5_000})
    assert long == f'rowsPerGroup: must be a whole number, without quotes (got "{"z" * 60}...")'
    (control,) = problems_of(FullContext, {"sinkLocation": "x", "rowsPerGroup": "a\n\x1b[31m"})
    assert control == 'rowsPerGroup: must be a whole number, without quotes (got "a\\n\\u001b[31m")'
    (digits,) = problems_of(FullContext, {"sinkLocation": 10**5_000})
    assert digits == "sinkLocation: must be a text (got a number)"


def test_either_spelling_of_a_field_is_read() -> None:
    assert build({"TARGETSTORAGE": "/lake"}) == build({"sinkLocation": "/lake"})
    assert build({"targetStorage": "/lake", "sinkLocation": "/lake"}).sink_location == "/lake"


def test_spellings_that_contradict_each_other_are_an_error_naming_both() -> None:
    rule = "are spellings of one field and have different values; keep one of them"
    assert problems_of(FullContext, {"sinkLocation": "a", "targetStorage": "b"}) == (
        f"sinkLocation and targetStorage: {rule}",
    )
    assert problems_of(
        FullContext, {"sinkLocation": "a", "source": {"configuration": {"sourcePath": "a", "SOURCEPATH": "b"}}}
    ) == (f"source.configuration.sourcePath and SOURCEPATH: {rule}",)


def test_a_wrong_value_is_named_by_the_spelling_that_the_spec_has() -> None:
    assert problems_of(FullContext, {"targetStorage": 5}) == ("targetStorage: must be a text (got 5)",)


def test_two_fields_with_one_spelling_are_a_defect_of_the_class() -> None:
    with pytest.raises(TypeError, match="the fields rows_limit and rowslimit are both spelled rowslimit in a spec"):

        class Ambiguous(SpecModel):
            rows_limit: int
            rowslimit: int


def test_identity_comes_from_the_run_and_never_from_the_spec() -> None:
    context = build({"sinkLocation": "x", "streamId": "evil", "streamKind": "Evil", "isBackfilling": False})
    assert (context.stream_id, context.stream_kind) == ("orders", "Orders")
    assert (context.is_backfilling, context.backfill_id) == (True, "b-1")
    assert "orders" not in json.dumps(context.model_dump(mode="json"))


def test_a_context_made_by_hand_has_no_identity() -> None:
    with pytest.raises(RuntimeError, match="this context has no identity: make it with build_context"):
        _ = FullContext(sink_location="x").stream_id


@pytest.mark.filterwarnings("ignore:Field name:UserWarning")
def test_an_identity_name_cannot_be_a_field() -> None:
    with pytest.raises(TypeError, match="stream_id is the stream's identity and cannot be a field"):

        class Taken(StreamContext):
            stream_id: str


def test_a_validators_message_is_shown_as_it_is() -> None:
    class Strict(StreamContext):
        table: str
        left: int = 0

        @field_validator("table")
        @classmethod
        def has_schema(cls, value: str) -> str:
            if "." not in value:
                raise ValueError("write it as schema.table")
            return value

    assert problems_of(Strict, {"TABLE": "orders", "left": "1"}) == (
        "table: write it as schema.table",
        'left: must be a whole number, without quotes (got "1")',
    )


def test_a_plugins_validator_can_ask_for_the_mode() -> None:
    from pydantic import model_validator

    class NoBackfill(StreamContext):
        @model_validator(mode="after")
        def streams_only(self) -> "NoBackfill":
            if self.is_backfilling:
                raise ValueError("this stream has no backfill;\nremove the backfill request")
            return self

    assert problems_of(NoBackfill, {}) == ("this stream has no backfill; remove the backfill request",)


def test_a_subclass_that_replaces_the_hook_still_has_its_identity() -> None:
    class Hooked(StreamContext):
        def model_post_init(self, context: Any, /) -> None:
            pass

    assert build_context(Hooked, {}, {}, IDENTITY).stream_id == "orders"


@pytest.mark.parametrize(
    ("environment", "headers"),
    [
        ({"ARCANE__AUTHHEADERS": "a"}, "a"),
        ({"authHeaders": "b"}, "b"),
        ({"AUTHHEADERS": "c"}, "c"),
        ({"authHeaders": "b", "ARCANE__AUTHHEADERS": "a"}, "a"),
        ({"ARCANE__AUTHHEADERS": "", "authheaders": "d"}, "d"),
        ({"AUTHHEADERS": "upper", "authHeaders": "exact"}, "exact"),
    ],
)
def test_a_secret_is_read_from_its_variables_in_order(environment: dict[str, str], headers: str) -> None:
    context = build_context(SecretContext, {}, {"AZURE_STORAGE_CONNECTION": "x", **environment}, IDENTITY)
    assert context.auth_headers.get_secret_value() == headers


def test_a_field_can_name_its_own_variables_in_order() -> None:
    def connection(**variables: str) -> str:
        environment = {"ARCANE__AUTHHEADERS": "h", **variables}
        return build_context(SecretContext, {}, environment, IDENTITY).connection.get_secret_value()

    assert connection(ARCANE__CONNECTIONSTRING="b", AZURE_STORAGE_CONNECTION="a") == "a"
    assert connection(ARCANE__CONNECTIONSTRING="b") == "b"
    with pytest.raises(ConfigurationError):
        connection(ARCANE__CONNECTION="not named by the field")


def test_missing_secrets_are_named_by_their_variables() -> None:
    assert problems_of(SecretContext, {}) == (
        (
            "authHeaders: is a secret and missing; set the environment variable ARCANE__AUTHHEADERS "
            "(authHeaders is read as well)"
        ),
        (
            "connection: is a secret and missing; set the environment variable AZURE_STORAGE_CONNECTION "
            "(ARCANE__CONNECTIONSTRING is read as well)"
        ),
    )


def test_a_secret_in_the_spec_is_refused_even_if_the_environment_has_it() -> None:
    assert problems_of(SecretContext, {"AuthHeaders": CANARY}, SECRETS) == (
        "AuthHeaders: is a secret and must not be in the spec; remove it there and give it as an environment variable",
    )
    assert build_context(SecretContext, {"authHeaders": None}, SECRETS, IDENTITY).auth_headers.get_secret_value() == "h"


def test_secrets_inside_nested_objects_are_read_from_the_environment_too() -> None:
    class Login(SpecModel):
        user: str
        password: SecretStr

    class WithLogin(StreamContext):
        logins: tuple[Login, ...]

    spec = {"logins": [{"user": "a"}]}
    assert build_context(WithLogin, spec, {"ARCANE__PASSWORD": "p"}, IDENTITY).logins[0].password == SecretStr("p")
    assert problems_of(WithLogin, spec) == (
        (
            "logins[0].password: is a secret and missing; set the environment variable ARCANE__PASSWORD "
            "(password is read as well)"
        ),
    )


def test_the_secrets_of_a_context_can_be_listed_for_redaction() -> None:
    environment = {**SECRETS, "ARCANE__TOKENHEADERS": '{"X-Key": "k1", "X-Other": "k2"}'}
    assert secret_values(build_context(SecretContext, {}, environment, IDENTITY)) == {"h", "c", "k1", "k2"}


class FixedLogin(SpecModel):
    user_name: str
    password: SecretStr


class TokenLogin(SpecModel):
    token_url: str
    client_secret: SecretStr


class EitherLogin(StreamContext):
    login: FixedLogin | TokenLogin


def test_each_class_of_a_union_reads_its_own_keys_and_secrets() -> None:
    environment = {"ARCANE__PASSWORD": "p", "ARCANE__CLIENTSECRET": "s"}
    fixed = build_context(EitherLogin, {"LOGIN": {"USERNAME": "u"}}, environment, IDENTITY).login
    token = build_context(EitherLogin, {"login": {"tokenurl": "t"}}, environment, IDENTITY).login
    assert fixed == FixedLogin(user_name="u", password=SecretStr("p"))
    assert token == TokenLogin(token_url="t", client_secret=SecretStr("s"))
    assert problems_of(EitherLogin, {"login": {}}, environment) == (
        "login.userName: is required and missing; add it to the spec",
        "login.tokenUrl: is required and missing; add it to the spec",
    )


class Loud(StreamContext):
    api_key: SecretStr
    mirror: str = ""
    headers: Secret[Json[dict[str, int]]] | None = None
    pin: SecretStr | None = Field(default=None, max_length=3)

    @field_validator("api_key")
    @classmethod
    def shout(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value().startswith("canary"):
            raise ValueError(f"cannot use {value.get_secret_value()}")
        return value


@pytest.mark.parametrize(
    ("spec", "environment"),
    [
        ({"apiKey": CANARY}, {}),
        ({"APIKEY": [CANARY, {"x": CANARY}], "mirror": 5}, {"ARCANE__APIKEY": "fine"}),
        ({"mirror": {"x": CANARY}}, {"ARCANE__APIKEY": "fine"}),
        ({"pin": CANARY, "headers": {"x": CANARY}}, {"ARCANE__APIKEY": "fine"}),
        ({}, {"ARCANE__APIKEY": CANARY}),
        ({}, {"ARCANE__APIKEY": "fine", "ARCANE__PIN": CANARY}),
        ({}, {"ARCANE__APIKEY": "fine", "ARCANE__HEADERS": CANARY}),
        ({}, {"ARCANE__APIKEY": "fine", "ARCANE__HEADERS": f'{{"{CANARY}": "{CANARY}"}}'}),
    ],
)
def test_no_error_shows_a_secret(spec: dict[str, Any], environment: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build_context(Loud, spec, environment, IDENTITY)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(caught.value.problems)
    assert caught.value.problems
    assert CANARY not in shown
    assert caught.value.__context__ is None


def test_a_secret_in_a_validators_message_is_masked() -> None:
    assert problems_of(Loud, {}, {"ARCANE__APIKEY": CANARY}) == ("apiKey: cannot use ***",)
    assert problems_of(Loud, {}, {"ARCANE__APIKEY": "fine", "ARCANE__PIN": CANARY}) == (
        "pin: must have a length of 3 or less",
    )


def test_a_secret_repeated_in_another_field_is_not_shown_there_either() -> None:
    class Copied(StreamContext):
        api_key: SecretStr
        rows: int

    assert problems_of(Copied, {"rows": f"key={CANARY}"}, {"ARCANE__APIKEY": CANARY}) == (
        "rows: must be a whole number, without quotes",
    )


def test_a_context_shows_no_secret_and_refuses_to_be_pickled() -> None:
    context = build_context(SecretContext, {}, {**SECRETS, "ARCANE__AUTHHEADERS": CANARY}, IDENTITY)
    assert CANARY not in repr(context) + str(context) + context.model_dump_json()
    with pytest.raises(TypeError, match="a stream context cannot be pickled"):
        pickle.dumps(context)
    with pytest.raises(ValidationError) as caught:
        Loud(api_key=SecretStr(CANARY), mirror=[CANARY])
    assert "input_value" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0),
        (90, 90),
        ("PT30S", 30),
        ("PT1H30M", 5_400),
        ("P1DT12H", 129_600),
        ("P2W", 1_209_600),
        ("PT0.5S", 0.5),
        ("pt5m", 300),
        ("1 second", 1),
        ("30 seconds", 30),
        ("30 second", 30),
        ("5 minutes", 300),
        ("60s", 60),
        ("1 hour", 3_600),
        ("2 days", 172_800),
        (" 2 Days ", 172_800),
        ("250 ms", 0.25),
        ("1.5h", 5_400),
        (timedelta(seconds=3), 3),
    ],
)
def test_durations_are_read(value: object, seconds: float) -> None:
    assert parse_duration(value) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    ["", "5", "P", "PT", "P1DT", "P1Y", "P1M", "1 fortnight", "seconds", "-1s", "1 s 2", 1.5, True, None, [], "١s"],
)
def test_other_values_are_no_durations(value: object) -> None:
    with pytest.raises(ValueError, match="must be a whole number of seconds"):
        parse_duration(value)


@pytest.mark.parametrize("value", [10**20, 10**4_000, "P999999999W", "999999999999999 days"])
def test_endless_durations_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="must be shorter than 999999999 days"):
        parse_duration(value)


@given(
    st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=10_000)).map(
        lambda d: timedelta(seconds=d // timedelta(seconds=1))
    )
)
def test_a_described_duration_reads_back(duration: timedelta) -> None:
    assert parse_duration(describe_duration(duration)) == duration


MOMENT = datetime(2024, 5, 8, 12, 39, 39, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        (1715171979000, MOMENT),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
        ("2024-05-08T12:39:39Z", MOMENT),
        ("2024-05-08T14:39:39+02:00", MOMENT),
        ("2024-05-08T12:39:39", MOMENT),
        ("2024-05-08 12:39:39.0000000Z", MOMENT),
        ("2024-05-08", datetime(2024, 5, 8, tzinfo=UTC)),
        (date(2024, 5, 8), datetime(2024, 5, 8, tzinfo=UTC)),
        (MOMENT.replace(tzinfo=None), MOMENT),
    ],
)
def test_instants_are_read_in_utc(value: object, instant: datetime) -> None:
    parsed = parse_instant(value)
    assert parsed == instant
    assert parsed.tzinfo is UTC


@pytest.mark.parametrize("value", ["", "1715171979000", "yesterday", 1.5, True, None, [], "2024-13-01"])
def test_other_values_are_no_instants(value: object) -> None:
    with pytest.raises(ValueError, match="must be a whole number of milliseconds since 1970"):
        parse_instant(value)


@pytest.mark.parametrize("value", [10**15, -(10**15), 10**4_000, "0001-01-01T00:00:00+05:00"])
def test_instants_beyond_the_calendar_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="must be between the years 1 and 9999"):
        parse_instant(value)


class PlainContext(StreamContext):
    method: Annotated[str, FromEnvironment("ARCANE__METHOD")] = "GET"
    name: Annotated[str, FromEnvironment("ARCANE__NAME")]
    password: SecretStr | None = None


@pytest.mark.parametrize(
    ("spec", "environment", "expected"),
    [
        ({}, {"ARCANE__NAME": "n"}, ("GET", "n")),
        ({"name": "s"}, {}, ("GET", "s")),
        ({"name": "s"}, {"arcane__name": "n", "ARCANE__METHOD": "POST"}, ("POST", "n")),
    ],
)
def test_a_field_that_is_no_secret_may_come_from_the_environment_which_goes_before_the_spec(
    spec: dict[str, str], environment: dict[str, str], expected: tuple[str, str]
) -> None:
    context = build_context(PlainContext, spec, environment, IDENTITY)
    assert (context.method, context.name) == expected


def test_a_missing_variable_of_a_plain_field_is_named() -> None:
    with pytest.raises(ConfigurationError) as error:
        build_context(PlainContext, {}, {}, IDENTITY)
    assert error.value.problems == ("name: is required and missing; set the environment variable ARCANE__NAME",)


def test_variables_of_plain_fields_are_known_so_that_logs_may_show_them() -> None:
    assert plain_variables(PlainContext) == {"ARCANE__METHOD", "ARCANE__NAME"}
    assert plain_variables(SecretContext) == frozenset()

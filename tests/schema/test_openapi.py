import base64
import json
import sys
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcane_framework._core.errors import ConfigurationError
from arcane_framework.schema.json_text import JSON_TEXT, is_json_text, json_text_field
from arcane_framework.schema.openapi import schema_from_openapi

PROBLEM = "apiSchemaEncoded "
NO_PROPERTIES = (
    "has no properties: it must be one schema object that describes a row, as in "
    '{"type": "object", "properties": {"id": {"type": "integer"}}}'
)


def encoded(document: str | bytes | dict[str, Any]) -> str:
    text = json.dumps(document) if isinstance(document, dict) else document
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def column(described: object) -> pa.Field:
    (field,) = schema_from_openapi(encoded({"type": "object", "properties": {"c": described}}))
    return field


def refusal(document: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        schema_from_openapi(document)
    message = str(caught.value)
    assert message.startswith(PROBLEM)
    return message.removeprefix(PROBLEM)


TIMESTAMP = pa.timestamp("us", tz="UTC")
SCALARS = [
    ("boolean", None, pa.bool_()),
    ("boolean", "x", pa.bool_()),
    ("integer", "int32", pa.int32()),
    ("integer", "int64", pa.int64()),
    ("integer", None, pa.int64()),
    ("integer", "uint8", pa.int64()),
    ("number", "float", pa.float32()),
    ("number", "double", pa.float64()),
    ("number", "decimal", pa.decimal128(38, 18)),
    ("number", None, pa.float64()),
    ("number", "x", pa.float64()),
    ("string", None, pa.string()),
    ("string", "date-time", TIMESTAMP),
    ("string", "date", pa.date32()),
    *(
        ("string", form, pa.string())
        for form in ("uuid", "byte", "duration", "char", "uri", "binary", "password", "x")
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "form", "expected"), SCALARS)
@pytest.mark.parametrize("more", [{}, {"nullable": True}, {"nullable": False}, {"oneOf": [{}]}])
def test_a_scalar_becomes_its_arrow_type(
    kind: str, form: str | None, expected: pa.DataType, more: dict[str, object]
) -> None:
    field = column({"type": kind, **({} if form is None else {"format": form}), **more})
    assert (field.type, field.nullable, is_json_text(field)) == (expected, True, False)


@pytest.mark.parametrize(
    "described",
    [
        {},
        {"type": None},
        {"type": "unknown"},
        {"type": "String"},
        {"type": 5},
        {"type": {}},
        {"type": "null"},
        {"type": []},
        {"type": ["string", "integer"]},
        {"type": ["string", 5]},
        {"type": ["null"]},
        {"type": "object"},
        {"type": "object", "format": "x", "nullable": True},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": None},
        {"properties": {"a": {"type": "string"}}},
        {"$ref": "#/components/schemas/Order"},
        {"$ref": "#/components/schemas/Order", "type": "integer"},
        {"oneOf": [{"type": "string"}]},
        {"anyOf": [{"type": "string"}]},
        {"allOf": [{"type": "string"}]},
        {"type": "object", "properties": {"a": {"type": "string"}}, "allOf": [{"$ref": "x"}]},
        {"type": "array", "items": {"type": "string"}, "anyOf": []},
    ],
)
def test_a_column_that_may_hold_any_value_is_json_text(described: object) -> None:
    field = column(described)
    assert (field.type, field.nullable, is_json_text(field)) == (pa.string(), True, True)
    assert field.metadata == {JSON_TEXT: b"json"}


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["string", "null"], pa.string()),
        (["null", "integer"], pa.int64()),
        (["boolean"], pa.bool_()),
        (["number", None], pa.float64()),
    ],
)
def test_one_type_beside_null_is_that_type(kinds: list[str | None], expected: pa.DataType) -> None:
    field = column({"type": kinds})
    assert (field.type, is_json_text(field)) == (expected, False)


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ({"items": {"type": "integer"}}, pa.list_(pa.int64())),
        ({"items": {"type": "array", "items": {"type": "string", "format": "date"}}}, pa.list_(pa.list_(pa.date32()))),
        (
            {"items": {"type": "object", "properties": {"a": {"type": "boolean"}}}},
            pa.list_(pa.struct([pa.field("a", pa.bool_())])),
        ),
        ({"items": {"type": ["string", "null"]}}, pa.list_(pa.string())),
    ],
)
def test_an_array_becomes_a_list_of_its_items(described: dict[str, object], expected: pa.DataType) -> None:
    field = column({"type": "array", **described})
    assert field.type == expected
    assert field.type.value_field.name == "item"
    assert not is_json_text(field.type.value_field)


@pytest.mark.parametrize("described", [{}, {"items": None}, {"items": {}}, {"items": {"type": "object"}}])
def test_items_that_may_be_anything_are_json_texts(described: dict[str, object]) -> None:
    field = column({"type": "array", **described})
    assert field.type == pa.list_(pa.string())
    assert is_json_text(field.type.value_field)
    assert not is_json_text(field)


def test_a_json_text_within_a_struct_is_marked() -> None:
    field = column({"type": "object", "properties": {"a": {"type": "object"}, "b": {"type": "string"}}})
    assert field.type == pa.struct([pa.field("a", pa.string()), pa.field("b", pa.string())])
    assert [is_json_text(child) for child in field.type] == [True, False]


def test_the_mark_says_what_a_column_holds() -> None:
    assert is_json_text(json_text_field("a"))
    assert json_text_field("a").name == "a"
    assert not is_json_text(pa.field("a", pa.string()))
    assert not is_json_text(pa.field("a", pa.string(), metadata={"arcane.text": "xml"}))


# --- the schemas that the originals are tested with

INT32 = {"type": "integer", "format": "int32"}
PAGES = {"max_pages": INT32, "min_pages": INT32}
CAPACITY = {"type": "object", "properties": {"size": {"type": "integer", "format": "int64"}}}
ORIGINALS = [
    (
        dict.fromkeys(("page", "limit", "pages", "total"), INT32),
        pa.schema([(name, pa.int32()) for name in ("page", "limit", "pages", "total")]),
    ),
    (
        {"page": INT32, "limit": {"type": "object", "properties": PAGES}, "desc": {"type": "string"}},
        pa.schema(
            [
                ("page", pa.int32()),
                ("limit", pa.struct([("max_pages", pa.int32()), ("min_pages", pa.int32())])),
                ("desc", pa.string()),
            ]
        ),
    ),
    (
        {
            "page": INT32,
            "limit": {"type": "object", "properties": {**PAGES, "capacity": CAPACITY}},
            "desc": {"type": "string"},
        },
        pa.schema(
            [
                ("page", pa.int32()),
                (
                    "limit",
                    pa.struct(
                        [
                            ("max_pages", pa.int32()),
                            ("min_pages", pa.int32()),
                            ("capacity", pa.struct([("size", pa.int64())])),
                        ]
                    ),
                ),
                ("desc", pa.string()),
            ]
        ),
    ),
]


@pytest.mark.parametrize(("properties", "expected"), ORIGINALS, ids=["simple", "nested", "two levels"])
def test_the_originals_schemas_are_read(properties: dict[str, object], expected: pa.Schema) -> None:
    document = {"type": "object", "properties": properties, "required": ["page"]}
    assert schema_from_openapi(encoded(document)) == expected
    assert schema_from_openapi(encoded(json.dumps(document, indent=2))) == expected


YAML = """\
# A row.
type: object
required: [id]
properties:
  id: {type: integer, format: int32}
  'name':
    type: string
    example: *x
  yes: {type: boolean}
  010: {type: [number, null]}
  2024-01-01:
    type: array
    items:
      type: string
      format: date-time
  ~:
    nullable: yes
"""


def test_yaml_is_read_with_its_keys_as_written() -> None:
    schema = schema_from_openapi(encoded(YAML.replace("*x", "!!python/object/apply:os.getcwd []")))
    assert schema == pa.schema(
        [
            ("id", pa.int32()),
            ("name", pa.string()),
            ("yes", pa.bool_()),
            ("010", pa.float64()),
            ("2024-01-01", pa.list_(TIMESTAMP)),
            ("~", pa.string()),
        ]
    )
    assert [is_json_text(field) for field in schema] == [False, False, False, False, False, True]


def test_quoted_words_of_yaml_are_texts() -> None:
    schema = schema_from_openapi(encoded("properties: {a: {type: [integer, 'null']}, b: {type: 'true'}}"))
    assert schema == pa.schema([("a", pa.int64()), ("b", pa.string())])


def test_white_space_in_base64_and_a_byte_order_mark_are_fine() -> None:
    text = encoded(b"\xef\xbb\xbf" + json.dumps({"properties": {"ä": {"type": "string"}}}).encode())
    wrapped = "\n".join([text[:20], text[20:40], "  " + text[40:], ""])
    assert schema_from_openapi(wrapped) == pa.schema([("ä", pa.string())])


def test_json_with_a_byte_order_mark_needs_no_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert schema_from_openapi(encoded(b'\xef\xbb\xbf{"properties": {"a": {}}}')).names == ["a"]


def test_the_order_of_columns_is_that_of_the_text() -> None:
    names = ["z", "a", "m", "B"]
    assert schema_from_openapi(encoded({"properties": {name: {} for name in names}})).names == names


# --- what is refused

NOT_BASE64 = "is not base64: encode the text of the schema, as in 'base64 -w0 schema.yaml'"
NO_OBJECT = "holds no object: it must be one schema object with properties"
TOO_DEEP = "is nested too deep"
TOO_LARGE = "is larger than 1 MiB: it must describe one row, not the whole API"


@pytest.mark.parametrize("text", ['{"type": "object"}', "YWJ", "YW-_", "YWJjé", "=", "YWJj====="])
def test_what_is_no_base64_is_refused(text: str) -> None:
    assert refusal(text) == NOT_BASE64


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"\xff\xfe{", "is the base64 of something else than UTF-8 text (byte 0)"),
        ("", NO_OBJECT),
        ("   # nothing", NO_OBJECT),
        ("[]", NO_OBJECT),
        ('"text"', NO_OBJECT),
        ("just a text", NO_OBJECT),
        ("null", NO_OBJECT),
        ('{"a": "b"', "is neither JSON nor YAML (line 1, column 10)"),
        ("a: [", "is neither JSON nor YAML (line 1, column 5)"),
        ("a: b\n c: d", "is neither JSON nor YAML (line 2, column 3)"),
        ("a: 1\n---\nb: 2\n", "is neither JSON nor YAML (line 2, column 1)"),
        ("a: \x01", "is neither JSON nor YAML"),
        ("{}", NO_PROPERTIES),
        ('{"type": "object"}', NO_PROPERTIES),
        ('{"type": "object", "properties": {}}', NO_PROPERTIES),
        ('{"type": "object", "properties": []}', NO_PROPERTIES),
        ('{"type": "array", "items": {"type": "object"}}', NO_PROPERTIES),
        ('{"openapi": "3.0.0", "components": {"schemas": {}}}', NO_PROPERTIES),
        ('{"properties": {"a": {}, "a": {}}}', 'has the name "a" twice in one object'),
        ('{"properties": {"a": {"type": "string", "type": "integer"}}}', 'has the name "type" twice in one object'),
        ("properties:\n  a: {}\n  a: {}\n", 'has the name "a" twice in one object'),
        ("properties: {? [a] : b}", "has a YAML key that is a list or an object"),
        (
            "properties: {a: &x {type: string}, b: *x}",
            "has YAML aliases (*name): write what they stand for in their place",
        ),
        (
            "properties: &p\n  a: {type: object, properties: *p}\n",
            "has YAML aliases (*name): write what they stand for in their place",
        ),
        (
            "properties: {a: {type: object, properties: 'null'}}",
            'cannot be used: the properties of "a" are no object; leave them out for a column of JSON text',
        ),
        ("# YAML\n" + "{a: " * 200 + "}" * 200, NO_PROPERTIES),
        ("# YAML\n" + "{a: " * 201 + "}" * 201, TOO_DEEP),
        ("{" * 100_000, TOO_DEEP),
        ("[" * 100_000, TOO_DEEP),
        ("- " * 100_000, TOO_DEEP),
        ('{"a":' * 100_000, TOO_DEEP),
        ('{"properties": {"\\ud800": {}}}', 'cannot be used: the name "\\ud800" has half of a surrogate pair'),
        ('{"a": "' + "x" * (1 << 20) + '"}', TOO_LARGE),
        ("#" * ((1 << 20) + 1), TOO_LARGE),
    ],
    ids=range(34),
)
def test_a_document_that_is_no_schema_is_refused(document: str | bytes, message: str) -> None:
    assert refusal(encoded(document)) == message


@pytest.mark.parametrize("value", ["string", 5, None, True, ["string"]])
def test_a_property_that_is_no_object_is_named(value: object) -> None:
    inner = {"type": "object", "properties": {"b": {"type": "array", "items": {"properties": {}, "type": "string"}}}}
    document = {"properties": {"fine": {}, "a": inner, "c": {"type": "object", "properties": {"d e": value}}}}
    assert refusal(encoded(document)) == (
        'cannot be used: "c.d e" is described by something else than an object, such as {"type": "string"}'
    )


def test_items_that_are_no_object_are_named() -> None:
    document = {"properties": {"a": {"type": "array", "items": {"type": "array", "items": [{"type": "string"}]}}}}
    assert refusal(encoded(document)) == (
        'cannot be used: "a[][]" is described by something else than an object, such as {"type": "string"}'
    )


@pytest.mark.parametrize("properties", [[], "x"])
def test_properties_that_are_no_object_are_named(properties: object) -> None:
    document = {"properties": {"a": {"type": "array", "items": {"type": "object", "properties": properties}}}}
    assert refusal(encoded(document)) == (
        'cannot be used: the properties of "a[]" are no object; leave them out for a column of JSON text'
    )


def test_an_object_of_no_properties_is_json_text() -> None:
    document = {"properties": {"a": {"type": "object", "properties": {}}}}
    assert is_json_text(schema_from_openapi(encoded(document)).field("a"))


def nested(levels: int) -> dict[str, Any]:
    described: dict[str, Any] = {"type": "string"}
    for level in range(levels - 1):
        described = (
            {"type": "array", "items": described} if level % 2 else {"type": "object", "properties": {"n": described}}
        )
    return {"properties": {"n": described}}


@pytest.mark.parametrize("dump", [json.dumps, lambda value: "# YAML\n" + json.dumps(value)], ids=["json", "yaml"])
def test_columns_are_nested_up_to_64_levels(dump: Any) -> None:
    data_type = schema_from_openapi(encoded(dump(nested(64)))).field("n").type
    for _ in range(63):
        data_type = data_type.field(0).type
    assert data_type == pa.string()
    assert refusal(encoded(dump(nested(65)))).endswith(' is nested more than 64 levels deep')  # fmt: skip


def test_a_long_path_is_cut() -> None:
    message = refusal(encoded({"properties": {"x" * 10_000: 5}}))
    assert message.startswith(f'cannot be used: "{"x" * 200}..." is described')


def test_yaml_without_its_package_names_the_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert schema_from_openapi(encoded('{"properties": {"a": {}}}')).names == ["a"]
    assert refusal(encoded("properties: {a: {}}")) == (
        "is not JSON (line 1, column 1), and YAML cannot be read, because the package PyYAML is not installed: "
        "run 'pip install PyYAML' or encode the schema as JSON"
    )


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["string", "object", "array", "null", "integer", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "items", "format", "$ref", "allOf"]) | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(DOCUMENTS)
def test_any_json_gives_a_schema_or_a_named_problem(document: object) -> None:
    text = encoded(json.dumps({"properties": {"a": document}}))
    try:
        schema = schema_from_openapi(text)
    except ConfigurationError as error:
        problem = str(error)
    else:
        problem = ""
        assert schema.names == ["a"]
        assert schema.empty_table().num_rows == 0
    assert not problem or problem.startswith("apiSchemaEncoded cannot be used: ")


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_bytes_give_a_schema_or_a_problem(content: bytes) -> None:
    assert refusal(encoded(content))

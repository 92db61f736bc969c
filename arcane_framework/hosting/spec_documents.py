"""Reads specs and other JSON objects from texts and files, and merges an override over a spec. Pure but for the file.

No message shows a document's content: it may hold secrets where someone has put them by mistake.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import JsonValue

MAX_DEPTH = 64
MAX_BYTES = 16 << 20

JsonObject = dict[str, JsonValue]


class UnreadableDocument(Exception):  # noqa: N818 - caught where it is listed among the other problems
    """The document cannot be used; the message says why, as the end of a sentence, without its content."""


def parse_json_object(text: str) -> JsonObject:
    """The JSON object that `text` holds.

    Raises:
        UnreadableDocument: It is no JSON, no object, or nested deeper than `MAX_DEPTH`.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise UnreadableDocument(f"is not JSON (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise UnreadableDocument(f"is nested more than {MAX_DEPTH} levels deep") from None
    except ValueError:
        raise UnreadableDocument(
            "is not JSON: it holds a number that JSON does not allow or that is too long"
        ) from None
    return _checked_object(value)


def read_spec_file(path: Path) -> JsonObject:
    """The spec in a file: JSON when the name ends in `.json`, otherwise YAML.

    YAML words mean what they mean in JSON: `yes`, `010`, `12:30` and `2024-01-01` are texts.

    Raises:
        UnreadableDocument: The file cannot be read, or holds no object.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UnreadableDocument(f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UnreadableDocument(f"is not UTF-8 text (byte {error.start})") from None
    if len(content) > MAX_BYTES:
        raise UnreadableDocument(f"is larger than {MAX_BYTES >> 20} MiB")
    return parse_json_object(text) if path.suffix.lower() == ".json" else _parse_yaml_object(text)


def merge_override(spec: Mapping[str, JsonValue], override: Mapping[str, JsonValue]) -> JsonObject:
    """`override` merged deeply over `spec`, as a JSON merge patch (RFC 7396); neither is changed.

    Objects are merged, everything else (lists, too) is replaced, null takes a key out. A key that `spec`
    has in another letter case is the same key, unless `spec` also has it letter by letter.
    """
    result: JsonObject = dict(spec)
    for key, value in override.items():
        same = [key] if key in result else [present for present in result if present.casefold() == key.casefold()]
        replaced = [result.pop(present) for present in same]
        if isinstance(value, dict):
            base = next((current for current in replaced if isinstance(current, dict)), {})
            result[same[0] if same else key] = merge_override(base, value)
        elif value is not None:
            result[same[0] if same else key] = value
    return result


def _checked_object(value: Any) -> JsonObject:
    if not isinstance(value, dict):
        raise UnreadableDocument("is no object: it must hold keys with values")
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return value
    raise UnreadableDocument(f"is nested more than {MAX_DEPTH} levels deep")


def _children(value: Any) -> list[Any]:
    children = value.values() if isinstance(value, dict) else value
    return [child for child in children if isinstance(child, (dict, list))]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _parse_yaml_object(text: str) -> JsonObject:
    try:
        import yaml
    except ImportError:
        raise UnreadableDocument(
            "cannot be read as YAML, because the package PyYAML is not installed: "
            "run 'pip install PyYAML' or give the spec as a .json file"
        ) from None
    try:
        value = yaml.load(text, Loader=_json_like_loader())  # noqa: S506 - derived from SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise UnreadableDocument(f"is not YAML{place}") from None
    except (yaml.YAMLError, ValueError):
        raise UnreadableDocument("is not YAML") from None
    except RecursionError:
        raise UnreadableDocument(f"is nested more than {MAX_DEPTH} levels deep") from None
    return _as_json(value)


def _json_like_loader() -> Any:
    """A safe YAML loader for the words that JSON has; YAML 1.1 would make `12:30` the number 750."""
    import re

    import yaml

    class JsonLikeLoader(yaml.SafeLoader):
        yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own name

    for tag, pattern, first in (
        ("null", r"(?:~|null|)$", ["~", "n", ""]),
        ("bool", r"(?:true|false)$", list("tf")),
        ("int", r"-?(?:0|[1-9][0-9]{0,400})$", list("-0123456789")),
        ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$", list("-0123456789")),
        ("merge", r"<<$", ["<"]),
    ):
        JsonLikeLoader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), first)
    return JsonLikeLoader


def _as_json(value: Any) -> JsonObject:
    """The document as JSON would have it: keys become texts, and explicit tags (`!!set`) are refused."""
    checked = _checked_object(value)
    try:
        plain: JsonObject = json.loads(json.dumps(checked, allow_nan=False))
    except (TypeError, ValueError):
        raise UnreadableDocument(
            "holds a value that JSON has no word for (a date, set, binary or infinite value)"
        ) from None
    return plain

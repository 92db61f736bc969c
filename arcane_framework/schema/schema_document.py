"""Reads the JSON or YAML text of a schema as plain objects, lists and scalars. Pure.

No message shows the text. JSON needs no library; YAML needs PyYAML.
"""

import json
from typing import Any

MAX_LEVELS = 200
"""How deep lists and objects of a YAML text may be nested; a column that is nested 64 levels deep needs 130."""

_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}


class InvalidDocument(Exception):  # noqa: N818 - the end of a sentence, which the caller begins
    """The document cannot be used; the message says why, as the end of a sentence."""


def parse_schema_document(text: str) -> dict[str, Any]:
    """The object that a JSON or YAML text holds.

    YAML keys and words are texts as they are written, but for null, true and false. Its aliases are refused:
    a few lines of them describe billions of columns, or a column within itself.

    Raises:
        InvalidDocument: It is neither, no object, nested too deep, or has a name twice in one object.
    """
    try:
        value = json.loads(text, object_pairs_hook=_without_doubles)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        # YAML has a word for everything that JSON has, and more.
        value = _parse_yaml(text, error)
    if not isinstance(value, dict):
        raise InvalidDocument("holds no object: it must be one schema object with properties")
    return value


def _too_deep() -> InvalidDocument:
    return InvalidDocument("is nested too deep")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise _doubled(name)
        result[name] = value
    return result


def _doubled(name: str) -> InvalidDocument:
    return InvalidDocument(f"has the name {json.dumps(name[:200])} twice in one object")


def _parse_yaml(text: str, json_error: ValueError) -> Any:
    place = (
        f" (line {json_error.lineno}, column {json_error.colno})"
        if isinstance(json_error, json.JSONDecodeError)
        else ""
    )
    try:
        import yaml
    except ImportError:
        raise InvalidDocument(
            f"is not JSON{place}, and YAML cannot be read, because the package PyYAML is not installed: "
            "run 'pip install PyYAML' or encode the schema as JSON"
        ) from None
    try:
        return _YamlReader(yaml).read(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise InvalidDocument(f"is neither JSON nor YAML{place}") from None
    except yaml.YAMLError:
        raise InvalidDocument("is neither JSON nor YAML") from None
    except RecursionError:
        raise _too_deep() from None


class _YamlReader:
    """Takes PyYAML's nodes apart instead of constructing objects: tags have no effect, keys stay as written."""

    def __init__(self, yaml: Any) -> None:
        self._yaml = yaml

    def read(self, text: str) -> Any:
        yaml = self._yaml
        self._check_tokens(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return None if node is None else self._value(node)

    def _check_tokens(self, text: str) -> None:
        """Before nodes are made: aliases would make a graph of them, and the scanner takes minutes for deep nesting."""
        yaml = self._yaml
        begins = (
            yaml.BlockMappingStartToken,
            yaml.BlockSequenceStartToken,
            yaml.FlowMappingStartToken,
            yaml.FlowSequenceStartToken,
        )
        ends = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)
        depth = 0
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.AliasToken):
                raise InvalidDocument("has YAML aliases (*name): write what they stand for in their place")
            depth += isinstance(token, begins) - isinstance(token, ends)
            if depth > MAX_LEVELS:
                raise _too_deep()

    def _value(self, node: Any) -> Any:
        yaml = self._yaml
        if isinstance(node, yaml.MappingNode):
            return _without_doubles([(self._key(key), self._value(value)) for key, value in node.value])
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item) for item in node.value]
        # A word in quotes is a text, whatever it says.
        return node.value if node.style else _WORDS.get(node.value.lower(), node.value)

    def _key(self, node: Any) -> str:
        if not isinstance(node, self._yaml.ScalarNode):
            raise InvalidDocument("has a YAML key that is a list or an object")
        return str(node.value)

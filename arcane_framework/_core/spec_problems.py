"""Turns pydantic's errors into lines that name a spec's fields in plain words and show no secret."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic_core import ErrorDetails

from arcane_framework._core.durations import describe_duration
from arcane_framework._core.spec_reading import Path, SpecReading, path_text

SHOWN_CHARACTERS = 60
MASK = "***"

# Shorter values cannot be masked: every second word of a message would hold them.
_MASKED_CHARACTERS = 4

_REQUIREMENTS = {
    "int_type": "must be a whole number, without quotes",
    "int_parsing": "must be a whole number, without quotes",
    "int_from_float": "must be a whole number, without quotes",
    "float_type": "must be a number, without quotes",
    "float_parsing": "must be a number, without quotes",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false, without quotes",
    "bool_parsing": "must be true or false, without quotes",
    "string_type": "must be a text",
    "string_unicode": "must be a text of valid Unicode characters",
    "string_too_short": "must have a length of {min_length} or more",
    "string_too_long": "must have a length of {max_length} or less",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "too_short": "must have a length of {min_length} or more",
    "too_long": "must have a length of {max_length} or less",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
    "dict_type": "must be an object",
    "mapping_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "none_required": "must be null",
    "extra_forbidden": "is not known; remove it",
}

# What validators of the plugin say is shown as it is: they have named the value if it matters.
_AUTHOR_ERRORS = ("value_error", "assertion_error")


def spec_problems(errors: Sequence[ErrorDetails], data: Mapping[str, Any], reading: SpecReading) -> list[str]:
    """One line for each wrong field, those of the walk first.

    Args:
        errors: What pydantic has found wrong with `data`.
        data: The spec as it was validated, secrets included.
        reading: What the walk over the spec has found.
    """
    wrong: dict[Path, dict[str, str]] = {}
    for error in errors:
        path = _spec_path(error, data)
        requirement = _requirement(error, path, reading)
        wrong.setdefault(path, {}).setdefault(requirement, _offending_value(error, path, reading))
    lines = [*reading.problems, *(_line(path, requirements) for path, requirements in wrong.items())]
    return [_masked(" ".join(line.splitlines()), reading.secret_values) for line in lines]


def shortened(value: object) -> str:
    """A value for a message: a scalar as JSON, cut to 60 characters; lists and objects by their kind alone."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    if isinstance(value, str):
        text = value if len(value) <= SHOWN_CHARACTERS else f"{value[:SHOWN_CHARACTERS]}..."
        return json.dumps(text, ensure_ascii=not text.isprintable())
    try:
        text = json.dumps(value, default=str)
    except ValueError:  # an integer of more digits than Python will write
        return "a number"
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def _line(path: Path, requirements: Mapping[str, str]) -> str:
    # Several requirements at one place are those of a union's members.
    value = next((value for value in requirements.values() if value), "")
    text = f"{' or '.join(requirements)}{value}"
    return f"{path_text(path)}: {text}" if path else text


def _spec_path(error: ErrorDetails, data: Mapping[str, Any]) -> Path:
    """The error's place without the tags that pydantic adds for the members of a union."""
    path: list[str | int] = []
    current: Any = data
    for step in error["loc"]:
        is_key = isinstance(current, Mapping) and step in current
        is_index = isinstance(current, list) and isinstance(step, int) and step < len(current)
        if is_key or is_index:
            path.append(step)
            current = current[step]
    if error["type"] == "missing":
        path.append(error["loc"][-1])
    return tuple(path)


def _requirement(error: ErrorDetails, path: Path, reading: SpecReading) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing" and path in reading.variables:
        first, *others = reading.variables[path]
        also = f" ({' and '.join(others)} {'is' if len(others) == 1 else 'are'} read as well)" if others else ""
        what = "is required" if path in reading.plain else "is a secret"
        return f"{what} and missing; set the environment variable {first}{also}"
    if kind == "missing":
        return "is required and missing; add it to the spec"
    if kind in _AUTHOR_ERRORS:
        return str(context["error"])
    if kind in _REQUIREMENTS:
        return _REQUIREMENTS[kind].format_map({name: _plain(value) for name, value in context.items()})
    return error["msg"].replace("Input should be", "must be", 1)


def _offending_value(error: ErrorDetails, path: Path, reading: SpecReading) -> str:
    is_secret = any(path[: len(secret)] == secret for secret in reading.variables)
    if is_secret or error["type"] == "missing" or error["type"] in _AUTHOR_ERRORS:
        return ""
    value = error["input"]
    if isinstance(value, str) and any(secret in value for secret in reading.secret_values):
        return ""
    return f" (got {shortened(value)})"


def _plain(bound: object) -> str:
    """A bound in plain words; pydantic hands over those of durations as `datetime.timedelta(seconds=60)`."""
    text = str(bound)
    if not isinstance(bound, timedelta) and not text.startswith("datetime.timedelta("):
        return text
    if isinstance(bound, timedelta):
        return describe_duration(bound)
    parts = {unit: int(amount) for unit, amount in re.findall(r"(days|seconds|microseconds)=(-?\d+)", text)}
    return describe_duration(timedelta(**parts))


def _masked(line: str, secrets: set[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _MASKED_CHARACTERS:
            line = line.replace(secret, MASK)
    return line

"""Splits a text at its placeholders: whole tokens `@name` of names that are declared. Pure."""

import re
from collections.abc import Iterable

_WORD = re.compile(r"@(\w+)")

# A literal time may follow a date: `@dateT00:00:00Z`. Any other word character makes it another token.
_END = r"(?!(?!T\d)\w)"


def split_at_placeholders(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """The pieces of the text: literals at even indexes, the names of placeholders between them.

    Of several names that fit, the longest is taken.
    """
    longest_first = sorted(names, key=len, reverse=True)
    if not longest_first:
        return (text,)
    return tuple(re.split(f"@({'|'.join(map(re.escape, longest_first))}){_END}", text))


def look_alikes(literal: str, names: Iterable[str]) -> list[str]:
    """The longest name that each word behind an `@` in a literal piece begins with, as `@name...`."""
    longest_first = sorted(names, key=len, reverse=True)
    found = (next((name for name in longest_first if word.startswith(name)), None) for word in _WORD.findall(literal))
    return [f"@{name}..." for name in found if name is not None]

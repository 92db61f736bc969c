"""Reads the documentation's pages: their fenced blocks, and what to do with each kind.

```python   with a first line `# file: NAME` it becomes that file, else it is executed in the page's namespace
```json     likewise a file (the marker is no part of it); other languages the same
```console  commands, each behind `$ `; the lines after one are its standard output, `...` stands for anything
```sh       for people only
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
INTERRUPT = "# stop it with Ctrl-C"

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"\A# file: (?P<name>\S+)\n")
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        language: Its info string.
        text: Its content, without the line that names a file.
        file: The file that it is.
        line: The number of its first line of content in the page.
    """

    language: str
    text: str
    file: str | None
    line: int


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a console block.

    Attributes:
        text: What the shell gets.
        output: The standard output shown; None when nothing is shown.
        interrupted: Ctrl-C ends it.
    """

    text: str
    output: str | None
    interrupted: bool


def pages() -> list[Path]:
    """The README and all pages below `docs/`, in a fixed order."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name(page: Path) -> str:
    """The page's path as a person writes it."""
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    for match in _FENCE.finditer(text):
        content, line = match["text"], text.count("\n", 0, match.start()) + 2
        found = _FILE.match(content)
        if found:
            content, line = content[found.end() :], line + 1
        yield Block(match["language"], content, found["name"] if found else None, line)


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block.

    Raises:
        ValueError: It does not begin with a command.
    """
    if not block.text.startswith("$ "):
        raise ValueError(f"line {block.line}: a console block begins with a command")
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        text, _, output = part.partition("\n")
        yield Command(text, output or None, text.endswith(INTERRUPT))


def fits(shown: str, actual: str) -> bool:
    """Whether `actual` is what a page shows; `...` stands for anything on a line, or for lines when it stands alone."""
    lines = (
        "(?s:.*)" if line == "..." else ".*".join(re.escape(piece) for piece in line.split("..."))
        for line in shown.strip("\n").splitlines()
    )
    return re.fullmatch("\n".join(lines), actual.strip("\n")) is not None


def links(text: str) -> Iterator[str]:
    """The targets of the links of a page that lead to files."""
    for match in _LINK.finditer(_FENCE.sub("", text)):
        if "://" not in match["target"]:
            yield match["target"]

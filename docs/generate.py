"""Writes `docs/reference/` from the package's docstrings, context classes and command lines.

`python docs/generate.py` writes the pages; a test compares them with what it would write.
"""

import ast
import contextlib
import importlib
import inspect
import io
import os
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import arcane_framework
from arcane_framework import FromEnvironment, Grouping, SinkContext, SpecModel
from arcane_framework.hosting import environment, metrics
from arcane_framework.plugins import rest_api
from arcane_framework.sinks import ParquetSettings, PartitionField, PartLayout, Segments
from arcane_framework.sources.rest import FieldType, Placement
from arcane_framework.sources.rest.pagers import ResolverType

REFERENCE: Final = Path(__file__).parent / "reference"
MODULES: Final = (
    "arcane_framework",
    "arcane_framework.sources",
    "arcane_framework.sources.rest",
    "arcane_framework.schema",
    "arcane_framework.http",
    "arcane_framework.operators",
    "arcane_framework.sinks",
    "arcane_framework.storage",
    "arcane_framework.commits",
    "arcane_framework.hosting",
    "arcane_framework.testing",
)
NOTE: Final = "<!-- Written by docs/generate.py; change the docstrings instead. -->\n"

VARIABLES: Final[Sequence[tuple[Sequence[str], str, str]]] = (
    ((environment.SPEC,), "required, unless `--spec` is given", "The stream definition's spec, as JSON."),
    (
        environment.OVERRIDES,
        "",
        "JSON merged deeply over the spec for this run (a JSON merge patch). The first of the two that is set counts.",
    ),
    ((environment.STREAM_ID,), "required, `local` in a local run", "Names the stream, its folder and its Job."),
    ((environment.STREAM_KIND,), "required, the builder's name in a local run", "The custom resource's kind."),
    ((environment.BACKFILL,), "`false`", "`true` reloads the stream in full; any letter case."),
    ((environment.BACKFILL_ID,), "", "The identity of one backfill: the same id resumes it, another id starts anew."),
    (
        environment.LOG_LEVELS,
        "`info`, `warning` below a live progress line",
        "`debug`, `info`, `warning`, `error` or `critical`; the names of .NET are understood, too.",
    ),
    ((environment.LOG_FORMAT,), "`json` unless standard error is a terminal", "`json` or `console`."),
    ((environment.LOGGING_PROPERTIES,), "", "A JSON object of fields for every log line."),
    ((environment.APPLICATION_VERSION,), "", "The log field `ApplicationVersion`."),
    ((environment.METRICS_ENABLED,), "`true`", "`false` sends no metrics."),
    (
        (environment.DATADOG_SOCKET_PATH,),
        f"`{metrics.DEFAULT_SOCKET_PATH}`",
        "The DogStatsD socket; it need not exist. Outside a cluster nothing is sent unless it does.",
    ),
    (
        ("ARCANE__<NAME>",),
        "",
        "A secret field of the context: `auth_headers` is read from `ARCANE__AUTHHEADERS`, then from `authHeaders` in "
        "any letter case. See `FromEnvironment` for other names.",
    ),
    (("ARCANE__<NAME>_FILE",), "", "A file that holds the secret `ARCANE__<NAME>`; used when that is not set itself."),
    (
        ("ARCANE__AWS_<NAME>", "ARCANE__AZURE_<NAME>"),
        "",
        "Settings for S3 and Azure: keys, endpoints; see the how-to about them.",
    ),
    (
        ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"),
        "set by Kubernetes",
        "Where the API is that the Job's annotation is written through; without them there is no cluster.",
    ),
)
"""Names, default, meaning."""

_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$")
_ENTRY = re.compile(r"^(?P<name>\*{0,2}[\w.]+)(?: \([^)]*\))?: (?P<text>.*)$", re.DOTALL)


def main() -> None:
    """Write all pages, and remove those that are no longer written."""
    REFERENCE.mkdir(exist_ok=True)
    wanted = generate()
    for name, text in wanted.items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
    for path in REFERENCE.iterdir():
        if path.name not in wanted:
            path.unlink()


def generate() -> dict[str, str]:
    """All pages: file name to text."""
    described: dict[int, str] = {}
    pages = {f"{_short(name)}.md": module_page(name, described) for name in MODULES}
    pages["settings.md"] = settings_page()
    pages["kinds.md"] = kinds_page()
    pages["README.md"] = index_page()
    return pages


def index_page() -> str:
    """The list of the public names by module."""
    lines = [
        "# Reference",
        "",
        NOTE,
        "Every [setting](settings.md), every [ready-made kind](kinds.md), and every public name:",
        "",
    ]
    for name in MODULES:
        page = f"{_short(name)}.md"
        names = ", ".join(f"[`{public}`]({page}#{public.lower()})" for public in importlib.import_module(name).__all__)
        lines += [f"* [`{name}`]({page}): {names}"]
    return "\n".join(lines) + "\n"


# Modules.


def module_page(name: str, described: dict[int, str]) -> str:
    """A module's docstring, then its public names in the order of its export list.

    Args:
        name: The module.
        described: Where a value is described, by its identity; the module's own are added.
    """
    module = importlib.import_module(name)
    lines = [f"# {name}", "", NOTE, *_markdown(inspect.getdoc(module) or "")]
    for public in module.__all__:
        value, place = getattr(module, public), f"{_short(name)}.md#{public.lower()}"
        first = described.setdefault(id(value), place)
        lines += ["", f"## {public}", ""]
        lines += _entry(public, value) if first == place else [f"See [{public}]({first})."]
    return "\n".join(lines) + "\n"


def _entry(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, type):
        yield from _class(value)
    elif inspect.isfunction(value):
        yield from _code(f"{name}{_signature(_node(value))}")
        yield from _markdown(inspect.getdoc(value) or "")
    else:
        yield from _alias(name)


def _class(value: type) -> Iterator[str]:
    node = _node(value)
    assert isinstance(node, ast.ClassDef)
    bases = ", ".join(_text(base) for base in node.bases)
    head = f"class {value.__name__}({bases})" if bases else f"class {value.__name__}"
    yield from _code("\n".join([head, *_fields(node)]))
    yield from _markdown(inspect.getdoc(value) or "")
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and _is_shown(member):
            title = "Construction" if member.name == "__init__" else f"{value.__name__}.{member.name}"
            yield from ("", f"### {title}", "")
            shown = value.__name__ if member.name == "__init__" else member.name
            yield from _code(shown if _is_property(member) else f"{shown}{_signature(member)}")
            yield from _markdown(_doc(member) or _inherited_doc(value, member.name))


def _fields(node: ast.ClassDef) -> Iterator[str]:
    """The class's public fields, or an enumeration's values, as they are written."""
    for statement in node.body:
        target = statement.target if isinstance(statement, ast.AnnAssign) else None
        is_field = isinstance(target, ast.Name) and not target.id.startswith("_")
        is_value = isinstance(statement, ast.Assign) and "StrEnum" in map(_text, node.bases)
        if is_field or is_value:
            yield f"    {_text(statement)}"


def _is_shown(member: ast.FunctionDef) -> bool:
    if member.name == "__init__":
        return len(member.args.args) + len(member.args.kwonlyargs) > 1
    overload = any(_text(decorator) == "overload" for decorator in member.decorator_list)
    return not member.name.startswith("_") and not overload


def _is_property(member: ast.FunctionDef) -> bool:
    return any(_text(decorator) == "property" for decorator in member.decorator_list)


def _alias(name: str) -> Iterator[str]:
    """A type alias: its definition and the text under it, wherever the package has it."""
    for path in sorted(Path(arcane_framework.__file__).parent.rglob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for statement, after in zip(body, [*body[1:], None], strict=True):
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                yield from _code(_text(statement))
                if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                    yield from _markdown(inspect.cleandoc(str(after.value.value)))
                return
    raise LookupError(f"{name} is not defined in the package")


# Settings.


def settings_page() -> str:
    """The environment, the sinks' settings and the command lines."""
    lines = ["# Settings", "", NOTE, "## Environment variables", "", "An empty variable counts as not set.", ""]
    rows = [(" or ".join(f"`{name}`" for name in names), default, text) for names, default, text in VARIABLES]
    lines += _table(("variable", "default", "meaning"), rows)
    lines += ["", "## The spec's fields of a sink: `SinkContext`", ""]
    lines += ["A plugin's context class that derives from `SinkContext` has them; keys match in any letter case.", ""]
    lines += _table(("key", "type", "default", "meaning"), _spec_rows(SinkContext))
    lines += ["", "A duration is a whole number of seconds, or a text: `PT30S`, `30 seconds`, `5 minutes`, `60s`."]
    lines += ["", "## Settings of sinks, in a plugin's code"]
    for settings in (Grouping, ParquetSettings, PartLayout, Segments, PartitionField):
        summary = (inspect.getdoc(settings) or "").partition("\n\nAttributes:")[0]
        lines += ["", f"### `{settings.__name__}`", "", *_markdown(summary), ""]
        lines += _table(("field", "type", "default", "meaning"), _dataclass_rows(settings))
    lines += ["", "## Command lines", *_command_lines()]
    return "\n".join(lines) + "\n"


def _dataclass_rows(settings: type) -> Iterator[tuple[str, ...]]:
    meanings = _attributes(settings)
    for statement in _annotated(settings):
        name = _text(statement.target)
        shown = setting_type(statement.annotation), setting_default(statement.value)
        yield f"`{name}`", *shown, meanings.get(name, "")


_TYPES: Final = {
    "bool": "`True` or `False`",
    "float": "number",
    "int": "whole number",
    "Instant": "instant",
    "Seconds": "duration",
    "str": "text",
    **{kind.__name__: ", ".join(f"`{value}`" for value in kind) for kind in (FieldType, Placement, ResolverType)},
}
_LIMITS: Final = {
    "gt": (" greater than 0", ("0", "timedelta(0)", "NOTHING")),
    "ge": (", not negative", ("0", "NOTHING")),
    "min_length": (", not empty", ("1",)),
}


def setting_type(node: ast.AST) -> str:
    """A setting's annotation in words.

    Raises:
        LookupError: There are no words for it yet.
    """
    match node:
        case ast.Name(id=name):
            return _TYPES.get(name, f"`{name}`")
        case ast.Constant(value=None):
            return "`None`"
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return f"{setting_type(left)} or {setting_type(right)}"
        case ast.Subscript(value=ast.Name(id="Literal"), slice=values):
            choices = values.elts if isinstance(values, ast.Tuple) else [values]
            return ", ".join(f"`{_text(choice)}`" for choice in choices)
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[kind, ast.Constant(value=end)])) if (
            end is ...
        ):
            return f"tuple of {setting_type(kind)}"
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[kind, ast.Call(keywords=limits)])):
            return setting_type(kind) + "".join(_limit(limit) for limit in limits)
    raise LookupError(f"no words for the type {ast.unparse(node)}")


def _limit(limit: ast.keyword) -> str:
    words, values = _LIMITS.get(str(limit.arg), ("", ()))
    if _text(limit.value) in values:
        return words
    raise LookupError(f"no words for the limit {limit.arg}={_text(limit.value)}")


def setting_default(node: ast.AST | None) -> str:
    """A setting's default in words: sizes and times with their unit."""
    match node:
        case None:
            return "required"
        case ast.Constant(value=int(number)) if not isinstance(number, bool) and number >= 10_000:
            return f"{number:,}"
        case ast.BinOp(left=ast.Constant(value=int(number)), op=ast.LShift(), right=ast.Constant(value=20)):
            return f"{number} MiB"
        case ast.Call(func=ast.Name(id="timedelta"), args=[], keywords=[ast.keyword(arg=unit, value=number)]):
            return f"{_text(number)} {unit}"
        case ast.Call(func=ast.Name(id="field"), keywords=[ast.keyword(arg="default_factory", value=factory)]):
            return f"`{_text(factory)}()`"
    return f"`{_text(node)}`"


def _annotated(value: type) -> Iterator[ast.AnnAssign]:
    node = _node(value)
    assert isinstance(node, ast.ClassDef)
    return (statement for statement in node.body if isinstance(statement, ast.AnnAssign))


def _attributes(value: type) -> Mapping[str, str]:
    """What the class's docstring says about each attribute."""
    _, _, section = (inspect.getdoc(value) or "").partition("Attributes:\n")
    entries = (_ENTRY.match(text) for text in _items(section.splitlines()))
    return {entry["name"]: _joined(entry["text"]) for entry in entries if entry}


def _command_lines() -> Iterator[str]:
    from arcane_framework import cli, run

    for shown, command in (
        ("python -m arcane_framework.run --help", lambda: run.main(["--help"])),
        ("arcane state --help", lambda: cli.main(["state", "--help"])),
        ("arcane graph --help", lambda: cli.main(["graph", "--help"])),
    ):
        yield from ("", "```text", f"$ {shown}", _printed(command), "```")


def _printed(command: Callable[[], object]) -> str:
    output = io.StringIO()
    kept = {name: os.environ.get(name) for name in ("COLUMNS", "NO_COLOR")}
    os.environ.update({"COLUMNS": "100", "NO_COLOR": "1"})
    try:
        with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
            command()
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return output.getvalue().rstrip()


# Kinds.

_KIND_PARTS: Final[Sequence[tuple[type[SpecModel], str]]] = (
    (rest_api.RestApiContext, "Fields of all kinds"),
    (rest_api.PagedContext, "Fields of kinds with pages"),
    (rest_api.FixedAuthContext, "Variables of kinds with fixed headers"),
    (rest_api.DynamicAuthContext, "Variables of kinds with tokens"),
)
_KIND_OBJECTS: Final[Sequence[tuple[type[SpecModel], str]]] = (
    (rest_api.TemplatedFieldSpec, "An entry of templatedFields"),
    (rest_api.PageResolverSpec, "The fields of pageResolverConfiguration"),
)
_JSON_WORDS: Final = (
    (r"`(True|False)`", lambda found: found[0].lower()),
    (r" or `None`", ""),
    (r"tuple of `TemplatedFieldSpec`", "list of [fields](#an-entry-of-templatedfields)"),
    (r"tuple of", "list of"),
    (r"`PageResolverSpec`", "[object](#the-fields-of-pageresolverconfiguration)"),
    (r"`ObservabilitySpec`", "object, whose `metricTags` are texts by name"),
    (r"`ParquetSpec\(\)`", "`{}`"),
    (
        r"`ParquetSpec`",
        "object of `compression` (`snappy`, `zstd`, `gzip`, `lz4`, `none`), `compressionLevel`, `statistics` and "
        "`dictionary` (`auto`, `all`, `none`)",
    ),
    (r"`NOTHING`", "`0`"),
    (r"`\(\)`", "`[]`"),
    (r"`None`", ""),
    (r"`\w+\.(\w+)`", r"`\1`"),
    (r"`'(\w*)'`", r"`\1`"),
)


def kinds_page() -> str:
    """The ready-made kinds: which they are, the fields of their specs, and their environment variables."""
    lines = ["# Ready-made kinds", "", NOTE, "What they do: [read a REST API](../how-to/read-a-rest-api.md).", ""]
    lines += _table(("kind", "has"), _kinds())
    lines += ["", "Keys match in any letter case, and keys that are not listed are ignored. The fields of the sink are"]
    lines += ["those of [`SinkContext`](settings.md#the-specs-fields-of-a-sink-sinkcontext)."]
    for part, title in (*_KIND_PARTS[:2], *_KIND_OBJECTS):
        lines += ["", f"## {title}", "", *_table(("key", "type", "default", "meaning"), _spec_rows(part))]
    lines += [
        "",
        "A duration is a whole number of seconds, or a text: `PT30S`, `5 minutes`, `60s`. An instant is a number of",
    ]
    lines += ["milliseconds since 1970, or a text: `2025-01-01T00:00:00Z`."]
    for part, title in _KIND_PARTS[2:]:
        lines += ["", f"## {title}", "", *_table(("variable", "default", "meaning"), _variable_rows(part))]
    return "\n".join(lines) + "\n"


def _kinds() -> Iterator[tuple[str, str]]:
    for kind, context in rest_api.RestApiStream.contexts.items():
        titles = [title for part, title in _KIND_PARTS if issubclass(context, part)]
        yield f"`{kind}`", ", ".join(f"[{title}](#{title.lower().replace(' ', '-')})" for title in titles)


def _spec_rows(part: type[SpecModel]) -> Iterator[tuple[str, ...]]:
    meanings = _attributes(part)
    for statement in _annotated(part):
        name = _text(statement.target)
        shown = setting_type(statement.annotation), setting_default(statement.value)
        yield f"`{part.model_fields[name].alias}`", *map(_in_json, shown), meanings.get(name, "")


def _variable_rows(part: type[SpecModel]) -> Iterator[tuple[str, ...]]:
    meanings = _attributes(part)
    for statement in _annotated(part):
        name = _text(statement.target)
        markers = [each for each in part.model_fields[name].metadata if isinstance(each, FromEnvironment)]
        variables = markers[0].names if markers else (f"ARCANE__{name.replace('_', '').upper()}",)
        default = _in_json(setting_default(statement.value))
        yield " or ".join(f"`{each}`" for each in variables), default, meanings.get(name, "")


def _in_json(words: str) -> str:
    """A type or a default as a spec has it."""
    for pattern, written in _JSON_WORDS:
        words = re.sub(pattern, written, words)
    return words


# Docstrings and source.


def _node(value: Any) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]


def _signature(node: ast.AST) -> str:
    assert isinstance(node, ast.FunctionDef)
    arguments = node.args
    if arguments.args and arguments.args[0].arg in ("self", "cls"):
        arguments.args = arguments.args[1:]
    returns = "" if node.returns is None or node.name == "__init__" else f" -> {_text(_unquoted(node.returns))}"
    return f"({_text(arguments)}){returns}"


def _text(node: ast.AST) -> str:
    """The source of `node`, names in quotes without them."""
    for child in ast.walk(node):
        if isinstance(child, (ast.arg, ast.AnnAssign)):
            child.annotation = _unquoted(child.annotation)
    return ast.unparse(node)


def _unquoted(node: Any) -> Any:
    is_quoted = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return ast.parse(node.value, mode="eval").body if is_quoted else node


def _doc(member: ast.FunctionDef) -> str:
    return inspect.cleandoc(ast.get_docstring(member) or "")


def _inherited_doc(value: type, name: str) -> str:
    """A method without a docstring implements what a base or a protocol says; arguments are said by the class."""
    if name == "__init__":
        return ""
    for base in value.__mro__[1:]:
        found = inspect.getdoc(base.__dict__[name]) if name in base.__dict__ else None
        if found:
            return f"See `{base.__name__}`: {found.splitlines()[0]}"
    return ""


def _markdown(doc: str) -> Iterator[str]:
    """A Google-style docstring as Markdown: its sections become lists."""
    lines = doc.splitlines()
    index = 0
    while index < len(lines):
        section = _SECTION.match(lines[index])
        if section is None:
            yield _quoted(lines[index])
            index += 1
            continue
        end = index + 1
        while end < len(lines) and (not lines[end] or lines[end].startswith(" ")):
            end += 1
        yield from (f"**{section[1]}**", "")
        yield from _list(lines[index + 1 : end])
        index = end


def _list(lines: Sequence[str]) -> Iterator[str]:
    for item in _items(lines):
        entry = _ENTRY.match(item)
        yield f"* `{entry['name']}`: {_joined(entry['text'])}" if entry else f"* {_joined(item)}"
    yield ""


def _items(lines: Sequence[str]) -> list[str]:
    """The entries of a section: each begins at its indentation, its other lines stand further in."""
    items: list[str] = []
    for line in textwrap.dedent("\n".join(lines)).splitlines():
        if line and not line.startswith(" "):
            items.append(line)
        elif line and items:
            items[-1] += f"\n{line.strip()}"
    return items


def _joined(text: str) -> str:
    return _quoted(" ".join(text.split()))


def _quoted(line: str) -> str:
    """Angle brackets outside of code would be taken for HTML."""
    pieces = re.split(r"(`[^`]*`)", line)
    return "".join(piece if piece.startswith("`") else piece.replace("<", "&lt;") for piece in pieces)


def _code(text: str) -> Iterator[str]:
    yield from ("```text", text, "```", "")


def _table(columns: Sequence[str], rows: Any) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _short(module: str) -> str:
    return module.partition(".")[2] or module


if __name__ == "__main__":
    main()

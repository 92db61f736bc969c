"""What the package's code must not contain: each ban with its reason, and the scan that finds it.

Names are resolved through a module's imports, so that an alias does not hide anything.
"""

import ast
import builtins
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_UNBOUNDED_OPERATORS = re.compile(r"(observe_on|merge|flat_map|concat_map|buffer_with_time|delay)(_\w+)?")
_CLOCK = ("_core/clock.py", "testing/virtual_clock.py")
_COMMAND_LINES = ("run.py", "cli/")


@dataclass(frozen=True)
class Source:
    """A module to scan. `imported` maps each imported name to what it stands for."""

    path: str
    text: str
    tree: ast.Module
    imported: Mapping[str, str]

    def name_of(self, node: ast.expr) -> str | None:
        """The full dotted name of an expression such as `t.sleep`; None when it is not a plain name."""
        match node:
            case ast.Name(id=name):
                return self.imported.get(name, f"builtins.{name}" if hasattr(builtins, name) else None)
            case ast.Attribute(value=value, attr=attribute):
                owner = self.name_of(value)
                return None if owner is None else f"{owner}.{attribute}"
            case _:
                return None

    def uses(self) -> Iterator[tuple[int, str]]:
        """Line and full name of everything that is imported or named."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from ((node.lineno, name) for _, name in _bindings(node))
            elif isinstance(node, ast.expr) and (name := self.name_of(node)):
                yield node.lineno, name


@dataclass(frozen=True)
class Ban:
    """A construct that must not be there.

    Attributes:
        name: What is banned.
        reason: Why.
        lines: Finds the lines that have it.
        allowed_in: Files and folders of the package that may have it.
    """

    name: str
    reason: str
    lines: Callable[[Source], Iterator[int]]
    allowed_in: tuple[str, ...] = ()


def read_source(path: str, text: str) -> Source:
    """Parse a module. `path` is relative to the package, with `/`."""
    tree = ast.parse(text)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return Source(path, text, tree, {local: name for node in imports for local, name in _bindings(node)})


def read_package(folder: Path) -> list[Source]:
    """All modules below a folder."""
    return [read_source(p.relative_to(folder).as_posix(), p.read_text("utf-8")) for p in sorted(folder.rglob("*.py"))]


def violations(source: Source) -> list[str]:
    """One line for each thing banned in a module."""
    return [
        f"{source.path}:{line}: {ban.name}: {ban.reason}"
        for ban in BANS
        if not source.path.startswith(ban.allowed_in)
        for line in sorted(set(ban.lines(source)))
    ]


def _bindings(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            yield alias.asname or alias.name, f"{node.module}.{alias.name}"
        elif alias.asname:
            yield alias.asname, alias.name
        else:
            # `import a.b` binds `a` alone.
            yield alias.name.partition(".")[0], alias.name.partition(".")[0]


def _names(*names: str) -> Callable[[Source], Iterator[int]]:
    """Find any use of a name, and of whatever is below it."""

    def lines(source: Source) -> Iterator[int]:
        for line, used in source.uses():
            if any(used == name or used.startswith(f"{name}.") for name in names):
                yield line

    return lines


def _unbounded_operators(source: Source) -> Iterator[int]:
    """As functions, and as methods in a module that has to do with reactivex."""
    for line, used in source.uses():
        owner, _, name = used.rpartition(".")
        if owner in {"reactivex", "reactivex.operators"} and _UNBOUNDED_OPERATORS.fullmatch(name):
            yield line
    if not any(name.partition(".")[0] == "reactivex" for name in source.imported.values()):
        return
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=name)) if _UNBOUNDED_OPERATORS.fullmatch(name):
                yield node.lineno


def _bare_excepts(source: Source) -> Iterator[int]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield node.lineno


def _is_false(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def _unverified_tls(source: Source) -> Iterator[int]:
    yield from _names("ssl._create_unverified_context", "ssl.CERT_NONE", "ssl.VerifyMode.CERT_NONE")(source)
    for node in ast.walk(source.tree):
        match node:
            case ast.keyword(arg="verify" | "check_hostname", value=value) if _is_false(value):
                yield value.lineno
            case ast.Assign(targets=[ast.Attribute(attr="verify" | "check_hostname")], value=value) if _is_false(value):
                yield node.lineno


def _left_for_later(source: Source) -> Iterator[int]:
    for number, line in enumerate(source.text.splitlines(), start=1):
        if re.search(r"\b(TODO|FIXME|XXX)\b", line):
            yield number


BANS = (
    Ban("unbounded operator", "reactivex holds any number of batches behind it", _unbounded_operators),
    Ban(
        "unpickling",
        "what is read from outside stays data",
        _names("pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle"),
    ),
    Ban("evaluation", "what is read from outside stays data", _names("builtins.eval", "builtins.exec")),
    Ban("unverified TLS", "there is no switch to turn verification off", _unverified_tls),
    Ban("bare except", "it also swallows the stop of a stream", _bare_excepts),
    Ban(
        "time beside the clock",
        "virtual time does not move it",
        _names(
            *(f"time.{name}" for name in ("time", "time_ns", "monotonic", "monotonic_ns")),
            *(f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")),
            "datetime.date.today",
        ),
        _CLOCK,
    ),
    Ban(
        "wait beside the clock",
        "virtual time does not see that the thread is parked",
        _names("time.sleep", "threading.Event", "threading.Timer"),
        # The sender of metrics is no thread of a graph, it lives in the machine's time.
        (*_CLOCK, "hosting/metrics.py"),
    ),
    Ban(
        "environment",
        "only hosting reads it",
        _names("os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv"),
        ("hosting/", *_COMMAND_LINES),
    ),
    Ban("print", "a stream speaks through its log", _names("builtins.print"), ("hosting/console", *_COMMAND_LINES)),
    Ban("left for later", "finish it, or write an issue", _left_for_later),
)

"""The layers of the package: kept by its code, and checked by contracts that notice a violation."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "arcane_framework"

CORE_MAY_IMPORT = sys.stdlib_module_names | {"arcane_framework", "pyarrow", "pydantic", "pydantic_core", "reactivex"}


def _is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _imports(node: ast.AST) -> Iterator[str]:
    """The modules that a piece of code imports at run time, inside functions too."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: a relative import"
            yield child.module or ""
        elif not _is_for_types_only(child):
            yield from _imports(child)


def _imports_by_file(folder: Path) -> dict[Path, set[str]]:
    return {path: set(_imports(ast.parse(path.read_text("utf-8")))) for path in folder.rglob("*.py")}


def _lint_imports(folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_core_imports_nothing_but_its_four_foundations() -> None:
    roots = {
        (path.name, imported.partition(".")[0])
        for path, imports in _imports_by_file(PACKAGE / "_core").items()
        for imported in imports
    }
    assert roots
    assert {(name, root) for name, root in roots if root not in CORE_MAY_IMPORT} == set()


def test_no_module_imports_the_public_face() -> None:
    importers = {path.name for path, imports in _imports_by_file(PACKAGE).items() if "arcane_framework" in imports}
    assert importers == set()


@pytest.mark.parametrize(
    ("module", "code", "contract"),
    [
        pytest.param("_core", "import structlog", "The core needs Arrow, pydantic and reactivex only", id="library"),
        pytest.param("_core", "import arcane_framework.storage", "Imports point down", id="upwards"),
        pytest.param("sources", "import arcane_framework.sinks", "Imports point down", id="sideways"),
        pytest.param("hosting", "import boto3", "Only storage talks to the clouds", id="cloud"),
        pytest.param("common", "", "Imports point down", id="folder without a place"),
    ],
)
def test_the_contracts_notice_a_violation(tmp_path: Path, module: str, code: str, contract: str) -> None:
    _copy_skeleton(tmp_path)
    assert _lint_imports(tmp_path).returncode == 0

    (tmp_path / "arcane_framework" / module).mkdir(exist_ok=True)
    (tmp_path / "arcane_framework" / module / "__init__.py").write_text(code)
    result = _lint_imports(tmp_path)

    assert result.returncode == 1
    assert f"{contract} BROKEN" in result.stdout


@pytest.mark.parametrize(
    ("module", "code"),
    [
        pytest.param("storage", "import azure.storage.blob\nimport boto3", id="storage and the clouds"),
        pytest.param(
            "_core", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import httpx2", id="types of a library"
        ),
        pytest.param("sinks", "import arcane_framework.storage", id="downwards"),
    ],
)
def test_the_contracts_allow_what_the_layers_allow(tmp_path: Path, module: str, code: str) -> None:
    _copy_skeleton(tmp_path)
    (tmp_path / "arcane_framework" / module / "__init__.py").write_text(code)
    result = _lint_imports(tmp_path)
    assert result.returncode == 0, result.stdout


def _copy_skeleton(target: Path) -> None:
    """The project's contracts over a package with its folders and no code in them."""
    shutil.copy(ROOT / "pyproject.toml", target)
    for module in ("", "_core", "storage", "sources", "sinks", "hosting"):
        folder = target / "arcane_framework" / module
        folder.mkdir()
        (folder / "__init__.py").touch()

"""What the package costs a plugin's image at import: nothing that is an extra, no cloud's SDK, no HTTP client."""

import subprocess
import sys

import pytest

NOT_LOADED = (
    "azure",
    "boto3",
    "botocore",
    "click",
    "datadog",
    "httpx2",
    "rich",
    "yaml",
)
PACKAGES = ("", ".commits", ".operators", ".schema", ".sinks", ".sources", ".storage", ".hosting")


def _loaded_by(program: str) -> list[str]:
    found = f"import sys\n{program}\nprint(*sorted(set({NOT_LOADED!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", found], capture_output=True, text=True, check=True)
    return done.stdout.split()


# structlog loads rich itself wherever that is installed; with rich out of reach it shows whether anything needs it.
WITHOUT_RICH = "sys.modules['rich'] = None"
RESOLVE_ALL = """
import importlib
module = importlib.import_module("arcane_framework{package}")
values = [getattr(module, name) for name in module.__all__]
assert values and module.__file__
"""


@pytest.mark.parametrize("package", PACKAGES)
def test_the_public_names_need_no_optional_library(package: str) -> None:
    program = RESOLVE_ALL.format(package=package)
    if package == ".hosting":
        assert _loaded_by(f"{WITHOUT_RICH}\n{program}") == ["rich"]
    else:
        assert _loaded_by(program) == []


def test_the_runner_needs_no_optional_library() -> None:
    assert _loaded_by(f"{WITHOUT_RICH}\nimport arcane_framework.run") == ["rich"]


def test_all_of_the_public_packages_are_checked() -> None:
    program = (
        "import arcane_framework, pathlib; print(*sorted(pathlib.Path(arcane_framework.__file__).parent.iterdir()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    folders = {path.rpartition("/")[2] for path in done.stdout.split()}
    packages = {f".{name}" for name in folders if "." not in name and not name.startswith("_")}
    # The command line is an extra, the test kit comes with pytest, and HTTP is what its package is for. Ready-made
    # kinds have no names of their own.
    assert packages - {".cli", ".testing", ".http", ".plugins"} == set(PACKAGES) - {""}


def test_a_loaded_library_would_be_noticed() -> None:
    assert _loaded_by("import click, httpx2") == ["click", "httpx2"]

"""What `import arcane_framework` costs a plugin's image: nothing that is an extra, no cloud's SDK."""

import subprocess
import sys

NOT_LOADED = (
    "azure",
    "boto3",
    "botocore",
    "click",
    "datadog",
    "httpx2",
    "lightkube",
    "mssql_python",
    "rich",
    "yaml",
)


def _loaded_by(statement: str) -> list[str]:
    program = f"import sys; {statement}; print(*sorted(set({NOT_LOADED!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_importing_the_package_loads_no_optional_library() -> None:
    assert _loaded_by("import arcane_framework; assert arcane_framework.__file__") == []


def test_a_loaded_library_would_be_noticed() -> None:
    assert _loaded_by("import click, httpx2") == ["click", "httpx2"]

"""Runs type checkers over user programs and compares what they say with what the programs expect.

A line of a program that must be refused ends in `# error: <text> | <text>`: each checker has to report that line,
with one of the texts as its error code or within its message. No other line may be reported.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

_MARK = re.compile(r"#\s*error:\s*(?P<texts>\S.*?)\s*$")


@dataclass(frozen=True, order=True)
class Finding:
    """An error that a checker reports. `line` counts from 1."""

    file: Path
    line: int
    code: str
    message: str


def mypy(programs: Sequence[Path]) -> list[Finding]:
    """What mypy says, as strict as for the project itself."""
    output = _run("-m", "mypy", "--config-file", "pyproject.toml", "--output", "json", *map(str, programs))
    reports = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return sorted(
        Finding((ROOT / report["file"]).resolve(), report["line"], report["code"] or "", report["message"])
        for report in reports
        # An error in what a program imports is found by the project's own check.
        if report["severity"] == "error" and (ROOT / report["file"]).resolve() in programs
    )


def pyright(programs: Sequence[Path]) -> list[Finding]:
    """What pyright says with its standard settings, which are those of most editors."""
    output = _run("-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *map(str, programs))
    reports: list[dict[str, Any]] = json.loads(output)["generalDiagnostics"]
    return sorted(
        Finding(
            Path(report["file"]).resolve(),
            report["range"]["start"]["line"] + 1,
            report.get("rule", ""),
            report["message"],
        )
        for report in reports
        if report["severity"] == "error"
    )


def disagreements(programs: Sequence[Path], findings: Sequence[Finding]) -> list[str]:
    """One line for each error that was expected and is missing, or was reported and is not expected."""
    expected = {(path.resolve(), line): texts for path in programs for line, texts in marks(path.read_text("utf-8"))}
    met = {
        (finding.file, finding.line)
        for finding in findings
        if _fits(finding, expected.get((finding.file, finding.line)))
    }
    missing = [
        f"{path.name}:{line}: not refused with {' | '.join(texts)}"
        for (path, line), texts in expected.items()
        if (path, line) not in met
    ]
    # A second error on a line whose first one was expected follows from the first.
    unexpected = [
        f"{finding.file.name}:{finding.line}: refused: {finding.message} [{finding.code}]"
        for finding in findings
        if (finding.file, finding.line) not in met
    ]
    return sorted(missing + unexpected)


def marks(program: str) -> list[tuple[int, tuple[str, ...]]]:
    """The lines that must be refused, each with its alternatives."""
    found = [(number, _MARK.search(line)) for number, line in enumerate(program.splitlines(), start=1)]
    return [(number, tuple(re.split(r"\s*\|\s*", mark["texts"]))) for number, mark in found if mark]


def _fits(finding: Finding, texts: tuple[str, ...] | None) -> bool:
    return texts is not None and any(text == finding.code or text in finding.message for text in texts)


def _run(*arguments: str) -> str:
    # A checker that looks for a newer version of itself would need the network.
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    # Both end with 1 when they have found something, and with more when they could not work.
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done.stdout

"""User programs that must type-check, and user programs that must not."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.typing.checkers import Finding, disagreements, marks, mypy, pyright

PROGRAMS = Path(__file__).parent / "programs"
ACCEPTED = sorted((PROGRAMS / "accepted").glob("*.py"))
REJECTED = sorted((PROGRAMS / "rejected").glob("*.py"))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("checker", [mypy, pyright], ids=["mypy", "pyright"])
def test_a_checker_refuses_exactly_the_marked_lines(checker: Callable[[Sequence[Path]], list[Finding]]) -> None:
    programs = [*ACCEPTED, *REJECTED]
    assert disagreements(programs, checker(programs)) == []


@pytest.mark.parametrize("program", REJECTED, ids=lambda path: path.stem)
def test_a_rejected_program_marks_a_line(program: Path) -> None:
    assert marks(program.read_text("utf-8"))


@pytest.mark.parametrize("program", ACCEPTED, ids=lambda path: path.stem)
def test_an_accepted_program_marks_no_line(program: Path) -> None:
    assert marks(program.read_text("utf-8")) == []


def test_an_error_on_an_unmarked_line_is_a_disagreement(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("x = 1\n")
    findings = [Finding(program, 1, "misc", "no")]
    assert disagreements([program], findings) == ["program.py:1: refused: no [misc]"]


def test_a_marked_line_without_its_error_is_a_disagreement(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("x = 1  # error: arg-type | a part\n")
    assert disagreements([program], []) == ["program.py:1: not refused with arg-type | a part"]


def test_another_error_than_the_marked_one_is_a_disagreement(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("x = 1  # error: arg-type\n")
    assert disagreements([program], [Finding(program, 1, "misc", "no")]) == [
        "program.py:1: not refused with arg-type",
        "program.py:1: refused: no [misc]",
    ]


@pytest.mark.parametrize("finding", [("arg-type", "anything"), ("misc", "this has a part of it")])
def test_a_marked_line_is_met_by_its_code_or_its_text(tmp_path: Path, finding: tuple[str, str]) -> None:
    program = tmp_path / "program.py"
    program.write_text("x = 1  # error: arg-type | a part\n")
    assert disagreements([program], [Finding(program, 1, *finding)]) == []

"""The table of correctness: what the package does with each body that parsers get wrong."""

import pytest

from benchmarks.parser_candidates import ours
from benchmarks.parser_cases import Case, cases
from benchmarks.parsers import RIGHT, WRONG, verdict


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_a_body_gives_the_right_rows_or_a_named_error(case: Case) -> None:
    assert verdict(ours, case) == RIGHT


def test_a_wrong_value_is_seen() -> None:
    wrong = Case("wrong", b'{"result": {"rows": [{"v": 1}]}}', cases()[0].schema, [{"v": 2}])
    assert verdict(ours, wrong) == WRONG

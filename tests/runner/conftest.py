"""A stream of its own for each test."""

from pathlib import Path

import pytest

from tests.runner.processes import Stream


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    return Stream(tmp_path, tmp_path / "lake")

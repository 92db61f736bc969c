"""The quick selection of the proof, in parts that run beside each other; `make prove` runs all of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PARTS = 4
ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="the proof freezes and forks processes as Linux does")
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(1, PARTS + 1))
def test_kills_freezes_and_power_cuts_lose_nothing_and_double_nothing(part: int, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    options = ["--quick", "--quiet", "--workers", "1", "--part", f"{part}/{PARTS}", "--json", str(result)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.proof", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = json.loads(result.read_text())["lines"]
    assert any(line["red_control"] for line in lines)
    assert all((line["bad"] > 0) == line["red_control"] and line["trials"] > 0 for line in lines)
    assert sum(sum(line["faults"].values()) for line in lines) > 20

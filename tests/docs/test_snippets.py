"""Everything that the documentation shows is run as it stands there."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import pages
from tests.docs.runner import PageRunner

RUN = {"python", "console"}
WITH_SNIPPETS = [page for page in pages.pages() if RUN & {block.language for block in pages.blocks(page.read_text())}]
NOT_RUN = ("sh", "mermaid", "yaml", "json", "text", "dockerfile", "toml")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current and importable folder of a page; what was imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("page", WITH_SNIPPETS, ids=pages.name)
def test_a_page_runs_as_it_stands(page: Path, folder: Path) -> None:
    runner = PageRunner(pages.name(page), folder)
    for block in pages.blocks(page.read_text()):
        ran = runner.run(block)
        assert ran or block.language in NOT_RUN, f"{pages.name(page)}, line {block.line}: {block.language!r} is not run"


def test_a_wrong_output_is_noticed(folder: Path) -> None:
    block = pages.Block("console", "$ echo one\ntwo\n", None, 1)
    with pytest.raises(AssertionError, match=r"another output of page: [$] echo one"):
        PageRunner("page", folder).run(block)


def test_a_failing_command_is_noticed(folder: Path) -> None:
    with pytest.raises(AssertionError, match=r"exit code 3 of page: [$] exit 3"):
        PageRunner("page", folder).run(pages.Block("console", "$ exit 3\n", None, 1))


def test_failing_python_is_noticed_with_its_line(folder: Path) -> None:
    (block,) = pages.blocks("text\n\n```python\nassert 1 == 2\n```\n")
    with pytest.raises(AssertionError) as raised:
        PageRunner("page.md", folder).run(block)
    assert raised.traceback[-1].lineno == 3  # counted from 0


@pytest.mark.parametrize(
    ("shown", "actual", "expected"),
    [
        ("rows 1", "rows 1\n", True),
        ("rows 1", "rows 12\n", False),
        ("took ... s", "took 0.1 s", True),
        ("first ... last", "first\nlast", False),
        ("first\n...\nlast", "first\nsecond\nthird\nlast", True),
        ("first\n...\nlast", "first\nsecond", False),
    ],
)
def test_dots_stand_for_what_changes(shown: str, actual: str, expected: bool) -> None:
    assert pages.fits(shown, actual) is expected

"""Golden files: what a test expects, in a file beside it."""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

GOLDEN_FOLDER = "golden"


class Golden:
    """Compares values with the files in the folder `golden` beside a test; the fixture `golden` is one.

    Args:
        folder: The folder of the test's file.
        test: The test's name; names the file unless a call does.
        update: Write the files instead of comparing.
    """

    def __init__(self, folder: Path, test: str, *, update: bool = False) -> None:
        self._folder = folder / GOLDEN_FOLDER
        self._test = re.sub(r"[^\w.-]+", "-", test).strip("-")
        self._update = update
        self._compared: set[Path] = set()

    def __call__(
        self, actual: "str | Sequence[Mapping[str, Any]] | pa.Table | pa.RecordBatch", name: str | None = None
    ) -> None:
        """Compare `actual` with its file.

        Args:
            actual: A text; rows, compared as JSON lines; or an Arrow table, compared with its schema.
            name: The file's name; by default the test's, with `.txt` or `.jsonl`. Needed from the second call on.

        Raises:
            AssertionError: They differ, or there is no such file; says how to write it.
        """
        __tracebackhide__ = True
        text, suffix = _text(actual)
        path = self._folder / (name or self._test + suffix)
        if path in self._compared:
            raise AssertionError(f"{path.name} was compared before in this test: give each golden file its own name")
        self._compared.add(path)
        if self._update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
            return
        self._compare(path, text)

    def _compare(self, path: Path, text: str) -> None:
        __tracebackhide__ = True
        shown = f"{GOLDEN_FOLDER}/{path.name}"
        if not path.exists():
            raise AssertionError(
                f"{shown} is missing: write it with pytest --update-golden, and read it before you keep it"
            )
        expected = path.read_bytes().decode("utf-8")
        if expected != text:
            lines = difflib.unified_diff(expected.splitlines(), text.splitlines(), shown, "this run", lineterm="")
            difference = "\n".join(lines) or "(only the line ends differ)"
            raise AssertionError(
                f"{shown} differs; if this run is right, write it anew with pytest --update-golden\n{difference}"
            )


def _text(actual: Any) -> tuple[str, str]:
    """The file's text for a value, and the suffix of its name."""
    if isinstance(actual, str):
        return actual, ".txt"
    if hasattr(actual, "schema") and hasattr(actual, "to_pylist"):
        columns = [f"{each.name}: {each.type}{'' if each.nullable else ' not null'}" for each in actual.schema]
        return "\n".join([*columns, "", _json_lines(actual.to_pylist())]), ".txt"
    return _json_lines(actual), ".jsonl"


def _json_lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(dict(row), ensure_ascii=False, default=_plain) + "\n" for row in rows)


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)

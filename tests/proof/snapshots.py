"""A stream's folder as files and their contents, and its log in it, read with nothing but json."""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

Snapshot = Mapping[str, bytes]
"""Path to content. What is staged is below `STAGE`."""

LOG = "_arcane/log/"
STAGE = "_arcane/stage/"
NOTHING: Mapping[str, Any] = {"stream": None, "backfill": None}
"""The position before the first entry."""

_ENTRY = re.compile(LOG + r"(\d{20})\.json")
_CHECKPOINT = re.compile(LOG + r"(\d{20})\.checkpoint\.json")


def take(folder: Path) -> Snapshot:
    """The files below `folder`; nothing may be running on it."""
    return {
        os.path.relpath(os.path.join(parent, name), folder): Path(parent, name).read_bytes()
        for parent, _, names in os.walk(folder)
        for name in names
    }


def log_texts(snapshot: Snapshot) -> dict[int, bytes]:
    """The log's entries by number.

    A checkpoint is the truth for its numbers. Single entries up to the newest one's last number are left over, or were
    created by a late runner that found them gone and is fenced by the next: they do not count.
    """
    texts: dict[int, bytes] = {}
    for name, content in snapshot.items():
        if found := _CHECKPOINT.fullmatch(name):
            texts.update(_archived(name, int(found[1]), content))
    newest = max(texts, default=0)
    for name, content in snapshot.items():
        if (found := _ENTRY.fullmatch(name)) and int(found[1]) > newest:
            texts[int(found[1])] = content
    return dict(sorted(texts.items()))


def newest_position(names: Iterable[str], read: Callable[[str], bytes]) -> Mapping[str, Any]:
    """The newest log entry's position, out of the names in the log."""
    entries = {int(found[1]): name for name in names if (found := _ENTRY.fullmatch(name))}
    checkpoints = {int(found[1]): name for name in names if (found := _CHECKPOINT.fullmatch(name))}
    newest = max([*entries, *checkpoints], default=0)
    if not newest:
        return NOTHING
    archived = json.loads(read(checkpoints[newest]))["entries"] if newest in checkpoints else None
    position: Mapping[str, Any] = json.loads(archived[-1] if archived else read(entries[newest]))["position"]
    return position


def _archived(name: str, last: int, content: bytes) -> dict[int, bytes]:
    checkpoint = json.loads(content)
    texts = checkpoint["entries"]
    if checkpoint["last"] != last or checkpoint["first"] + len(texts) - 1 != last:
        raise ValueError(f"{name} does not hold the entries that it should")
    return {checkpoint["first"] + index: text.encode() for index, text in enumerate(texts)}

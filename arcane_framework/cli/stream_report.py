"""What there is to say about a stream, read from its commit log."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.position import Position
from arcane_framework._core.storage import Storage
from arcane_framework.commits import Manifest, Part, Problem, StreamState
from arcane_framework.commits.layout import LOG
from arcane_framework.hosting.redaction import MASK, is_secret_field, redact

_HIDDEN_KEY = re.compile(
    r"token|link|ur[il]|cursor|continu|next|page|auth|sas|signature|password|secret", re.IGNORECASE
)
_OPAQUE = re.compile(r"[\w+/=.~%-]{40,}")
_VERIFY_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class StreamReport:
    """One stream.

    Attributes:
        stream_id: Its name.
        location: Its folder.
        newest: Its newest commit.
        commits: All commits, oldest first.
        parts: All committed objects that must be there now, oldest first.
        unfinished: Those of them that are not visible yet.
        lost: Committed objects whose loss was accepted.
    """

    stream_id: str
    location: str
    newest: Manifest
    commits: Sequence[Manifest]
    parts: Sequence[Part]
    unfinished: Sequence[Part]
    lost: Sequence[Part]

    def data(self) -> Sequence[Part]:
        """The parts that hold rows."""
        return [part for part in self.parts if part.kind == "data"]

    def quarantined(self) -> int:
        """Rows that were set aside."""
        return sum(part.rows for part in self.parts if part.kind == "quarantine")


def stream_ids(storage: Storage) -> list[str]:
    """The streams of a sink's location, by name.

    One look at each folder of the location.

    Raises:
        ConfigurationError: There are none.
    """
    found = sorted(name for name in storage.folders() if any(True for _ in storage.list(f"{name}/{LOG}")))
    if not found:
        raise ConfigurationError(f"there is no stream below {storage.location}")
    return found


def read_report(storage: Storage, stream_id: str) -> StreamReport:
    """Read what the log of a stream says.

    Args:
        storage: The sink's location.
        stream_id: The stream's folder in it.

    Raises:
        ConfigurationError: There is no such stream; names those there are.
        FatalStreamError: The log is damaged.
    """
    folder = storage.folder(stream_id)
    state = StreamState(folder)
    commits = list(state.commits())
    if not commits:
        raise ConfigurationError(
            f"there is no stream {stream_id!r} below {storage.location}; there are: {', '.join(stream_ids(storage))}"
        )
    published = commits[-1].published
    parts, lost = list(state.parts(commits)), list(state.lost(commits))
    pending = {part.path for commit in commits[published:] for part in commit.parts}
    unfinished = [part for part in parts if part.path in pending and folder.stat(part.path) is None]
    return StreamReport(stream_id, folder.location, commits[-1], commits, parts, unfinished, lost)


def verify(storage: Storage, report: StreamReport) -> list[Problem]:
    """Compare the log of a stream with what is there; a stream that is running meanwhile does no harm.

    Args:
        storage: The sink's location.
        report: What the log said; it is read again only if the stream has committed since and something seems wrong.
    """
    state = StreamState(storage.folder(report.stream_id))
    commits = report.commits
    problems = list(state.verify(commits))
    for _ in range(_VERIFY_ATTEMPTS - 1):
        # A commit between reading the log and looking at the folder would look like a part too many.
        if not problems or state.newest() == commits[-1]:
            break
        commits = list(state.commits())
        problems = list(state.verify(commits))
    return problems


def masked_position(position: Position) -> dict[str, Any]:
    """A position for people: whatever in a watermark may be a token or a link is hidden.

    Only the source can describe its watermark, and the log does not know the source.
    """
    plain: dict[str, Any] = json.loads(position.model_dump_json())
    plain["stream"] = _masked(plain["stream"])
    for key in ("watermark", "stream"):
        if plain["backfill"] is not None:
            plain["backfill"][key] = _masked(plain["backfill"][key])
    return plain


def _masked(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {name: _masked(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, key) for item in value]
    if not isinstance(value, str):
        return value
    hidden = _HIDDEN_KEY.search(key) or is_secret_field(key) or "://" in value or _OPAQUE.fullmatch(value)
    return MASK if hidden else redact(value)

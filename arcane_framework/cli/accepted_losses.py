"""Going on without committed parts that are gone: the decision is somebody's, and it is kept in the log."""

from collections.abc import Sequence

from arcane_framework._core.clock import SystemClock
from arcane_framework._core.errors import ConfigurationError, FencedError
from arcane_framework._core.services import StreamIdentity
from arcane_framework._core.storage import Storage
from arcane_framework.cli.stream_report import StreamReport
from arcane_framework.commits import Manifest, Part
from arcane_framework.commits.log import CommitLog
from arcane_framework.hosting.logging import make_logger


def accept_losses(storage: Storage, report: StreamReport, paths: Sequence[str]) -> tuple[Manifest, Sequence[Part]]:
    """Commit that parts are lost. A runner of the stream that is at work ends, and the next start goes on.

    Args:
        storage: The sink's location.
        report: What the log says.
        paths: Of the parts, as the log names them.

    Returns:
        The entry, and the parts.

    Raises:
        ConfigurationError: A path is none of a committed part, or the part is not lost at all.
            Or a runner has committed meanwhile.
    """
    folder = storage.folder(report.stream_id)
    parts = {part.path: part for part in report.parts}
    lost = []
    for path in dict.fromkeys(paths):
        if path not in parts:
            raise ConfigurationError(
                f"{report.location} has no committed part {path!r}; arcane state --verify names those that are missing"
            )
        reason = _why_not_lost(folder, parts[path])
        if reason:
            raise ConfigurationError(f"{report.location}/{path} {reason}")
        lost.append(parts[path])
    newest = report.newest
    identity = StreamIdentity(report.stream_id, "", backfilling=newest.mode == "backfill")
    log = CommitLog(folder, identity, newest.schema_hash, SystemClock(), make_logger(level="error"))
    try:
        return log.accept_loss(newest, [part.path for part in lost]), lost
    except FencedError:
        raise ConfigurationError(f"{report.location}: the stream has committed meanwhile; try again") from None


def _why_not_lost(folder: Storage, part: Part) -> str:
    if part.kind == "token":
        return "holds no rows: the next start writes it again"
    found = folder.stat(part.path)
    if found is not None:
        return "is there with its size: nothing is lost" if found.size == part.bytes else ""
    if any(staged.name == part.path.rpartition("/")[2] for staged in folder.staged()):
        return "is staged, not lost: the next start publishes it"
    return ""

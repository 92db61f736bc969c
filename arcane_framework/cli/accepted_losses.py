"""Going on without committed parts that are gone: the decision is somebody's, and it is kept in the log."""

from collections.abc import Sequence

from arcane_framework._core.clock import SystemClock
from arcane_framework._core.errors import ConfigurationError, FatalStreamError
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
        FencedError: A runner has committed at the same time.
    """
    folder = storage.folder(report.stream_id)
    parts = {part.path: part for part in report.parts}
    lost = []
    for path in dict.fromkeys(paths):
        if path not in parts:
            raise ConfigurationError(
                f"{report.location} has no committed part {path!r}; arcane state --verify names those that are missing"
            )
        if _is_there(folder, parts[path]):
            raise ConfigurationError(f"{report.location}/{path} is there with its size: nothing is lost")
        lost.append(parts[path])
    newest = report.newest
    identity = StreamIdentity(report.stream_id, "", backfilling=newest.mode == "backfill")
    log = CommitLog(folder, identity, newest.schema_hash, SystemClock(), make_logger(level="error"))
    return log.accept_loss([part.path for part in lost]), lost


def _is_there(folder: Storage, part: Part) -> bool:
    found = folder.stat(part.path)
    if found is not None:
        return found.size == part.bytes
    try:
        # What is only staged is not lost; the next start would do the same.
        return folder.publish(part.path, part.handle, part.bytes)
    except FatalStreamError:
        return False

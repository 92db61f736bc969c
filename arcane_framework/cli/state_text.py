"""The words and tables of `arcane state`; pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arcane_framework._core.position import BackfillPosition
from arcane_framework.cli.stream_report import StreamReport, masked_position
from arcane_framework.commits import Manifest, Part, Problem
from arcane_framework.hosting.logging import escape_controls


@dataclass(frozen=True, slots=True)
class Shown:
    """What is listed besides the summary."""

    parts: bool = False
    commits: bool = False


def as_text(report: StreamReport, problems: Sequence[Problem] | None, shown: Shown) -> str:
    """A stream's summary, and what else was asked for; `problems` None: it was not verified."""
    lines = [f"{name:<13}{text}" for name, text in _summary(report)]
    if shown.commits:
        lines += ["", *_table(_COMMIT_COLUMNS, map(_commit_row, report.commits))]
    if shown.parts:
        lines += ["", *_table(_PART_COLUMNS, map(_part_row, report.parts))]
    if problems is not None:
        lines += ["", *(f"{problem.path} {problem.text}" for problem in problems), _verdict(report, problems)]
    return "\n".join(escape_controls(line) for line in lines)


def as_json(report: StreamReport, problems: Sequence[Problem] | None, shown: Shown) -> str:
    """The same as JSON."""
    content = _json_summary(report)
    if shown.commits:
        content["commitList"] = [dict(zip(_COMMIT_COLUMNS, _commit_row(one), strict=True)) for one in report.commits]
    if shown.parts:
        content["partList"] = [dict(zip(_PART_COLUMNS, _part_row(part), strict=True)) for part in report.parts]
    if problems is not None:
        content["problems"] = [{"path": problem.path, "text": problem.text} for problem in problems]
    return json.dumps(content, indent=2)


def list_as_text(reports: Sequence[StreamReport]) -> str:
    """One line a stream."""
    return "\n".join(escape_controls(line) for line in _table(_STREAM_COLUMNS, map(_stream_row, reports)))


def list_as_json(reports: Sequence[StreamReport]) -> str:
    """The streams' summaries as a JSON array."""
    return json.dumps([_json_summary(report) for report in reports], indent=2)


def accepted(entry: Manifest, lost: Sequence[Part]) -> str:
    """What was written into the log."""
    rows = sum(part.rows for part in lost)
    return f"commit {entry.seq} says: {len(lost):,} lost, {rows:,} rows; the next start goes on without them"


_STREAM_COLUMNS = ("stream", "commits", "parts", "rows", "bytes", "last commit")
_COMMIT_COLUMNS = ("seq", "time", "mode", "epoch", "parts", "rows", "bytes")
_PART_COLUMNS = ("kind", "rows", "bytes", "path")


def _stream_row(report: StreamReport) -> Sequence[object]:
    data = report.data()
    rows, nbytes = sum(part.rows for part in data), sum(part.bytes for part in data)
    return (report.stream_id, len(report.commits), len(data), rows, nbytes, report.newest.time)


def _commit_row(commit: Manifest) -> Sequence[object]:
    nbytes = sum(part.bytes for part in commit.parts)
    return (commit.seq, commit.time, commit.mode, commit.epoch, len(commit.parts), commit.rows_in, nbytes)


def _part_row(part: Part) -> Sequence[object]:
    return (part.kind, part.rows, part.bytes, part.path)


def _summary(report: StreamReport) -> Iterable[tuple[str, str]]:
    newest, data = report.newest, report.data()
    position = masked_position(newest.position)
    yield "stream", f"{report.stream_id} in {report.location}"
    yield "position", json.dumps(position["stream"]) if position["stream"] is not None else "none yet"
    yield "backfill", _backfill_text(newest.position.backfill, position["backfill"])
    yield "epoch", str(newest.epoch)
    yield "writer", f"{newest.writer}, mode {newest.mode}"
    yield "commits", f"{len(report.commits):,}, the last one at {newest.time}"
    yield "parts", f"{len(data):,}"
    yield "rows", f"{sum(part.rows for part in data):,}"
    yield "quarantined", f"{report.quarantined():,}"
    yield "bytes", f"{sum(part.bytes for part in data):,}"
    yield "unfinished", _unfinished_text(report)
    if report.lost:
        lost = sum(part.rows for part in report.lost)
        yield "lost", f"{len(report.lost):,}, {lost:,} rows; this was accepted"


def _backfill_text(backfill: BackfillPosition | None, masked: Mapping[str, Any] | None) -> str:
    if backfill is None or masked is None:
        return "none yet"
    reached = "at its start" if masked["watermark"] is None else f"at {json.dumps(masked['watermark'])}"
    return f"{backfill.state}, {reached}, id {backfill.id}"


def _unfinished_text(report: StreamReport) -> str:
    if not report.unfinished:
        return "nothing"
    objects = "object is" if len(report.unfinished) == 1 else "objects are"
    return f"{len(report.unfinished)} committed {objects} not visible yet; the next start publishes what is staged"


def _verdict(report: StreamReport, problems: Sequence[Problem]) -> str:
    if not problems:
        return f"verified     all {len(report.parts):,} committed objects are there with their sizes, and nothing else"
    return f"verified     {len(problems):,} {'problem' if len(problems) == 1 else 'problems'}"


def _json_summary(report: StreamReport) -> dict[str, Any]:
    newest, data = report.newest, report.data()
    return {
        "streamId": report.stream_id,
        "location": report.location,
        "position": masked_position(newest.position),
        "epoch": newest.epoch,
        "writer": newest.writer,
        "mode": newest.mode,
        "commits": len(report.commits),
        "lastCommit": newest.time,
        "parts": len(data),
        "rows": sum(part.rows for part in data),
        "quarantined": report.quarantined(),
        "bytes": sum(part.bytes for part in data),
        "unfinished": [part.path for part in report.unfinished],
        "lost": [part.path for part in report.lost],
    }


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Columns of numbers to the right, of text to the left; two blanks between them."""
    values = list(rows)
    numeric = [all(isinstance(row[index], int) for row in values) for index in range(len(columns))]
    cells = [columns, *([f"{value:,}" if isinstance(value, int) else str(value) for value in row] for row in values)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    ]

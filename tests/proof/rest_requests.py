"""Judges what runners have asked an API for: no page that was committed, none twice, none left out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.proof.cells import Start, WatermarkJson
from tests.rest_api import Entry, RunningApi, read_instant, write_instant

RUNNER = "x-runner"
"""The header that names the runner."""


@dataclass(frozen=True, slots=True)
class PageOf:
    """A page of a window, counted from 1."""

    start: str
    end: str
    page: int

    def __str__(self) -> str:
        return f"page {self.page} of {self.start} to {self.end}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The windows of a stream and of a backfill, and their pages.

    Attributes:
        instants: Where the stream's windows begin and end.
        backfill_end: Where the backfill's window ends; one of them.
        pages: How many pages are asked for in a window.
    """

    instants: Sequence[datetime]
    backfill_end: datetime
    pages: Callable[[datetime, datetime], int]

    def remaining(self, start: Start) -> list[PageOf]:
        """What a runner has to ask for, from its start to its end."""
        if not start.backfilling:
            return self.stream(start.position["stream"])
        backfill: Mapping[str, Any] | None = start.position["backfill"]
        if backfill is None or not _resumes(backfill, start.backfill_id):
            return self.backfill(None)
        return [] if backfill["state"] == "completed" else self.backfill(backfill["watermark"])

    def backfill(self, watermark: WatermarkJson | None) -> list[PageOf]:
        """The pages of a backfill after `watermark`."""
        if watermark is None:
            return self._window(self.instants[0], self.backfill_end)
        return self._rest(watermark)

    def stream(self, watermark: WatermarkJson | None) -> list[PageOf]:
        """The pages of the stream after `watermark`."""
        rest = [] if watermark is None else self._rest(watermark)
        last = self.instants[0] if watermark is None else read_instant(watermark["to"])
        windows = [self._window(start, end) for start, end in pairwise(self.instants) if start >= last]
        return rest + [page for window in windows for page in window]

    def _rest(self, watermark: WatermarkJson) -> list[PageOf]:
        if "next" not in watermark:
            return []
        return self._window(read_instant(watermark["from"]), read_instant(watermark["to"]))[watermark["pages"] :]

    def _window(self, start: datetime, end: datetime) -> list[PageOf]:
        pages = range(1, self.pages(start, end) + 1)
        return [PageOf(write_instant(start), write_instant(end), page) for page in pages]


class RequestWitness:
    """A trial's `Witness`.

    Args:
        api: The server, with an empty journal.
        schedule: What is to be asked for.
        page_seconds: How long the server takes for each page.
    """

    def __init__(self, api: RunningApi, schedule: Schedule, page_seconds: float) -> None:
        self._api = api
        self._schedule = schedule
        self._page_seconds = page_seconds
        self._starts: list[Start] = []

    def started(self, start: Start) -> None:
        self._starts.append(start)

    def is_in_the_air(self, runner: int, moment: float) -> bool:
        asked = [entry for entry in self._api.journal() if _runner_of(entry) == runner]
        if not asked:
            return False
        held = asked[-1].fault in ("hang", "drip")
        return held or asked[-1].monotonic <= moment < asked[-1].monotonic + self._page_seconds

    def problems(self) -> list[str]:
        journal = self._api.journal()
        found = []
        for start in self._starts:
            entries = [entry for entry in journal if _runner_of(entry) == start.runner]
            problem = requests_problem(entries, self._schedule.remaining(start), whole=start.undisturbed)
            if problem:
                found.append(f"runner {start.runner} {problem}")
        return found


def requests_problem(entries: Sequence[Entry], remaining: Sequence[PageOf], *, whole: bool) -> str:
    """What is wrong with the requests of one runner; empty: nothing.

    Args:
        entries: Of the journal, in order.
        remaining: What was not committed when it was started. Others may have committed a part of it meanwhile.
        whole: Whether it had to ask for all of that.
    """
    asked: list[PageOf] = []
    failed = False
    for entry in entries:
        parameters = entry.parameters
        if entry.page is None or not {"from", "to"} <= parameters.keys():
            return f"has sent a request that makes no sense: {entry.target} ({entry.status})"
        page = PageOf(parameters["from"], parameters["to"], entry.page)
        if failed and page != asked[-1]:
            return f"has asked for {page} after {asked[-1]} had failed"
        if not failed:
            asked.append(page)
        failed = entry.status != 200
    first = remaining.index(asked[0]) if not whole and asked and asked[0] in remaining else 0
    wanted = remaining[first : first + len(asked)]
    for page, right in zip(asked, [*wanted, *[None] * len(asked)], strict=False):
        if page != right:
            return f"has asked for {page} where {right or 'nothing'} was next"
    if whole and len(asked) < len(remaining):
        return f"has asked for {len(asked)} pages of {len(remaining)}"
    return ""


def _resumes(backfill: Mapping[str, Any], backfill_id: str) -> bool:
    return backfill["id"] == backfill_id if backfill_id else backfill["state"] == "running"


def _runner_of(entry: Entry) -> int:
    return int(entry.headers[RUNNER])

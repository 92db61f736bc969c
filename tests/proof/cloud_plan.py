"""What is run of the streams that write to S3 and Azure Blob. Each job counts the requests of a clean run itself."""

import math
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from tests.proof import kills, rest_plan, zombies
from tests.proof.cells import Cell
from tests.proof.cloud_places import S3, Azure, CloudStore
from tests.proof.faults import Fault, When
from tests.proof.job import Job
from tests.proof.rest_cells import Pager, RestCell
from tests.proof.table_cells import TableCell
from tests.proof.trial import Outcome, clean_calls
from tests.storage.fault_proxy import Kind
from tests.storage.fault_rules import LOST
from tests.storage.store_process import RunningStore, serve_store

SEED = 20_250_103

_LOST_ANSWERS: Mapping[str, Any] = {"share": 0.4, "faults": LOST, "fragment": "_arcane/log/"}
# After ten minutes Azurite begins to look for what it can forget, and may answer nothing for a minute.
_STORE_SECONDS = 240.0
_WHEN: tuple[When, ...] = ("before", "during", "after")
_PAGERS: Mapping[tuple[bool, str], Pager] = {
    (True, "parquet"): "COUNTER",
    (False, "parquet"): "TOKEN",
    (True, "json"): "OFFSET",
    (False, "json"): "COUNTER",
}


@dataclass(frozen=True, slots=True)
class CloudSize:
    """How much of each section is run, for each cell.

    Attributes:
        cells: Which are run.
        points: Kill points.
        random_kills: Kills at random times.
        trials: Trials of the sections that have no other number.
        zombies_anywhere: Zombies at any request.
        zombies: Zombies at each of the special places.
        races: Rounds of three writers.
        red: Trials of each red control.
        may_skip: Whether a store that cannot run here is left out.
    """

    cells: tuple[Cell, ...]
    points: int
    random_kills: int
    trials: int
    zombies_anywhere: int
    zombies: int
    races: int
    red: int
    may_skip: bool = False


def _table_cells(store: CloudStore, backfilling: bool) -> Iterator[Cell]:
    label = ", table"
    yield TableCell(backfilling, "parquet", {"rowsPerGroup": 5}, label, store)
    yield TableCell(backfilling, "json", {"rowsPerGroup": 3, "groupsPerFile": 2}, label, store)


def _rest_cells(store: CloudStore, backfilling: bool) -> Iterator[Cell]:
    for file_format in ("parquet", "json"):
        pager = _PAGERS[backfilling, file_format]
        yield RestCell(backfilling, file_format, label=f", {pager}", store=store, pager=pager)


CLOUD_CELLS: tuple[Cell, ...] = tuple(
    cell
    for make in (_rest_cells, _table_cells)
    for backfilling in (True, False)
    for store in (S3(), Azure())
    for cell in make(store, backfilling)
)

FULL = CloudSize(cells=CLOUD_CELLS, points=22, random_kills=41, trials=2, zombies_anywhere=8, zombies=2, races=1, red=2)
QUICK = CloudSize(
    cells=(CLOUD_CELLS[8], CLOUD_CELLS[7]),
    points=3,
    random_kills=1,
    trials=1,
    zombies_anywhere=2,
    zombies=1,
    races=0,
    red=2,
    may_skip=True,
)


def jobs(size: CloudSize) -> Iterator[Job]:
    """All jobs; nothing is run yet."""
    left_out = why_azure_is_left_out() if size.may_skip else ""
    for number, cell in enumerate(size.cells):
        if left_out and isinstance(cell.store, Azure):
            sys.stderr.write(f"{cell.store.name} is left out: {left_out}\n")
            continue
        yield from _kills(size, cell, SEED + number)
        yield from _zombies(size, cell, SEED + number)
        yield from _red_controls(size, cell, SEED + number)


def why_azure_is_left_out() -> str:
    """Why Azurite cannot run here; empty: it can."""
    from tests.storage import azurite

    try:
        azurite.install()
    except azurite.NotAvailableError as reason:
        return str(reason)
    return ""


def _kills(size: CloudSize, cell: Cell, seed: int) -> Iterator[Job]:
    yield _job("kill points", cell, _at_points, number=size.points)
    held = cell.slowed()
    yield _job("kills at random times", held, kills.at_random_times, kills=size.random_kills, seed=seed)
    yield _job("SIGTERM", held, kills.stopped_at_random_times, trials=size.trials, seed=seed)
    yield _job("three kills in a row", cell, _three_times, trials=size.trials, seed=seed)
    yield _job("lost answers", cell, _with_lost_answers, rule=_LOST_ANSWERS, trials=size.trials, seed=seed)


def _zombies(size: CloudSize, cell: Cell, seed: int) -> Iterator[Job]:
    yield _job("zombies, any call", cell, _anywhere, number=size.zombies_anywhere, seed=seed)
    special = [("zombies, publishing", zombies.between_commit_and_publish)]
    if not cell.store.keeps_abandoned:
        special.append(("zombies, garbage", zombies.collecting_garbage))
    if cell.backfilling:
        special.append(("zombies, token", zombies.before_the_token))
        special.append(("zombies, removing", zombies.removing_an_old_backfill))
    for section, run in special:
        yield _job(section, cell, run, trials=size.zombies, seed=seed)
    if size.races:
        yield _job("three writers", cell, zombies.three_at_once, rounds=size.races, seed=seed)


def _red_controls(size: CloudSize, cell: Cell, seed: int) -> Iterator[Job]:
    commits = [cell.store.at("committing", nth, when) for nth in range(2, 6) for when in ("before", "after")]
    yield _job(
        "parts are published, then the position is saved",
        cell,
        kills.at_points,
        red=True,
        points=commits[: size.red],
        red_control="usual-order",
    )
    yield _job(
        "no nonce check: a lost answer means no",
        cell,
        _with_lost_answers,
        red=True,
        rule=_LOST_ANSWERS,
        trials=max(2, size.red // 2),
        seed=seed,
        red_control="no-nonce-not-happened",
    )
    frozen = [cell.store.at("committing", nth, action="stop") for nth in range(1, 5)]
    yield _job(
        "the server does not know If-None-Match",
        cell,
        zombies.anywhere,
        red=True,
        rule={"share": 0.0, "drop_conditions": True},
        points=frozen[: size.red],
        seed=seed,
        red_control="no-probe",
    )


def _three_times(folder: Path, cell: Cell, trials: int, seed: int) -> Outcome:
    return kills.three_times(folder, cell, trials, _requests(folder, cell), seed)


def _with_lost_answers(folder: Path, cell: Cell, trials: int, seed: int, red_control: str = "") -> Outcome:
    return kills.with_lost_answers(folder, cell, trials, _requests(folder, cell), seed, red_control)


def _anywhere(folder: Path, cell: Cell, number: int, seed: int) -> Outcome:
    dice = random.Random(seed)
    requests = _requests(folder, cell)
    points = [Fault(nth, dice.choice(_WHEN), "stop") for nth in range(0, requests, max(1, requests // number))]
    return zombies.anywhere(folder, cell, points[:number] + cell.more_points()[: number * 4 : 16], seed)


def _at_points(folder: Path, cell: Cell, number: int) -> Outcome:
    return kills.at_points(folder, cell, _points(folder, cell, number))


def _points(folder: Path, cell: Cell, number: int) -> list[Fault]:
    """Kill points, spread over a run. Those of the two modes are others: together they hit more."""
    every = [Fault(nth, when) for nth in range(_requests(folder, cell)) for when in _WHEN][cell.backfilling :: 2]
    step = len(every) / number
    return [every[int(index * step)] for index in range(number)]


def _requests(folder: Path, cell: Cell) -> int:
    return len(clean_calls(folder / "calls", cell, kills.nothing_before))


def _job(
    section: str,
    cell: Cell,
    run: Callable[..., Outcome],
    *,
    red: bool = False,
    rule: Mapping[str, Any] | None = None,
    **arguments: object,
) -> Job:
    title = cell.store.name.partition(" ")[0]
    return Job(f"{title}, {section}", cell, partial(_with_servers, run, cell, rule, arguments), red)


def _with_servers(
    run: Callable[..., Outcome],
    cell: Cell,
    rule: Mapping[str, Any] | None,
    arguments: dict[str, object],
    folder: Path,
) -> Outcome:
    if isinstance(cell, RestCell):
        cell = replace(cell, api=rest_plan.server_of(os.getpid())[0])
    store = cell.store
    assert isinstance(store, CloudStore)
    known = _servers_of(os.getpid()).of("s3" if store.kind == "s3" else "azure")
    return run(folder, cell=replace(cell, store=replace(store, rule=rule, **known)), **arguments)


class _Servers:
    """The stores of a worker process, which its jobs share and which end with it."""

    def __init__(self) -> None:
        self._running: dict[Kind, tuple[float, dict[str, Any], ExitStack]] = {}

    def of(self, kind: Kind) -> dict[str, Any]:
        """A running store: what its cells have to know of it."""
        began, known, stack = self._running.get(kind, (-math.inf, {}, ExitStack()))
        if time.monotonic() - began > _STORE_SECONDS:
            stack.close()
            stack = ExitStack()
            server = stack.enter_context(serve_store(kind))
            known = {"server": server, **(_s3_clients(server) if kind == "s3" else {})}
            self._running[kind] = time.monotonic(), known, stack
        return known


@cache
def _servers_of(pid: int) -> _Servers:
    return _Servers()


def _s3_clients(server: RunningStore) -> dict[str, Any]:
    import botocore.session
    from pydantic import SecretStr

    from arcane_framework.storage.s3_settings import S3Settings, build_clients

    # The server knows no keys.
    keys = {"access_key": "key-id", "secret_key": SecretStr("not-a-key")}
    settings = S3Settings(endpoint=server.direct, region="us-east-1", **keys)  # type: ignore[arg-type]
    sdk = botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=server.direct,
        aws_access_key_id="key-id",
        aws_secret_access_key="not-a-key",
    )
    return {"sdk": sdk, "clients": build_clients(settings, "s3://proof")}

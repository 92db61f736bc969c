"""What is run of the streams that write to S3 and Azure Blob. Each job counts the requests of a clean run itself."""

import os
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
from tests.storage.store_process import RunningStore, serve_store

SEED = 20_250_103

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
    """

    cells: tuple[Cell, ...]
    points: int
    random_kills: int
    trials: int
    zombies_anywhere: int
    zombies: int
    races: int
    red: int


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
    for store in (S3(), Azure())
    for make in (_table_cells, _rest_cells)
    for backfilling in (True, False)
    for cell in make(store, backfilling)
)

FULL = CloudSize(
    cells=CLOUD_CELLS, points=30, random_kills=42, trials=5, zombies_anywhere=12, zombies=4, races=2, red=8
)
QUICK = CloudSize(
    cells=(CLOUD_CELLS[0], CLOUD_CELLS[15]),
    points=4,
    random_kills=2,
    trials=1,
    zombies_anywhere=2,
    zombies=1,
    races=0,
    red=2,
)


def jobs(size: CloudSize) -> Iterator[Job]:
    """All jobs; nothing is run yet."""
    for number, cell in enumerate(size.cells):
        yield from _kills(size, cell, SEED + number)


def _kills(size: CloudSize, cell: Cell, seed: int) -> Iterator[Job]:
    yield _job("kill points", cell, _at_points, number=size.points)


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
    known = _server_of(os.getpid(), store.kind)[0]
    return run(folder, cell=replace(cell, store=replace(store, rule=rule, **known)), **arguments)


@cache
def _server_of(pid: int, kind: str) -> tuple[dict[str, Any], ExitStack]:
    """The store of a worker process, which all of its jobs share and which ends with it."""
    stack = ExitStack()
    server = stack.enter_context(serve_store("s3" if kind == "s3" else "azure"))
    return {"server": server, **(_s3_clients(server) if kind == "s3" else {})}, stack


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
        aws_secret_access_key="not-a-key",  # noqa: S106
    )
    return {"sdk": sdk, "clients": build_clients(settings, "s3://proof")}

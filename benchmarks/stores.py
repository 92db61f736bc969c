"""What exactly-once costs on each store: a sink beside a script that uploads the same parts with the same SDK."""

from collections.abc import Mapping
from contextlib import ExitStack
from statistics import median
from typing import Any

from benchmarks.child import run_child
from benchmarks.delay import delayed
from benchmarks.figures import Figure, Scale
from benchmarks.store_servers import Place, stores

WALL_GOAL = 1.3
REQUESTS_GOAL = 4.0
"""At most three for a part and one for its commit: each part is committed by itself."""
PEAK_PARTS = 3
DELAY_SECONDS = 0.02
MEMORY_ROUNDS = 3
MEMORY_PARTS = 4
MEMORY_BATCHES = 8
PLAINS = ("plain", "plain, threads")

NEAR, FAR, MIXED = "near", f"{DELAY_SECONDS * 1000:.0f} ms away", "near, mixed columns"

Found = dict[str, list[float]]
"""By `variant|side|figure`, one number a round."""


def measure(scale: Scale) -> list[Figure]:
    """Wall, CPU, requests and memory; each round has servers of its own that begin empty."""
    servers = stores()
    found: dict[str, Found] = {name: {} for name in servers}
    peaks: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
    for turn in range(scale.rounds):
        for name, server in servers.items():
            with server() as place:
                for key, value in _round(place, scale, turn).items():
                    found[name].setdefault(key, []).append(value)
                if turn < MEMORY_ROUNDS:
                    peaks[name].append(_peak(place, scale))
    figures = [figure for name in servers for figure in _costs(name, found[name], scale.store_parts)]
    return [*figures, *(figure for name in servers for figure in _memory(name, peaks[name]))]


def _round(place: Place, scale: Scale, turn: int) -> dict[str, float]:
    variants = [_variant(place, NEAR, place.port), _variant(place, MIXED, place.port, "mixed")]
    with ExitStack() as stack:
        if place.port:
            variants.append(_variant(place, FAR, stack.enter_context(delayed(place.port, DELAY_SECONDS))))
        arguments = {"variants": variants, "parts": scale.store_parts, "rows": scale.store_part_rows, "turn": turn}
        result = run_child("benchmarks.store_sides:measure", **arguments)
    for variant in variants:
        sizes = {value for key, value in result.items() if key.startswith(f"{variant['name']}|") and "nbytes" in key}
        if len(sizes) != 1:
            raise RuntimeError(f"{place.kind}, {variant['name']}: the sides have uploaded different bytes: {sizes}")
    return result


def _peak(place: Place, scale: Scale) -> dict[str, float]:
    arguments = {"parts": MEMORY_PARTS, "rows": scale.store_memory_rows, "batches": MEMORY_BATCHES}
    return run_child("benchmarks.store_sides:memory", variant=_variant(place, NEAR, place.port), **arguments)


def _variant(place: Place, name: str, port: int, data: str = "random") -> Mapping[str, Any]:
    return {
        "name": name,
        "store": place.kind,
        "location": place.location,
        "pid": place.pid,
        "settings": place.settings(port),
        "data": data,
    }


def _costs(store: str, found: Found, parts: int) -> list[Figure]:
    variants = [name for name in (NEAR, FAR, MIXED) if f"{name}|sink|wall" in found]
    return [figure for variant in variants for figure in _beside_plain(store, variant, found, parts)]


def _beside_plain(store: str, variant: str, found: Found, parts: int) -> list[Figure]:
    walls = {side: found[f"{variant}|{side}|wall"] for side in ("sink", *PLAINS)}
    faster = min(PLAINS, key=lambda side: median(walls[side]))
    cpu = [found[f"{variant}|{side}|cpu"] for side in ("sink", faster)]
    title = f"{store}, {variant}"
    figures = [
        Figure(f"{title}: sink over the faster plain: wall", _ratio(walls["sink"], walls[faster]), "x", WALL_GOAL),
        *(Figure(f"{title}: sink over {side}: wall", _ratio(walls["sink"], walls[side]), "x") for side in PLAINS),
        Figure(f"{title}: sink over the faster plain: CPU", _ratio(*cpu), "x"),
        *(Figure(f"{title}: {side}: wall", median(wall), "s") for side, wall in walls.items()),
        Figure(f"{title}: opening the sink", median(found[f"{variant}|sink|opening"]), "s"),
    ]
    if store != "disk":
        figures += [
            Figure(f"{title}: {side}: a part's CPU of the server", median(found[key]) / parts * 1000, "ms")
            for side in ("sink", *PLAINS)
            for key in [f"{variant}|{side}|server"]
        ]
        requests = max(found[f"{variant}|sink|requests"]) / parts
        figures.append(Figure(f"{title}: requests for a part and its commit", requests, "", REQUESTS_GOAL))
    return figures


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return median(a / b for a, b in zip(ours, theirs, strict=True))


def _memory(store: str, peaks: list[dict[str, float]]) -> list[Figure]:
    part = peaks[0]["part"]
    above = max(peak["above"] for peak in peaks)
    return [
        Figure(f"{store}: peak over the idle process, in parts of {part:.3g} MB", above / part, "", PEAK_PARTS),
        Figure(f"{store}: peak over the idle process", above, "MB"),
    ]

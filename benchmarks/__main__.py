"""`python -m benchmarks [--only NAME] [--json FILE]`: measures and prints a table; missing a goal is no error."""

import argparse
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from benchmarks import bounds, memory, overhead, parsers, processes, rest, stores, writing
from benchmarks.figures import FULL, TINY, Figure, Scale, as_json, table

BENCHMARKS: dict[str, Callable[[Scale], list[Figure]]] = {
    "overhead": overhead.measure,
    "writing": writing.measure,
    "memory": memory.measure,
    "bounds": bounds.measure,
    "start": processes.measure_start,
    "stop": processes.measure_stop,
    "parsers": parsers.measure,
    "rest": rest.measure,
    "stores": stores.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the arguments ask for; 0 unless something crashes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    parser.add_argument("--tiny", action="store_true", help="as little as possible: to see that it works")
    options = parser.parse_args(arguments)
    scale = TINY if options.tiny else FULL
    found: dict[str, list[Figure]] = {}
    for name in options.only or BENCHMARKS:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        found[name] = BENCHMARKS[name](scale)
    machine = _machine()
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    print(table(found))
    if options.json is not None:
        options.json.write_text(as_json(found, machine))
    return 0


def _machine() -> dict[str, object]:
    return {
        "Python": platform.python_version(),
        "pyarrow": pa.__version__,
        "system": platform.system(),
        "cores": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 2),
    }


if __name__ == "__main__":
    sys.exit(main())

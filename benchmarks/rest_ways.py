"""The ways to load the pages that are compared: the ready-made kind, a script by hand, and dlt; each a process."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.child import ROOT
from benchmarks.rest_pages import ROWS_KEY_CHAIN, TOTAL_KEY_CHAIN, schema_encoded
from benchmarks.whole import Usage, run_whole

PART_ROWS = 100_000
STREAM_ID = "orders"
# Arrow's own pools keep what several threads have freed; for the plugin and the script alike.
ALLOCATOR = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
# What dlt's page on performance advises: several workers, and files that they can share; of the size of our parts.
DLT_TUNING = {
    "NORMALIZE__WORKERS": str(os.cpu_count() or 1),
    "DATA_WRITER__FILE_MAX_ITEMS": str(PART_ROWS),
    "DATA_WRITER__BUFFER_MAX_ITEMS": "10000",
}


@dataclass(frozen=True, slots=True)
class Way:
    """A way to load all pages of an address into a folder.

    Attributes:
        command: The program and its arguments, in which `{url}` and `{folder}` stand for these.
        files: The pattern of the Parquet files that it leaves in the folder.
        variables: Its environment, with the same two.
    """

    command: Sequence[str]
    files: str
    variables: Mapping[str, str] = field(default_factory=dict)

    def load(self, url: str, folder: str) -> Usage:
        """Load the pages in a process of its own."""

        def filled(text: str) -> str:
            return text.replace("{url}", url).replace("{folder}", folder)

        variables = {name: filled(value) for name, value in self.variables.items()}
        return run_whole([filled(argument) for argument in self.command], variables)


def plugin() -> Way:
    """The ready-made kind as a backfill, by its environment alone."""
    spec = {
        "urlTemplate": "{url}?page=@page",
        "templatedFields": [
            {"fieldType": "RESPONSE_PAGE", "fieldName": "page", "formatString": "", "placement": "URL"}
        ],
        "pageResolverConfiguration": {"resolverType": "COUNTER", "resolverPropertyKeyChain": list(TOTAL_KEY_CHAIN)},
        "responsePropertyKeyChain": list(ROWS_KEY_CHAIN),
        "apiSchemaEncoded": schema_encoded(),
        "backFillStartDate": 1704067200000,
        "changeCaptureIntervalSeconds": 60,
        "lookBackInterval": 60,
        "httpTimeout": 60,
        "internalRateLimitCount": 1000,
        "internalRateLimitInterval": 1,
        "rowsPerGroup": PART_ROWS,
        "groupingIntervalSeconds": 60,
        "sinkLocation": "{folder}",
        "sinkFormat": "parquet",
    }
    variables = {
        "STREAMCONTEXT__SPEC": json.dumps(spec),
        "STREAMCONTEXT__STREAM_ID": STREAM_ID,
        "STREAMCONTEXT__STREAM_KIND": "RestApiPagedFixedAuth",
        "STREAMCONTEXT__BACKFILL": "true",
        "ARCANE__AUTHHEADERS": "{}",
    }
    command = [sys.executable, "-m", "arcane_framework.run"]
    return Way(command, f"{STREAM_ID}/backfill/*.parquet", {**variables, **ALLOCATOR})


def script() -> Way:
    """The script by hand."""
    command = [sys.executable, "-m", "benchmarks.rest_script", "{url}", "{folder}", str(PART_ROWS)]
    return Way(command, "*.parquet", ALLOCATOR)


def dlt(python: Path, *, tuned: bool = False) -> Way:
    """dlt's REST API source and filesystem destination, in the environment of the interpreter `python`."""
    # It must not report home, nor see modules of this project.
    variables = {"RUNTIME__DLTHUB_TELEMETRY": "false"}
    command = [str(python), "-I", str(ROOT / "benchmarks" / "rest_dlt.py"), "{url}", "{folder}"]
    return Way(command, "lake/bench/orders/*.parquet", {**variables, **(DLT_TUNING if tuned else {})})

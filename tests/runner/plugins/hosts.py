"""Hosts with parts of the plugin's own."""

import os
import time
from pathlib import Path

from arcane_framework import TransientStreamError
from arcane_framework.hosting import KubernetesJobStatus, StreamHost
from arcane_framework.hosting.logging import make_logger
from tests.runner.plugins.numbers_stream import Numbers


class Handler:
    """Decides about transient errors only."""

    def handle(self, error: Exception) -> int | None:
        return 42 if isinstance(error, TransientStreamError) else None


class BrokenHandler:
    def handle(self, error: Exception) -> int | None:
        raise LookupError("the handler has a defect")


class TextHandler:
    def handle(self, error: Exception) -> int | None:
        return "2"  # type: ignore[return-value]  # what a plugin without types may do


class BrokenStatus:
    def report_schema_mismatch(self, detail: str) -> None:
        raise LookupError("the status service has a defect")


def unknown(error: Exception) -> int | None:
    return 77 if isinstance(error, ValueError) else None


plain = StreamHost(Numbers, fenced_pause=(0.0, 0.05))
with_handlers = StreamHost(Numbers, exception_handler=Handler(), handle_unknown_exception=unknown)
with_broken_handler = StreamHost(Numbers, exception_handler=BrokenHandler())
with_text_handler = StreamHost(Numbers, exception_handler=TextHandler())
with_broken_status = StreamHost(Numbers, status=BrokenStatus())

in_cluster = StreamHost(
    Numbers,
    status=KubernetesJobStatus(
        "orders-1",
        make_logger(),
        host="127.0.0.1",
        port=int(os.environ.get("TEST_CLUSTER_PORT", "1")),
        wait=time.sleep,
        monotonic=time.monotonic,
        account_folder=Path(os.environ.get("TEST_ACCOUNT_FOLDER", "/nowhere")),
        budget_seconds=3,
    ),
)

"""Metrics over a real datagram socket, and over what is left of one."""

import io
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from arcane_framework._core.context import SpecModel, StreamContext
from arcane_framework._core.services import Metrics, Mode
from arcane_framework.hosting.logging import make_logger
from arcane_framework.hosting.metrics import DogStatsDMetrics, custom_tags, snake_case_kind, stream_tags
from arcane_framework.hosting.redaction import redact

NEVER = 3600.0
PREFIX = "arcane.sneaksanddata.com/"


@pytest.fixture
def socket_path() -> Iterator[str]:
    # A unix socket's path has at most about 100 characters, pytest's own folders may be longer.
    with TemporaryDirectory() as folder:
        yield str(Path(folder) / "dsd.socket")


@pytest.fixture
def agent(socket_path: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(socket_path)
        receiver.settimeout(5)
        yield receiver


class Opened:
    """Metrics with their log, closed at the end of the test."""

    def __init__(self, path: str, flush_seconds: float = NEVER) -> None:
        self.log = io.StringIO()
        self.metrics = DogStatsDMetrics(
            make_logger(stream=self.log), socket_path=path, redact=redact, flush_seconds=flush_seconds
        )

    @property
    def warnings(self) -> list[tuple[str, str]]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [(line["event"], line["reason"]) for line in lines]


@pytest.fixture
def opened(socket_path: str) -> Iterator[Opened]:
    opened = Opened(socket_path)
    yield opened
    opened.metrics.close()


def parse(datagram: bytes) -> tuple[str, float, str, set[str]]:
    head, kind, *rest = datagram.decode().strip().split("|")
    name, value = head.split(":")
    tags = next((part[1:] for part in rest if part.startswith("#")), "")
    return name, float(value), kind, set(tags.split(",")) if tags else set()


def receive(agent: socket.socket, count: int) -> list[tuple[str, float, str, set[str]]]:
    received = [parse(agent.recv(65536)) for _ in range(count)]
    agent.setblocking(False)
    with pytest.raises(BlockingIOError):
        agent.recv(65536)
    agent.settimeout(5)
    return sorted(received, key=lambda metric: metric[:2])


@pytest.mark.parametrize(
    ("kind", "tag"),
    [
        ("RestApiFixedAuth", "rest_api_fixed_auth"),
        ("RestApiPagedDynamicAuth", "rest_api_paged_dynamic_auth"),
        ("SqlServerChangeTracking", "sql_server_change_tracking"),
        ("CdmChangeFeed", "cdm_change_feed"),
        ("JsonStream", "json_stream"),
        ("SQLStream", "sqlstream"),
        ("V2Stream", "v2stream"),
        ("", ""),
    ],
)
def test_a_kinds_tag_is_in_snake_case(kind: str, tag: str) -> None:
    assert snake_case_kind(kind) == tag


def test_a_streams_tags_name_it() -> None:
    assert stream_tags("RestApiFixedAuth", Mode.BACKFILL, "orders", custom={"team": "a"}) == {
        "kind": "rest_api_fixed_auth",
        "mode": "backfill",
        "stream_id": "orders",
        "team": "a",
    }


class Labels(SpecModel):
    metric_tags: dict[str, str] | None = None


class Labelled(StreamContext):
    observability: Labels | None = None


class Unlabelled(StreamContext):
    observability: str = "on"


@pytest.mark.parametrize(
    ("context", "tags"),
    [
        (Labelled(observability=Labels(metric_tags={"team": "a"})), {"team": "a"}),
        (Labelled(observability=Labels()), {}),
        (Labelled(), {}),
        (Unlabelled(), {}),
        (StreamContext(), {}),
    ],
)
def test_custom_tags_are_those_of_the_contexts_field(context: StreamContext, tags: dict[str, str]) -> None:
    assert custom_tags(context) == tags


def test_custom_tags_cannot_replace_those_of_the_stream() -> None:
    tags = stream_tags("JsonStream", Mode.STREAM, "orders", custom={"kind": "x", "stream_id": "y", "mode": "z"})
    assert tags == {"kind": "json_stream", "mode": "stream", "stream_id": "orders"}


def test_counters_are_added_up_and_gauges_keep_the_last_value(agent: socket.socket, opened: Opened) -> None:
    metrics: Metrics = opened.metrics
    for _ in range(1000):
        metrics.increment("rows.incoming", 7)
    metrics.increment("retries")
    metrics.gauge("watermark.age", 5)
    metrics.gauge("watermark.age", 2.5)
    opened.metrics.flush()
    assert receive(agent, 3) == [
        ("arcane.stream.retries", 1, "c", set()),
        ("arcane.stream.rows.incoming", 7000, "c", set()),
        ("arcane.stream.watermark.age", 2.5, "g", set()),
    ]
    assert opened.warnings == []


def test_every_value_has_the_tags_with_the_prefix(agent: socket.socket, opened: Opened) -> None:
    tags = stream_tags("RestApiFixedAuth", Mode.STREAM, "orders", custom={"team": "a"})
    metrics = opened.metrics.with_tags({**tags, "stream_source_location": "api.example:8443"})
    metrics.with_tags({"shard": "3"}).increment("backfill.shards_completed")
    metrics.gauge("watermark.age", 1)
    opened.metrics.flush()
    common = {
        f"{PREFIX}kind:rest_api_fixed_auth",
        f"{PREFIX}mode:stream",
        f"{PREFIX}stream_id:orders",
        f"{PREFIX}stream_source_location:api.example:8443",
        f"{PREFIX}team:a",
    }
    assert receive(agent, 2) == [
        ("arcane.stream.backfill.shards_completed", 1, "c", common | {f"{PREFIX}shard:3"}),
        ("arcane.stream.watermark.age", 1, "g", common),
    ]


def test_values_with_different_tags_are_kept_apart(agent: socket.socket, opened: Opened) -> None:
    for shard, rows in (("1", 10), ("2", 20), ("1", 5)):
        opened.metrics.with_tags({"shard": shard}).increment("rows.committed", rows)
    opened.metrics.flush()
    assert receive(agent, 2) == [
        ("arcane.stream.rows.committed", 15, "c", {f"{PREFIX}shard:1"}),
        ("arcane.stream.rows.committed", 20, "c", {f"{PREFIX}shard:2"}),
    ]


def test_a_tag_can_neither_forge_metrics_nor_show_a_credential(agent: socket.socket, opened: Opened) -> None:
    opened.metrics.with_tags({"a": "x\nforged:1|c", "b": "p,q|r", "c": "https://u:c4nary@h"}).increment("retries")
    opened.metrics.flush()
    ((name, value, kind, tags),) = receive(agent, 1)
    assert (name, value, kind) == ("arcane.stream.retries", 1, "c")
    assert tags == {f"{PREFIX}a:x_forged:1_c", f"{PREFIX}b:p_q_r", f"{PREFIX}c:https://____h"}


def test_values_are_sent_without_being_asked(agent: socket.socket, socket_path: str) -> None:
    opened = Opened(socket_path, flush_seconds=0.02)
    opened.metrics.increment("retries")
    assert parse(agent.recv(65536))[:3] == ("arcane.stream.retries", 1, "c")
    opened.metrics.close()


def test_closing_sends_the_rest_and_ends_the_thread(agent: socket.socket, opened: Opened) -> None:
    opened.metrics.increment("rows.committed", 3)
    opened.metrics.close()
    opened.metrics.close()
    assert receive(agent, 1)[0][:2] == ("arcane.stream.rows.committed", 3)


def test_values_of_many_threads_are_all_counted(agent: socket.socket, opened: Opened) -> None:
    def work() -> None:
        for _ in range(2000):
            opened.metrics.increment("rows.incoming")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    opened.metrics.flush()
    assert receive(agent, 1)[0][1] == 8000


def test_without_a_socket_nothing_raises_and_one_warning_says_why(opened: Opened, socket_path: str) -> None:
    for number in range(10_000):
        opened.metrics.increment("rows.incoming")
        if number % 1000 == 0:
            opened.metrics.flush()
    opened.metrics.flush()
    assert opened.warnings == [
        ("metrics are not sent, the stream goes on", f"{socket_path}: No such file or directory")
    ]


def test_with_a_reader_that_does_not_read_nothing_raises(agent: socket.socket, opened: Opened) -> None:
    agent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    for number in range(10_000):
        opened.metrics.with_tags({"n": str(number % 100)}).increment("rows.incoming")
        if number % 100 == 0:
            opened.metrics.flush()
    opened.metrics.flush()
    assert parse(agent.recv(65536))[0] == "arcane.stream.rows.incoming"
    assert opened.warnings == []


def test_an_agent_that_restarts_gets_metrics_again(opened: Opened, socket_path: str) -> None:
    for _ in range(2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as agent:
            agent.bind(socket_path)
            agent.settimeout(5)
            # The first value after a restart finds the old connection closed and is dropped.
            for _ in range(2):
                opened.metrics.increment("retries")
                opened.metrics.flush()
            assert parse(agent.recv(65536))[0] == "arcane.stream.retries"
        opened.metrics.increment("retries")
        opened.metrics.flush()
        Path(socket_path).unlink()
    assert opened.warnings == [("metrics are not sent, the stream goes on", f"{socket_path}: Connection refused")]


def test_a_file_in_the_sockets_place_does_not_raise(opened: Opened, socket_path: str) -> None:
    Path(socket_path).write_text("")
    opened.metrics.increment("retries")
    opened.metrics.flush()
    assert opened.warnings == [("metrics are not sent, the stream goes on", f"{socket_path}: Connection refused")]


def test_a_path_that_is_too_long_does_not_raise(tmp_path: Path) -> None:
    path = str(tmp_path / ("x" * 200))
    opened = Opened(path)
    opened.metrics.increment("retries")
    opened.metrics.flush()
    assert opened.warnings == [("metrics are not sent, the stream goes on", f"{path}: OSError")]
    opened.metrics.close()


def test_without_the_library_one_warning_says_what_to_install(agent: socket.socket, socket_path: str) -> None:
    program = f"""
import sys
sys.modules["datadog"] = None
from arcane_framework.hosting.logging import make_logger
from arcane_framework.hosting.metrics import DogStatsDMetrics
metrics = DogStatsDMetrics(make_logger(stream=sys.stdout), socket_path={socket_path!r})
for _ in range(3):
    metrics.increment("retries")
    metrics.flush()
metrics.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    (line,) = map(json.loads, done.stdout.splitlines())
    assert (line["level"], line["event"]) == ("warning", "metrics are not sent, the stream goes on")
    assert line["reason"] == "the package 'datadog' is not installed; install arcane-framework[datadog]"
    assert done.stderr == ""


def test_the_library_is_not_loaded_before_there_is_something_to_send_to(socket_path: str) -> None:
    program = f"""
import sys
from arcane_framework.hosting.logging import make_logger
from arcane_framework.hosting.metrics import DogStatsDMetrics
metrics = DogStatsDMetrics(make_logger(level="error"), socket_path={socket_path!r})
metrics.increment("retries")
metrics.close()
print("datadog" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "False\n"

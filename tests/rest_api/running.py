"""Start a server, on a thread or as a process, and control it."""

import asyncio
import http.client
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from tests.rest_api import server
from tests.rest_api.data import write_instant
from tests.rest_api.script import Entry, Fault, Script

_START_SECONDS = 20.0
_LOOK_SECONDS = 0.003


@dataclass(frozen=True, slots=True)
class RunningApi:
    """A server. May be controlled from any thread and any process.

    Attributes:
        url: Scheme, host and port.
        control_port: Where it is controlled.
    """

    url: str
    control_port: int

    def journal(self, kind: Literal["data", "token"] | None = "data") -> list[Entry]:
        """The requests so far; `None`: of both kinds."""
        entries = (Entry(**entry) for entry in self._call("GET", "journal")["requests"])
        return [entry for entry in entries if kind in (None, entry.kind)]

    def connections(self) -> int:
        """How many connections clients have opened."""
        return int(self._call("GET", "journal")["connections"])

    def wait_for_requests(self, number: int, timeout: float = 20.0) -> list[Entry]:
        """Until so many data requests have arrived, whether they are answered or not.

        Raises:
            TimeoutError: They have not.
        """
        until = time.monotonic() + timeout
        while len(entries := self.journal()) < number:
            if time.monotonic() > until:
                raise TimeoutError(f"{len(entries)} data requests in {timeout} s, not {number}")
            time.sleep(_LOOK_SECONDS)
        return entries

    def set_clock(self, now: datetime | None) -> None:
        """Let the server's clock stand at an instant; None: the machine's clock."""
        self._call("POST", "clock", {"now": None if now is None else write_instant(now)})

    def add_fault(self, fault: Fault) -> None:
        """From now on, before the faults that are there. Its `request` counts from the server's first."""
        self._call("POST", "fault", asdict(fault))

    def reset(self, script: Script | None = None) -> None:
        """Begin anew, with the same or another script: journal, counts, faults and tokens; connections are cut."""
        self._call("POST", "reset", None if script is None else asdict(script))

    def _call(self, method: str, name: str, document: Any = None) -> Any:
        with closing(http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=_START_SECONDS)) as connection:
            body = None if document is None else json.dumps(document)
            connection.request(method, f"/_control/{name}", body, {"Connection": "close"})
            answer = connection.getresponse()
            text = answer.read().decode()
        assert answer.status == 200, text
        return json.loads(text)


@contextmanager
def serve(script: Script | None = None, tls: ssl.SSLContext | None = None) -> Iterator[RunningApi]:
    """A server on a thread of this process, until the block ends. Nothing that forks may use this."""
    started: Future[tuple[server.Ports, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        await server.run(script or Script(), tls, lambda ports: started.set_result((ports, loop, stop)), stop)

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="rest-api", daemon=True)
    thread.start()
    ports, loop, stop = started.result(_START_SECONDS)
    try:
        yield _running(ports, tls is not None)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


@contextmanager
def serve_process(
    folder: Path, script: Script | None = None, certificate: Path | None = None, key: Path | None = None
) -> Iterator[RunningApi]:
    """A server in a process of its own, until the block ends or this process does.

    Args:
        folder: For the server's two small files; they are overwritten.
        script: The settings.
        certificate: The chain, in PEM; None: no TLS.
        key: Of the certificate, in PEM.

    Raises:
        RuntimeError: It has not started; what it said is on standard error.
    """
    script_file, port_file = folder / "rest-api.json", folder / "rest-api.ports"
    script_file.write_text((script or Script()).to_json())
    port_file.unlink(missing_ok=True)
    files = {"--script": script_file, "--port-file": port_file, "--certificate": certificate, "--key": key}
    options = [text for name, file in files.items() if file is not None for text in (name, str(file))]
    command = [sys.executable, "-m", "tests.rest_api", "--ends-with-parent", *options]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + _START_SECONDS
            while not port_file.exists():
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("the API server has not started")
                time.sleep(_LOOK_SECONDS)
            api, control = map(int, port_file.read_text().split())
            yield _running(server.Ports(api, control), certificate is not None)
        finally:
            process.terminate()


def _running(ports: server.Ports, tls: bool) -> RunningApi:
    return RunningApi(f"{'https' if tls else 'http'}://127.0.0.1:{ports.api}", ports.control)

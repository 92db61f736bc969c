"""A store as a process of its own, with the fault proxy in front: `python -m tests.storage.store_process s3|azure`.

It prints a line of JSON with the addresses of proxy and server and the account's key, and ends when its standard input
does. `serve_store` starts one.
"""

import base64
import http.client
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from tests.storage.fault_proxy import CONTROL, Answer, FaultProxy, Kind, Request, fault_proxy
from tests.storage.fault_rules import Dice

_SECONDS = 30


@dataclass(frozen=True, slots=True)
class RunningStore:
    """A store in another process.

    Attributes:
        kind: Which.
        url: Of the proxy.
        direct: Of the server behind it.
        key: The account's; empty where there is none.
    """

    kind: Kind
    url: str
    direct: str
    key: str = ""

    def set_faults(
        self,
        share: float,
        seed: int = 0,
        *,
        faults: Sequence[str] | None = None,
        fragment: str = "",
        drop_conditions: bool = False,
    ) -> Mapping[str, int]:
        """What goes wrong from now on, see `Dice`; gives what has gone wrong since the last time."""
        told = {"share": share, "seed": seed, "faults": faults, "fragment": fragment}
        counts: dict[str, int] = self._ask("faults", {**told, "drop_conditions": drop_conditions})
        return counts

    def wait_until_idle(self) -> None:
        """Until all that was sent so far is carried out."""
        assert self._ask("idle"), "requests are in the air for too long"

    def staged(self, path: str) -> list[tuple[str, str, str, bytes]]:
        """See `StagedPieces.below`."""
        return [
            (name, upload, piece, base64.b64decode(content))
            for name, upload, piece, content in self._ask(f"staged/{quote(path)}")
        ]

    def drop(self, path: str) -> None:
        """Forget all about a bucket or container; a bucket is removed, too."""
        self._ask(f"drop/{quote(path)}")

    def _ask(self, what: str, told: object = None) -> Any:
        url = urlsplit(self.url)
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=_SECONDS)
        try:
            connection.request("POST", f"{CONTROL}{what}", json.dumps(told))
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == 200, (what, answer.status)
            return json.loads(content)
        finally:
            connection.close()


@contextmanager
def serve_store(kind: Kind) -> Iterator[RunningStore]:
    """A store in a process of its own, until the block ends or this process does.

    Raises:
        RuntimeError: It does not start; the message says why.
    """
    command = [sys.executable, "-m", "tests.storage.store_process", kind]
    place, pipe = Path(__file__).parents[2], subprocess.PIPE
    with subprocess.Popen(command, cwd=place, text=True, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            said = json.loads(process.stdout.readline() or '{"error": "it said nothing"}')
            if "error" in said:
                raise RuntimeError(f"the store {kind} does not start: {said['error']}")
            yield RunningStore(kind, said["url"], said["direct"], said["key"])
        finally:
            process.stdin.close()


class _Control:
    """Answers requests for the proxy itself."""

    def __init__(self, proxy: FaultProxy, drop: Callable[[str], None]) -> None:
        self._proxy = proxy
        self._drop = drop
        self._dice = Dice(proxy.kind)

    def __call__(self, request: Request) -> Answer:
        what, _, path = request.target.removeprefix(CONTROL).partition("/")
        answers: dict[str, Callable[[], object]] = {
            "faults": lambda: self._set_faults(**json.loads(request.body)),
            "idle": self._proxy.wait_until_idle,
            "staged": lambda: self._staged(unquote(path)),
            "drop": lambda: self._forget(unquote(path)),
        }
        return Answer(200, content=json.dumps(answers[what]()).encode())

    def _set_faults(self, *, drop_conditions: bool, **dice: Any) -> Mapping[str, int]:
        before, self._dice = self._dice, Dice(self._proxy.kind, **dice)
        with self._proxy.lock:
            self._proxy.rule = self._dice
            self._proxy.drop_conditions = drop_conditions
            self._proxy.requests.clear()
        return before.counts

    def _staged(self, path: str) -> list[tuple[str, str, str, str]]:
        return [
            (name, upload, piece, base64.b64encode(content).decode())
            for name, upload, piece, content in self._proxy.staged.below(path)
        ]

    def _forget(self, path: str) -> None:
        self._proxy.staged.forget(path)
        self._drop(path)


def main(kind: Kind) -> None:
    """Serve until standard input ends."""
    with ExitStack() as stack:
        try:
            direct, key, drop = _server(kind, stack)
        except Exception as error:  # Whoever has started this wants to know.
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
            return
        proxy = stack.enter_context(fault_proxy(direct, kind))
        proxy.control = _Control(proxy, drop)
        print(json.dumps({"url": proxy.url, "direct": direct, "key": key}), flush=True)
        sys.stdin.read()


def _server(kind: Kind, stack: ExitStack) -> tuple[str, str, Callable[[str], None]]:
    if kind == "s3":
        from tests.storage.s3_server import running_server

        server = stack.enter_context(running_server())
        return server.url, "", server.drop
    from tests.storage.azurite import running_azurite

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    azurite = stack.enter_context(running_azurite(folder))
    return azurite.url, azurite.key, lambda path: None


if __name__ == "__main__":
    main(sys.argv[1])  # type: ignore[arg-type]

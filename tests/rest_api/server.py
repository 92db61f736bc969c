"""The server's sockets: one for the API, with or without TLS, and a plain one to control it by."""

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.rest_api.api import Api
from tests.rest_api.script import Script
from tests.rest_api.wire import Answer, read_request, send

_LARGEST_HEAD = 1 << 20


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a server listens, on 127.0.0.1."""

    api: int
    control: int


async def run(
    script: Script, tls: ssl.SSLContext | None, started: Callable[[Ports], None], stop: asyncio.Event
) -> None:
    """Serve until `stop` is set; then all connections are cut, whatever their clients do."""
    listener = _Listener(script, "http" if tls is None else "https")
    loop = asyncio.get_running_loop()
    # Clients vanish, and some refuse the certificate: that is what this server is for.
    loop.set_exception_handler(_report)
    api = await asyncio.start_server(listener.serve, "127.0.0.1", 0, limit=_LARGEST_HEAD, ssl=tls)
    control = await asyncio.start_server(listener.control, "127.0.0.1", 0, limit=_LARGEST_HEAD)
    try:
        started(Ports(*(server.sockets[0].getsockname()[1] for server in (api, control))))
        await stop.wait()
    finally:
        api.close()
        control.close()
        await listener.cut()


class _Listener:
    def __init__(self, script: Script, scheme: str) -> None:
        self._api = Api(script, self._begin_anew)
        self._scheme = scheme
        self._of_clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._of_control: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def cut(self) -> None:
        tasks = self._of_clients | self._of_control
        _cut(tasks)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._api.connections += 1
        await self._talk(reader, writer, self._of_clients, self._api.connections)

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._talk(reader, writer, self._of_control, 0)

    def _begin_anew(self) -> None:
        # Without what has arrived from clients of the time before.
        _cut(self._of_clients)

    async def _talk(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        tasks: dict[asyncio.Task[None], asyncio.StreamWriter],
        connection: int,
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks[task] = writer
        try:
            while await self._answer_one(reader, writer, connection):
                pass
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            del tasks[task]
            writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> bool:
        request = await read_request(reader)
        if request is None:
            return False
        base = f"{self._scheme}://{request.headers.get('host', '')}"
        try:
            answer = self._api.answer(request, base, connection)
        except Exception as error:
            # A wrong script, or a defect of this server: the test sees it in its own failure.
            answer = Answer(500, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
        if not connection:
            # A reset has cut connections by the time that its answer says so.
            await asyncio.sleep(0)
        goes_on = await send(reader, writer, answer)
        return goes_on and request.headers.get("connection", "").lower() != "close"


def _cut(tasks: Mapping[asyncio.Task[None], asyncio.StreamWriter]) -> None:
    for task, writer in tasks.items():
        if task is not asyncio.current_task():
            writer.transport.abort()
            task.cancel()


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    if not isinstance(context.get("exception"), OSError):
        loop.default_exception_handler(context)

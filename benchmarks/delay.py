"""A TCP proxy on loopback that delivers everything late, as a store at some distance does.

`python -m benchmarks.delay PORT SECONDS` prints its port and passes connections on to `PORT`; half of the seconds is
added in each direction, so that a request and its answer take `SECONDS` longer, however long they are.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from benchmarks.child import ROOT, environment

CHUNK_BYTES = 1 << 18
WAITING_CHUNKS = 256
"""In one direction of a connection; more, and the sender is held back."""

Waiting = asyncio.Queue[tuple[float, bytes]]


@contextmanager
def delayed(port: int, seconds: float) -> Iterator[int]:
    """Run the proxy in front of `port` in a process of its own; gives its port."""
    command = [sys.executable, "-m", "benchmarks.delay", str(port), str(seconds)]
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


async def _serve(port: int, seconds: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port, limit=CHUNK_BYTES)
        with suppress(ConnectionError):
            await asyncio.gather(_pass_on(reader, back, seconds / 2), _pass_on(there, writer, seconds / 2))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=CHUNK_BYTES)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    waiting: Waiting = asyncio.Queue(WAITING_CHUNKS)
    delivery = asyncio.create_task(_deliver(waiting, writer))
    now = asyncio.get_running_loop().time
    content = b"-"
    while content:
        try:
            content = await reader.read(CHUNK_BYTES)
        except ConnectionError:
            content = b""
        await waiting.put((now() + seconds, content))
    await delivery


async def _deliver(waiting: Waiting, writer: asyncio.StreamWriter) -> None:
    now = asyncio.get_running_loop().time
    with suppress(ConnectionError):
        while True:
            due, content = await waiting.get()
            await asyncio.sleep(max(0.0, due - now()))
            if not content:
                break
            writer.write(content)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))

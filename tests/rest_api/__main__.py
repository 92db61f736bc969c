"""The server as a process: `python -m tests.rest_api --port-file F [--script S.json]`.

The file gets two lines, the API's port and the control port, once both can be called. SIGTERM and SIGINT end it.
"""

import argparse
import asyncio
import os
import signal
import ssl
from collections.abc import Sequence
from pathlib import Path

from tests.rest_api.script import Script
from tests.rest_api.server import Ports, run

_LOOK_SECONDS = 0.2


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m tests.rest_api", description=__doc__)
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument("--script", type=Path, help="JSON with settings of Script; none: all as they are")
    parser.add_argument("--certificate", type=Path, help="PEM, for TLS")
    parser.add_argument("--key", type=Path, help="PEM, of the certificate")
    parser.add_argument("--ends-with-parent", action="store_true")
    options = parser.parse_args(arguments)
    tls = None
    if options.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.certificate, options.key)
    script = Script.from_json(options.script.read_bytes()) if options.script else Script()
    asyncio.run(_serve(script, tls, options.port_file, options.ends_with_parent))


async def _serve(script: Script, tls: ssl.SSLContext | None, port_file: Path, ends_with_parent: bool) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watch = asyncio.create_task(_end_with_parent(os.getppid(), stop)) if ends_with_parent else None

    def write(ports: Ports) -> None:
        # A reader sees the whole file or none.
        unfinished = port_file.with_name(port_file.name + ".new")
        unfinished.write_text(f"{ports.api}\n{ports.control}\n")
        unfinished.rename(port_file)

    await run(script, tls, write, stop)
    if watch:
        watch.cancel()


async def _end_with_parent(parent: int, stop: asyncio.Event) -> None:
    while os.getppid() == parent:
        await asyncio.sleep(_LOOK_SECONDS)
    stop.set()


if __name__ == "__main__":
    main()

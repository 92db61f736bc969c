"""HTTP/1.1 on asyncio's streams, with every way to break it off."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from tests.rest_api.script import Action

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Request:
    """A request; headers by lower-case name."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent, and how (see `Fault`)."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    action: Action = "answer"
    seconds: float = 0.0

    def head(self) -> bytes:
        """The status line and the headers."""
        fields = {"Content-Type": "application/json", "Content-Length": str(len(self.body))}
        for name, value in self.headers.items():
            fields = {known: text for known, text in fields.items() if known.lower() != name.lower()} | {name: value}
        lines = [
            f"HTTP/1.1 {self.status} {_PHRASES.get(self.status, 'Unknown')}",
            *(f"{name}: {value}" for name, value in fields.items()),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection; None when there is none or no sense in it."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        return None
    return Request(method, target, headers, body)


async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> bool:
    """Send an answer. Returns whether the connection can go on.

    Raises:
        ConnectionError: The client has gone.
    """
    head, half = answer.head(), answer.body[: len(answer.body) // 2]
    if answer.seconds and answer.action != "drip":
        await asyncio.sleep(answer.seconds)
    match answer.action:
        case "answer" | "slow":
            writer.write(head + answer.body)
        case "truncate":
            writer.write(head + half)
        case "reset":
            writer.write(head + half)
            await writer.drain()
            _reset(writer)
        case "drip":
            writer.write(head)
            for byte in answer.body:
                await writer.drain()
                await asyncio.sleep(answer.seconds)
                writer.write(bytes([byte]))
        case "hang":
            while await reader.read(1 << 16):
                pass
        case "close":
            pass
    await writer.drain()
    return answer.action in ("answer", "slow", "drip")


def _reset(writer: asyncio.StreamWriter) -> None:
    at_once = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    writer.transport.abort()

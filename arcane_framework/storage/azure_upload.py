"""An object being staged as uncommitted blocks."""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from uuid import uuid4

from azure.storage.blob import BlobBlock, BlockState

from arcane_framework._core.errors import FatalStreamError
from arcane_framework._core.storage import PublishHandle, StagedUpload

BLOCK_BYTES = 8 << 20
MAX_BLOCKS = 50_000
BLOCKS_IN_MEMORY = 3
"""Of one upload: those being sent and the one being filled."""

SMALL_BYTES = 64 << 10
"""Pieces below are gathered, or a block of very small ones would be mostly objects."""

SendBlock = Callable[[str, bytes], None]


@dataclass(frozen=True, slots=True)
class BlockHandle:
    """What a publish handle says: `blocks` blocks of this nonce, staged for the object `name`, `size` bytes in all."""

    name: str
    nonce: str
    blocks: int
    size: int

    def to_json(self) -> PublishHandle:
        """The publish handle."""
        return {"blob": self.name, "nonce": self.nonce, "blocks": self.blocks, "bytes": self.size}

    @classmethod
    def of(cls, handle: PublishHandle) -> "BlockHandle":
        """Read a publish handle back.

        Raises:
            FatalStreamError: It is not one of a container on Azure.
        """
        name, nonce, blocks, size = (handle.get(key) for key in ("blob", "nonce", "blocks", "bytes"))
        if (
            isinstance(name, str)
            and isinstance(nonce, str)
            and isinstance(blocks, int)
            and isinstance(size, int)
            and 0 <= blocks <= MAX_BLOCKS
        ):
            return cls(name, nonce, blocks, size)
        raise FatalStreamError(f"{dict(handle)!r} is not a publish handle of a container on Azure")

    def block_list(self) -> list[BlobBlock]:
        """The blocks in order; only uncommitted ones, so that nothing is ever published twice."""
        return [BlobBlock(block_id(self.nonce, index), BlockState.UNCOMMITTED) for index in range(self.blocks)]


def block_id(nonce: str, index: int) -> str:
    """A block's id: uploads under one name share a namespace, and all of its ids must be equally long."""
    return f"{nonce}-{index:06d}"


def nonce_of(identifier: str) -> str:
    """The nonce in a block's id; all of it when it is another tool's."""
    return identifier.rpartition("-")[0] or identifier


class _Block:
    """A block being filled, out of pieces that are joined once. Whole `bytes` objects are kept and not copied."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._pieces: list[bytes | bytearray] = []

    def add(self, piece: memoryview) -> None:
        self.nbytes += piece.nbytes
        whole = piece.obj
        if isinstance(whole, bytes) and len(whole) == piece.nbytes >= SMALL_BYTES:
            self._pieces.append(whole)
        elif piece.nbytes >= SMALL_BYTES:
            self._pieces.append(bytes(piece))
        else:
            self._add_small(piece)

    def _add_small(self, piece: memoryview) -> None:
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, bytearray) and len(last) < SMALL_BYTES:
            last += piece
        else:
            self._pieces.append(bytearray(piece))

    def take(self) -> bytes:
        """Its bytes; it is empty afterwards."""
        pieces, self._pieces, self.nbytes = self._pieces, [], 0
        only = pieces[0] if len(pieces) == 1 else None
        return only if isinstance(only, bytes) else b"".join(pieces)


class BlockUpload(StagedUpload):
    """Sends full blocks on threads of its own, at most three in memory; `finish` itself sends the last one.

    `abort` forgets the blocks that were sent: the service removes them after a week. It cannot do more, see
    `AzureBlobStorage.abort`.
    """

    def __init__(self, name: str, send: SendBlock, block_bytes: int = BLOCK_BYTES) -> None:
        self._name = name
        self._send = send
        self._block_bytes = block_bytes
        self._nonce = uuid4().hex
        self._block: _Block | None = _Block()
        self._pool: ThreadPoolExecutor | None = None
        self._sending: set[Future[None]] = set()
        self._blocks = 0
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """See `StagedUpload.write`; blocks while too much is in memory. An error of an earlier block comes up here."""
        rest = memoryview(data).cast("B")
        taken = rest.nbytes
        while rest:
            block = self._open_block()
            # Only now, so that `finish` needs no threads for an upload of just one block.
            if block.nbytes == self._block_bytes:
                self._send_in_background(block)
            piece = rest[: self._block_bytes - block.nbytes]
            block.add(piece)
            rest = rest[len(piece) :]
        self._open_block()
        self._size += taken
        return taken

    def begin_to_finish(self) -> None:
        """See `StagedUpload.begin_to_finish`; blocks while too much is in memory."""
        block = self._open_block()
        if block.nbytes:
            self._send_in_background(block)

    def finish(self) -> PublishHandle:
        """See `StagedUpload.finish`."""
        block = self._open_block()
        try:
            if block.nbytes:
                self._wait_until(BLOCKS_IN_MEMORY - 2)
                self._send(self._next_block(), block.take())
            self._wait_until(0)
        except BaseException:
            self.abort()
            raise
        self._close()
        return BlockHandle(self._name, self._nonce, self._blocks, self._size).to_json()

    def abort(self) -> None:
        """See `StagedUpload.abort`; waits for the blocks that are being sent."""
        for sending in self._sending:
            sending.cancel()
        self._close()

    def _send_in_background(self, block: _Block) -> None:
        try:
            # While the block's pieces are joined there are two of it.
            self._wait_until(BLOCKS_IN_MEMORY - 2)
            if self._pool is None:
                self._pool = ThreadPoolExecutor(BLOCKS_IN_MEMORY - 1, "arcane-azure-upload")
            self._sending.add(self._pool.submit(self._send, self._next_block(), block.take()))
        except BaseException:
            self.abort()
            raise

    def _wait_until(self, at_most: int) -> None:
        while True:
            done = {sending for sending in self._sending if sending.done()}
            self._sending -= done
            for sending in done:
                sending.result()
            if len(self._sending) <= at_most:
                return
            wait(self._sending, return_when=FIRST_COMPLETED)

    def _next_block(self) -> str:
        if self._blocks == MAX_BLOCKS:
            raise FatalStreamError(f"{self._name} has more than {MAX_BLOCKS} blocks; choose smaller parts")
        self._blocks += 1
        return block_id(self._nonce, self._blocks - 1)

    def _close(self) -> None:
        self._block = None
        self._sending = set()
        if self._pool is not None:
            self._pool.shutdown(wait=True)
            self._pool = None

    def _open_block(self) -> _Block:
        if self._block is None:
            raise ValueError(f"{self._name} is finished or aborted; nothing can be written to it")
        return self._block

"""What a store has taken and does not show: the parts of uploads on S3, uncommitted blocks on Azure."""

import threading
from urllib.parse import parse_qs, unquote, urlsplit

from tests.storage.operations import OPERATIONS


class StagedPieces:
    """Remembers staged pieces as they pass by, until they are published, given up, or overwritten.

    Args:
        kind: Of the store.
    """

    def __init__(self, kind: str) -> None:
        self._operation = OPERATIONS[kind]
        self._lock = threading.Lock()
        self._pieces: dict[tuple[str, str], dict[str, bytes]] = {}

    def saw(self, method: str, target: str, body: bytes, status: int) -> None:
        """Take note of a request that the store has answered."""
        if not 200 <= status < 300:
            return
        operation, url = self._operation(method, target), urlsplit(target)
        query = parse_qs(url.query)
        path = unquote(url.path).strip("/")
        with self._lock:
            if operation == "UploadPart":
                self._pieces.setdefault((path, query["uploadId"][0]), {})[query["partNumber"][0]] = body
            elif operation in ("AbortMultipartUpload", "CompleteMultipartUpload"):
                self._pieces.pop((path, query["uploadId"][0]), None)
            elif operation == "PutBlock":
                self._pieces.setdefault((path, ""), {})[query["blockid"][0]] = body
            elif operation in ("PutBlockList", "PutBlob", "DeleteBlob"):
                self._pieces.pop((path, ""), None)

    def below(self, path: str) -> list[tuple[str, str, str, bytes]]:
        """What is staged below a path: object, upload (empty on Azure), number or block id, and content."""
        with self._lock:
            return [
                (name, upload, piece, content)
                for (name, upload), pieces in self._pieces.items()
                if name.startswith(f"{path}/")
                for piece, content in pieces.items()
            ]

    def forget(self, path: str) -> None:
        """Forget what is staged below a path."""
        with self._lock:
            for key in [key for key in self._pieces if key[0].startswith(f"{path}/")]:
                del self._pieces[key]

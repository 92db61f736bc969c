"""S3 and Azure Blob as stores of the proof: each trial has a bucket or container of its own, behind the fault proxy.

The judge looks past the proxy, with the vendors' SDKs. What is staged no store shows: whether it is still there, it
says; the content comes from the proxy's memory.
"""

import base64
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from arcane_framework import Storage
from tests.proof.faults import Action, Fault, When
from tests.proof.snapshots import STAGE, Snapshot, newest_position
from tests.proof.stores import STREAM_ID, Moment, Place, Store
from tests.storage.store_process import RunningStore

FAULT_SHARE = 0.05
FOLDER = f"lake/{STREAM_ID}/"
_PROBE = f"{STAGE}.tmp-probe"


@dataclass
class _CloudPlace(ABC):
    """What both have in common.

    Attributes:
        server: The store's process.
        seed: Of the faults.
        rule: How the proxy behaves instead of the usual; see `RunningStore.set_faults`.
        name: Of the bucket or container.
        injected: See `Place`.
    """

    server: RunningStore
    seed: int
    rule: Mapping[str, Any] | None
    name: str = ""
    injected: int = 0
    _seen: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.set_faults(on=True)
        # Those were an earlier trial's.
        self.injected = 0

    def set_faults(self, *, on: bool) -> None:
        rule = self.rule or {"share": FAULT_SHARE}
        gone_wrong = self.server.set_faults(**(rule if on else {"share": 0.0}), seed=self.seed)
        self.injected += sum(gone_wrong.values())

    def snapshot(self) -> Snapshot:
        self.server.wait_until_idle()
        found = {name: self._content(name, etag) for name, etag in self._listed("")}
        # Made by the first runner, and there for ever.
        found.pop(_PROBE, None)
        return {**found, **{f"{STAGE}{key}": content for key, content in self._staged().items()}}

    def newest_position(self) -> Mapping[str, Any]:
        while True:
            with suppress(FileNotFoundError):  # When there is a newer one by now.
                return self._newest_position(dict(self._listed("_arcane/log/")))

    def _newest_position(self, etags: Mapping[str, str]) -> Mapping[str, Any]:
        return newest_position(etags, lambda name: self._content(name, etags[name]))

    def _content(self, name: str, etag: str) -> bytes:
        key = (name, etag)
        if key not in self._seen:
            self._seen[key] = self._read(name)
        return self._seen[key]

    @abstractmethod
    def _listed(self, below: str) -> Iterator[tuple[str, str]]:
        """Objects in the stream's folder: name and a text that changes with the content."""

    @abstractmethod
    def _read(self, name: str) -> bytes: ...

    @abstractmethod
    def _staged(self) -> dict[str, bytes]: ...


@dataclass
class S3Place(_CloudPlace):
    """A bucket. Clients are made once: it takes a while.

    Attributes:
        sdk: The judge's client.
        clients: The product's, for verification.
    """

    sdk: Any = None
    clients: Any = None

    def __post_init__(self) -> None:
        self.name = f"proof-{uuid4().hex}"
        self.sdk.create_bucket(Bucket=self.name)
        super().__post_init__()

    @property
    def location(self) -> str:
        return f"s3a://{self.name}/lake"

    @property
    def variables(self) -> Mapping[str, str]:
        return {
            "ARCANE__AWS_ENDPOINT_URL": self.server.url,
            "ARCANE__AWS_REGION": "us-east-1",
            "ARCANE__AWS_ACCESS_KEY_ID": "key-id",
            "ARCANE__AWS_SECRET_ACCESS_KEY": "not-a-key",
        }

    def storage(self) -> Storage:
        from arcane_framework.storage.s3 import S3Storage

        return S3Storage(self.name, "lake", clients=self.clients).folder(STREAM_ID)

    def remove(self) -> None:
        self.server.drop(self.name)

    def _listed(self, below: str) -> Iterator[tuple[str, str]]:
        pages = self.sdk.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=FOLDER + below)
        for page in pages:
            for found in page.get("Contents", ()):
                yield found["Key"].removeprefix(FOLDER), found["ETag"]

    def _read(self, name: str) -> bytes:
        try:
            content: bytes = self.sdk.get_object(Bucket=self.name, Key=FOLDER + name)["Body"].read()
        except self.sdk.exceptions.NoSuchKey:
            raise FileNotFoundError(name) from None
        return content

    def _staged(self) -> dict[str, bytes]:
        known = {
            (name.partition("/")[2], upload, int(number)): content
            for name, upload, number, content in self.server.staged(self.name)
        }
        uploads = self.sdk.list_multipart_uploads(Bucket=self.name).get("Uploads", ())
        return {upload["UploadId"]: self._content_of(upload["Key"], upload["UploadId"], known) for upload in uploads}

    def _content_of(self, key: str, upload: str, known: Mapping[tuple[str, str, int], bytes]) -> bytes:
        parts = self.sdk.list_parts(Bucket=self.name, Key=key, UploadId=upload).get("Parts", ())
        pieces = [(known[key, upload, part["PartNumber"]], part["ETag"].strip('"')) for part in parts]
        assert all(hashlib.md5(piece).hexdigest() == etag for piece, etag in pieces), "the proxy remembers other parts"
        return b"".join(piece for piece, _ in pieces)


@dataclass
class AzurePlace(_CloudPlace):
    """A container."""

    def __post_init__(self) -> None:
        self.name = self._container.container_name
        super().__post_init__()

    @cached_property
    def _container(self) -> Any:
        return self._emulator.new_container()

    @cached_property
    def _emulator(self) -> Any:
        from tests.storage.azurite import Azurite

        return Azurite(self.server.direct, self.server.key)

    @property
    def location(self) -> str:
        return f"{self.name}@lake"

    @property
    def variables(self) -> Mapping[str, str]:
        from tests.storage.azurite import ACCOUNT

        return {
            "AZURE_STORAGE_ACCOUNT": ACCOUNT,
            "AZURE_STORAGE_KEY": self.server.key,
            "AZURE_STORAGE_ENDPOINT": f"{self.server.url}/{ACCOUNT}",
        }

    def storage(self) -> Storage:
        storage: Storage = self._emulator.storage(self.name, "lake").folder(STREAM_ID)
        return storage

    def remove(self) -> None:
        self._container.delete_container()
        self._container.close()
        self.server.drop(self._path)

    @property
    def _path(self) -> str:
        from tests.storage.azurite import ACCOUNT

        return f"{ACCOUNT}/{self.name}"

    def _listed(self, below: str) -> Iterator[tuple[str, str]]:
        for found in self._container.list_blobs(name_starts_with=FOLDER + below):
            yield found.name.removeprefix(FOLDER), found.etag

    def _read(self, name: str) -> bytes:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            content: bytes = self._container.download_blob(FOLDER + name, max_concurrency=1).readall()
        except ResourceNotFoundError:
            raise FileNotFoundError(name) from None
        return content

    def _staged(self) -> dict[str, bytes]:
        known: dict[str, dict[str, bytes]] = {}
        for name, _, block, content in self.server.staged(self._path):
            known.setdefault(name.removeprefix(f"{self._path}/"), {})[block] = content
        staged: dict[str, bytes] = {}
        for name, blocks in known.items():
            for identifier, content in self._uncommitted(name, blocks):
                nonce = identifier.rpartition("-")[0]
                staged[nonce] = staged.get(nonce, b"") + content
        return staged

    def _uncommitted(self, name: str, known: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            blocks = self._container.get_blob_client(name).get_block_list("uncommitted")[1]
        except ResourceNotFoundError:
            return []
        found = {block.id: known[base64.b64encode(block.id.encode()).decode()] for block in blocks}
        return sorted(found.items())


@dataclass(frozen=True, eq=False)
class CloudStore(Store):
    """A store in a process of its own.

    Attributes:
        server: The process; None until a job has started one.
        rule: See `_CloudPlace`.
    """

    server: RunningStore | None = None
    rule: Mapping[str, Any] | None = None

    # With faults on the way a runner may run out of attempts, and is started again.
    tolerated: ClassVar[frozenset[int]] = frozenset({2})
    haste: ClassVar[float] = 0.003
    _moments: ClassVar[Mapping[Moment, tuple[str, str]]]
    _token: ClassVar[tuple[str, ...]]

    def at(self, moment: Moment, nth: int, when: When = "before", action: Action = "kill", path: str = "") -> Fault:
        if moment == "token":
            return Fault(0, when, action, self._token[nth % len(self._token)], ".COMPLETED")
        operation, known = self._moments[moment]
        return Fault(nth, when, action, operation, path or known)


@dataclass(frozen=True, eq=False)
class S3(CloudStore):
    """An S3 server.

    Attributes:
        sdk: See `S3Place`.
        clients: See `S3Place`.
    """

    name = "S3"
    kind: ClassVar[str] = "s3"
    sdk: Any = None
    clients: Any = None
    _moments = {
        "staging": ("UploadPart", "/part-"),
        "committing": ("PutObject", "_arcane/log/"),
        "publishing": ("CompleteMultipartUpload", "/part-"),
        "collecting": ("AbortMultipartUpload", "/part-"),
        "removing": ("DeleteObject", "/backfill/"),
    }
    _token = ("CompleteMultipartUpload", "CreateMultipartUpload", "UploadPart")

    def place(self, folder: Path, seed: int) -> Place:
        assert self.server is not None
        return S3Place(self.server, seed, self.rule, sdk=self.sdk, clients=self.clients)

    def at(self, moment: Moment, nth: int, when: When = "before", action: Action = "kill", path: str = "") -> Fault:
        if moment == "removing" and nth:
            # All parts go by one request, behind that for the token.
            return Fault(0, when, action, "DeleteObjects", path)
        return super().at(moment, nth, when, action, path)


@dataclass(frozen=True, eq=False)
class Azure(CloudStore):
    """Azurite."""

    name = "Azure Blob"
    kind: ClassVar[str] = "azure"
    keeps_abandoned = True
    _moments = {
        "staging": ("PutBlock", "/part-"),
        "committing": ("PutBlob", "_arcane/log/"),
        "publishing": ("PutBlockList", "/part-"),
        "removing": ("DeleteBlob", "/backfill/"),
    }
    _token = ("PutBlockList", "PutBlock")

    def place(self, folder: Path, seed: int) -> Place:
        assert self.server is not None
        return AzurePlace(self.server, seed, self.rule)

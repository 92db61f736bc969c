"""A folder in a container of Azure Blob Storage or ADLS Gen2. Imports the SDK: `open_azure` imports this lazily.

What is staged are blocks of the final object that no list names yet: nobody sees them, one request (Put Block List)
makes them the object, and the service removes them a week after the last one was sent.
"""

import copy
import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC
from http import HTTPStatus
from itertools import groupby
from typing import BinaryIO, Self, TypeVar, cast
from urllib.parse import urlsplit
from uuid import uuid4

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobPrefix, BlobProperties, ContainerClient

from arcane_framework._core.errors import (
    ArcaneError,
    ConfigurationError,
    FatalStreamError,
    TransientStreamError,
)
from arcane_framework._core.storage import PublishHandle, StagedObject, Storage, StoredObject, check_name
from arcane_framework._core.unicode_text import is_unicode
from arcane_framework.storage.azure_errors import EXISTS, NO_BLOCKS, asked, code_of, host_is_unknown
from arcane_framework.storage.azure_upload import BLOCK_BYTES, BlockHandle, BlockUpload, nonce_of
from arcane_framework.storage.ranged_reader import RangedReader
from arcane_framework.storage.staging_area import (
    STAGE,
    Segments,
    in_staging_area,
    object_path,
    staged_name,
    wrong_size,
)

_T = TypeVar("_T")

_REFUSED_CHARACTERS = frozenset("\ufffe\uffff")
_ATTEMPTS = 3
_BUFFER_BYTES = 16 << 10
_FIRST_BYTES = 64 << 10
_MOST_BYTES = 8 << 20


class AzureBlobStorage(Storage):
    """See `Storage`. Names are at most 1,024 bytes; no segment may end in a dot, which Azure drops.

    Two things are as Azure has them and not as on a disk. An upload is not reserved: two of one name may be staged
    at a time, and the first that is published wins. And `abort` has nothing to do, see there.
    """

    forgets_staged = True

    def __init__(
        self,
        container: str,
        prefix: str,
        client: ContainerClient,
        *,
        location: str | None = None,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        """A folder of a container, which is not touched.

        Args:
            container: The container's name.
            prefix: The folder in it; empty for all of it.
            client: For the container; its retries apply to all requests but those of `create`.
            location: For messages; `container@prefix` by default.
            block_bytes: Size of the blocks that uploads are sent in, of which an upload holds three in memory.
        """
        self.location = location or f"{container}@{prefix}".rstrip("@")
        self._client = client
        self._base: Segments = tuple(check_name(prefix).split("/")) if prefix else ()
        self._block_bytes = block_bytes

    def probe(self) -> None:
        """See `Storage.probe`. Four requests: a listing, two creates and a delete; the container is never created."""
        name = "/".join((*self._base, *STAGE, f"probe-{uuid4().hex}"))
        try:
            self._ask("list the folder", lambda: next(iter(self._pages("", 1)), None))
        except TransientStreamError:
            host = urlsplit(self._client.url).hostname or ""
            if host_is_unknown(host):
                raise ConfigurationError(
                    f"{self.location}: there is no host {host}; check the account's name and the endpoint"
                ) from None
            raise
        action = "write to the folder"
        try:
            honoured = self._put_if_absent(name, b"\0", action) and not self._put_if_absent(name, b"\0", action)
        except ArcaneError as failure:
            # What is told is the failure of the write, and not one of tidying up after it.
            with suppress(ArcaneError):
                self._remove(name)
            raise failure from None
        self._remove(name)
        if not honoured:
            raise ConfigurationError(
                f"{self.location}: the server does not honour conditional writes (If-None-Match: *), "
                "so two runners could overwrite each other's commits; use Azure Blob Storage itself"
            )

    def folder(self, name: str) -> Self:
        """See `Storage.folder`."""
        path = self._segments(name)
        child = copy.copy(self)
        child.location = f"{self.location.rstrip('/')}/{name}"
        child._base = path
        return child

    def list(self, prefix: str = "", *, starting: str = "") -> Iterator[StoredObject]:
        """See `Storage.list`; a request for each 5,000 objects. In a hierarchical namespace, `/` sorts first."""
        below = f"{check_name(prefix)}/" if prefix else ""
        return self._listed(below + starting)

    def folders(self, prefix: str = "") -> Iterator[str]:
        """See `Storage.folders`; a request for each 5,000 names, objects that lie beside the folders included."""
        path = self._base + (tuple(check_name(prefix).split("/")) if prefix else ())
        below = "".join(f"{segment}/" for segment in path)
        items = iter(self._client.walk_blobs(name_starts_with=below or None))
        while (found := self._ask("list the folder", lambda: next(items, None))) is not None:
            name = found.name.removeprefix(below).removesuffix("/")
            if isinstance(found, BlobPrefix) and name and not in_staging_area((*path, name)):
                yield name

    def stat(self, name: str) -> StoredObject | None:
        """See `Storage.stat`; one request."""
        blob = self._blob(name)

        def look() -> BlobProperties | None:
            return _unless_missing(blob.get_blob_properties)

        found = self._ask(f"look at {name}", look)
        return None if found is None or _is_folder(found) else _stored(name, found)

    def open(self, name: str) -> BinaryIO:
        """See `Storage.open`. One request gets the first 64 KiB; a later read fails if the object has changed."""
        blob = self._blob(name)

        begun = self._ask(f"read {name}", lambda: _unless_missing(lambda: _begin(blob)))
        if begun is None or _is_folder(begun[0]):
            raise FileNotFoundError(f"{self.location}: there is no {name}")
        properties, size, start = begun
        etag = properties.etag

        def fetch(offset: int, length: int) -> bytes:
            return self._fetch(blob, name, etag, offset, length)

        # The cast: a buffered reader is what `open(path, "rb")` gives, too.
        reader = RangedReader(fetch, size, first=_FIRST_BYTES, most=_MOST_BYTES, start=start)
        return cast(BinaryIO, io.BufferedReader(reader, _BUFFER_BYTES))

    def read(self, name: str) -> bytes:
        """See `Storage.read`; one request up to 32 MiB."""
        blob = self._blob(name)

        def fetch() -> bytes | None:
            stream = _unless_missing(lambda: blob.download_blob(max_concurrency=1))
            return None if stream is None or _is_folder(stream.properties) else stream.readall()

        content = self._ask(f"read {name}", fetch)
        if content is None:
            raise FileNotFoundError(f"{self.location}: there is no {name}")
        return content

    def create(self, name: str, data: bytes) -> bool:
        """See `Storage.create`; one request that is never repeated, whatever becomes of it."""
        return self._put_if_absent("/".join(self._path(name)), data, f"create {name}")

    def replace(self, name: str, data: bytes) -> None:
        """See `Storage.replace`; one request."""
        blob = self._blob(name)
        self._ask(f"write {name}", lambda: blob.upload_blob(data, length=len(data), overwrite=True, max_concurrency=1))

    def delete(self, name: str) -> None:
        """See `Storage.delete`; one request."""
        key = "/".join(self._path(name))
        self._ask(f"delete {name}", lambda: self._delete(key))

    def stage(self, name: str, staged_as: str | None = None) -> BlockUpload:
        """See `Storage.stage`; no request yet. `staged_as` is checked and not needed: blocks carry a nonce."""
        staged_name(name, staged_as)
        blob = self._blob(name)

        def send(block: str, data: bytes) -> None:
            self._ask(f"stage {name}", lambda: blob.stage_block(block, data, length=len(data)))

        return BlockUpload(name, send, self._block_bytes)

    def publish(self, name: str, handle: PublishHandle, size: int) -> bool:
        """See `Storage.publish`; one request, or two when the object is there already.

        Raises:
            FatalStreamError: What is staged or there has another size.
        """
        blob, staged = self._blob(name), BlockHandle.of(handle)
        if staged.name != name:
            raise FatalStreamError(f"{self.location}: cannot publish {name}: {staged.name!r} was staged by that handle")
        if staged.size != size:
            raise wrong_size(self.location, name, staged.size, size)
        for _ in range(_ATTEMPTS):
            refused = self._ask(f"publish {name}", lambda: _commit(blob, staged))
            if refused is None:
                return True
            there = self.stat(name)
            if there is not None:
                if there.size != size:
                    raise wrong_size(self.location, name, there.size, size)
                return True
            if refused in NO_BLOCKS:
                return False
        raise TransientStreamError(
            f"{self.location}: cannot publish {name}: it comes and goes; is somebody deleting it?"
        )

    def staged(self) -> Iterator[StagedObject]:
        """See `Storage.staged`: attempts of which blocks have been sent, by their objects' final names.

        Azure lists them only together with all other objects: a request for each 5,000 objects of the folder, and
        two for each name found. What was staged for an object that is there already is not found.
        """
        for found in self._pages("", None, uncommitted=True):
            # Those have no content, and neither time nor tag that could be relied on: look.
            name = self._relative(found)
            if name is None or found.size or _is_folder(found) or self.stat(name) is not None:
                continue
            blob = self._blob(name)
            blocks = self._ask(f"look at {name}", lambda blob=blob: _uncommitted(blob))  # type: ignore[misc]
            for nonce, sizes in groupby(sorted(blocks), key=lambda block: block[0]):
                each = [size for _, size in sizes]
                handle = BlockHandle(name, nonce, len(each), sum(each))
                yield StagedObject(name.rpartition("/")[2], handle.to_json())

    def abort(self, handle: PublishHandle) -> None:
        """Nothing: uncommitted blocks cannot be deleted, the service removes them after a week.

        The one way would be to commit an empty object under the final name and delete it: readers would see it, and
        blocks that another attempt has staged under the name would go with it.
        """
        BlockHandle.of(handle)

    # Requests.

    def _ask(self, action: str, request: Callable[[], _T]) -> _T:
        return asked(self.location, action, request)

    def _put_if_absent(self, key: str, data: bytes, action: str) -> bool:
        blob = self._client.get_blob_client(key)

        def put() -> bool:
            try:
                # No retries: a repetition would find what the lost first request has created and call it another's.
                blob.upload_blob(data, length=len(data), overwrite=False, max_concurrency=1, retry_total=0)
            except (ResourceExistsError, ResourceModifiedError) as error:
                if code_of(error) not in EXISTS:
                    raise
                return False
            return True

        return asked(self.location, action, put, once=True)

    def _remove(self, key: str) -> None:
        self._ask("delete from the folder", lambda: self._delete(key))

    def _delete(self, key: str) -> None:
        _unless_missing(self._client.get_blob_client(key).delete_blob)

    def _fetch(self, blob: BlobClient, name: str, etag: str, offset: int, length: int) -> bytes:
        def fetch() -> bytes | None:
            try:
                stream = blob.download_blob(
                    offset=offset,
                    length=length,
                    etag=etag,
                    match_condition=MatchConditions.IfNotModified,
                    max_concurrency=1,
                )
                return stream.readall()
            except (ResourceModifiedError, ResourceNotFoundError):
                return None

        content = self._ask(f"read {name}", fetch)
        if content is None:
            raise TransientStreamError(f"{self.location}: {name} was changed or deleted while it was read")
        if len(content) != length:
            raise TransientStreamError(f"{self.location}: cannot read {name}: the answer was cut off")
        return content

    def _listed(self, below: str) -> Iterator[StoredObject]:
        for found in self._pages(below, None):
            name = self._relative(found)
            if name is not None and not _is_folder(found):
                yield _stored(name, found)

    def _pages(self, below: str, size: int | None, *, uncommitted: bool = False) -> Iterator[BlobProperties]:
        base = "".join(f"{segment}/" for segment in self._base)
        # Directories of a hierarchical namespace are told apart by their metadata.
        include = ["metadata", *(["uncommittedblobs"] if uncommitted else [])]
        items = iter(
            self._client.list_blobs(name_starts_with=base + below or None, include=include, results_per_page=size)
        )
        while (found := self._ask("list the folder", lambda: next(items, None))) is not None:
            yield found

    def _relative(self, found: BlobProperties) -> str | None:
        """The name below this folder; None in a staging area or for what is no name here, as of another tool's."""
        path = tuple(found.name.split("/"))
        return None if in_staging_area(path) or "" in path else "/".join(path[len(self._base) :])

    # Names.

    def _blob(self, name: str) -> BlobClient:
        return self._client.get_blob_client("/".join(self._path(name)))

    def _path(self, name: str) -> Segments:
        path = self._segments(name)
        if len("/".join(path).encode()) > 1024:
            raise ConfigurationError(f"{self.location}: {name!r} is too long, folders and all: Azure takes 1024 bytes")
        return path

    def _segments(self, name: str) -> Segments:
        path = object_path(name, self._base)
        if not is_unicode(name):
            raise ConfigurationError(f"{self.location}: {name!r} is not valid Unicode; choose another name")
        if any(segment.endswith(".") for segment in path) or _REFUSED_CHARACTERS & set(name):
            raise ConfigurationError(
                f"{self.location}: {name!r} cannot be a name on Azure: no segment may end in a dot, "
                "and U+FFFE and U+FFFF are not allowed"
            )
        return path


def _commit(blob: BlobClient, staged: BlockHandle) -> str | None:
    """Make blocks an object; None when it is done, else the code that says why there is nothing to do."""
    try:
        blob.commit_block_list(staged.block_list(), match_condition=MatchConditions.IfMissing)
    except HttpResponseError as error:
        code = code_of(error)
        if code not in EXISTS | NO_BLOCKS:
            raise
        return code
    return None


def _begin(blob: BlobClient) -> tuple[BlobProperties, int, bytes]:
    """Properties, size and first bytes of an object."""
    try:
        stream = blob.download_blob(offset=0, length=_FIRST_BYTES, max_concurrency=1)
    except HttpResponseError as error:
        # An empty object has no ranges.
        if error.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        properties = blob.get_blob_properties()
        return properties, properties.size, b""
    content_range = cast(str, stream.properties.content_range)
    return stream.properties, int(content_range.rpartition("/")[2]), stream.readall()


def _uncommitted(blob: BlobClient) -> list[tuple[str, int]]:
    """Nonce and size of each block that was sent for an object and is not part of it."""
    found = _unless_missing(lambda: blob.get_block_list("uncommitted"))
    return [(nonce_of(block.id), block.size) for block in (found[1] if found else ())]


def _unless_missing(request: Callable[[], _T]) -> _T | None:
    try:
        return request()
    except ResourceNotFoundError as error:
        # An answer to HEAD has no body; a container that is missing has a code all the same.
        if code_of(error) not in ("", "BlobNotFound"):
            raise
        return None


def _is_folder(found: BlobProperties) -> bool:
    metadata = cast("dict[str, str] | None", found.metadata) or {}
    return {name.lower(): value for name, value in metadata.items()}.get("hdi_isfolder", "").lower() == "true"


def _stored(name: str, found: BlobProperties) -> StoredObject:
    return StoredObject(name, found.size, found.last_modified.astimezone(UTC), found.etag.strip('"'))

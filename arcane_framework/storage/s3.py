"""A folder in a bucket of S3, or of a server that speaks its protocol, as a storage.

What is staged is a multipart upload that nobody has completed; see `s3_staging`.
A lifecycle rule that aborts old uploads removes what is committed and not published yet, too: it must be
longer than the longest time that a stream may stand still.

All waiting is real, also in tests that run in virtual time: the SDK's retries and time-outs know no other clock.
"""

import builtins
import copy
import io
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC
from itertools import islice
from typing import Any, BinaryIO, Self, cast

from arcane_framework._core.clock import Clock, SystemClock
from arcane_framework._core.errors import ConfigurationError, FatalStreamError, TransientStreamError
from arcane_framework._core.storage import (
    MAX_NAME_BYTES,
    PublishHandle,
    StagedObject,
    Storage,
    StoredObject,
    check_name,
)
from arcane_framework._core.unicode_text import is_unicode
from arcane_framework.storage.ranged_reader import RangedReader
from arcane_framework.storage.s3_bodies import body_again, body_of
from arcane_framework.storage.s3_commit import complete_once, create_once
from arcane_framework.storage.s3_errors import MISSING, NOT_IMPLEMENTED, error_code, plain_errors, required
from arcane_framework.storage.s3_settings import S3Clients, S3Settings, build_clients
from arcane_framework.storage.s3_staging import StagingArea, is_usable, pages
from arcane_framework.storage.s3_upload import PartSender, S3Upload, StagedKey, abort_upload
from arcane_framework.storage.staging_area import (
    already_staged,
    in_staging_area,
    object_path,
    staged_name,
    wrong_size,
)

_FIRST_BYTES = 1 << 20
_MOST_BYTES = 16 << 20
_DELETED_AT_ONCE = 1000

_LOCATION = re.compile(r"s3a?://([^/]*)(?:/(.*))?", re.IGNORECASE | re.DOTALL)
_BUCKET = re.compile(r"(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+\Z)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def open_s3(location: str, settings: S3Settings) -> "S3Storage":
    """The folder at `s3://bucket/prefix` or `s3a://bucket/prefix`, which is not touched and need not exist.

    The prefix is taken as it is: percent signs, `?` and `#` have no meaning in it. A slash at its end is ignored.

    Raises:
        ConfigurationError: It is no such location, or holds credentials.
    """
    match = _LOCATION.fullmatch(location)
    if match is None or "@" in match[1]:
        # Not shown: there may be a password in it.
        raise ConfigurationError(
            "a location on S3 is s3://bucket/folder, without user and password; credentials belong into "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return S3Storage(match[1], (match[2] or "").removesuffix("/"), settings)


@dataclass
class _Connection:
    """What all folders of one storage share."""

    settings: S3Settings
    location: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    staging: set[str] = field(default_factory=set)
    probed: set[str] = field(default_factory=set)
    sender: PartSender = field(default_factory=PartSender)
    built: S3Clients | None = None

    @property
    def clients(self) -> S3Clients:
        with self.lock:
            if self.built is None:
                self.built = build_clients(self.settings, self.location)
            return self.built


class S3Storage(Storage):
    """See `Storage`. Several uploads of one name are told apart in this process only; each has an id of its own.

    Needs on the folder: s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject (`_arcane/`, `backfill/` and
    `metadata/` only), s3:AbortMultipartUpload, s3:ListBucketMultipartUploads, s3:ListMultipartUploadParts.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        settings: S3Settings | None = None,
        *,
        clients: S3Clients | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Nothing is touched before the first call.

        Args:
            bucket: Its name.
            prefix: The folder in it, without slashes at the ends; empty for the bucket itself.
            settings: Endpoint, region, credentials; by default what the SDK finds.
            clients: To be used instead of clients made of `settings`.
            clock: For the pauses between attempts; the machine's by default.

        Raises:
            ConfigurationError: The bucket's name or the prefix cannot be used.
        """
        if not _BUCKET.fullmatch(bucket):
            raise ConfigurationError(
                f"{bucket!r} is not the name of a bucket: 3 to 63 lower case letters, digits, dots and hyphens"
            )
        self._bucket = bucket
        self._base = "/".join(object_path(prefix)) if prefix else ""
        self.location = f"s3://{bucket}/{self._base}".rstrip("/")
        self._clock = clock or SystemClock()
        self._connection = _Connection(settings or S3Settings(), self.location, built=clients)

    def probe(self) -> None:
        """See `Storage.probe`. Two requests, three in a new folder; leaves one empty object in the staging area.

        Also raises `TransientStreamError` when the server cannot be reached or fails at the moment.
        """
        with plain_errors(self.location, "list this folder"):
            self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._below(""), MaxKeys=1)
        with plain_errors(self.location, "write to this folder"):
            if not self._honours_conditions():
                raise ConfigurationError(
                    f"{self.location}: the server does not honour conditional writes (If-None-Match), so that two "
                    "runners could overwrite each other's commits; use a server that does"
                )
        self._connection.probed.add(self._base)

    def folder(self, name: str) -> Self:
        """See `Storage.folder`. The folder has its own staging area."""
        base = self._key(name)
        child = copy.copy(self)
        child.location = f"{self.location}/{name}"
        child._base = base
        return child

    def list(self, prefix: str = "", *, starting: str = "") -> Iterator[StoredObject]:
        """See `Storage.list`. A thousand objects a request; objects whose names cannot be used are left out."""
        path = self._segments + (tuple(check_name(prefix).split("/")) if prefix else ())
        if in_staging_area(path):
            return iter(())
        return self._listed((f"{prefix}/" if prefix else "") + starting)

    def folders(self, prefix: str = "") -> Iterator[str]:
        """See `Storage.folders`. A request for each thousand names."""
        path = self._segments + (tuple(check_name(prefix).split("/")) if prefix else ())
        below = "".join(f"{segment}/" for segment in path)
        listing = {"Bucket": self._bucket, "Prefix": below, "Delimiter": "/"}
        with plain_errors(self.location, f"list {prefix or 'the folder'}"):
            for found in pages(self._client, "list_objects_v2", "CommonPrefixes", listing):
                name = found["Prefix"].removeprefix(below).removesuffix("/")
                if is_usable(name) and not in_staging_area((*path, name)):
                    yield name

    def stat(self, name: str) -> StoredObject | None:
        """See `Storage.stat`."""
        target = self._target(name)
        with plain_errors(self.location, f"look at {name}"):
            try:
                found = self._client.head_object(**target)
            except Exception as error:
                if error_code(error) in MISSING:
                    return None
                raise
        return _stored(name, found["ContentLength"], found)

    def open(self, name: str) -> BinaryIO:
        """See `Storage.open`. Reads ahead 1 MiB, and up to 16 MiB while it is read on; later errors as `read`'s."""
        found = self.stat(name)
        if found is None:
            raise self._not_found(name)
        target = {**self._target(name), "IfMatch": f'"{found.etag}"'}

        def fetch(offset: int, length: int) -> bytes:
            action = f"read {name}"
            return body_again(lambda: self._range(target, name, offset, length), self.location, action, self._clock)

        reader = RangedReader(fetch, found.size, first=_FIRST_BYTES, most=_MOST_BYTES)
        return cast(BinaryIO, io.BufferedReader(reader, 1 << 16))

    def read(self, name: str) -> bytes:
        """See `Storage.read`. One request."""
        target = self._target(name)

        def whole() -> bytes | None:
            try:
                answer = self._client.get_object(**target)
            except Exception as error:
                if error_code(error) in MISSING:
                    return None
                raise
            return body_of(answer)

        content = body_again(whole, self.location, f"read {name}", self._clock)
        if content is None:
            raise self._not_found(name)
        return content

    def create(self, name: str, data: bytes) -> bool:
        """See `Storage.create`. Tries again by itself when the server says that nothing has happened."""
        target = self._target(name)
        return create_once(self._connection.clients.single, target, data, self.location, name, self._clock)

    def replace(self, name: str, data: bytes) -> None:
        """See `Storage.replace`."""
        target = self._target(name)
        with plain_errors(self.location, f"write {name}"):
            self._client.put_object(**target, Body=data)

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        target = self._target(name)
        with plain_errors(self.location, f"delete {name}"):
            self._client.delete_object(**target)

    def delete_all(self, names: Iterable[str]) -> None:
        """See `Storage.delete_all`. A request for each thousand, and one more for each that was refused by it."""
        left = iter(names)
        while batch := [*islice(left, _DELETED_AT_ONCE)]:
            for name in self._refused_deletions(batch):
                self.delete(name)

    def stage(self, name: str, staged_as: str | None = None) -> S3Upload:
        """See `Storage.stage`. Uploads send their parts on threads of the storage's own."""
        target, stage = self._target(name), staged_name(name, staged_as)
        with self._connection.lock:
            if self._below(stage) in self._connection.staging:
                raise already_staged(self.location, name)
            self._connection.staging.add(self._below(stage))
        try:
            staged = self._begin(target, stage, name)
        except BaseException:
            self._connection.staging.discard(self._below(stage))
            raise
        return S3Upload(self._client, target, self._connection.sender, self.location, staged, self._forget)

    def publish(self, name: str, handle: PublishHandle, size: int) -> bool:
        """See `Storage.publish`. One request, and one look at the object when somebody else was faster.

        Raises:
            FatalStreamError: What is staged or there has another size.
        """
        target, staged = self._target(name), StagedKey.of(handle)
        if staged.name != name:
            raise FatalStreamError(f"{self.location}: {staged.name} is staged and cannot be published as {name}")
        if staged.size != size:
            raise wrong_size(self.location, name, staged.size, size)
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(staged.parts, start=1)]

        def complete(conditional: bool) -> None:
            condition = {"IfNoneMatch": "*"} if conditional else {}
            self._client.complete_multipart_upload(
                **target, UploadId=staged.upload, MultipartUpload={"Parts": parts}, **condition
            )

        def is_there() -> bool:
            there = self.stat(name)
            if there is not None and there.size != size:
                raise wrong_size(self.location, name, there.size, size)
            if there is not None and staged.has_marker:
                # Tokens share a name, so that this one may still be staged behind the other.
                abort_upload(self._client, {**target, "UploadId": staged.upload})
            return there is not None

        with plain_errors(self.location, f"publish {name}"):
            published = complete_once(complete, is_there, self.location, name, self._clock)
            self._forget(staged)
        return published

    def staged(self) -> Iterator[StagedObject]:
        """See `Storage.staged`. One request for each upload on top of two: its parts are in the handle.

        Servers that list uploads of whole names only (MinIO) show none; they remove old ones by themselves.
        """
        area = self._area
        with plain_errors(self.location, "list what is staged"):
            found = sorted(area.staged(), key=lambda staged: staged.stage)
        return (StagedObject(staged.stage, staged.handle()) for staged in found)

    def abort(self, handle: PublishHandle) -> None:
        """See `Storage.abort`."""
        staged = StagedKey.of(handle)
        target = self._target(staged.name)
        with plain_errors(self.location, f"remove the staged {staged.stage}"):
            abort_upload(self._client, {**target, "UploadId": staged.upload})
            self._forget(staged)

    @property
    def _client(self) -> Any:
        return self._connection.clients.retrying

    @property
    def _area(self) -> StagingArea:
        return StagingArea(self._client, self._bucket, self._base)

    @property
    def _segments(self) -> tuple[str, ...]:
        return tuple(self._base.split("/")) if self._base else ()

    def _below(self, name: str) -> str:
        return f"{self._base}/{name}" if self._base else name

    def _key(self, name: str) -> str:
        key = "/".join(object_path(name, self._segments))
        if not is_unicode(key):
            raise ConfigurationError(f"{self.location}: {name!r} is not valid Unicode; choose another name")
        if len(key.encode()) > MAX_NAME_BYTES:
            raise ConfigurationError(
                f"{self.location}/{name} is longer than the {MAX_NAME_BYTES} bytes that S3 allows; "
                "choose a shorter location"
            )
        return key

    def _target(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._key(name)}

    def _not_found(self, name: str) -> FileNotFoundError:
        return FileNotFoundError(f"{self.location}: there is no {name}")

    def _refused_deletions(self, names: builtins.list[str]) -> builtins.list[str]:
        keys = {self._key(name): name for name in names}
        request = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        try:
            with plain_errors(self.location, "delete objects"):
                answer = self._client.delete_objects(Bucket=self._bucket, Delete=request)
        except (ConfigurationError, FatalStreamError):
            # Some servers do not know this request, or judge it by the rights on the whole bucket.
            return names
        return [keys[failed["Key"]] for failed in answer.get("Errors", ()) if failed.get("Key") in keys]

    def _range(self, target: dict[str, str], name: str, offset: int, length: int) -> bytes:
        content = body_of(self._client.get_object(**target, Range=f"bytes={offset}-{offset + length - 1}"))
        if len(content) != length:
            raise TransientStreamError(f"{self.location}: cannot read {name}: the answer is not the range asked for")
        return content

    def _begin(self, target: dict[str, str], stage: str, name: str) -> StagedKey:
        with plain_errors(self.location, f"stage {name}"):
            if self._base not in self._connection.probed:
                self._area.put_probe()
                self._connection.probed.add(self._base)
            answer = self._client.create_multipart_upload(**target)
            staged = StagedKey(stage, name, str(required(answer, "UploadId")))
            if staged.has_marker:
                self._area.put_marker(staged)
        return staged

    def _forget(self, staged: StagedKey) -> None:
        if staged.has_marker:
            self._area.delete_marker(staged)
        self._connection.staging.discard(self._below(staged.stage))

    def _honours_conditions(self) -> bool:
        area = self._area
        try:
            return not (area.put_probe() and area.put_probe())
        except Exception as error:
            if error_code(error) == NOT_IMPLEMENTED:
                return False
            raise

    def _listed(self, below: str) -> Iterator[StoredObject]:
        with plain_errors(self.location, f"list {below or 'the folder'}"):
            listing = {"Bucket": self._bucket, "Prefix": self._below(below)}
            for found in pages(self._client, "list_objects_v2", "Contents", listing):
                name = found["Key"].removeprefix(self._below(""))
                if is_usable(name) and not in_staging_area((*self._segments, *name.split("/"))):
                    yield _stored(name, found["Size"], found)


def _stored(name: str, size: int, found: dict[str, Any]) -> StoredObject:
    # A listing may know fractions of the second that a look at the object does not.
    modified = found["LastModified"].astimezone(UTC).replace(microsecond=0)
    return StoredObject(name, size, modified, found["ETag"].strip('"'))

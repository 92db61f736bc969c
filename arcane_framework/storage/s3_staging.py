"""What is staged in a folder on S3: multipart uploads, and the objects that tell whose they are.

Two things cannot be told from the server's list of uploads: which storage folder one belongs to, and a staged
name that is not the last segment of the final one. So each folder that stages has one object,
`_arcane/stage/.tmp-probe`, which also proves that conditional writes work, and an upload with a staged name of
its own has a small object of that name beside it. A parts' upload costs no request for this.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

from arcane_framework._core.errors import ConfigurationError, FatalStreamError
from arcane_framework._core.storage import check_name
from arcane_framework.storage.s3_bodies import body_of
from arcane_framework.storage.s3_errors import EXISTS, MISSING, NO_SUCH_UPLOAD, error_code, required
from arcane_framework.storage.s3_upload import StagedKey
from arcane_framework.storage.staging_area import STAGE, TEMPORARY_PREFIX

_STAGING: Final = "/".join(STAGE)
_PROBE: Final = f"{_STAGING}/{TEMPORARY_PREFIX}probe"


class StagingArea:
    """The staging area of the folder `base` in a bucket. Errors are the SDK's."""

    def __init__(self, client: Any, bucket: str, base: str) -> None:
        self._client = client
        self._bucket = bucket
        self._below = f"{base}/" if base else ""

    def put_probe(self) -> bool:
        """Make the object that says that this folder stages; whether there was none."""
        try:
            self._client.put_object(**self._target(_PROBE), Body=b"", IfNoneMatch="*")
        except Exception as error:
            if error_code(error) in EXISTS:
                return False
            raise
        return True

    def put_marker(self, staged: StagedKey) -> None:
        """Keep a staged name that cannot be told from the final one."""
        content = json.dumps(staged.handle()).encode()
        self._client.put_object(**self._target(f"{_STAGING}/{staged.stage}"), Body=content)

    def delete_marker(self, staged: StagedKey) -> None:
        """Remove what `put_marker` made; none there is fine."""
        self._client.delete_object(**self._target(f"{_STAGING}/{staged.stage}"))

    def staged(self) -> Iterator[StagedKey]:
        """All uploads of this folder, with their parts; in no order."""
        marked = [*self._markers()]
        uploads = {staged.upload for staged in marked}
        subfolders: dict[str, bool] = {}
        unmarked = [
            StagedKey(name.rpartition("/")[2], name, upload)
            for name, upload in self._uploads()
            if upload not in uploads and not self._is_of_a_subfolder(name, subfolders)
        ]
        for staged in [*marked, *unmarked]:
            found = self._with_parts(staged)
            if found is not None:
                yield found

    def _target(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": f"{self._below}{name}"}

    def _markers(self) -> Iterator[StagedKey]:
        folder = f"{self._below}{_STAGING}/"
        for entry in pages(self._client, "list_objects_v2", "Contents", {"Bucket": self._bucket, "Prefix": folder}):
            name = entry["Key"].removeprefix(folder)
            if is_usable(name) and not name.startswith(TEMPORARY_PREFIX):
                marker = self._marker(f"{_STAGING}/{name}")
                if marker is not None:
                    yield marker

    def _marker(self, name: str) -> StagedKey | None:
        try:
            content = json.loads(body_of(self._client.get_object(**self._target(name))))
        except ValueError:
            content = None
        except Exception as error:
            if error_code(error) in MISSING:
                return None
            raise
        if not isinstance(content, dict):
            raise FatalStreamError(f"s3://{self._bucket}/{self._below}{name} is no staged object of ours: move it away")
        return StagedKey.of(content)

    def _uploads(self) -> Iterator[tuple[str, str]]:
        listing = {"Bucket": self._bucket, "Prefix": self._below, "EncodingType": "url"}
        for upload in pages(self._client, "list_multipart_uploads", "Uploads", listing):
            name = unquote_plus(upload["Key"]).removeprefix(self._below)
            if is_usable(name):
                yield name, upload["UploadId"]

    def _is_of_a_subfolder(self, name: str, known: dict[str, bool]) -> bool:
        segments = name.split("/")[:-1]
        for depth in range(1, len(segments) + 1):
            subfolder = "/".join(segments[:depth])
            if subfolder not in known:
                known[subfolder] = self._exists(f"{subfolder}/{_PROBE}")
            if known[subfolder]:
                return True
        return False

    def _exists(self, name: str) -> bool:
        try:
            self._client.head_object(**self._target(name))
        except Exception as error:
            if error_code(error) in MISSING:
                return False
            raise
        return True

    def _with_parts(self, staged: StagedKey) -> StagedKey | None:
        target = {**self._target(staged.name), "UploadId": staged.upload}
        try:
            parts = [*pages(self._client, "list_parts", "Parts", target)]
        except Exception as error:
            if error_code(error) != NO_SUCH_UPLOAD:
                raise
            # A marker whose upload is done was left by a runner that was killed: it is garbage, too.
            return staged if staged.has_marker else None
        etags, size = tuple(part["ETag"] for part in parts), sum(part["Size"] for part in parts)
        return StagedKey(staged.stage, staged.name, staged.upload, etags, size)


def pages(client: Any, operation: str, found: str, request: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """What all pages of a listing have in the field `found`, lazily."""
    for page in client.get_paginator(operation).paginate(**request):
        required(page, "IsTruncated")
        yield from page.get(found, ())


def is_usable(name: str) -> bool:
    """Whether an object's name is one of a storage; somebody else's need not be."""
    try:
        return bool(check_name(name))
    except ConfigurationError:
        return False

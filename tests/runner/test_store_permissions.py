"""Credentials that lack one permission at a time, and those that the documentation asks for."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from arcane_framework.commits import StreamState
from arcane_framework.commits.layout import part_name
from tests.runner.processes import Stream
from tests.runner.store_places import without_nonces
from tests.storage.azurite import Azurite
from tests.storage.places import Place, azure_place, numbers
from tests.storage.s3_iam import IamServer

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "store-on-s3-or-azure.md"
BACKFILL = {"STREAMCONTEXT__BACKFILL": "true"}
LOG = "_arcane/log/0000000000000000000"

Statements = list[dict[str, Any]]


def documented(bucket: str) -> Statements:
    """The policy of the documentation, for the folder `lake` of `bucket`."""
    (text,) = re.findall(r'```json\n(\{\n  "Version".*?\})\n```', PAGE.read_text(), re.DOTALL)
    statements: Statements = json.loads(text.replace("my-bucket", bucket))["Statement"]
    return statements


def without(statements: Statements, action: str, below: str = "") -> Statements:
    """The statements without one action, or without it below one folder of a stream."""
    found = []
    for statement in statements:
        actions, resources = _listed(statement["Action"]), _listed(statement["Resource"])
        if below and action in actions:
            resources = [each for each in resources if not each.endswith(f"/{below}/*")]
        left = actions if below else [each for each in actions if each != action]
        if left:
            found.append({**statement, "Action": left, "Resource": resources})
    return found


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def leave_garbage(place: Place, stream: Stream) -> None:
    """As a runner does that is killed before it commits."""
    upload = place.storage.folder(stream.stream_id).stage(f"data/{part_name(1, 0, 'abcdefg', '-chunk.parquet')}")
    upload.write(b"rows")
    upload.finish()


def whole_life(place: Place, stream: Stream) -> None:
    """A backfill that fails and goes on, another one that replaces it, and streaming after both."""
    home = place.storage.folder(stream.stream_id)
    failed = place.run(stream, {"failAt": 6}, **BACKFILL, STREAMCONTEXT__BACKFILL_ID="b1")
    assert (failed.code, numbers(home.folder("backfill"))) == (2, [*range(6)])
    for backfill_id, total in (("b1", 10), ("b2", 13)):
        assert place.run(stream, {"total": total}, **BACKFILL, STREAMCONTEXT__BACKFILL_ID=backfill_id).code == 0
        assert numbers(home.folder("backfill")) == [*range(total)]
    assert place.run(stream).code == 0
    assert numbers(home.folder("data")) == [*range(10)]
    assert [*StreamState(home).verify()] == []


@pytest.fixture
def bucket(s3_iam: IamServer) -> str:
    return s3_iam.bucket()


def test_the_documented_policy_is_enough_and_cannot_delete_rows(s3_iam: IamServer, bucket: str, stream: Stream) -> None:
    place = s3_iam.place(bucket, documented(bucket))
    home = place.storage.folder(stream.stream_id)
    leave_garbage(place, stream)
    whole_life(place, stream)
    assert [*home.staged()] == []
    parts = [each.name for each in home.list("data")]
    own = s3_iam.client("s3", (place.variables["AWS_ACCESS_KEY_ID"], place.variables["AWS_SECRET_ACCESS_KEY"]))
    for part in parts:
        with pytest.raises(own.exceptions.ClientError, match="AccessDenied"):
            own.delete_object(Bucket=bucket, Key=f"lake/{stream.stream_id}/{part}")
    assert [each.name for each in home.list("data")] == parts
    with pytest.raises(own.exceptions.ClientError, match="AccessDenied"):
        own.put_object(Bucket=bucket, Key="another-lake/x", Body=b"")


@pytest.mark.parametrize(
    ("action", "below", "said"),
    [
        ("s3:ListBucket", "", "list this folder: access is denied; the credentials need s3:ListBucket (AccessDenied)"),
        (
            "s3:ListBucketMultipartUploads",
            "",
            "list what is staged: access is denied; the credentials need s3:ListBucketMultipartUploads (AccessDenied)",
        ),
        (
            "s3:GetObject",
            "",
            "read _arcane/checkpoint.json: access is denied; the credentials need s3:GetObject (AccessDenied)",
        ),
        (
            "s3:PutObject",
            "",
            "write to this folder: access is denied; the credentials need s3:PutObject (AccessDenied)",
        ),
        (
            "s3:AbortMultipartUpload",
            "",
            "remove the staged part-<1>: access is denied; the credentials need s3:AbortMultipartUpload (AccessDenied)",
        ),
        (
            "s3:ListMultipartUploadParts",
            "",
            "list what is staged: access is denied; the credentials need s3:ListMultipartUploadParts (AccessDenied)",
        ),
        (
            "s3:DeleteObject",
            "metadata",
            "delete metadata/v0/partitions.json: access is denied; the credentials need s3:DeleteObject (AccessDenied)",
        ),
    ],
)
def test_a_permission_that_is_missing_on_s3_is_named_and_the_stream_goes_on_with_it(
    s3_iam: IamServer, bucket: str, stream: Stream, action: str, below: str, said: str
) -> None:
    place = s3_iam.place(bucket, without(documented(bucket), action, below))
    if action in ("s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"):
        leave_garbage(place, stream)
    ended = place.run(stream)
    assert without_nonces(ended.configuration_error) == f"{place.location}/{stream.stream_id}: cannot {said}"
    must_go_on(s3_iam.place(bucket, documented(bucket)), stream)


@pytest.mark.parametrize(
    ("below", "said"),
    [
        ("_arcane", "publish backfill/ej6hyea.COMPLETED"),
        ("backfill", "delete backfill/ej6hyea.COMPLETED"),
    ],
)
def test_a_backfill_that_may_not_delete_is_told_and_goes_on_with_the_permission(
    s3_iam: IamServer, bucket: str, stream: Stream, below: str, said: str
) -> None:
    backfills: list[dict[str, Any]] = [{**BACKFILL, "STREAMCONTEXT__BACKFILL_ID": each} for each in ("b1", "b2")]
    place, whole = s3_iam.place(bucket, without(documented(bucket), "s3:DeleteObject", below)), documented(bucket)
    if below == "backfill":
        assert place.run(stream, **backfills[0]).code == 0
    ended = place.run(stream, {"total": 13}, **backfills[1])
    assert ended.code == 1
    assert ended.error["error"] == (
        f"{place.location}/{stream.stream_id}: cannot {said}: access is denied; "
        "the credentials need s3:DeleteObject (AccessDenied)"
    )
    whole_place = s3_iam.place(bucket, whole)
    assert whole_place.run(stream, {"total": 13}, **backfills[1]).code == 0
    home = place.storage.folder(stream.stream_id)
    assert numbers(home.folder("backfill")) == [*range(13)]
    assert home.read("backfill/ej6hyea.COMPLETED") == b"\0"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"AWS_ACCESS_KEY_ID": "AKIANOBODY"},
            "the access key is not known; correct AWS_ACCESS_KEY_ID (InvalidAccessKeyId)",
        ),
        (
            {"AWS_SECRET_ACCESS_KEY": "canary-wrong"},
            "the signature is wrong; correct AWS_SECRET_ACCESS_KEY (SignatureDoesNotMatch)",
        ),
    ],
)
def test_wrong_keys_are_told_apart(
    s3_iam: IamServer, bucket: str, stream: Stream, changes: dict[str, str], said: str
) -> None:
    place = s3_iam.place(bucket, documented(bucket))
    ended = place.given(**changes).run(stream)
    assert ended.configuration_error == f"{place.location}/{stream.stream_id}: cannot list this folder: {said}"
    assert [*place.storage.list()] == []
    must_go_on(place, stream)


def must_go_on(place: Place, stream: Stream) -> None:
    home = place.storage.folder(stream.stream_id)
    assert numbers(home) == []
    assert place.run(stream).code == 0
    assert numbers(home) == [*range(10)]
    assert [*StreamState(home).verify()] == []


# Azure.

DENIED = "access is denied; give this identity the role Storage Blob Data Contributor, or the SAS token sp=racwdl"


@pytest.fixture
def container(azurite: Azurite) -> Place:
    return azure_place(azurite)


def signed(azurite: Azurite, place: Place, permission: str, first: float = -48, last: float = 24) -> Place:
    """The place with a signature that is valid between two hours from now."""
    now = datetime.now(UTC)
    times = {"start": now + timedelta(hours=first), "expiry": now + timedelta(hours=last)}
    token = azurite.sas(place.location.partition("@")[0], permission=permission, **times)
    return place.given(AZURE_STORAGE_KEY=None, AZURE_STORAGE_SAS_TOKEN=token)


@pytest.mark.parametrize("permission", ["racwdl", "rwdl"])
def test_the_documented_signature_is_enough(
    azurite: Azurite, container: Place, stream: Stream, permission: str
) -> None:
    assert f"`sp={permission}`" in PAGE.read_text()
    whole_life(signed(azurite, container, permission), stream)


@pytest.mark.parametrize(
    ("permission", "said"),
    [
        ("acwdl", "read _arcane/checkpoint.json"),
        ("racdl", "write to the folder"),
        ("racwl", "delete from the folder"),
        ("racwd", "list the folder"),
    ],
)
def test_a_right_that_a_signature_lacks_is_told_and_the_stream_goes_on_with_it(
    azurite: Azurite, container: Place, stream: Stream, permission: str, said: str
) -> None:
    ended = signed(azurite, container, permission).run(stream)
    assert ended.configuration_error == (
        f"{container.location}/{stream.stream_id}: cannot {said}: {DENIED} (403 AuthorizationPermissionMismatch)"
    )
    must_go_on(signed(azurite, container, "racwdl"), stream)


@pytest.mark.parametrize(
    "hours", [(-48.0, -1.0), (24.0, 48.0)], ids=["expired", "not valid yet, or this machine's clock is wrong"]
)
def test_a_signature_out_of_its_time_is_told(
    azurite: Azurite, container: Place, stream: Stream, hours: tuple[float, float]
) -> None:
    ended = signed(azurite, container, "racwdl", *hours).run(stream)
    assert ended.configuration_error == (
        f"{container.location}/{stream.stream_id}: cannot list the folder: access is denied; check that the key or "
        "token belongs to this account and has not expired, and the account's network rules (403 AuthorizationFailure)"
    )
    must_go_on(signed(azurite, container, "racwdl"), stream)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"AZURE_STORAGE_KEY": "Y2FuYXJ5Y2FuYXJ5"},
            "{home}: cannot list the folder: access is denied; check that the key or token belongs to this account "
            "and has not expired, and the account's network rules (403 AuthorizationFailure)",
        ),
        (
            {"AZURE_STORAGE_KEY": "canary, no base 64"},
            "{location}: the account's key is not Base64; copy it again from the portal",
        ),
        (
            {"AZURE_STORAGE_KEY": "Y2FuYXJ5Y2FuYXJ5", "AZURE_STORAGE_ACCOUNT_KEY": "Y2FuYXJ5"},
            "AZURE_STORAGE_KEY and AZURE_STORAGE_ACCOUNT_KEY have different values; set one of them",
        ),
    ],
)
def test_wrong_keys_of_azure_are_told(
    container: Place, stream: Stream, variables: Mapping[str, str], said: str
) -> None:
    location = container.location
    message = said.format(location=location, home=f"{location}/{stream.stream_id}")
    ended = container.given(**variables).run(stream)
    assert ended.configuration_error == message
    assert "canary" not in ended.stderr
    must_go_on(container, stream)

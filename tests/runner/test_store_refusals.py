"""What stores refuse: one message, the fitting exit code, nothing half visible, every row once when it is mended."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from arcane_framework.storage.s3 import S3Storage
from arcane_framework.storage.s3_settings import build_clients
from tests.http.servers import Server
from tests.http.servers import answer as tls_answer
from tests.runner.processes import NUMBERS, Stream
from tests.runner.store_places import Cloud, Guarded, guarded, refusal
from tests.storage.azurite import ACCOUNT, Azurite
from tests.storage.door import answer
from tests.storage.places import azure_place, numbers, s3_place
from tests.storage.s3_server import S3Server, running_server

LOG = "_arcane/log/00000000000000000002.json"
EXPIRED = "the session token has expired; renew it and its keys, or use a role (ExpiredToken)"
SKEWED = "this machine's clock is wrong; set it (RequestTimeTooSkewed)"
REGION = "the bucket is in the region eu-north-1; set AWS_REGION=eu-north-1"
FULL = "the storage is full; free some space or choose another location"
REFUSED = (
    "the credential was refused; check that the key or token belongs to this account and has not expired, "
    "and that this machine's clock is right (403 AuthenticationFailed)"
)


def sink_in(cloud: Cloud, request: pytest.FixtureRequest, stream: Stream) -> Iterator[Guarded]:
    with guarded(cloud, request.getfixturevalue("s3" if cloud == "s3" else "azurite"), stream) as sink:
        yield sink


@pytest.fixture
def on_s3(request: pytest.FixtureRequest, stream: Stream) -> Iterator[Guarded]:
    yield from sink_in("s3", request, stream)


@pytest.fixture
def on_azure(request: pytest.FixtureRequest, stream: Stream) -> Iterator[Guarded]:
    yield from sink_in("azure", request, stream)


@pytest.mark.parametrize(
    ("step", "answered", "said"),
    [
        ("start", refusal("s3", 400, "ExpiredToken"), f"list this folder: {EXPIRED}"),
        ("part", refusal("s3", 400, "ExpiredToken"), f"write data/part-<2>: {EXPIRED}"),
        ("commit", refusal("s3", 400, "ExpiredToken"), f"create {LOG}: {EXPIRED}"),
        ("publish", refusal("s3", 400, "ExpiredToken"), f"publish data/part-<2>: {EXPIRED}"),
        ("start", refusal("s3", 403, "RequestTimeTooSkewed"), f"list this folder: {SKEWED}"),
        ("commit", refusal("s3", 403, "RequestTimeTooSkewed"), f"create {LOG}: {SKEWED}"),
        (
            "start",
            refusal("s3", 301, "PermanentRedirect", "x-amz-bucket-region: eu-north-1"),
            f"list this folder: {REGION} (PermanentRedirect)",
        ),
        (
            "start",
            refusal("s3", 400, "AuthorizationHeaderMalformed", body="<Region>eu-north-1</Region>"),
            f"list this folder: {REGION} (AuthorizationHeaderMalformed)",
        ),
        ("part", refusal("s3", 507, "XMinioStorageFull"), f"write data/part-<2>: {FULL} (XMinioStorageFull)"),
        ("commit", refusal("s3", 507, "XMinioStorageFull"), f"create {LOG}: {FULL} (XMinioStorageFull)"),
        (
            "publish",
            refusal("s3", 403, "QuotaExceeded"),
            "publish data/part-<2>: the storage's quota is used up; raise it or choose another location "
            "(QuotaExceeded)",
        ),
    ],
)
def test_what_s3_refuses_ends_with_1_and_the_stream_goes_on_when_it_is_mended(
    on_s3: Guarded, step: str, answered: bytes, said: str
) -> None:
    refuses(on_s3, step, answered, said)


@pytest.mark.parametrize(
    ("step", "answered", "said"),
    [
        ("start", refusal("azure", 403, "AuthenticationFailed"), f"list the folder: {REFUSED}"),
        ("part", refusal("azure", 403, "AuthenticationFailed"), f"stage data/part-<2>: {REFUSED}"),
        ("commit", refusal("azure", 403, "AuthenticationFailed"), f"create {LOG}: {REFUSED}"),
        ("publish", refusal("azure", 403, "AuthenticationFailed"), f"publish data/part-<2>: {REFUSED}"),
        (
            "part",
            refusal("azure", 507, "InsufficientStorage"),
            f"stage data/part-<2>: {FULL} (507 InsufficientStorage)",
        ),
        ("commit", refusal("azure", 507, "InsufficientStorage"), f"create {LOG}: {FULL} (507 InsufficientStorage)"),
        (
            "commit",
            refusal("azure", 403, "AccountIsDisabled"),
            f"create {LOG}: the storage account is disabled; enable it or choose another (403 AccountIsDisabled)",
        ),
    ],
)
def test_what_azure_refuses_ends_with_1_and_the_stream_goes_on_when_it_is_mended(
    on_azure: Guarded, step: str, answered: bytes, said: str
) -> None:
    refuses(on_azure, step, answered, said)


def refuses(sink: Guarded, step: str, answered: bytes, said: str) -> None:
    sink.when(step, answered)
    ended = sink.run()
    assert (ended.code, ended.error["event"]) == (1, "configuration error")
    assert sink.error(ended) == f"{sink.location}: cannot {said}"
    assert numbers(sink.home) == []
    sink.must_go_on()


WITHOUT_CONDITIONS = {
    "s3": "the server does not honour conditional writes (If-None-Match), so that two runners could overwrite each "
    "other's commits; use a server that does",
    "azure": "the server does not honour conditional writes (If-None-Match: *), so two runners could overwrite each "
    "other's commits; use Azure Blob Storage itself",
}


@pytest.mark.parametrize(
    ("cloud", "answered"),
    [
        ("s3", answer(200, 'ETag: "x"')),
        ("s3", refusal("s3", 501, "NotImplemented")),
        ("azure", answer(201, 'ETag: "x"', "Last-Modified: Fri, 20 Nov 2026 19:17:46 GMT")),
    ],
)
def test_a_server_without_conditional_writes_is_refused_before_anything_is_written(
    request: pytest.FixtureRequest, stream: Stream, cloud: Cloud, answered: bytes
) -> None:
    for sink in sink_in(cloud, request, stream):
        sink.when("probe", answered)
        assert sink.run().configuration_error == f"{sink.location}: {WITHOUT_CONDITIONS[cloud]}"
        assert [*sink.home.list()] == []
        sink.must_go_on()


def test_a_bucket_that_is_not_there_is_named_and_not_made(s3: S3Server, stream: Stream) -> None:
    place = s3_place(s3, "no-such-bucket")
    assert place.run(stream).configuration_error == (
        "s3://no-such-bucket/lake/orders-1: cannot list this folder: the bucket does not exist; create it or correct "
        "the location (NoSuchBucket)"
    )
    assert "no-such-bucket" not in [each["Name"] for each in s3.clients.retrying.list_buckets()["Buckets"]]


def test_a_container_that_is_not_there_is_named_and_not_made(azurite: Azurite, stream: Stream) -> None:
    ended = azure_place(azurite, "no-such-container").run(stream)
    assert ended.configuration_error == (
        "no-such-container@lake/orders-1: cannot list the folder: there is no such container, and none is created by "
        "itself; create it or correct its name (404 ContainerNotFound)"
    )
    again = azure_place(azurite, "no-such-container").run(stream)
    assert again.configuration_error == ended.configuration_error


def test_keys_that_are_missing_are_told(s3: S3Server, stream: Stream) -> None:
    place = s3_place(s3)
    halves = place.given(AWS_SECRET_ACCESS_KEY=None).run(stream)
    assert halves.configuration_error == (
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together: only one of them is set"
    )
    keyless = place.given(AWS_SECRET_ACCESS_KEY=None, AWS_ACCESS_KEY_ID=None)
    nothing = keyless.run(stream, AWS_EC2_METADATA_DISABLED="true", HOME=str(stream.folder))
    assert nothing.configuration_error == (
        f"{place.location}/orders-1: cannot list this folder: there are no credentials; set AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, or give this process a role"
    )


# Locations and extras.


@pytest.mark.parametrize(
    ("location", "said"),
    [
        (
            "gs://lake/orders",
            "gs://lake/orders: locations of the kind gs:// are not known; use s3://bucket/folder, "
            "abfss://container@account.dfs.core.windows.net/folder, file:///folder or a path",
        ),
        (
            "https://acct.blob.core.windows.net/lake?sp=rl&sig=canary",
            "https://acct.blob.core.windows.net/lake: locations of the kind https:// are not known; use "
            "s3://bucket/folder, abfss://container@account.dfs.core.windows.net/folder, file:///folder or a path",
        ),
        (
            "s3://canary-id:canary-key@lake/orders",
            "a location on S3 is s3://bucket/folder, without user and password; credentials belong into "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        (
            "s3://Lake/orders",
            "'Lake' is not the name of a bucket: 3 to 63 lower case letters, digits, dots and hyphens",
        ),
        (
            "abfss://lake@example.org/orders",
            "abfss://lake@example.org/orders: the part after '@' is not the host of a storage account such as "
            "account.dfs.core.windows.net; an endpoint of another kind goes into AZURE_STORAGE_ENDPOINT",
        ),
    ],
)
def test_a_location_that_cannot_be_is_told_without_what_may_be_secret(stream: Stream, location: str, said: str) -> None:
    ended = stream.run(spec={"sinkLocation": location}, ARCANE__LOG_LEVEL="debug")
    assert ended.configuration_error == said
    assert "canary" not in ended.stderr
    assert [*stream.folder.iterdir()] == []


@pytest.mark.parametrize(
    ("location", "missing", "said"),
    [
        (
            "s3://lake/orders",
            "botocore",
            "s3://lake/orders: storage on S3 needs the extra 's3': pip install 'arcane-framework[s3]'",
        ),
        (
            "lake@orders",
            "azure.storage",
            "lake@orders: storage on Azure Blob needs azure-storage-blob: install arcane-framework[azure]",
        ),
    ],
)
def test_an_extra_that_is_not_installed_is_named(stream: Stream, location: str, missing: str, said: str) -> None:
    (stream.folder / "sitecustomize.py").write_text(f"import sys\nsys.modules[{missing!r}] = None\n")
    path = f"{stream.environment()['PYTHONPATH']}:{stream.folder}"
    ended = stream.run(NUMBERS, {"sinkLocation": location}, PYTHONPATH=path, AZURE_STORAGE_ACCOUNT="orders")
    assert ended.configuration_error == said


# TLS.


REFUSED_CERTIFICATE = {
    "s3": "cannot list this folder: the server's certificate is not accepted; set AWS_CA_BUNDLE to the authorities to "
    "trust",
    "azure": "cannot list the folder: the server's certificate or TLS version is refused; check the endpoint, or name "
    "the certificates to trust in AZURE_STORAGE_CA_BUNDLE",
}


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_an_unknown_authority_of_s3_is_refused_until_it_is_trusted(
    stream: Stream, authority: trustme.CA, context: ssl.SSLContext, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    with running_server(context) as server:
        trusting = server.settings(ca_bundle=str(bundle))
        clients = build_clients(trusting, "s3://tests")
        clients.retrying.create_bucket(Bucket="tls-lake")
        place = s3_place(server, "tls-lake")
        assert place.run(stream).configuration_error == f"{place.location}/orders-1: {REFUSED_CERTIFICATE['s3']}"
        assert place.given(AWS_CA_BUNDLE=str(bundle)).run(stream).code == 0
        assert numbers(S3Storage("tls-lake", "lake/orders-1", trusting, clients=clients)) == [*range(10)]
        clients.retrying.close()
        clients.single.close()


def test_an_unknown_authority_of_azure_gets_no_request(
    azurite: Azurite, stream: Stream, context: ssl.SSLContext
) -> None:
    place = azure_place(azurite)
    with Server(tls_answer(), context) as server:
        ended = place.at(f"{server.url}{ACCOUNT}").run(stream)
        assert ended.configuration_error == f"{place.location}/orders-1: {REFUSED_CERTIFICATE['azure']}"
        assert server.requests == []
    assert place.run(stream).code == 0
    assert numbers(place.storage) == [*range(10)]

"""Locations, settings and clients of S3."""

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from arcane_framework._core.errors import ConfigurationError
from arcane_framework.storage.s3 import open_s3
from arcane_framework.storage.s3_settings import S3Settings, build_clients, s3_settings
from tests.storage.s3_server import S3Server


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither variables nor files of the machine count."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("s3://my-lake", "s3://my-lake"),
        ("s3://my-lake/", "s3://my-lake"),
        ("S3A://my.lake/a/b/", "s3://my.lake/a/b"),
        ("s3a://my-lake/100%25/a b?c#d", "s3://my-lake/100%25/a b?c#d"),
        ("s3://my-lake/ü@x", "s3://my-lake/ü@x"),
    ],
)
def test_a_location_is_a_bucket_and_a_folder_taken_literally(location: str, shown: str) -> None:
    assert open_s3(location, S3Settings()).location == shown


@pytest.mark.parametrize(
    "name", ["ab", "My-Lake", "my_lake", "-lake", "lake-", "a..b", "10.0.0.1", "", "l" * 64, "a:b"]
)
def test_a_name_that_no_bucket_has_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        open_s3(f"s3://{name}/x", S3Settings())
    assert str(raised.value) == (
        f"{name!r} is not the name of a bucket: 3 to 63 lower case letters, digits, dots and hyphens"
    )


@pytest.mark.parametrize("prefix", ["/a", "a//b", "a/../b", "./a", "a\\b", "_arcane/stage", "a\nb"])
def test_an_unsafe_folder_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used as a storage path"):
        open_s3(f"s3://my-lake/{prefix}", S3Settings())


def test_credentials_in_a_location_are_refused_and_not_shown() -> None:
    with pytest.raises(ConfigurationError) as raised:
        open_s3("s3://canary-user:canary-word@my-lake/x", S3Settings())
    assert str(raised.value) == (
        "a location on S3 is s3://bucket/folder, without user and password; credentials belong into "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )


def test_settings_are_read_from_variables_and_empty_ones_are_not_set() -> None:
    settings = s3_settings(
        {
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "word",
            "AWS_SESSION_TOKEN": "",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
            "AWS_REGION": "eu-central-1",
            "AWS_SIGNATURE_VERSION": "s3v4",
            "AWS_S3_ADDRESSING_STYLE": "virtual",
            "AWS_REQUEST_CHECKSUM_CALCULATION": "WHEN_REQUIRED",
            "AWS_CA_BUNDLE": "/etc/ca.pem",
            "AWS_MAX_ATTEMPTS": "7",
            "AWS_SOMETHING_ELSE": "x",
        }
    )
    assert settings == S3Settings(
        endpoint="http://127.0.0.1:9000",
        region="eu-central-1",
        access_key="id",
        secret_key=SecretStr("word"),
        path_style=False,
        checksums="when_required",
        ca_bundle="/etc/ca.pem",
        attempts=7,
    )
    assert s3_settings({}) == S3Settings()


def test_settings_do_not_show_keys() -> None:
    settings = S3Settings(access_key="canary-1", secret_key=SecretStr("canary-2"), session_token=SecretStr("canary-3"))
    assert "canary" not in repr(settings)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"AWS_ACCESS_KEY_ID": "canary"},
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together: only one of them is set",
        ),
        (
            {"AWS_SESSION_TOKEN": "canary"},
            "AWS_SESSION_TOKEN belongs to AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which are not set",
        ),
        (
            {"AWS_ENDPOINT_URL": "http://user:canary@host"},
            "AWS_ENDPOINT_URL must be an http or https URL with a host and without user, password and query",
        ),
        (
            {"AWS_ENDPOINT_URL": "minio:9000"},
            "AWS_ENDPOINT_URL must be an http or https URL with a host and without user, password and query",
        ),
        (
            {"AWS_SIGNATURE_VERSION": "s3"},
            "AWS_SIGNATURE_VERSION must be s3v4: conditional writes, which commits need, are not signed with another",
        ),
        ({"AWS_S3_ADDRESSING_STYLE": "x"}, "AWS_S3_ADDRESSING_STYLE must be auto, path or virtual"),
        (
            {"AWS_REQUEST_CHECKSUM_CALCULATION": "x"},
            "AWS_REQUEST_CHECKSUM_CALCULATION must be when_supported or when_required",
        ),
        ({"AWS_MAX_ATTEMPTS": "0"}, "AWS_MAX_ATTEMPTS must be a number from 1 to 20"),
    ],
)
def test_settings_that_cannot_be_used_are_named(variables: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        s3_settings(variables)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        (S3Settings(region="eu-west-1"), "https://my-lake.s3.eu-west-1.amazonaws.com/a"),
        (S3Settings(region="eu-west-1", path_style=True), "https://s3.eu-west-1.amazonaws.com/my-lake/a"),
        (S3Settings(endpoint="http://minio:9000"), "http://minio:9000/my-lake/a"),
        (S3Settings(endpoint="http://minio:9000", path_style=False), "http://my-lake.minio:9000/a"),
    ],
)
def test_the_bucket_stands_in_the_path_on_servers_other_than_aws(settings: S3Settings, host: str) -> None:
    assert _url(settings) == host


def test_an_endpoint_that_only_the_sdk_knows_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000")
    assert _url(S3Settings()) == "http://minio:9000/my-lake/a"


def _url(settings: S3Settings) -> str:
    """Where a request would go."""
    keys: dict[str, Any] = {"access_key": "id", "secret_key": SecretStr("word")}
    given = {name: getattr(settings, name) for name in ("endpoint", "region", "path_style")}
    client = build_clients(S3Settings(**given, **keys), "s3://my-lake").single
    urls: list[str] = []

    def stop(request: Any, **_: Any) -> None:
        urls.append(request.url)
        raise KeyboardInterrupt

    client.meta.events.register("before-send.s3", stop)
    with pytest.raises(KeyboardInterrupt):
        client.get_object(Bucket="my-lake", Key="a")
    return urls[0]


def test_certificates_are_checked_even_if_a_variable_of_the_sdk_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "")
    clients = build_clients(S3Settings(region="eu-west-1"), "s3://my-lake")
    for client in (clients.retrying, clients.single):
        assert client._endpoint.http_session._verify is True


def test_a_client_for_creating_sends_a_request_once() -> None:
    clients = build_clients(S3Settings(region="eu-west-1", attempts=4), "s3://my-lake")
    assert clients.single.meta.config.retries["total_max_attempts"] == 1
    assert clients.retrying.meta.config.retries["total_max_attempts"] == 4


def test_without_the_sdk_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    with pytest.raises(ConfigurationError) as raised:
        open_s3("s3://my-lake/x", S3Settings()).probe()
    assert str(raised.value) == "s3://my-lake/x: storage on S3 needs the extra 's3': pip install 'arcane-framework[s3]'"


def test_credentials_come_from_the_sdks_own_chain_when_none_are_given(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bucket = s3.bucket()
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    settings = S3Settings(endpoint=s3.url)
    with pytest.raises(ConfigurationError) as raised:
        open_s3(f"s3://{bucket}/x", settings).probe()
    assert str(raised.value) == (
        f"s3://{bucket}/x: cannot list this folder: there are no credentials; set AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, or give this process a role"
    )
    (tmp_path / "keys").write_text("[default]\naws_access_key_id = id\naws_secret_access_key = word\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "keys"))
    open_s3(f"s3://{bucket}/x", settings).probe()

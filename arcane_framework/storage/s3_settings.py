"""What a storage on S3 needs to know besides its location, and the SDK's clients made of it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from arcane_framework._core.errors import ConfigurationError
from arcane_framework.storage.s3_errors import plain_errors
from arcane_framework.storage.sdk_logs import hide_credentials

CONNECTIONS: Final = 16
"""Connections that a client keeps open at most; more callers wait for one."""

DEFAULT_REGION: Final = "us-east-1"
"""What servers other than AWS take, and where AWS says in which region a bucket really is."""

_SIGNATURES: Final = {"s3v4": "s3v4", "v4": "s3v4", "4": "s3v4"}
_CHECKSUMS: Final = ("when_supported", "when_required")
_STYLES: Final[Mapping[str, bool | Literal["auto"]]] = {"auto": "auto", "path": True, "virtual": False}


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Settings of a storage on S3; None leaves it to the SDK's own chain (variables, files, roles, web identity).

    Attributes:
        endpoint: URL of a server other than AWS.
        region: Of the bucket.
        access_key: Goes with `secret_key`.
        secret_key: Goes with `access_key`.
        session_token: For temporary keys.
        path_style: Whether the bucket's name stands in the path instead of the host; `auto`: on
            servers other than AWS.
        checksums: When to send checksums with uploads and check them on downloads: `when_supported` or
            `when_required`, which some servers other than AWS need.
        ca_bundle: File of the authorities to trust instead of the usual ones. Certificates are always checked.
        attempts: How often an idempotent request is tried.
        connect_seconds: How long a connection may take.
        read_seconds: How long the server may be silent.

    Raises:
        ConfigurationError: They do not fit together.
    """

    endpoint: str | None = None
    region: str | None = None
    access_key: str | None = field(default=None, repr=False)
    secret_key: SecretStr | None = None
    session_token: SecretStr | None = None
    path_style: bool | Literal["auto"] = "auto"
    checksums: str | None = None
    ca_bundle: str | None = None
    attempts: int = 5
    connect_seconds: float = 10
    read_seconds: float = 30

    def __post_init__(self) -> None:
        if (self.access_key is None) != (self.secret_key is None):
            raise ConfigurationError(
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together: only one of them is set"
            )
        if self.session_token is not None and self.access_key is None:
            raise ConfigurationError(
                "AWS_SESSION_TOKEN belongs to AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which are not set"
            )
        if self.checksums is not None and self.checksums not in _CHECKSUMS:
            raise ConfigurationError("AWS_REQUEST_CHECKSUM_CALCULATION must be when_supported or when_required")
        if self.endpoint is not None:
            _check_endpoint(self.endpoint)


@dataclass(frozen=True, slots=True)
class S3Clients:
    """The SDK's clients; each is safe to use from several threads.

    Attributes:
        retrying: Tries again; for requests that may happen twice.
        single: Sends a request once, so that an answer is always the answer to that request.
    """

    retrying: Any
    single: Any


def s3_settings(variables: Mapping[str, str]) -> S3Settings:
    """Read the settings from variables without prefix; others than the ones below are left alone.

    `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_DEFAULT_REGION`, `AWS_ACCESS_KEY_ID`,
    `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_S3_ADDRESSING_STYLE` (auto, path, virtual),
    `AWS_REQUEST_CHECKSUM_CALCULATION`, `AWS_CA_BUNDLE`, `AWS_MAX_ATTEMPTS`, `AWS_SIGNATURE_VERSION` (s3v4).
    An empty one counts as not set.

    Raises:
        ConfigurationError: One of them cannot be used; never shows a value that may be a secret.
    """
    given = {name: value for name, value in variables.items() if value}
    secret, token = given.get("AWS_SECRET_ACCESS_KEY"), given.get("AWS_SESSION_TOKEN")
    if given.get("AWS_SIGNATURE_VERSION", "s3v4").lower() not in _SIGNATURES:
        raise ConfigurationError(
            "AWS_SIGNATURE_VERSION must be s3v4: conditional writes, which commits need, are not signed with another"
        )
    checksums = given.get("AWS_REQUEST_CHECKSUM_CALCULATION")
    return S3Settings(
        endpoint=given.get("AWS_ENDPOINT_URL_S3") or given.get("AWS_ENDPOINT_URL"),
        region=given.get("AWS_REGION") or given.get("AWS_DEFAULT_REGION"),
        access_key=given.get("AWS_ACCESS_KEY_ID"),
        secret_key=SecretStr(secret) if secret else None,
        session_token=SecretStr(token) if token else None,
        path_style=_path_style(given.get("AWS_S3_ADDRESSING_STYLE", "auto")),
        checksums=checksums.lower() if checksums else None,
        ca_bundle=given.get("AWS_CA_BUNDLE"),
        attempts=_attempts(given.get("AWS_MAX_ATTEMPTS", "5")),
    )


def build_clients(settings: S3Settings, location: str) -> S3Clients:
    """The clients for `settings`. Reads files and variables of the SDK, sends nothing.

    Raises:
        ConfigurationError: The SDK is not installed, or cannot work with the settings.
    """
    try:
        import botocore.session
    except ImportError:
        raise ConfigurationError(
            f"{location}: storage on S3 needs the extra 's3': pip install 'arcane-framework[s3]'"
        ) from None
    _silence_sdk()
    with plain_errors(location, "prepare requests"):
        session = botocore.session.Session()
        # None would let an empty variable of the SDK switch certificate checks off.
        verify = settings.ca_bundle or session.get_config_variable("ca_bundle") or True
        if settings.path_style == "auto":
            # The SDK's own variables and files may name a server, too.
            url = settings.endpoint or _client(session, settings, verify, "auto", attempts=1).meta.endpoint_url
            addressing = "auto" if _is_aws(url) else "path"
        else:
            addressing = "path" if settings.path_style else "virtual"
        return S3Clients(
            retrying=_client(session, settings, verify, addressing, attempts=settings.attempts),
            single=_client(session, settings, verify, addressing, attempts=1),
        )


def _silence_sdk() -> None:
    hide_credentials()
    # Levels that somebody has set stay.
    logger = logging.getLogger("botocore")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)


def _client(session: Any, settings: S3Settings, verify: str | bool, addressing: str, attempts: int) -> Any:
    from botocore.config import Config

    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": addressing},
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=settings.connect_seconds,
        read_timeout=settings.read_seconds,
        max_pool_connections=CONNECTIONS,
        request_checksum_calculation=settings.checksums,
        response_checksum_validation=settings.checksums,
        user_agent_extra="arcane-framework",
    )
    return session.create_client(
        "s3",
        region_name=settings.region or session.get_config_variable("region") or DEFAULT_REGION,
        endpoint_url=settings.endpoint,
        verify=verify,
        config=config,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key.get_secret_value() if settings.secret_key else None,
        aws_session_token=settings.session_token.get_secret_value() if settings.session_token else None,
    )


def _is_aws(url: str) -> bool:
    return (urlsplit(url).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _check_endpoint(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good, parts = False, urlsplit("")
    if not good or parts.username is not None or parts.query or parts.fragment:
        # Not shown: there may be a password in it.
        raise ConfigurationError(
            "AWS_ENDPOINT_URL must be an http or https URL with a host and without user, password and query"
        )


def _path_style(text: str) -> bool | Literal["auto"]:
    if text.lower() not in _STYLES:
        raise ConfigurationError("AWS_S3_ADDRESSING_STYLE must be auto, path or virtual")
    return _STYLES[text.lower()]


def _attempts(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 20:
        raise ConfigurationError("AWS_MAX_ATTEMPTS must be a number from 1 to 20")
    return int(text)

"""Azurite, Microsoft's emulator of Blob Storage, on loopback; installed below `build/` when a test first wants it."""

import base64
import fcntl
import functools
import os
import re
import secrets
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.pipeline.transport import HttpTransport
from azure.storage.blob import (
    BlobServiceClient,
    ContainerClient,
    ContainerSasPermissions,
    generate_container_sas,
)
from pydantic import SecretStr

from arcane_framework.storage.azure_blob import AzureBlobStorage
from arcane_framework.storage.azure_client import make_container_client
from arcane_framework.storage.azure_settings import AzureSettings, access_of

VERSION = "3.36.0"
ACCOUNT = "lakeaccount"
START_SECONDS = 30

_PACKAGE = Path(__file__).parent / "azurite_package"
_FOLDER = Path(__file__).parents[2] / "build" / f"azurite-{VERSION}"
_MAIN = _FOLDER / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
_LISTENING = re.compile(r"successfully listens on (http://127\.0\.0\.1:\d+)")


class NotAvailableError(Exception):
    """Azurite cannot run here; the message says why."""


@dataclass(frozen=True)
class Azurite:
    """A running emulator, and the only account in it."""

    url: str
    key: str
    pid: int = 0

    @property
    def endpoint(self) -> str:
        return f"{self.url}/{ACCOUNT}"

    @property
    def settings(self) -> AzureSettings:
        return AzureSettings(
            account=ACCOUNT,
            account_key=SecretStr(self.key),
            endpoint=self.endpoint,
            retries=3,
            pause_seconds=0.01,
            timeout_seconds=20,
        )

    def new_container(self) -> ContainerClient:
        """A container of its own, made with the SDK alone; no retries, so that what a test breaks stays broken."""
        credential = AzureNamedKeyCredential(ACCOUNT, self.key)
        service = BlobServiceClient(self.endpoint, credential=credential, retry_total=0)
        return service.create_container(f"c{uuid4().hex}")

    def storage(
        self,
        container: str,
        prefix: str = "",
        *,
        settings: AzureSettings | None = None,
        transport: HttpTransport[Any, Any] | None = None,
        block_bytes: int = 8 << 20,
    ) -> AzureBlobStorage:
        settings = settings or self.settings
        access = access_of(settings)
        client = make_container_client("lake", self.endpoint, container, access, settings, transport=transport)
        return AzureBlobStorage(container, prefix, client, block_bytes=block_bytes)

    def sas(self, container: str, **options: Any) -> str:
        """A SAS token for a container; `permission` is a text such as `rl`."""
        permission = ContainerSasPermissions.from_string(options.pop("permission"))
        return generate_container_sas(ACCOUNT, container, account_key=self.key, permission=permission, **options)


@contextmanager
def running_azurite(folder: Path) -> Iterator[Azurite]:
    """Run an emulator that keeps everything in memory.

    Args:
        folder: For its logs and tables.

    Raises:
        NotAvailableError: It cannot run here.
    """
    install()
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    command = ["node", str(_MAIN), "--blobHost", "127.0.0.1", "--blobPort", "0"]
    options = [
        "--inMemoryPersistence",
        "--extentMemoryLimit",
        "1024",
        "--skipApiVersionCheck",
        "--disableTelemetry",
        "--silent",
    ]
    process = subprocess.Popen(
        [*command, *options],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # Whatever it says is read: with a full pipe it would stand still.
    reader = threading.Thread(target=_drain, args=(process,), daemon=True)
    try:
        address = _address(process)
        reader.start()
        yield Azurite(address, key, process.pid)
    finally:
        process.kill()
        process.wait()
        if reader.ident is not None:
            reader.join()
        assert process.stdout is not None
        process.stdout.close()


def _drain(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    for _ in process.stdout:
        pass


def _address(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    lines: list[str] = []
    timer = threading.Timer(START_SECONDS, process.kill)
    timer.start()
    try:
        for line in process.stdout:
            lines.append(line)
            if found := _LISTENING.search(line):
                return found[1]
    finally:
        timer.cancel()
        timer.join()
    raise RuntimeError(f"Azurite does not start: {' '.join(lines).strip()[-500:]}")


@functools.cache
def install() -> None:
    """Install the pinned packages of the lock file once, whoever of several processes comes first.

    Raises:
        NotAvailableError: They cannot be installed here.
    """
    if not (shutil.which("node") and shutil.which("npm")):
        raise NotAvailableError("Azurite needs node and npm")
    _FOLDER.parent.mkdir(exist_ok=True)
    with _FOLDER.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = _FOLDER / "installed"
        if done.exists():
            return
        _FOLDER.mkdir(exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(_PACKAGE / name, _FOLDER / name)
        try:
            made = subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=_FOLDER,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                timeout=240,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NotAvailableError("npm ci took more than 240 s") from None
        if made.returncode:
            raise NotAvailableError(f"npm ci failed: {made.stderr.strip()[-500:]}")
        done.touch()

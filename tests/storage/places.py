"""Places for whole streams: what their spec and environment say, and the same place to look at."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, quote_plus

import pyarrow.parquet as pq

from arcane_framework._core.storage import Storage
from arcane_framework.storage.local import LocalStorage
from arcane_framework.storage.s3 import S3Storage
from tests.runner.processes import NUMBERS, Ended, Stream
from tests.storage.azurite import ACCOUNT, Azurite
from tests.storage.s3_server import S3Server

SECRET_NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_KEY")
S3_KEY_ID, S3_KEY = "canary-key-id", "canary/+key"
_SIGNATURE = re.compile(r"Signature=|SharedKey |sig=(?!\*\*\*|REDACTED)")
FEW_TRIES = {"AWS_MAX_ATTEMPTS": "2", "AZURE_STORAGE_RETRIES": "1"}
"""The SDKs wait in real time."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place on a store.

    Attributes:
        location: As the spec says it.
        variables: What leads there; without the prefix `ARCANE__`.
        storage: The same place, for looking at it.
    """

    location: str
    variables: Mapping[str, str]
    storage: Storage

    def environment(self, **variables: str) -> dict[str, str]:
        """The variables as an operator sets them."""
        return {f"ARCANE__{name}": value for name, value in {**FEW_TRIES, **self.variables, **variables}.items()}

    def at(self, endpoint: str) -> "Place":
        """The same place, behind another endpoint."""
        changed = {name: endpoint for name in self.variables if "ENDPOINT" in name}
        return replace(self, variables={**self.variables, **changed})

    def given(self, **variables: str | None) -> "Place":
        """The same place, with other variables; None takes one out."""
        merged = {**self.variables, **variables}
        return replace(self, variables={name: value for name, value in merged.items() if value is not None})

    def run(
        self, stream: Stream, spec: Mapping[str, object] | None = None, plugin: str = NUMBERS, **variables: str
    ) -> Ended:
        """Run the stream of numbers here at DEBUG; no credential comes out."""
        full = {"sinkLocation": self.location, **(spec or {})}
        ended = stream.run(plugin, full, **{"ARCANE__LOG_LEVEL": "debug", **self.environment(), **variables})
        shown = ended.stdout + ended.stderr
        assert [form for form in self.secret_forms() if form in shown] == []
        assert _SIGNATURE.search(shown) is None
        return ended

    def secret_forms(self) -> list[str]:
        """What must never be shown."""
        secrets = [self.variables[name] for name in SECRET_NAMES if name in self.variables]
        token = self.variables.get("AZURE_STORAGE_SAS_TOKEN", "")
        secrets += [token, token.partition("sig=")[2].partition("&")[0]] if token else []
        encoded = [base64.b64encode(secret.encode()).decode() for secret in secrets]
        return [*secrets, *encoded, *(quote(secret, safe="") for secret in secrets), *map(quote_plus, secrets)]


def s3_place(server: S3Server, bucket: str | None = None) -> Place:
    """A folder of a bucket, which is a new one unless it is given."""
    bucket = bucket or server.bucket()
    variables = {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": S3_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": S3_KEY,
    }
    return Place(f"s3://{bucket}/lake", variables, S3Storage(bucket, "lake", server.settings(), clients=server.clients))


def local_place(folder: Path) -> Place:
    """A folder of this machine."""
    return Place(str(folder), {}, LocalStorage(folder))


def azure_place(azurite: Azurite, container: str | None = None) -> Place:
    """A folder of a container, which is a new one unless it is given."""
    if container is None:
        with azurite.new_container() as made:
            container = made.container_name
    variables = {
        "AZURE_STORAGE_ACCOUNT": ACCOUNT,
        "AZURE_STORAGE_KEY": azurite.key,
        "AZURE_STORAGE_ENDPOINT": azurite.endpoint,
    }
    return Place(f"{container}@lake", variables, azurite.storage(container, "lake"))


def numbers(storage: Storage) -> list[int]:
    """The numbers in the parts below `storage`, in their order."""
    found: list[int] = []
    for name in sorted(each.name for each in storage.list() if "part-" in each.name.rpartition("/")[2]):
        with storage.open(name) as stream:
            found += pq.read_table(stream)["n"].to_pylist()
    return found

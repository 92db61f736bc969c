"""Where a demo's rows go, and how pyarrow reads them there: a folder, a bucket or a container.

pyarrow has its own ways to S3 and Azure. It reads what the stream has written, past all code that has written it.
"""

import glob
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from arcane_framework.hosting.environment import storage_settings
from arcane_framework.storage import StorageOpener

if TYPE_CHECKING:
    from pyarrow import dataset

    from arcane_framework import Storage

SEGMENTS = ("backfill", "data")

_S3 = re.compile(r"s3a?://(?P<path>.+)", re.IGNORECASE)
_AZURE = re.compile(r"((?:abfss?|wasbs?)://)?(?P<container>[^@/]+)@(?P<rest>.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FileSystem:
    """How pyarrow gets to a store.

    Attributes:
        kind: The name of the class in `pyarrow.fs`.
        path: The sink's location there.
        shown: Arguments that a person may see.
        secret: Arguments that nobody may see, each with the variable that has it.
    """

    kind: str
    path: str
    shown: Mapping[str, str]
    secret: Mapping[str, tuple[str, str]] = field(repr=False)

    def open(self) -> Any:
        """The file system."""
        from pyarrow import fs

        return getattr(fs, self.kind)(**self.shown, **{name: value for name, (_, value) in self.secret.items()})

    def code(self) -> str:
        """The expression that opens it; secrets come from the environment."""
        arguments = [f"{name}={value!r}" for name, value in self.shown.items()]
        arguments += [f"{name}=os.environ[{variable!r}]" for name, (variable, _) in self.secret.items()]
        return f"fs.{self.kind}({', '.join(arguments)})"


@dataclass(frozen=True, slots=True)
class Lake:
    """One stream's folder below a sink's location.

    Attributes:
        location: The sink's, as the spec says it.
        stream_id: The stream's.
    """

    location: str
    stream_id: str

    @property
    def storage(self) -> "Storage":
        """The stream's folder, as the framework opens it."""
        return StorageOpener(settings=storage_settings(os.environ))(self.location).folder(self.stream_id)

    @property
    def files(self) -> str:
        """The pattern of the parts in a local folder."""
        return f"{self.location}/{self.stream_id}/[bd]*/**/part-*.parquet"

    def folders(self) -> list[str]:
        """The folders that have parts."""
        storage = self.storage
        return [name for name in SEGMENTS if next(iter(storage.list(name)), None) is not None]

    def dataset(self) -> "dataset.Dataset":
        """All parts, as pyarrow finds them."""
        from pyarrow import dataset

        store = file_system(self.location)
        if store is None:
            return dataset.dataset(sorted(glob.glob(self.files, recursive=True)))
        opened = store.open()
        # A backfill's folder has the file that says that it is complete, too.
        return dataset.dataset(
            [
                dataset.dataset(self._below(store, name), filesystem=opened, exclude_invalid_files=True)
                for name in self.folders()
            ]
        )

    def one_liners(self) -> list[str]:
        """Python code that counts the rows.

        Local files are named one by one: pyarrow's own search leaves out folders that begin with `_`, which those
        of a lake that is partitioned by `_batch_date` do.
        """
        store = file_system(self.location)
        if store is None:
            pyarrow = f"ds.dataset(glob.glob({self.files!r}, recursive=True)).count_rows()"
            duckdb = f"duckdb.read_parquet({self.files!r}).count('*').fetchall()[0][0]"
            return [
                f"import glob, pyarrow.dataset as ds; print({pyarrow})",
                f"import duckdb; print({duckdb})",
            ]
        folders = [self._below(store, name) for name in self.folders()]
        counted = "ds.dataset(path, filesystem=lake, exclude_invalid_files=True).count_rows()"
        imports = "import os; from pyarrow import dataset as ds, fs"
        return [f"{imports}; lake = {store.code()}; print(sum({counted} for path in {folders!r}))"]

    def remove(self) -> None:
        """Remove the stream's folder; its log last, so that a second try finds what is left."""
        if file_system(self.location) is None:
            shutil.rmtree(Path(self.location) / self.stream_id)
            return
        storage = self.storage
        names = [found.name for found in storage.list()]
        for name in sorted(names, key=lambda name: (name.startswith("_arcane/"), name)):
            storage.delete(name)
        for staged in storage.staged():
            storage.abort(staged.handle)

    def _below(self, store: FileSystem, name: str) -> str:
        return "/".join(filter(None, (store.path, self.stream_id, name)))


def file_system(location: str) -> FileSystem | None:
    """How pyarrow gets to a location; None for a local folder. Takes the variables that the stream takes."""
    variables = {**os.environ, **storage_settings(os.environ)}
    if found := _S3.fullmatch(location):
        return _on_s3(found["path"], variables)
    if not location.startswith((".", "/")) and (found := _AZURE.fullmatch(location)):
        host, _, path = found["rest"].partition("/") if found[1] else ("", "", found["rest"])
        return _on_azure(f"{found['container']}/{path}", host.partition(".")[0], variables)
    return None


def _on_s3(path: str, variables: Mapping[str, str]) -> FileSystem:
    endpoint = variables.get("AWS_ENDPOINT_URL_S3") or variables.get("AWS_ENDPOINT_URL")
    region = variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION")
    shown = {"endpoint_override": endpoint, "region": region or (endpoint and "us-east-1")}
    names = {
        "access_key": "AWS_ACCESS_KEY_ID",
        "secret_key": "AWS_SECRET_ACCESS_KEY",
        "session_token": "AWS_SESSION_TOKEN",
    }
    return FileSystem("S3FileSystem", path.rstrip("/"), _given(shown), _secrets(names, variables))


def _on_azure(path: str, account: str, variables: Mapping[str, str]) -> FileSystem:
    endpoint = urlsplit(variables.get("AZURE_STORAGE_ENDPOINT", ""))
    shown: dict[str, str | None] = {"account_name": account or variables.get("AZURE_STORAGE_ACCOUNT", "")}
    if endpoint.netloc:
        for service in ("blob", "dfs"):
            shown |= {f"{service}_storage_authority": endpoint.netloc, f"{service}_storage_scheme": endpoint.scheme}
    names = {"account_key": "AZURE_STORAGE_KEY"}
    if "AZURE_STORAGE_KEY" not in variables:
        names = {"sas_token": "AZURE_STORAGE_SAS_TOKEN"}
    return FileSystem("AzureFileSystem", path.rstrip("/"), _given(shown), _secrets(names, variables))


def _given(values: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _secrets(names: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    return {name: (variable, variables[variable]) for name, variable in names.items() if variables.get(variable)}

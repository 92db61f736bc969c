"""What all tests share."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

# The tests' own time limit is enough; an example that is slow on a busy machine is no failure.
settings.register_profile("arcane", deadline=None, print_blob=True)
settings.load_profile("arcane")


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The Azure emulator, one for each worker."""
    module = pytest.importorskip(
        "tests.storage.azurite", reason="azure-storage-blob is not installed", exc_type=ImportError
    )
    try:
        with module.running_azurite(tmp_path_factory.mktemp("azurite")) as server:
            yield server
    except module.NotAvailableError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Any]:
    """An S3 server, one for each worker."""
    module = pytest.importorskip(
        "tests.storage.s3_server", reason="moto or flask is not installed", exc_type=ImportError
    )
    with module.running_server() as server:
        yield server


@pytest.fixture
def s3(s3_server: Any) -> Iterator[Any]:
    """The S3 server, without the faults of the test before."""
    yield s3_server
    s3_server.faults.clear()


@pytest.fixture(scope="session")
def s3_iam() -> Iterator[Any]:
    """An S3 server that checks signatures and policies, one for each worker."""
    module = pytest.importorskip("tests.storage.s3_iam", reason="moto or flask is not installed", exc_type=ImportError)
    with module.running_iam_server() as server:
        yield server

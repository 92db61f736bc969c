"""The storages that the conformance suite runs on, and mounts for those that only a disk can fail in."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arcane_framework._core.storage import Storage
from arcane_framework.storage.local import LocalStorage
from arcane_framework.storage.memory import MemoryStorage
from tests.proof.power_cut import PowerCutDisk


@pytest.fixture(params=["local", "memory", "power cut model"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty storage; whoever implements the protocol joins here."""
    if request.param == "local":
        return LocalStorage(tmp_path / "lake")
    if request.param == "memory":
        return MemoryStorage("lake")
    return LocalStorage("/lake", PowerCutDisk())


@pytest.fixture
def small_mount(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 1 MiB."""
    folder = tmp_path / "mount"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def mount(*arguments: str) -> None:
    """Mount, or skip the test where this user may not."""
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"this user may not mount: {done.stderr.strip()}")


@pytest.fixture
def proxy(azurite: Any) -> Iterator[Any]:
    """A proxy in front of the Azure emulator."""
    from tests.storage.fault_proxy import fault_proxy

    with fault_proxy(azurite.url) as proxy:
        yield proxy


@pytest.fixture
def container(azurite: Any) -> Iterator[Any]:
    """A container of the Azure emulator."""
    with azurite.new_container() as container:
        yield container

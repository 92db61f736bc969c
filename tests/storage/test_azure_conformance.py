"""The conformance suite over Azurite. What Azure does otherwise has a test of the same name here that says so."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from arcane_framework._core.errors import ConfigurationError, FatalStreamError
from arcane_framework._core.storage import Storage, check_name
from tests.storage import test_conformance
from tests.storage.azurite import Azurite
from tests.storage.test_conformance import ANY_STORAGE, listed, staged

globals().update({name: test for name, test in vars(test_conformance).items() if name.startswith("test_")})


@pytest.fixture
def storage(azurite: Azurite) -> Storage:
    """An empty container; blocks of 1 MiB, so that uploads have several."""
    return azurite.storage(azurite.new_container().container_name, block_bytes=1 << 20)


def staged_bytes(storage: Storage, name: str, content: bytes) -> dict[str, JsonValue]:
    upload = storage.stage(name)
    upload.write(content)
    return dict(upload.finish())


def test_each_folder_has_a_staging_area_of_its_own(storage: Storage) -> None:
    # A staged object is found below its final name, so the folder above sees it, too.
    staged_bytes(storage.folder("orders"), "data/part-1", b"x")
    assert staged(storage) == ["part-1"]
    assert staged(storage.folder("orders")) == ["part-1"]
    assert staged(storage.folder("other")) == []
    assert staged(storage.folder("order")) == []


def test_publishing_what_is_neither_staged_nor_there_says_so(storage: Storage) -> None:
    # An empty object has no block that could be gone; no part is ever empty.
    handle = staged_bytes(storage, "data/part-1", b"one")
    assert storage.publish("data/part-1", handle, 3)
    storage.delete("data/part-1")
    assert not storage.publish("data/part-1", handle, 3)
    assert not storage.publish("data/part-1", {**handle, "nonce": uuid4().hex}, 3)
    assert listed(storage) == []


def test_publishing_never_overwrites_another_object(storage: Storage) -> None:
    # What is staged for an object that is there is not listed.
    storage.create("data/part-1", b"somebody else's")
    handle = staged_bytes(storage, "data/part-1", b"one")
    with pytest.raises(FatalStreamError, match="has 15 bytes where 3 were staged"):
        storage.publish("data/part-1", handle, 3)
    assert storage.read("data/part-1") == b"somebody else's"


def test_an_aborted_upload_leaves_nothing(storage: Storage) -> None:
    # It leaves nothing that anybody could see or publish; the blocks stay for a week.
    upload = storage.stage("data/part-1")
    upload.write(b"x" * 3_000_000)
    upload.abort()
    upload.abort()
    assert listed(storage) == []
    assert storage.stat("data/part-1") is None
    finished = storage.stage("data/part-2")
    handle = finished.finish()
    storage.abort(handle)
    storage.abort(handle)
    finished.abort()
    assert listed(storage) == []
    assert staged(storage) == ["part-1"]


def test_an_upload_that_is_still_written_is_staged(storage: Storage) -> None:
    # From its first block on.
    second, first = storage.stage("data/part-2"), storage.stage("data/part-1")
    first.write(b"x")
    assert staged(storage) == []
    second.write(b"x" * (3 << 20))
    second.abort()
    assert staged(storage) == ["part-2"]


def test_a_name_is_staged_once(storage: Storage) -> None:
    # Or several times: each attempt's blocks carry its nonce, and the first that is published wins.
    first, second = (staged_bytes(storage, "data/part-1", content) for content in (b"one", b"two"))
    assert staged(storage) == ["part-1", "part-1"]
    assert storage.publish("data/part-1", second, 3)
    assert storage.publish("data/part-1", first, 3)
    assert storage.read("data/part-1") == b"two"
    storage.delete("data/part-1")
    assert not storage.publish("data/part-1", first, 3)


def test_an_object_can_be_staged_under_a_name_of_its_own(storage: Storage) -> None:
    # Its blocks lie under the final name all the same.
    upload = storage.stage("backfill/abc.COMPLETED", staged_as="7-0-nonce.COMPLETED")
    upload.write(b"\0")
    handle = upload.finish()
    assert [(found.name, found.handle) for found in storage.staged()] == [("abc.COMPLETED", handle)]
    assert storage.publish("backfill/abc.COMPLETED", handle, 1)
    assert listed(storage) == ["backfill/abc.COMPLETED"]
    assert staged(storage) == []


@pytest.mark.parametrize(
    "handle",
    [
        {},
        {"stage": "x"},
        {"upload": "x"},
        {"blob": "a", "nonce": "n", "blocks": -1, "bytes": 0},
        {"blob": "a", "nonce": "n", "blocks": "1", "bytes": 0},
        {"blob": "a", "nonce": 1, "blocks": 1, "bytes": 0},
    ],
)
def test_a_handle_of_another_kind_of_storage_is_refused(storage: Storage, handle: dict[str, str]) -> None:
    with pytest.raises(FatalStreamError, match="is not a publish handle of a container on Azure"):
        storage.publish("a", handle, 0)
    with pytest.raises(FatalStreamError, match="is not a publish handle of a container on Azure"):
        storage.abort(handle)


@ANY_STORAGE
@given(name=st.text(max_size=60).map(lambda text: text.replace("|", "/")) | st.from_regex(r"\A[./\\a\x00]{1,12}\Z"))
def test_a_name_is_refused_or_comes_back_exactly(storage: Storage, name: str) -> None:
    # Azure's own rule besides those of all storages: no segment ends in a dot.
    storage = storage.folder(uuid4().hex)
    try:
        assert check_name(name) == name
        assert not any(segment.endswith(".") for segment in name.split("/"))
        assert not set("\ufffe\uffff") & set(name)
    except (AssertionError, ConfigurationError):
        with pytest.raises(ConfigurationError):
            storage.create(name, b"x")
        return
    assert storage.create(name, b"x")
    assert listed(storage) == [name]
    assert storage.read(name) == b"x"
    storage.delete(name)
    assert listed(storage) == []

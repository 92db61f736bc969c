"""The conformance suite over an S3 server; a handle of another kind of storage is told in S3's own words."""

import pytest

from arcane_framework._core.errors import FatalStreamError
from arcane_framework._core.storage import Storage
from tests.storage.s3_server import S3Server
from tests.storage.test_conformance import *  # noqa: F403


@pytest.fixture
def storage(s3: S3Server) -> Storage:
    """A folder in an empty bucket."""
    return s3.storage("lake/100%/a b")


@pytest.mark.parametrize(  # type: ignore[no-redef]
    "handle",
    [{}, {"stage": 1}, {"stage": "a"}, {"stage": "a", "key": "a"}, {"stage": "a", "key": "a", "upload": ""}],
)
def test_a_handle_of_another_kind_of_storage_is_refused(storage: Storage, handle: dict[str, str]) -> None:
    for call in (lambda: storage.publish("a", handle, 0), lambda: storage.abort(handle)):
        with pytest.raises(FatalStreamError, match=r"is not a publish handle of S3$"):
            call()


@pytest.mark.parametrize("key", ["../x", "/x", "x/../../y"])
def test_a_handle_never_leads_out_of_the_folder(storage: Storage, key: str) -> None:
    with pytest.raises(Exception, match="cannot be used as a storage path"):
        storage.abort({"stage": "x", "key": key, "upload": "u"})

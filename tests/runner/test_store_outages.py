"""Stores that go away while a stream runs, and come back: exit code 2, nothing half visible, every row once later."""

from collections.abc import Iterator

import pytest

from tests.runner.processes import Stream
from tests.runner.store_places import CLOUDS, Cloud, Guarded, guarded
from tests.storage.places import numbers

STAGE = "stage data/part-<2>"
LOG = "_arcane/log/0000000000000000000"
DOWN = {"s3": "the server cannot be reached", "azure": "there is no connection to the endpoint"}


@pytest.fixture(params=CLOUDS)
def sink(request: pytest.FixtureRequest, stream: Stream) -> Iterator[Guarded]:
    cloud: Cloud = request.param
    with guarded(cloud, request.getfixturevalue("s3" if cloud == "s3" else "azurite"), stream) as sink:
        yield sink


@pytest.mark.parametrize(
    ("step", "on_s3", "on_azure"),
    [
        ("start", "list this folder", "list the folder"),
        ("claim", f"read {LOG}1.json", f"read {LOG}1.json"),
        ("part", "write data/part-<2>", STAGE),
        ("commit", f"read {LOG}2.json", f"read {LOG}2.json"),
        ("publish", "publish data/part-<2>", "publish data/part-<2>"),
    ],
)
def test_a_store_that_goes_away_ends_the_run_with_2_and_the_next_run_goes_on(
    sink: Guarded, step: str, on_s3: str, on_azure: str
) -> None:
    sink.when(step, None)
    ended = sink.run()
    tried = on_s3 if sink.cloud == "s3" else on_azure
    assert (ended.code, ended.error["event"]) == (2, "the stream has failed"), ended.stderr
    # While a commit is under way the next part is staged: it may be the first to find that the store is gone.
    # And it may be gone in the middle of an answer.
    reasons = (DOWN[sink.cloud], "the server's answer cannot be read", "the connection broke off")
    said = {f"cannot {what}: {reason}" for what in (tried, STAGE) for reason in reasons}
    assert sink.error(ended).removeprefix(f"TransientStreamError: {sink.location}: ") in said
    assert numbers(sink.home) == []
    sink.must_go_on()


def test_a_store_that_goes_away_at_the_probe_is_told_by_what_was_tried(sink: Guarded) -> None:
    sink.when("probe", None)
    ended = sink.run()
    reasons = {
        "s3": f"cannot write to this folder: {DOWN['s3']}",
        "azure": "cannot write to the folder: the answer was lost, it is not known whether it was done",
    }
    assert ended.code == 2
    assert sink.error(ended).endswith(f"Error: {sink.location}: {reasons[sink.cloud]}")
    sink.must_go_on()


def test_a_store_that_goes_away_between_two_commits_keeps_what_was_committed(sink: Guarded) -> None:
    # Three rows a commit: the third one is lost on the way.
    sink.door.when(r"^PUT .*log/0+4\.json", None)
    ended = sink.run()
    assert ended.code == 2
    assert numbers(sink.home) == [*range(6)]
    sink.must_go_on()


def test_a_store_that_goes_away_before_a_backfill_is_complete_leaves_no_token(sink: Guarded) -> None:
    pattern = {"s3": "^POST .*COMPLETED.*uploadId=", "azure": "^PUT .*COMPLETED.*comp=blocklist"}[sink.cloud]
    sink.door.when(pattern, None)
    ended = sink.run(STREAMCONTEXT__BACKFILL="true", STREAMCONTEXT__BACKFILL_ID="b1")
    assert ended.code == 2
    assert sink.error(ended).endswith(f": cannot publish backfill/ej6hyea.COMPLETED: {DOWN[sink.cloud]}")
    assert [each.name for each in sink.home.list("backfill") if each.name.endswith(".COMPLETED")] == []
    sink.door.forget()
    # It was committed; whichever run comes next publishes it.
    assert sink.run({"total": 0}).code == 0
    assert sink.home.read("backfill/ej6hyea.COMPLETED") == b"\0"
    assert numbers(sink.home) == [*range(10)]

"""No credential of a store in any output, also when all libraries log at debug and a store answers with errors."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.runner.processes import PLUGINS, Stream
from tests.runner.store_places import refusal
from tests.storage.azurite import ACCOUNT, Azurite
from tests.storage.door import door_to
from tests.storage.places import Place, azure_place, numbers, s3_place
from tests.storage.s3_server import S3Server

LOUD = f"{PLUGINS}.loud_libraries:Numbers"


@pytest.fixture(params=["s3", "azure key", "azure signature"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3")
        return s3_place(server).given(AWS_SESSION_TOKEN="canary-token")
    azurite: Azurite = request.getfixturevalue("azurite")
    place = azure_place(azurite)
    if request.param == "azure key":
        return place
    times = {"start": datetime.now(UTC) - timedelta(days=2), "expiry": datetime.now(UTC) + timedelta(days=1)}
    token = azurite.sas(place.location.partition("@")[0], permission="rwdl", **times)
    return place.given(AZURE_STORAGE_KEY=None, AZURE_STORAGE_SAS_TOKEN=token)


def test_all_that_the_libraries_say_has_no_credential(place: Place, stream: Stream) -> None:
    # `Place.run` looks for each credential in several forms, and for signatures of any kind.
    ended = place.run(stream, plugin=LOUD)
    assert ended.code == 0, ended.stderr
    assert "DEBUG:urllib3.connectionpool:" in ended.stderr
    assert numbers(place.storage) == [*range(10)]


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (503, "SlowDown")])
def test_nor_has_what_they_say_of_errors(place: Place, stream: Stream, status: int, code: str) -> None:
    endpoint = next(value for name, value in place.variables.items() if "ENDPOINT" in name)
    cloud, path = ("azure", f"/{ACCOUNT}") if endpoint.endswith(ACCOUNT) else ("s3", "")
    port = int(endpoint.removesuffix(path).rpartition(":")[2])
    with door_to(port) as door:
        door.when("PUT .*(comp=block&|partNumber)", refusal("azure" if cloud == "azure" else "s3", status, code))
        ended = place.at(f"http://127.0.0.1:{door.port}{path}").run(stream, plugin=LOUD)
    assert ended.code == (2 if status == 503 else 1)
    assert "DEBUG:urllib3.connectionpool:" in ended.stderr
    assert numbers(place.storage) == []

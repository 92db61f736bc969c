"""Clouds for whole streams, each behind a door that can be shut."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from arcane_framework._core.storage import Storage
from arcane_framework.commits import StreamState
from tests.runner.processes import Ended, Stream
from tests.storage.azurite import ACCOUNT, Azurite
from tests.storage.door import Answer, Door, answer, door_to
from tests.storage.places import Place, azure_place, numbers, s3_place
from tests.storage.s3_server import S3Server

Cloud = Literal["s3", "azure"]
CLOUDS: Sequence[Cloud] = ("s3", "azure")

REQUESTS: Mapping[Cloud, Mapping[str, str]] = {
    "s3": {
        "start": "^GET .*list-type",
        "probe": "^PUT .*probe",
        "claim": r"^PUT .*log/0+1\.json",
        "part": "^PUT .*partNumber=",
        "commit": r"^PUT .*log/0+2\.json",
        "publish": "^POST .*uploadId=",
    },
    "azure": {
        "start": "^GET .*comp=list",
        "probe": "^PUT .*probe",
        "claim": r"^PUT .*log/0+1\.json",
        "part": "^PUT .*comp=block&",
        "commit": r"^PUT .*log/0+2\.json",
        "publish": "^PUT .*comp=blocklist",
    },
}
"""The first request of each step of a run in an empty folder."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """A stream whose sink is in a cloud behind a door.

    Attributes:
        cloud: Which.
        stream: The stream.
        place: The way there through the door.
        home: The stream's folder, past the door.
        door: The door.
    """

    cloud: Cloud
    stream: Stream
    place: Place
    home: Storage
    door: Door

    @property
    def location(self) -> str:
        """What messages begin with."""
        return f"{self.place.location}/{self.stream.stream_id}"

    def when(self, step: str, answered: Answer) -> None:
        """Answer that from a step's first request on; None: the server is gone."""
        self.door.when(REQUESTS[self.cloud][step], answered)

    def run(self, spec: Mapping[str, object] | None = None, **variables: str) -> Ended:
        """See `Place.run`."""
        return self.place.run(self.stream, spec, **variables)

    def error(self, ended: Ended) -> str:
        """The one error of a run, with the names of parts and without their numbers and nonces."""
        return without_nonces(str(ended.error["error"]))

    def must_go_on(self) -> None:
        """What was visible is a beginning, and the next run has every row once."""
        before = numbers(self.home)
        assert before == [*range(len(before))]
        self.door.forget()
        ended = self.run()
        assert ended.code == 0, ended.stderr
        assert numbers(self.home) == [*range(10)]
        assert [*StreamState(self.home).verify()] == []
        if self.cloud == "s3":
            # Azure removes it by itself, after a week.
            assert [*self.home.staged()] == []


def without_nonces(text: str) -> str:
    """`text` with `part-<2>` for a part of commit 2, and so on."""
    return re.sub(r"part-0*(\d+)-0*\d+-[0-9a-f]{32}-[0-9a-z]{7}-chunk\.parquet", r"part-<\1>", text)


@contextmanager
def guarded(cloud: Cloud, server: S3Server | Azurite, stream: Stream) -> Iterator[Guarded]:
    """A stream behind a door of its own, in a new bucket or container."""
    place = s3_place(server) if isinstance(server, S3Server) else azure_place(server)
    port = urlsplit(server.url).port
    assert port is not None
    with door_to(port) as door:
        endpoint = f"http://127.0.0.1:{door.port}"
        home = place.storage.folder(stream.stream_id)
        yield Guarded(cloud, stream, place.at(endpoint if cloud == "s3" else f"{endpoint}/{ACCOUNT}"), home, door)


def refusal(cloud: Cloud, status: int, code: str, *headers: str, body: str = "") -> bytes:
    """An answer as the store gives it; `body` are more elements of its XML."""
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>no</Message>{body}</Error>'
    own = [f"x-ms-error-code: {code}"] if cloud == "azure" else []
    return answer(status, "Content-Type: application/xml", *own, *headers, body=text)

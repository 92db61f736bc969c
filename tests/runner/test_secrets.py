"""No secret reaches a log line, a file or a message, whatever fails (security checklist, row 1)."""

import base64
import socket
import tempfile
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.runner.processes import PLUGINS, Stream

CANARIES = {
    "ARCANE__PHRASE": "canary one/+&:phrase",
    "ARCANE__PINNED": "canary-two=?pinned",
    "AWS_SECRET_ACCESS_KEY": "canaryThree/+key",
    "connectionString": "Server=db;Password=canary{four};",
}
PLACES = {
    "import": 1,
    "validator": 1,
    "init": 1,
    "build": 1,
    "log": 0,
    "library log": 0,
    "tag": 0,
    "watermark": 0,
    "chain": 1,
    "defect": 1,
    "transient": 2,
    "sink": 1,
}


def forms(secret: str) -> list[str]:
    encoded = [base64.b64encode(secret.encode()).decode(), quote(secret, safe=""), quote_plus(secret)]
    return [secret, *encoded]


@pytest.mark.parametrize("place", PLACES)
def test_no_failure_shows_a_secret(stream: Stream, place: str) -> None:
    variables = {**CANARIES, "TEST_LEAK": place, "ARCANE__LOG_LEVEL": "debug", "METRICS_ENABLED": "true"}
    # Not below the test's folder: the path of a socket must be short.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        agent = f"{folder}/agent"
        receiver.bind(agent)
        ended = stream.run(f"{PLUGINS}.leaky:Leaky", None, **variables, ARCANE_FRAMEWORK__DATADOG_SOCKET_PATH=agent)
        metrics = received(receiver)
    assert ended.code == PLACES[place], ended.stderr
    assert "rows.incoming" in metrics or place in ("import", "validator", "init", "build")
    everything = ended.stdout + ended.stderr + metrics + written(stream.lake)
    assert f"LEAK AT {place}" in everything or "text:LEAK_AT_tag" in metrics
    assert "canary" not in everything.lower()
    assert [form for secret in CANARIES.values() for form in forms(secret) if form in everything] == []


def test_secrets_of_files_and_of_the_wrong_place_are_not_shown(stream: Stream) -> None:
    file = stream.folder / "phrase.txt"
    file.write_text(CANARIES["ARCANE__PHRASE"] + "\n")
    variables = {**CANARIES, "ARCANE__LOG_LEVEL": "debug", "ARCANE__PHRASE": None, "ARCANE__PHRASE_FILE": str(file)}
    leaky = f"{PLUGINS}.leaky:Leaky"
    from_file = stream.run(leaky, None, **{**variables, "TEST_LEAK": "none"})
    assert from_file.code == 0
    in_spec = stream.run(leaky, {"PHRASE": "canary five", "rowsPerGroup": CANARIES["ARCANE__PINNED"]}, **CANARIES)
    assert in_spec.configuration_error.splitlines() == [
        "the spec of stream 'orders-1' cannot be used:",
        "  PHRASE: is a secret and must not be in the spec; remove it there and give it as an environment variable",
        "  rowsPerGroup: must be a whole number, without quotes",
    ]
    everything = from_file.stderr + in_spec.stderr + written(stream.lake)
    assert [
        form for secret in [*CANARIES.values(), "canary five"] for form in forms(secret) if form in everything
    ] == []


def received(receiver: socket.socket) -> str:
    """What has been sent to the agent."""
    receiver.setblocking(False)
    packets = []
    try:
        while True:
            packets.append(receiver.recv(65536).decode())
    except BlockingIOError:
        return "\n".join(packets)


def written(folder: Path) -> str:
    """The content and the names of all files below `folder`."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return "".join(f"{path}\n{path.read_bytes().decode('latin-1')}\n" for path in files)

"""No secret reaches a log line, a file or a message, whatever fails (security checklist, row 1)."""

import base64
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
    token = stream.folder / "phrase"
    variables = {**CANARIES, "TEST_LEAK": place, "ARCANE__LOG_LEVEL": "debug", "METRICS_ENABLED": "true"}
    ended = stream.run(f"{PLUGINS}.leaky:Leaky", None, **variables)
    assert ended.code == PLACES[place], ended.stderr
    assert f"LEAK AT {place}: " in ended.stderr or "the request has failed" in ended.stderr
    everything = ended.stdout + ended.stderr + written(stream.lake)
    assert "committed" in everything or ended.code == 1
    assert [form for secret in CANARIES.values() for form in forms(secret) if form in everything] == []
    assert not token.exists()


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


def written(folder: Path) -> str:
    """The content and the names of all files below `folder`."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return "".join(f"{path}\n{path.read_bytes().decode('latin-1')}\n" for path in files)

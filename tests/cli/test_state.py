"""What `arcane state` prints, word for word, about streams that real sinks have written."""

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
import structlog

from arcane_framework import (
    BackfillPosition,
    BackfillState,
    FatalStreamError,
    FencedError,
    Position,
    QuarantinedRow,
    SinkRun,
    StreamIdentity,
)
from arcane_framework._core.clock import SystemClock
from arcane_framework._core.schema_hash import schema_hash
from arcane_framework._core.services import NoMetrics
from arcane_framework._core.storage import StoredObject
from arcane_framework.cli import main
from arcane_framework.cli.stream_report import read_report, verify
from arcane_framework.commits import Manifest, Part, StreamState
from arcane_framework.commits.layout import part_name
from arcane_framework.commits.log import CommitLog
from arcane_framework.sinks import JsonLinesSink
from arcane_framework.storage import LocalStorage

SCHEMA = pa.schema([("id", pa.int64())])
TIME = "2026-01-02T03:04:05+00:00"


class StoppedClock(SystemClock):
    def now(self) -> datetime:
        return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def rows(*ids: int) -> pa.Table:
    return pa.table({"id": ids}, SCHEMA)


def opened(lake: Path, stream_id: str, *, backfilling: bool = False) -> JsonLinesSink:
    identity = StreamIdentity(stream_id, "Numbers", backfilling)
    log = structlog.get_logger()
    sink = JsonLinesSink(LocalStorage(lake))
    sink.open(SinkRun(identity, SCHEMA, schema_hash(SCHEMA), StoppedClock(), log, NoMetrics()))
    return sink


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A folder with the stream `numbers`: a claim, a commit of two parts and one of one part and a quarantined row."""
    sink = opened(tmp_path / "lake", "numbers")
    sink.write(rows(1, 2, 3))
    sink.write(rows(4, 5))
    sink.commit(Position(stream={"id": 5}))
    sink.write(rows(6))
    sink.quarantine([QuarantinedRow("no number", "row 7", "{}")])
    sink.commit(Position(stream={"id": 7}))
    sink.close()
    return tmp_path / "lake"


def newest(lake: Path, stream_id: str = "numbers") -> Manifest:
    found = StreamState(LocalStorage(lake).folder(stream_id)).newest()
    assert found is not None
    return found


Arcane = Callable[..., tuple[int, str, str]]


@pytest.fixture
def arcane(capsys: pytest.CaptureFixture[str]) -> Arcane:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_a_stream_is_summed_up(arcane: Arcane, lake: Path) -> None:
    quarantined = next(part for part in newest(lake).parts if part.kind == "quarantine")
    assert quarantined.rows == 1
    assert arcane("state", lake, "--stream-id", "numbers") == (
        0,
        f"""\
stream       numbers in {lake}/numbers
position     {{"id": 7}}
backfill     none yet
epoch        1
writer       {newest(lake).writer}, mode stream
commits      3, the last one at {TIME}
parts        3
rows         6
quarantined  1
bytes        54
unfinished   nothing
""",
        "",
    )


def test_commits_and_parts_are_listed(arcane: Arcane, lake: Path) -> None:
    paths = [part.path for part in StreamState(LocalStorage(lake).folder("numbers")).parts()]
    size = newest(lake).parts[1].bytes
    code, out, _ = arcane("state", lake, "--stream-id", "numbers", "--commits", "--parts")
    assert code == 0
    assert (
        out.partition("\n\n")[2]
        == f"""\
seq  time                       mode    epoch  parts  rows  bytes
  1  {TIME}  stream      1      0     0      0
  2  {TIME}  stream      1      2     5     45
  3  {TIME}  stream      1      2     2     {9 + size}

kind        rows  bytes  path
data           3     27  {paths[0]}
data           2     18  {paths[1]}
data           1      9  {paths[2]}
quarantine     1     {size}  {paths[3]}
"""
    )


def test_the_streams_of_a_location_are_listed(arcane: Arcane, lake: Path) -> None:
    other = opened(lake, "another")
    other.close()
    assert arcane("state", lake) == (
        0,
        f"""\
stream   commits  parts  rows  bytes  last commit
another        1      0     0      0  {TIME}
numbers        3      3     6     54  {TIME}
""",
        "",
    )


def test_json_holds_the_same(arcane: Arcane, lake: Path) -> None:
    code, out, _ = arcane("state", lake, "--stream-id", "numbers", "--json", "--verify", "--commits", "--parts")
    found = json.loads(out)
    assert code == 0
    assert len(found.pop("commitList")) == 3
    assert [part["rows"] for part in found.pop("partList")] == [3, 2, 1, 1]
    assert found == {
        "streamId": "numbers",
        "location": f"{lake}/numbers",
        "position": {"stream": {"id": 7}, "backfill": None},
        "epoch": 1,
        "writer": newest(lake).writer,
        "mode": "stream",
        "commits": 3,
        "lastCommit": TIME,
        "parts": 3,
        "rows": 6,
        "quarantined": 1,
        "bytes": 54,
        "unfinished": [],
        "lost": [],
        "problems": [],
    }
    (listed,) = json.loads(arcane("state", lake, "--json")[1])
    assert listed == {key: value for key, value in found.items() if key != "problems"}


def test_verifying_a_whole_stream_finds_nothing(arcane: Arcane, lake: Path) -> None:
    code, out, _ = arcane("state", lake, "--stream-id", "numbers", "--verify")
    assert code == 0
    assert out.endswith("\n\nverified     all 4 committed objects are there with their sizes, and nothing else\n")


def test_verifying_names_each_part_that_is_wrong(arcane: Arcane, lake: Path) -> None:
    folder = lake / "numbers"
    gone, changed, kept, _ = [part.path for part in StreamState(LocalStorage(folder)).parts()]
    (folder / gone).unlink()
    (folder / changed).write_text("x")
    extra = kept.replace("-00000", "-10000", 1)
    shutil.copy(folder / kept, folder / extra)
    code, out, _ = arcane("state", lake, "--stream-id", "numbers", "--verify")
    assert code == 1
    assert (
        out.partition("\n\n")[2]
        == f"""\
{gone} is missing (3 rows, 27 bytes); restore it from a backup, or go on without it by --accept-loss
{changed} has 1 bytes instead of 18
{extra} was not committed by this stream
verified     3 problems
"""
    )


def test_a_commit_that_is_not_published_yet_is_unfinished(arcane: Arcane, lake: Path) -> None:
    (part, _) = newest(lake).parts
    (lake / "numbers" / part.path).unlink()
    code, out, _ = arcane("state", lake, "--stream-id", "numbers")
    assert code == 0
    assert out.endswith(
        "\nunfinished   1 committed object is not visible yet; the next start publishes what is staged\n"
    )


def test_a_part_that_was_published_before_and_is_gone_is_not_called_unfinished(arcane: Arcane, lake: Path) -> None:
    (lake / "numbers" / next(StreamState(LocalStorage(lake / "numbers")).parts()).path).unlink()
    _, out, _ = arcane("state", lake, "--stream-id", "numbers")
    assert out.endswith("\nunfinished   nothing\n")


def test_a_loss_is_accepted_by_an_entry_of_the_log_and_the_stream_goes_on(arcane: Arcane, lake: Path) -> None:
    (part, _) = newest(lake).parts
    (lake / "numbers" / part.path).unlink()
    with pytest.raises(FatalStreamError, match="accept-loss"):
        opened(lake, "numbers")
    code, out, _ = arcane("state", lake, "--stream-id", "numbers", "--accept-loss", part.path)
    assert code == 0
    assert out == "commit 5 says: 1 lost, 1 rows; the next start goes on without them\n"
    opened(lake, "numbers").close()
    code, out, _ = arcane("state", lake, "--stream-id", "numbers", "--verify")
    assert code == 0
    assert "\nrows         5\n" in out
    assert "\nlost         1, 1 rows; this was accepted\n" in out
    _, out, _ = arcane("state", lake, "--stream-id", "numbers", "--json")
    assert json.loads(out)["lost"] == [part.path]


def test_a_part_that_has_come_back_after_its_loss_was_accepted_is_no_problem(arcane: Arcane, lake: Path) -> None:
    (part, _) = newest(lake).parts
    file = lake / "numbers" / part.path
    content = file.read_bytes()
    file.unlink()
    assert arcane("state", lake, "--stream-id", "numbers", "--accept-loss", part.path)[0] == 0
    file.write_bytes(content)
    assert arcane("state", lake, "--stream-id", "numbers", "--verify")[0] == 0


def test_accepting_a_loss_fences_a_runner_that_is_at_work(arcane: Arcane, lake: Path) -> None:
    sink = opened(lake, "numbers")
    first = next(StreamState(LocalStorage(lake / "numbers")).parts())
    (lake / "numbers" / first.path).unlink()
    assert arcane("state", lake, "--stream-id", "numbers", "--accept-loss", first.path)[0] == 0
    with pytest.raises(FencedError):
        sink.commit(Position(stream={"id": 9}))
    sink.close()


def test_only_what_is_lost_can_be_accepted_as_lost(arcane: Arcane, lake: Path) -> None:
    folder = lake / "numbers"
    there = next(StreamState(LocalStorage(folder)).parts()).path
    command = ("state", lake, "--stream-id", "numbers", "--accept-loss")
    assert arcane(*command, there) == (1, "", f"arcane: {folder}/{there} is there with its size: nothing is lost\n")
    assert arcane(*command, "data/x") == (
        1,
        "",
        f"arcane: {folder} has no committed part 'data/x'; arcane state --verify names those that are missing\n",
    )
    assert newest(lake).seq == 3


def test_what_is_only_staged_is_not_lost_and_is_left_to_the_next_start(arcane: Arcane, lake: Path) -> None:
    storage = LocalStorage(lake).folder("numbers")
    identity = StreamIdentity("numbers", "Numbers")
    log = CommitLog(storage, identity, newest(lake).schema_hash, StoppedClock(), structlog.get_logger())
    log.open()
    path = f"data/{part_name(log.next_seq, 0, 'abcdefg', '.json')}"
    upload = storage.stage(path)
    upload.write(b"{}")
    log.append(log.position, [Part(path=path, handle=dict(upload.finish()), rows=1, bytes=2, sha256="")])
    code, _, err = arcane("state", lake, "--stream-id", "numbers", "--accept-loss", path)
    assert (code, err) == (1, f"arcane: {lake}/numbers/{path} is staged, not lost: the next start publishes it\n")
    assert storage.stat(path) is None


def test_a_completion_token_cannot_be_lost(arcane: Arcane, tmp_path: Path) -> None:
    sink = opened(tmp_path, "numbers", backfilling=True)
    identity = StreamIdentity("numbers", "Numbers", backfilling=True)
    position = Position().begun(identity, "abcdefg", None)
    sink.begin_backfill(position)
    sink.commit(position.completed(None))
    sink.close()
    (token,) = newest(tmp_path).parts
    (tmp_path / "numbers" / token.path).unlink()
    code, _, err = arcane("state", tmp_path, "--stream-id", "numbers", "--accept-loss", token.path)
    said = f"arcane: {tmp_path}/numbers/{token.path} holds no rows: the next start writes it again\n"
    assert (code, err) == (1, said)


def test_a_commit_during_the_verification_is_no_problem(lake: Path) -> None:
    class Busy(LocalStorage):
        """Another run commits between the reading of the log and the look at the folder."""

        committed = False

        def folder(self, name: str) -> "Busy":
            return Busy(f"{lake}/{name}")

        def stat(self, name: str):  # type: ignore[no-untyped-def]
            if not Busy.committed:
                Busy.committed = True
                sink = opened(lake, "numbers")
                sink.write(rows(8))
                sink.commit(Position(stream={"id": 8}))
                sink.close()
            return super().stat(name)

    assert verify(Busy(lake), read_report(LocalStorage(lake), "numbers")) == []
    assert Busy.committed


def test_the_log_is_listed_once_and_each_entry_read_once(lake: Path) -> None:
    calls: list[str] = []

    class Counting(LocalStorage):
        def folder(self, name: str) -> "Counting":
            return Counting(f"{lake}/{name}")

        def list(self, prefix: str = "", *, starting: str = "") -> Iterator[StoredObject]:
            calls.append(f"list {prefix}")
            return super().list(prefix, starting=starting)

        def read(self, name: str) -> bytes:
            calls.append(f"read {name}")
            return super().read(name)

    storage = Counting(lake)
    report = read_report(storage, "numbers")
    log = [f"read _arcane/log/{seq:020}.json" for seq in (1, 2, 3)]
    assert calls == ["list _arcane/log", *log]
    assert verify(storage, report) == []
    assert calls == ["list _arcane/log", *log, "list "]


def test_what_may_be_a_token_or_a_link_in_a_watermark_is_hidden(arcane: Arcane, tmp_path: Path) -> None:
    watermark = {
        "day": "2026-01-01",
        "nextLink": "/orders?skip=5",
        "from": "https://api.example/orders?page=2",
        "state": {"continuationToken": "canary", "page": 2},
        "opaque": "canary0" * 6,
        "note": "password=canary",
    }
    sink = opened(tmp_path, "orders", backfilling=True)
    backfill = BackfillPosition(
        id="b1", generation="g", state=BackfillState.RUNNING, schema_hash="x", watermark=watermark, stream=watermark
    )
    sink.begin_backfill(Position(stream=watermark, backfill=backfill))
    sink.close()
    shown = (
        '{"day": "2026-01-01", "nextLink": "***", "from": "***", '
        '"state": {"continuationToken": "***", "page": 2}, "opaque": "***", "note": "password=***"}'
    )
    code, out, _ = arcane("state", tmp_path, "--stream-id", "orders")
    assert code == 0
    assert f"\nposition     {shown}\nbackfill     running, at {shown}, id b1\n" in out
    _, as_json, _ = arcane("state", tmp_path, "--stream-id", "orders", "--json")
    assert json.loads(as_json)["position"]["backfill"]["stream"] == json.loads(shown)
    assert "canary" not in out + as_json


def test_a_stream_that_is_not_there_is_one_line_that_names_those_that_are(arcane: Arcane, lake: Path) -> None:
    assert arcane("state", lake, "--stream-id", "number") == (
        1,
        "",
        f"arcane: there is no stream 'number' below {lake}; there are: numbers\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("state", "{lake}/nowhere"), "there is no stream below {lake}/nowhere"),
        (("state", "{lake}/nowhere", "--stream-id", "numbers"), "there is no stream below {lake}/nowhere"),
        (
            ("state", "{lake}", "--stream-id", "../numbers"),
            "'../numbers' cannot be used as a storage path: no absolute path, '..', empty segment, backslash or "
            "control character is allowed, and at most 1024 bytes",
        ),
        (("state",), "Missing argument 'LOCATION'."),
        (
            ("state", "{lake}", "--verify"),
            "--verify, --parts, --commits and --accept-loss are about one stream: give --stream-id",
        ),
        (("state", "{lake}", "--all"), "No such option '--all'."),
        (("stat", "{lake}"), "No such command 'stat'. Did you mean 'state'?"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_1(
    arcane: Arcane, lake: Path, arguments: tuple[str, ...], message: str
) -> None:
    filled = [argument.format(lake=lake) for argument in arguments]
    assert arcane(*filled) == (1, "", f"arcane: {message.format(lake=lake)}\n")


def test_a_damaged_log_is_one_line(arcane: Arcane, lake: Path) -> None:
    (lake / "numbers" / "_arcane" / "log" / f"{2:020}.json").unlink()
    assert arcane("state", lake, "--stream-id", "numbers") == (
        1,
        "",
        f"arcane: {lake}/numbers/_arcane/log/{2:020}.json is missing from the commit log: restore it from a backup\n",
    )

"""Two runners of one stream at once: the older one is fenced, and every row is there once."""

import signal

from tests.runner.processes import NUMBERS, PLUGINS, Stream

QUICK = f"{PLUGINS}.hosts:plain"


def test_the_older_of_two_runners_ends_with_2_and_says_why(stream: Stream) -> None:
    environment = stream.environment({"total": 90, "pauseSeconds": 0.05})
    with stream.start(environment, QUICK) as older:
        older.wait_for("committed")
        # Frozen, or it might commit at the very moment of the other's claim, and win.
        older.send(signal.SIGSTOP)
        with stream.start(environment, QUICK) as newer:
            newer.wait_for("starting")
            older.send(signal.SIGCONT)
            fenced, finished = older.end(), newer.end()
    assert (fenced.code, finished.code) == (2, 0), fenced.stderr + finished.stderr
    assert fenced.error["event"] == "the stream has failed"
    message = fenced.error["error"]
    assert message.startswith(f"FencedError: {stream.home}: another runner (orders-1/")
    assert message.endswith("; this one stops, its staged rows are dropped and read again by the other")
    assert stream.rows() == [*range(90)]


def test_a_fenced_runner_pauses_before_it_ends_and_a_signal_ends_the_pause(stream: Stream) -> None:
    environment = stream.environment({"total": 9000, "pauseSeconds": 0.05})
    with stream.start(environment, NUMBERS) as older:
        older.wait_for("committed")
        older.send(signal.SIGSTOP)
        with stream.start(environment, NUMBERS) as newer:
            newer.wait_for("committed")
            older.send(signal.SIGCONT)
            older.wait_for("waiting, so that two runners do not replace each other over and over")
            fenced, stopped = older.stop(signal.SIGTERM), newer.stop(signal.SIGTERM)
    assert (fenced.code, stopped.code) == (2, 0)
    [pause] = [line["seconds"] for line in fenced.log if "seconds" in line]
    assert 30 <= pause <= 60
    rows = stream.rows()
    assert rows == [*range(len(rows))]


def test_many_runners_that_start_at_once_deliver_every_row_once(stream: Stream) -> None:
    environment = stream.environment({"total": 60, "pauseSeconds": 0.01})
    with (
        stream.start(environment, QUICK) as a,
        stream.start(environment, QUICK) as b,
        stream.start(environment, QUICK) as c,
    ):
        codes = sorted(runner.end().code for runner in (a, b, c))
    assert set(codes) <= {0, 2}
    assert stream.run(QUICK, {"total": 61}).code == 0
    assert stream.rows() == [*range(61)]

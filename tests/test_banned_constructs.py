"""The package holds to its bans, and each ban finds what it is there for."""

from pathlib import Path

import pytest

from tests.banned_constructs import BANS, read_package, read_source, violations

PACKAGE = Path(__file__).parents[1] / "arcane_framework"

FOUND = [
    ("unbounded operator", "from reactivex import operators as ops\nops.observe_on(s)"),
    ("unbounded operator", "from reactivex.operators import flat_map"),
    ("unbounded operator", "import reactivex as rx\nrx.merge(a, b)"),
    ("unbounded operator", "import reactivex.operators\nreactivex.operators.concat_map(f)"),
    ("unbounded operator", "from reactivex import operators\noperators.buffer_with_time_or_count(1, 2)"),
    ("unbounded operator", "from reactivex import operators\noperators.delay(1)"),
    ("unbounded operator", "from reactivex import Observable\ndef f(o: Observable[int]): return o.flat_map_latest(g)"),
    ("unpickling", "import pickle"),
    ("unpickling", "from pickle import loads as read"),
    ("unpickling", "def f():\n    import marshal"),
    ("evaluation", "eval('1')"),
    ("evaluation", "run = exec"),
    ("unverified TLS", "client(verify=False)"),
    ("unverified TLS", "context.check_hostname = False"),
    ("unverified TLS", "import ssl\ncontext.verify_mode = ssl.CERT_NONE"),
    ("unverified TLS", "from ssl import _create_unverified_context"),
    ("bare except", "try:\n    f()\nexcept:\n    raise"),
    ("time beside the clock", "import time as t\nt.monotonic()"),
    ("time beside the clock", "from time import time\ntime()"),
    ("time beside the clock", "from datetime import datetime\ndatetime.now(UTC)"),
    ("time beside the clock", "import datetime as dt\nnow = lambda: dt.datetime.utcnow()"),
    ("time beside the clock", "def f(now=time.time): ...\nimport time"),
    ("wait beside the clock", "import time\ntime.sleep(1)"),
    ("wait beside the clock", "import threading\nthreading.Event().wait(1)"),
    ("wait beside the clock", "from threading import Event\ndone = Event()\ndone.wait()"),
    ("environment", "import os\nos.environ['HOME']"),
    ("environment", "from os import getenv"),
    ("print", "print('x')"),
    ("left for later", "x = 1  # TO" + "DO: more"),
    ("left for later", '"""FIX' + 'ME"""'),
]

NOT_FOUND = [
    pytest.param("operators/x.py", "from reactivex import operators as ops\nops.map(f)", id="a bounded operator"),
    pytest.param("schema/x.py", "retry.delay(1)\ncolumns.merge(other)", id="a method that has nothing to do with Rx"),
    pytest.param("schema/x.py", "from datetime import datetime\ndatetime.fromisoformat(t)", id="reading a time"),
    pytest.param("schema/x.py", "try:\n    f()\nexcept Exception:\n    raise", id="a named except"),
    pytest.param("schema/x.py", "model.eval()\nconsole.print('x')", id="a method with a builtin's name"),
    pytest.param("schema/x.py", "client(verify=True)\nclient(verify=context)", id="verified TLS"),
    pytest.param("_core/clock.py", "import time\ntime.monotonic()\ntime.sleep(1)", id="time in the clock"),
    pytest.param("hosting/x.py", "import os\nos.environ", id="the environment in hosting"),
    pytest.param("run.py", "print(1)", id="printing in the command line"),
]


def test_the_package_contains_nothing_that_is_banned() -> None:
    sources = read_package(PACKAGE)
    assert "_core/clock.py" in {source.path for source in sources}
    found = [line for source in sources for line in violations(source)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("ban", "code"), FOUND)
def test_a_banned_construct_is_found(ban: str, code: str) -> None:
    found = violations(read_source("operators/x.py", code))
    assert {line.split(": ")[1] for line in found} == {ban}


def test_every_ban_has_code_that_it_finds() -> None:
    assert {ban.name for ban in BANS} == {name for name, _ in FOUND}


@pytest.mark.parametrize(("path", "code"), NOT_FOUND)
def test_an_allowed_construct_is_not_found(path: str, code: str) -> None:
    assert violations(read_source(path, code)) == []


def test_a_violation_says_where_it_is_and_why_it_is_one() -> None:
    assert violations(read_source("sinks/x.py", "\nprint(1)")) == [
        "sinks/x.py:2: print: a stream speaks through its log"
    ]

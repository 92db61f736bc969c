import base64
import io
import logging
import pkgutil
import traceback
from collections.abc import Iterator, Mapping
from importlib import import_module

import httpcore2
import httpx2
import pytest

from arcane_framework import ConfigurationError, FatalStreamError, TransientStreamError
from arcane_framework._core.clock import SystemClock
from arcane_framework.hosting.logging import capture_library_logs, make_logger
from arcane_framework.http import HttpRequest, HttpSettings, Requester, make_client
from arcane_framework.http.library_logs import LOGGERS
from arcane_framework.testing import CapturedMetrics
from tests.http.parts import RememberedLog, Waits, as_it_is
from tests.http.servers import Server, answer

CANARIES = (
    "canary-user",
    "canary-word",
    "canary-query",
    "canary-token",
    "canary-header",
    "canary-body",
    "canary-set",
    "canary-path",
)


class Token:
    def headers(self) -> Mapping[str, str]:
        return {"X-Api": "canary-token"}

    def rejected(self) -> bool:
        return True


@pytest.fixture
def debug_log() -> Iterator[io.StringIO]:
    """All that any logger has to say, at level debug, also where somebody has asked for it by name."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    loggers = [logging.getLogger(name) for name in (None, "httpx2", "httpcore2", *LOGGERS)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    loggers[0].addHandler(handler)
    yield text
    loggers[0].removeHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def requester(server: Server, log: RememberedLog | None = None) -> Requester:
    return Requester(
        make_client(),
        clock=SystemClock(),
        wait=Waits(),
        log=log or RememberedLog(),
        metrics=CapturedMetrics(),
        settings=HttpSettings(timeout=10, retry_seconds=2),
        trusted=[server.url],
        authorization=Token(),
    )


def request(server: Server, headers: Mapping[str, str] | None = None) -> HttpRequest:
    url = f"http://canary-user:canary-word@127.0.0.1:{server.port}/orders/canary-path?q=canary-query#canary-query"
    shown = f"{server.url}orders/@page"
    return HttpRequest("POST", url, {"X-A": "canary-header", **(headers or {})}, b"canary-body", "page 3", shown)


def forms(canary: str) -> list[str]:
    return [canary, *(base64.b64encode(b"\0" * n + canary.encode()).decode()[4:-4] for n in range(3))]


def assert_clean(text: str) -> None:
    assert [form for canary in CANARIES for form in forms(canary) if form in text] == []


BODY = b"canary-body"
HEAD = "Set-Cookie: a=canary-set\r\nX-B: canary-set\r\nLocation: /canary-set/next?q=canary-query\r\n"

ANSWERS = {
    "rows": answer(BODY, head=HEAD),
    "a redirect to elsewhere": answer(
        BODY, status="302 canary-set", head=HEAD.replace("/canary-set/next", "//canary.test/canary-set")
    ),
    "a redirect for ever": answer(BODY, status="307 canary-set", head=HEAD),
    "unauthorized": answer(BODY, status="401 canary-set", head=HEAD),
    "a refusal": answer(BODY, status="404 canary-set", head=HEAD),
    "a passing status": answer(BODY, status="503 canary-set", head=HEAD + "Retry-After: canary-set\r\n"),
    "an unknown encoding": answer(BODY, head=HEAD + "Content-Encoding: br\r\n"),
    "damaged compression": answer(BODY, head=HEAD + "Content-Encoding: gzip\r\n"),
    "half a body": answer(BODY * 2, head=HEAD + "Connection: close\r\n")[:-5],
    "a broken header": answer(BODY, head=HEAD + "canary-set canary-set\r\n"),
    "no HTTP": b"canary-set canary-set canary-set\r\n\r\n",
}


@pytest.mark.parametrize("reply", ANSWERS.values(), ids=ANSWERS)
def test_nothing_of_a_request_or_its_answer_is_said(reply: bytes, debug_log: io.StringIO) -> None:
    log = RememberedLog()
    error: BaseException | None = None
    with Server(reply) as server:
        fetcher = requester(server, log)
        try:
            assert fetcher.fetch(request(server), as_it_is) == BODY
        except (FatalStreamError, TransientStreamError) as failure:
            error = failure
        fetcher.close()
        assert b"canary-token" in server.requests[0]
        assert base64.b64encode(b"canary-user:canary-word") in server.requests[0]
    assert (error is None) == (reply == ANSWERS["rows"])
    assert_clean(debug_log.getvalue())
    assert_clean(repr(log.events))
    while error is not None:
        # Whatever prints it: with its chain, and with its attributes.
        assert_clean("".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)))
        error = error.__cause__ or error.__context__


def test_the_canaries_would_be_seen(debug_log: io.StringIO) -> None:
    with Server(answer(BODY, head="Set-Cookie: a=canary-set\r\n")) as server, make_client() as client:
        client.get(f"{server.url}orders?q=canary-query")
    assert "canary-query" in debug_log.getvalue()
    assert "canary-set" in debug_log.getvalue()


def test_other_uses_of_the_library_still_log(debug_log: io.StringIO) -> None:
    with Server(answer(BODY)) as server:
        fetcher = requester(server)
        fetcher.fetch(request(server), as_it_is)
        fetcher.close()
        with make_client() as client:
            client.get(f"{server.url}other")
    assert debug_log.getvalue().count("HTTP Request: GET") == 1


def test_all_loggers_of_the_libraries_are_known() -> None:
    for package in (httpcore2, httpx2):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "websockets" not in module.name and "_main" not in module.name:
                try:
                    import_module(module.name)
                except ImportError:  # of an extra that is not installed
                    continue
    known = set(logging.root.manager.loggerDict)
    found = {
        name
        for name in known
        if name.startswith(("httpx2", "httpcore2"))
        and isinstance(logging.root.manager.loggerDict[name], logging.Logger)
    }
    assert found - set(LOGGERS) <= {"httpcore2"}


def test_the_runners_own_log_at_level_debug_is_clean() -> None:
    text = io.StringIO()
    log = make_logger(level="debug", log_format="json", stream=text)
    with capture_library_logs(log, "debug"), Server(ANSWERS["a passing status"]) as server:
        fetcher = requester(server)
        with pytest.raises(TransientStreamError) as caught:
            fetcher.fetch(request(server), as_it_is)
        log.error("failed", exc_info=caught.value)
        fetcher.close()
    assert "page 3" in text.getvalue()
    assert_clean(text.getvalue())


def test_a_header_that_cannot_be_sent_is_not_quoted(debug_log: io.StringIO) -> None:
    with Server(answer()) as server:
        fetcher = requester(server)
        with pytest.raises(ConfigurationError) as caught:
            fetcher.fetch(request(server, {"X-C": f"{CANARIES[4]}\n"}), as_it_is)
        fetcher.close()
    assert_clean("".join(traceback.format_exception(caught.value)) + debug_log.getvalue())

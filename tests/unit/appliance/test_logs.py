"""Log lines: what each says of whom, in which form, and what of libraries' records is left out."""

from __future__ import annotations

import inspect
import json
import logging
import sys
from asyncio import sslproto
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from appliance.logs import ENVIRONMENT, SAYS_NOTHING, Folding, LogFormat, set_up

MARKER = "kmMARKERsecret"


class Said:
    """What has been written to stderr since it was last asked."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def getvalue(self) -> str:
        return self._capture.readouterr().err


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Said]:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield Said(capsys)
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_says_what_it_is_about(stderr: Said) -> None:
    set_up()
    log = structlog.get_logger()
    with structlog.contextvars.bound_contextvars(appliance="dmz-1", run="r", job="j"):
        log.warning("permit not returned", attempt=2)
    log.info("serving")
    log.debug("not said")
    first, second = lines(stderr.getvalue())
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "appliance": "dmz-1",
        "run": "r",
        "job": "j",
        "attempt": 2,
        "event": "permit not returned",
        "level": "warning",
    }
    assert "run" not in second


def test_the_form_that_was_asked_for_is_the_childrens_too(stderr: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "")
    set_up(LogFormat.CONSOLE)
    structlog.get_logger().info("one")
    set_up(default=LogFormat.JSON)  # as a child does, whose environment says what was asked for
    structlog.get_logger().info("two")
    assert not [line for line in stderr.getvalue().splitlines() if line.startswith("{")]


def test_a_terminal_is_for_people(stderr: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    set_up()
    structlog.get_logger().info("one")
    assert "[info" in stderr.getvalue()


def test_a_librarys_record_is_folded_in_without_its_values(stderr: Said) -> None:
    set_up()
    logger = logging.getLogger("some.library")
    logger.warning("cannot read %s\nsecond line %s", MARKER, MARKER)
    try:
        int(MARKER)
    except ValueError:
        logger.exception("Task exception was never retrieved\nfuture: %s", MARKER)
        structlog.get_logger().error("ours", exc_info=True)
    logger.info("not said")
    said = stderr.getvalue()
    first, second, ours = lines(said)
    assert (first["event"], first["level"], first["logger"]) == ("cannot read %s", "warning", "some.library")
    assert (second["event"], second["level"], second["error"]) == (
        "Task exception was never retrieved",
        "error",
        "ValueError",
    )
    assert (ours["event"], ours["error"]) == ("ours", "ValueError")
    assert MARKER not in said
    assert "Traceback" not in said


def test_what_the_event_loop_says_of_every_tls_connection_of_the_bus_is_not_said(stderr: Said) -> None:
    set_up()
    (said,) = SAYS_NOTHING
    codes = [method.__code__ for method in vars(sslproto.SSLProtocol).values() if inspect.isfunction(method)]
    assert any(said in code.co_consts for code in codes), "as the loop says it"
    logging.getLogger("asyncio").warning(said)
    assert stderr.getvalue() == ""
    logging.getLogger("asyncio").warning("something else")
    assert "something else" in stderr.getvalue()


def test_set_up_twice_says_it_once(stderr: Said) -> None:
    set_up()
    set_up()
    logging.getLogger("some.library").warning("once")
    assert len(lines(stderr.getvalue())) == 1
    assert sum(isinstance(handler, Folding) for handler in logging.getLogger().handlers) == 1

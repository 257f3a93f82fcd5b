"""What a command that waits says: nothing of a short wait, and of a longer one for what and how long, once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest
import structlog

from appliance.logs import LogFormat, set_up
from orchestrator.cli import waiting


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "NOTICE_S", 0.01)


@contextmanager
def logging_at(level: int, form: LogFormat) -> Iterator[None]:
    set_up(level=level, default=form)
    try:
        yield
    finally:
        structlog.reset_defaults()


async def test_a_short_wait_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_at(logging.ERROR, LogFormat.CONSOLE):
        with waiting.told("the bus", 15):
            pass
        await anyio.sleep(0.05)
    assert capsys.readouterr() == ("", "")


async def test_a_longer_wait_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_at(logging.ERROR, LogFormat.CONSOLE), waiting.told("the bus at nats://b:1", 15):
        await anyio.sleep(0.1)
    assert capsys.readouterr().err == "keymuster: waiting for the bus at nats://b:1, for 15 s at most\n"


async def test_it_is_a_line_of_the_log_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_at(logging.INFO, LogFormat.JSON), waiting.told("the bus", 15):
        await anyio.sleep(0.1)
    assert '"event": "waiting for the bus, for 15 s at most"' in capsys.readouterr().err

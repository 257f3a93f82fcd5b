"""What a command that waits says: nothing of a short wait, and of a longer one for what and how long, once."""

from __future__ import annotations

import logging

import anyio
import pytest
import structlog

from appliance.logs import LogFormat, set_up
from orchestrator.cli import waiting


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "NOTICE_S", 0.01)


async def test_a_short_wait_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(level=logging.ERROR, default=LogFormat.CONSOLE)
    try:
        with waiting.told("the bus", 15):
            pass
        await anyio.sleep(0.05)
    finally:
        structlog.reset_defaults()
    assert capsys.readouterr() == ("", "")


async def test_a_longer_wait_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(level=logging.ERROR, default=LogFormat.CONSOLE)
    try:
        with waiting.told("the bus at nats://b:1", 15):
            await anyio.sleep(0.1)
    finally:
        structlog.reset_defaults()
    assert capsys.readouterr().err == "keymuster: waiting for the bus at nats://b:1, for 15 s at most\n"


async def test_it_is_a_line_of_the_log_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(level=logging.INFO, default=LogFormat.JSON)
    try:
        with waiting.told("the bus", 15):
            await anyio.sleep(0.1)
    finally:
        structlog.reset_defaults()
    assert '"event": "waiting for the bus, for 15 s at most"' in capsys.readouterr().err

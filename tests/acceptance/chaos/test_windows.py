"""Windows on a real run: it waits for the start, stops at the end, and what hangs then is cut off."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.acceptance.chaos.estates import AMPLE, HOSTS, estate
from tests.acceptance.chaos.processes import until
from tests.acceptance.chaos.runs import Command
from tests.acceptance.product import Product

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

Start = Callable[..., Command]
Check = Callable[..., None]
RECORD = 'secret = "unix-{address}"\naccounts = "local"'


def minute(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M}"


def windowed(campaign: Path, **times: str) -> Path:
    lines = "".join(f'{key} = "{value}"\n' for key, value in times.items())
    campaign.write_text(f'{campaign.read_text()}\n[[windows]]\n{lines}time_zone = "UTC"\n', encoding="utf-8")
    return campaign


def test_a_run_waits_for_its_window(start: Start, tmp_path: Path, nobody_is_left: Check) -> None:
    with estate(tmp_path, 'account = "local"\nsecret = "per-host"\nfault = "none"') as hosts:
        # Windows open on the minute: in twenty seconds at the soonest, till when the command has certainly started.
        opens = (datetime.now(UTC) + timedelta(seconds=80)).replace(second=0, microsecond=0)
        campaign = windowed(hosts.campaign(record=RECORD, pace="capacity = 64", deadline=AMPLE), start=minute(opens))
        command = start("run", str(campaign))
        until(lambda: "waits for its window" in command.said or command.process.poll() is not None, "the wait")
        assert f"waits for its window, {minute(opens).replace('T', ' ')} UTC" in command.said
        (shown,) = Product(tmp_path / "state").planned_runs()
        assert (shown["state"], shown["held"]["hold"]) == ("paused", "window")
        assert hosts.logons() == 0
        assert command.wait(200) == 0, command.said
        assert datetime.now(UTC) >= opens
        command.report().is_exact()
        assert command.report().reasons == {"PASSED": HOSTS}
        nobody_is_left(hosts.pid)


def test_what_hangs_at_the_end_is_cut_off_and_not_failed(start: Start, tmp_path: Path, nobody_is_left: Check) -> None:
    with estate(tmp_path, 'account = "local"\nsecret = "per-host"\nfault = "silent"') as hosts:
        now = datetime.now(UTC)
        ends = (now + timedelta(seconds=80)).replace(second=0, microsecond=0)
        campaign = hosts.campaign(record=RECORD, pace="capacity = 32", deadline="300s")
        windowed(campaign, start=minute(now - timedelta(minutes=2)), end=minute(ends))
        command = start("run", str(campaign))
        assert command.wait(200) == 4, command.said
        late = (datetime.now(UTC) - ends).total_seconds()
        assert 0 <= late < 120, "cut off, not waited for till their deadline of five minutes"
        assert "its window is over" in command.said
        report = command.report()
        assert report.document["totals"]["open"] == HOSTS, "nobody has failed: their turn comes in another window"
        product = Product(tmp_path / "state")
        (shown,) = product.planned_runs()
        assert (shown["state"], shown["held"]["hold"]) == ("paused", "window")
        nobody_is_left(hosts.pid)
        assert product("cancel", shown["id"]).code == 0
        assert len(product("report", shown["id"], "--format", "json").targets) == HOSTS

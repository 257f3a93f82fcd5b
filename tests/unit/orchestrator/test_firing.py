"""What a schedule begins, and what keeps it from that."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.campaign import parse_campaign
from orchestrator.campaign_model import Campaign
from orchestrator.cli.firing import Firing, LeasedTurns, schedule_lease
from orchestrator.cli.restarting import ReadOnce
from orchestrator.cli.running import Order
from orchestrator.lease_keeper import LeaseKeeper
from orchestrator.scheduler import SubmitError
from orchestrator.store import open_store
from tests.unit.orchestrator.test_campaign import ARTICLE

DAILY = '\n[schedule]\ncron = "0 4 * * *"\ntime_zone = "UTC"\n'
GONE = '\n[[windows]]\nstart = 2020-01-31T22:00:00\nend = 2020-02-01T06:00:00\ntime_zone = "UTC"\n'
ALWAYS, NO_MORE = (parse_campaign(ARTICLE + more + DAILY, "c.toml") for more in ("", GONE))


@pytest.mark.parametrize(
    ("campaign", "ours", "why"),
    [
        (ALWAYS, True, ""),
        (ALWAYS, False, "another orchestrator attends to its schedule by now"),
        (NO_MORE, True, "all windows of campaign 'Using Secret Server' are over"),
    ],
)
async def test_a_run_is_begun_while_the_schedule_is_ours(
    tmp_path: Path, campaign: Campaign, ours: bool, why: str
) -> None:
    begun: list[Order] = []

    async def start(order: Order) -> dict[str, str]:
        begun.append(order)
        return {"run": order.prepared.record.id}

    store = await open_store(tmp_path / "keymuster.db")
    keeper = LeaseKeeper(store.leases, store.fences, "one")
    desk: Any = SimpleNamespace(engine=SimpleNamespace(keeper=keeper), start=start)
    firing = Firing(desk, {campaign.name: campaign}, ReadOnce(), brings_logins=False)
    async with LeasedTurns(keeper).turn(campaign.name):
        if not ours:
            await store.leases.take({schedule_lease(campaign.name): None}, "other", "token")
            keeper.lose((schedule_lease(campaign.name), keeper.token(schedule_lease(campaign.name)) or ""))
        if why:
            with pytest.raises(SubmitError, match=why):
                await firing.submit(campaign.name)
            assert not begun
        else:
            assert await firing.submit(campaign.name) == begun[0].prepared.record.id
    await store.close()

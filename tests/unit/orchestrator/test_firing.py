"""What a schedule begins, and what keeps it from that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.assembly import Selection
from orchestrator.campaign import parse_campaign
from orchestrator.campaign_model import Campaign
from orchestrator.cli.firing import Firing, LeasedTurns, schedule_lease
from orchestrator.cli.restarting import ReadOnce
from orchestrator.cli.running import Order, new_order
from orchestrator.lease_keeper import LeaseKeeper
from orchestrator.scheduler import SubmitError, TurnLostError
from orchestrator.store import Store, open_store
from tests.cli.conftest import RECORD, VAULT
from tests.unit.orchestrator.test_campaign import ARTICLE

DAILY = '\n[schedule]\ncron = "0 4 * * *"\ntime_zone = "UTC"\n'
GONE = '\n[[windows]]\nstart = 2020-01-31T22:00:00\nend = 2020-02-01T06:00:00\ntime_zone = "UTC"\n'
ALWAYS, NO_MORE = (parse_campaign(ARTICLE + more + DAILY, "c.toml") for more in ("", GONE))
MANY = "name = 'c'\n" + VAULT + RECORD.replace('["127.9.0.1"]', '["2001:db8::/64"]')
TOO_MANY = parse_campaign(f'{MANY}[targets]\ninclude = ["2001:db8::/64"]{DAILY}', "c.toml")


class Begun:
    """A schedule of one campaign, and a desk that takes every run."""

    def __init__(self, store: Store, campaign: Campaign) -> None:
        self.campaign, self.runs = campaign.name, list[str]()
        self.keeper = LeaseKeeper(store.leases, store.fences, "one")
        desk: Any = SimpleNamespace(engine=SimpleNamespace(keeper=self.keeper), start=self._start)
        self._firing = Firing(desk, {campaign.name: campaign}, ReadOnce(), brings_logins=False)

    async def _start(self, order: Order) -> dict[str, str]:
        self.runs.append(order.prepared.record.id)
        return {"run": self.runs[-1]}

    async def submit(self) -> str:
        return await self._firing.submit(self.campaign)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(tmp_path / "keymuster.db")
    yield store
    await store.close()


async def test_a_run_is_begun_in_its_turn(store: Store) -> None:
    one = Begun(store, ALWAYS)
    async with LeasedTurns(one.keeper).turn(one.campaign):
        assert [await one.submit()] == one.runs


async def test_none_is_begun_by_one_who_has_lost_the_turn(store: Store) -> None:
    """As a frozen one that wakes up and learns it."""
    one = Begun(store, ALWAYS)
    async with LeasedTurns(one.keeper).turn(one.campaign):
        lease = schedule_lease(one.campaign)
        one.keeper.lose((lease, one.keeper.token(lease) or ""))
        with pytest.raises(TurnLostError):
            await one.submit()
    assert one.runs == []


async def test_none_is_begun_whose_windows_are_over(store: Store) -> None:
    one = Begun(store, NO_MORE)
    async with LeasedTurns(one.keeper).turn(one.campaign):
        with pytest.raises(SubmitError, match="all windows of campaign 'Using Secret Server' are over"):
            await one.submit()
    assert one.runs == []


async def test_none_is_begun_of_more_targets_than_a_store_can_count(store: Store) -> None:
    one = Begun(store, TOO_MANY)
    async with LeasedTurns(one.keeper).turn(one.campaign):
        with pytest.raises(SubmitError, match="18,446,744,073,709,551,616 targets are more than a run can count"):
            await one.submit()
    assert one.runs == []
    assert new_order(TOO_MANY, Selection(sample="3"), ()).prepared.record.planned == 3, "but a part of them is"

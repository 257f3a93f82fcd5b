"""A run handed to an orchestrator on the user's bus: into which store it goes, and what a lost answer says of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from appliance.bus import BusError
from appliance.questions import VaultAnswer
from orchestrator.assembly import Selection
from orchestrator.campaign import load_campaign
from orchestrator.campaign_model import Campaign
from orchestrator.cli import holder as finding
from orchestrator.cli import submitting
from orchestrator.cli.arguments import Format, Home, Show, Where
from orchestrator.cli.control import Desk, ElsewhereError
from orchestrator.cli.ending import leaves
from orchestrator.cli.engine import Engine
from orchestrator.cli.errors import BadInput, Exit, Incomplete, Unreachable
from orchestrator.cli.given import Given
from orchestrator.cli.holder_client import TAKEN_OVER_S, Client, UnansweredError
from orchestrator.cli.running import drawn_run_id, new_order
from orchestrator.cli.store_address import StoreAddress
from orchestrator.lease_keeper import LeaseKeeper
from orchestrator.leases import COMMAND, LOST_S
from orchestrator.run_state import RunState
from orchestrator.state_dir import HolderInfo
from orchestrator.store import Store, open_store
from tests.cli.conftest import RECORD, TARGETS, VAULT

HOLDER = HolderInfo(1, None, orchestrator="alpha")
SHOW = Show(Format.JSON, None, progress=False)


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    file = tmp_path / "campaign.toml"
    file.write_text('name = "c"\n' + VAULT + RECORD + TARGETS)
    return load_campaign(file)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(tmp_path / "keymuster.db")
    yield store
    await store.close()


class Bus:
    """Asks a desk, and loses what the answer to a submission would have been."""

    def __init__(self, desk: Desk, begins: Any = None) -> None:
        self._desk, self._begins = desk, begins
        self.heard: list[str] = []

    async def ask(self, verb: str, body: bytes, wait: float) -> bytes:
        self.heard.append(verb)
        if verb != "submit":
            return await self._desk.answer(verb, body)
        if self._begins is not None:
            await self._begins()
        raise BusError("alpha does not answer 'submit'")


@asynccontextmanager
async def desk_in(store: Store, kept_in: str = "") -> AsyncIterator[Desk]:
    keeper = LeaseKeeper(store.leases, store.fences, "alpha")
    async with anyio.create_task_group() as tasks:
        await tasks.start(keeper.run)
        engine: Any = SimpleNamespace(store=store, keeper=keeper, kept_in=kept_in)
        yield Desk(engine, tasks)
        tasks.cancel_scope.cancel()


def spoken_through(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def client_of(holder: HolderInfo, _where: Where) -> AsyncIterator[Client]:
        control: Any = bus
        yield Client(control, holder)

    monkeypatch.setattr(submitting, "client_of", client_of)
    monkeypatch.setattr(finding, "FOUND_S", 0.7)


async def submitted(where: Where, run: str, campaign: Campaign) -> Exit:
    """Raises what the command line is ended with."""
    try:
        return await submitting.through(
            HOLDER, where, SHOW, run, lambda client: client.submit(run, campaign, (), Selection())
        )
    except BaseExceptionGroup as error:
        [one] = leaves(error)
        raise one from None


async def test_an_orchestrator_with_another_store_is_given_no_run(
    tmp_path: Path, store: Store, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    for theirs, ours, said in (
        ("postgresql://db/keymuster", None, "--store postgresql://db/keymuster"),
        ("", StoreAddress("postgresql://db/other"), "no --store"),
    ):
        async with desk_in(store, theirs) as desk:
            bus = Bus(desk)
            spoken_through(bus, monkeypatch)
            with pytest.raises(BadInput, match=f"orchestrator alpha, which holds .* was started with {said}: "):
                await submitted(Where(Home(tmp_path, ours), "nats://b"), drawn_run_id(), campaign)
        assert bus.heard == ["key"], "nothing was submitted"


async def test_a_run_whose_answer_was_lost_is_watched_to_its_end(
    tmp_path: Path, store: Store, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = replace(new_order(campaign, Selection(), (), run=drawn_run_id()).prepared.record, state=RunState.CANCELLED)
    async with desk_in(store) as desk, anyio.create_task_group() as tasks:

        async def ask_vaults_first() -> None:
            await anyio.sleep(1.5)  # longer than anybody is waited for who has nothing in hand
            await store.runs.add(record)

        async def begin() -> None:
            assert await desk.engine.keeper.take_run(record.id) is None
            tasks.start_soon(ask_vaults_first)

        spoken_through(Bus(desk, begin), monkeypatch)
        ended = await submitted(Where(Home(tmp_path), "nats://b"), record.id, campaign)
    assert ended is Exit.INCOMPLETE, "as for any run that was cancelled; not: no target was tried"


async def test_a_run_that_nobody_began_was_not_begun(
    tmp_path: Path, store: Store, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk_in(store) as desk:
        spoken_through(Bus(desk), monkeypatch)
        with pytest.raises(UnansweredError, match="does not answer 'submit'"):
            await submitted(Where(Home(tmp_path), "nats://b"), drawn_run_id(), campaign)


@pytest.mark.parametrize("run", ["x", "20270101-000000-abcd; drop"])
async def test_the_id_of_a_run_is_checked_and_taken_once(
    tmp_path: Path, store: Store, campaign: Campaign, run: str
) -> None:
    known = new_order(campaign, Selection(), ()).prepared.record
    await store.runs.add(known)
    async with desk_in(store) as desk:

        class Through:
            async def ask(self, verb: str, body: bytes, wait: float) -> bytes:
                return await desk.answer(verb, body)

        control: Any = Through()
        client = Client(control, HOLDER)
        with pytest.raises(BadInput, match="is no id of a run"):
            await client.submit(run, campaign, (), Selection())
        with pytest.raises(BadInput, match="has been submitted already"):
            await client.submit(known.id, campaign, (), Selection())


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        ("beta-1", "in the hands of orchestrator beta-1: `keymuster resume RUN`, with the same --store and --nats"),
        (f"{COMMAND}0123", "in the hands of a command that gives it an order: try again in a moment"),
    ],
)
async def test_who_has_a_run_in_hand_is_named_with_what_can_be_done(store: Store, owner: str, said: str) -> None:
    other = LeaseKeeper(store.leases, store.fences, owner, is_orchestrator=False)
    async with desk_in(store) as desk, anyio.create_task_group() as tasks:
        await tasks.start(other.run)
        assert await other.take_run("RUN") is None
        with pytest.raises(ElsewhereError, match=said):
            await desk.unattended("RUN", Given())
        tasks.cancel_scope.cancel()


async def test_a_zone_whose_appliances_are_drained_is_told_from_one_without_any(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats = [SimpleNamespace(appliance="one", draining=True), SimpleNamespace(appliance="two", draining=True)]
    working: list[str] = []
    service: Any = SimpleNamespace(
        wait_for_appliance=lambda *_: anyio.sleep_forever(), beats=lambda _zone: beats, working_zones=lambda: working
    )
    none: Any = None
    engine = Engine(store, service, none, none, "dmz", None)
    monkeypatch.setattr("orchestrator.cli.engine.APPLIANCE_WAIT_S", 0.01)
    with pytest.raises(Incomplete, match=r"zone 'dmz' takes jobs; drained, .*: one, two .* `keymuster fleet resume`"):
        await engine.wait_for_appliance()
    beats.clear()
    with pytest.raises(Incomplete, match=r"no appliance of zone 'dmz' has shown up in 0\.01 s: start one"):
        await engine.wait_for_appliance()
    working += ["default", "lan"]
    with pytest.raises(Incomplete, match=r"those that take jobs are of zone 'default', 'lan'; .* by pace\.zone"):
        await engine.wait_for_appliance()


@pytest.mark.parametrize(
    ("vault", "zone"),
    [("Lan's", "lan"), ("Both's", "dmz"), ("Nobody's", "dmz"), ("Cell's", "dmz")],
    ids=["one zone's", "the first's", "no target's", "of a zone without appliances"],
)
async def test_a_vault_is_asked_from_a_zone_that_may_need_it_and_has_appliances(
    store: Store, vault: str, zone: str
) -> None:
    none: Any = None
    service: Any = SimpleNamespace(capacity=lambda zone: 0 if zone == "cell" else 8)
    engine = Engine(store, service, none, none, "default", None)
    vaults = {"cell": ["Cell's"], "dmz": ["Both's"], "lan": ["Lan's", "Both's"]}
    assert engine.zone_to_ask(vault, vaults) == zone
    assert engine.zone_to_ask(vault, {}) == "default"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"url": "http://127.0.0.1:9/SecretServer"}, "(http://127.0.0.1:9/SecretServer): VAULT_UNREACHABLE"),
        ({}, "(http://127.0.0.1:9/SecretServer): VAULT_UNREACHABLE"),
        (
            {"url": "http://127.0.0.1:8/x"},
            "(http://127.0.0.1:8/x by the appliance's own file or login, http://127.0.0.1:9/SecretServer by",
        ),
    ],
    ids=["the campaign's", "an older release", "another"],
)
async def test_a_vault_that_is_not_there_is_told_by_the_url_that_was_asked(
    store: Store, tmp_path: Path, asked: dict[str, str], told: str
) -> None:
    """Whose file has an old address would look for the fault at the new one."""

    async def ask(*_: object) -> VaultAnswer:
        return VaultAnswer(ok=False, reason="VAULT_UNREACHABLE", text="ECONNREFUSED", facts=asked)

    async def at_once(*_: object) -> None:
        pass

    none: Any = None
    service: Any = SimpleNamespace(wait_for_appliance=at_once, capacity=lambda _: 1, ask_vault=ask)
    file = tmp_path / "campaign.toml"
    await anyio.Path(file).write_text('name = "c"\n' + VAULT + RECORD + TARGETS)
    campaign = await anyio.to_thread.run_sync(load_campaign, file)
    engine = Engine(store, service, none, none, "default", None)
    with pytest.raises(Unreachable) as refused:
        await engine.check_vaults("r", campaign)
    assert told in str(refused.value)


def test_a_command_looks_for_who_goes_on_as_soon_as_somebody_may() -> None:
    assert TAKEN_OVER_S == LOST_S

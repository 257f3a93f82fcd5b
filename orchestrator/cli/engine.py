"""The engine under a command: store, bus, appliance and service, started in order and stopped in reverse.

Embedded (the default) it holds the state directory, starts a NATS server on loopback and one appliance as children.
With a NATS URL it uses that bus and the appliances that are on it.

Our own appliance stands in for every zone that a campaign names: this machine is in one place of the network, and can
be no better there by calling itself by several names.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup
from pydantic import SecretStr

from appliance.bus import BusError, OrchestratorBus
from appliance.bus.control import RUNS_DESK
from appliance.bus.credentials import BusLogin
from appliance.bus.orchestrator_side import JetStreamOrchestrator, connect_orchestrator
from appliance.contract import CredentialRef
from appliance.logs import get_logger
from appliance.long_lived import settle_in
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from appliance.reasons import REASONS
from orchestrator.addresses import AddressSet
from orchestrator.assembly import Prepared, zoning
from orchestrator.campaign_model import Campaign, WindowsRecord
from orchestrator.cli.appliance_child import Admission, ApplianceChild, Login
from orchestrator.cli.arguments import Home, Where
from orchestrator.cli.errors import BadInput, Incomplete, Refused, Unreachable
from orchestrator.cli.fleet_keys import keys_in
from orchestrator.cli.metering import Meter, Pids
from orchestrator.cli.own_bus import bus_login
from orchestrator.cli.storing import open_in
from orchestrator.cli.waiting import told, told_of_bus
from orchestrator.fleet.keys import FleetKeys, has_fleet
from orchestrator.fleet.office import FleetOffice
from orchestrator.lease_keeper import LeaseKeeper, run_lease
from orchestrator.nats_binary import NatsServerError
from orchestrator.nats_server import ApplianceUser, EmbeddedServer
from orchestrator.pacing import STOPPED
from orchestrator.plan import select
from orchestrator.service import Service
from orchestrator.state_dir import Held
from orchestrator.store import Store
from orchestrator.tally import Tally
from orchestrator.zones import Zoning

APPLIANCE_WAIT_S = 60.0
VAULT_WAIT_S = 45.0
NAME = "embedded"
NO_ZONES: Mapping[str, Sequence[str]] = MappingProxyType({})

log = get_logger()


def new_lease() -> str:
    """A lease token: 128 random bits."""
    return secrets.token_hex(16)


@dataclass(slots=True)
class Engine:
    """What a command can do once everything runs."""

    store: Store
    service: Service
    bus: OrchestratorBus
    keeper: LeaseKeeper
    zone: str
    appliance: ApplianceChild | None
    """None on a bus of the user's own, whose appliances have their own policies and vault logins."""
    server: EmbeddedServer | None = None
    """Likewise."""
    own_bus: str = ""
    """Our name, where our bus is our own and the store others' too: runs that begin here are for nobody else."""
    kept_in: str = ""
    """Where its store is, without a password; empty for the file in the state directory."""
    begun: int = 0
    """Runs that have been executed, or are."""

    def served(self, answer: Callable[[str, bytes], Awaitable[bytes]]) -> AbstractAsyncContextManager[None]:
        """Answer other command lines: on our own bus as its only holder, on the user's by our name."""
        if self.server is not None:
            return self.bus.serve_control(answer)
        return self.bus.serve_desk(self.keeper.owner, RUNS_DESK, answer)

    @property
    def stand_in(self) -> str:
        """The zone whose appliance does the targets of all; empty on a bus of the user's own."""
        return self.zone if self.appliance is not None else ""

    def zoning(self, prepared: Prepared) -> Zoning:
        return zoning(prepared, self.stand_in)

    async def admit(self, run: str, campaign: Campaign, logins: Sequence[Login]) -> None:
        """Let the embedded appliance serve a run, as far as the campaign reaches and no further."""
        if self.appliance is None:
            return
        await self.appliance.admit(admission(run, campaign, logins))

    async def check_vaults(self, run: str, campaign: Campaign, vaults: Mapping[str, Sequence[str]] = NO_ZONES) -> None:
        """Can every vault be reached from an appliance, and does it take the login? `vaults`: those that each zone's
        targets may need, by title; without it all are asked from our own zone. A zone without appliances is not waited
        for, where another one has some. Raises Unreachable, Incomplete.
        """
        asked = vaults or {self.zone: [vault.title for vault in campaign.vaults]}
        await self.wait_for_appliance(*asked)
        urls = {vault.title: vault.url for vault in campaign.vaults}
        for zone, titles in asked.items():
            if not self.service.capacity(zone):
                log.warning("zone without appliances: its vaults were not checked", run=run, zone=zone)
                continue
            for title in titles:
                answer = await self.check_vault(run, title, zone)
                if not answer.ok and answer.reason != STOPPED:  # a stopped vault keeps no run from the other ones
                    reason = REASONS.get(answer.reason)
                    kind = Unreachable if reason is not None and reason.transient else Refused
                    where = f" from zone {zone!r}" if len(asked) > 1 else ""
                    raise kind(
                        f"vault {title!r} ({_asked(urls[title], answer)}){where}: {answer.reason}: {answer.text}"
                    )

    async def check_vault(self, run: str, title: str, zone: str) -> VaultAnswer:
        """Is it there, and does it take the login? Raises Unreachable where nobody answers."""
        query = VaultQuery(run=run, kind=VaultQueryKind.CHECK, vault=title)
        with told(f"an answer about vault {title!r}", VAULT_WAIT_S):
            return await self.ask_vault(query, zone)

    async def ask_secret(self, run: str, ref: CredentialRef, zone: str = "") -> VaultAnswer:
        query = VaultQuery(run=run, kind=VaultQueryKind.SECRET, vault=ref.vault, secret=ref)
        return await self.ask_vault(query, zone)

    async def ask_vault(self, query: VaultQuery, zone: str = "") -> VaultAnswer:
        try:
            return await self.service.ask_vault(zone or self.zone, query, VAULT_WAIT_S)
        except BusError as error:
            raise Unreachable(f"no appliance answered for vault {query.vault!r}: {error}") from None

    def zone_to_ask(self, title: str, vaults: Mapping[str, Sequence[str]]) -> str:
        """From which zone a vault is asked: the first with appliances whose targets may need it. `vaults`: titles by
        zone; where there are none, ours.
        """
        there = [zone for zone in vaults if self.service.capacity(zone)]
        return next((zone for zone in there if title in vaults[zone]), there[0] if there else self.zone)

    async def wait_for_appliance(self, *zones: str) -> None:
        """Of any of these zones, by default ours. Raises Incomplete."""
        wanted = zones or (self.zone,)
        listed = ", ".join(map(repr, wanted))
        with anyio.move_on_after(APPLIANCE_WAIT_S), told(f"an appliance of zone {listed}", APPLIANCE_WAIT_S):
            await self.service.wait_for_appliance(*wanted)
            return
        there = [beat for zone in wanted for beat in self.service.beats(zone)]
        if any(beat.draining for beat in there):
            named = ", ".join(sorted(beat.appliance for beat in there if beat.draining))
            raise Incomplete(
                f"no appliance of zone {listed} takes jobs; drained, or about to end: {named} "
                "(`keymuster fleet list` shows which; `keymuster fleet resume` ends a drain)"
            )
        others = ", ".join(map(repr, self.service.working_zones()))
        elsewhere = (
            f"those that take jobs are of zone {others}; a campaign says by pace.zone and [[zones]] whose its targets "
            "are"
        )
        nobody = "start one (`keymuster appliance serve FILE`), and look what its log says"
        raise Incomplete(
            f"no appliance of zone {listed} has shown up in {APPLIANCE_WAIT_S:g} s: {elsewhere if others else nobody}"
        )

    def meter(self, targets: int) -> Meter:
        self.begun += 1
        appliance = self.appliance
        pids = Pids(self.server.pid if self.server else None, appliance.pid if appliance else None)
        alone = not self.service.open_runs()
        processes = appliance.processes_for(targets) if appliance else 0
        return Meter(pids, processes, self.begun, alone=alone)


def _asked(url: str, answer: VaultAnswer) -> str:
    """Where a vault was looked for: `url` is the campaign's, and an appliance may have a word of its own on that."""
    asked = answer.facts.get("url", url)
    return asked if asked == url.rstrip("/") else f"{asked} by the appliance's own file or login, {url} by the campaign"


def admission(run: str, campaign: Campaign, logins: Sequence[Login]) -> Admission:
    """The embedded appliance's policy for a run: the campaign's own targets, vaults and weakest host-key policy."""
    unix = [record for record in campaign.records if record.technology == "unix"]
    policies = [record.host_keys.value for record in unix]
    policies += [record.jump.host_keys.value for record in unix if record.jump is not None]
    weakest = next((p for p in ("any", "tofu", "pinned") if p in policies), "pinned")
    return Admission(run, campaign_networks(campaign), weakest, tuple(logins))


def campaign_networks(campaign: Campaign) -> tuple[str, ...]:
    """The addresses that a campaign may reach: its targets, their jump hosts, and the domain controllers that tickets
    come from. A DNS name may resolve to any that is not excluded; a controller that is excluded as a target is reached
    by its address.
    """
    targets = select(campaign.targets).addresses
    targets |= AddressSet.parse(
        record.jump.host for record in campaign.records if record.technology == "unix" and record.jump
    )
    kerberos = (record for record in campaign.records if isinstance(record, WindowsRecord))
    controllers = AddressSet.parse(host for record in kerberos for host in record.controllers)
    if targets.names or controllers.names:
        targets = AddressSet.everything() - AddressSet.parse(campaign.targets.exclude)
    return (targets | controllers).networks()


@asynccontextmanager
async def embedded(
    held: Held, home: Home, *, zone: str, capacity: int, fast_path: bool = True, tally: Tally | None = None
) -> AsyncIterator[Engine]:
    """An engine of our own in a state directory. Raises BadInput for one that cannot be used."""
    async with AsyncExitStack() as stack:
        store = await open_in(home)
        stack.push_async_callback(_close, store.close)
        user = ApplianceUser(NAME, zone)
        try:
            server = await stack.enter_async_context(EmbeddedServer(held, [user]))
        except NatsServerError as error:
            raise BadInput(str(error)) from None
        bus = await _bus(stack, BusLogin(url=server.url, seed=SecretStr(server.orchestrator_seed)))
        await bus.open_zone(zone)
        child = ApplianceChild(
            name=NAME,
            zone=zone,
            bus_url=server.url,
            bus_seed=server.appliance_seeds[user],
            capacity=capacity,
            log_file=held.path / "appliance.log",
            fast_path=fast_path,
        )
        settle_in()
        keeper = LeaseKeeper(store.leases, store.fences, held.name, is_orchestrator=False)
        elsewhere = keeper.elsewhere
        service = Service(
            store, bus, time.time, tally=tally, is_anothers=lambda run: elsewhere(run_lease(run)) is not None
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.watch, name="engine: nats-server")
            await tasks.start(keeper.run, name="engine: leases")
            await tasks.start(service.run, name="engine: service")
            held.announce(server.url, server.control_seed, home.kept_in)
            async with _owned(tasks, child):
                own_bus = held.name if home.store else ""
                yield Engine(store, service, bus, keeper, zone, child, server, own_bus, home.kept_in)
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def _owned(tasks: TaskGroup, child: ApplianceChild) -> AsyncIterator[None]:
    """The appliance ends before the bus it speaks on."""
    ended, scope = anyio.Event(), anyio.CancelScope()

    async def keep() -> None:
        try:
            with scope:
                await child.run()
        finally:
            ended.set()

    tasks.start_soon(keep, name="engine: appliance")
    try:
        yield
    finally:
        scope.cancel()
        with anyio.CancelScope(shield=True):
            await ended.wait()


@asynccontextmanager
async def attached(held: Held, where: Where, *, zone: str, tally: Tally | None = None) -> AsyncIterator[Engine]:
    """An engine on a bus of the user's own, where others may be. Raises BadInput, Unreachable."""
    login = bus_login(where)
    fleet = await to_thread.run_sync(_fleet, where.state)
    async with AsyncExitStack() as stack:
        store = await open_in(where.home)
        stack.push_async_callback(_close, store.close)
        bus = await _bus(stack, login)
        await bus.open_zone(zone)
        settle_in()
        keeper = LeaseKeeper(store.leases, store.fences, held.name)
        service = Service(store, bus, time.time, tally=tally, keeper=keeper)
        async with anyio.create_task_group() as tasks:
            await tasks.start(keeper.run, name="engine: leases")
            if fleet is not None:
                office = FleetOffice(store.fleet, *fleet, bus, time.time)
                tasks.start_soon(office.run, name="engine: fleet")
            await tasks.start(service.run, name="engine: service")
            yield Engine(store, service, bus, keeper, zone, None, kept_in=where.home.kept_in)
            tasks.cancel_scope.cancel()


def _fleet(state: Path) -> tuple[FleetKeys, str] | None:
    """The fleet whose machines we answer, if there is one. Raises BadInput."""
    return keys_in(state) if has_fleet(state) else None


async def _bus(stack: AsyncExitStack, login: BusLogin) -> JetStreamOrchestrator:
    seed = login.seed.get_secret_value()
    try:
        with told_of_bus(login.url):
            bus = await connect_orchestrator(login.url, seed=seed, token=login.token, tls=login.tls())
    except (BusError, ValueError) as error:
        raise Unreachable(f"the bus at {login.url} cannot be used: {error}") from None
    stack.push_async_callback(_close, bus.close)
    return bus


async def _close(close: Callable[[], Awaitable[None]]) -> None:
    with anyio.move_on_after(5, shield=True):
        await close()

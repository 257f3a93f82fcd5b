"""The supervisor: one per appliance. Owns the vault logins, the scan processes and the heartbeat.

It makes the one grant per vault login and hands tokens to its scan processes by pipe. For every run that is open in its
zone, and that it has been admitted to, it keeps one scan process per core, fewer for a run of few targets, while the
run has jobs that nobody has ended. A paused run keeps none: its scan processes finish what they have in hand and end.
When a run is closed, whoever is left of them is ended.

It is drained in two ways. Where its zone's orders say so, all runs are as if paused, until the orders say otherwise: it
stays, tells in its heartbeat that it takes nothing, and answers vault queries. On SIGTERM it does the same and ends.
"""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version

import anyio
from anyio.abc import Process

from appliance.bus import ApplianceBus, BusUnavailable
from appliance.bus.credentials import BusLogin
from appliance.channel import HEARTBEAT_S, Busy, Channel, Drain, Hello, TokenAsk, TokenGive
from appliance.child import start_child
from appliance.contract import (
    OLDEST,
    VERSION,
    Failure,
    Heartbeat,
    Phase,
    RunNotice,
    capacity_each,
    named,
    processes_for,
)
from appliance.login.dial import ANY_SOURCE, Sources
from appliance.logs import get_logger
from appliance.policy import Policy
from appliance.questions import VaultAnswer, VaultQuery
from appliance.vault.definition import VaultLogin
from appliance.vault.grantors import Grantors, GrantorState
from appliance.vault.tokens import Token

POLL_S = 1.0
RESPAWN_S, LONGEST_RESPAWN_S = 0.5, 10.0
"""The pause before a crashed scan process is replaced, doubled while its successors crash too."""
STEADY_S = 30.0
"""A scan process that has lived so long was no failed start."""
END_WAIT_S = 5.0
TELL_WAIT_S = 1.0
ORDERS_S = 5.0
"""How long a supervisor that has just started waits to hear whether it is drained."""
RELEASE = version("keymuster")

log = get_logger()


@dataclass(frozen=True, slots=True)
class Admission:
    """What a run may use here: this appliance's policy, and the vault logins by title."""

    policy: Policy
    networks: tuple[str, ...]
    logins: tuple[VaultLogin, ...]

    def login(self, vault: str) -> VaultLogin | None:
        return next((login for login in self.logins if login.access.title == vault), None)


class Admissions:
    """Which runs this appliance serves: all alike (stand-alone), or each as the orchestrator's pipe says."""

    def __init__(self, default: Admission | None = None) -> None:
        self._default = default
        self._runs: dict[str, Admission] = {}
        self._changed = anyio.Event()

    def admit(self, run: str, admission: Admission) -> None:
        self._runs[run] = admission
        self._changed.set()
        self._changed = anyio.Event()

    def admit_all(self, default: Admission) -> None:
        """Every run alike, from now on."""
        self._default = default
        self._changed.set()
        self._changed = anyio.Event()

    def dismiss(self, run: str) -> None:
        self._runs.pop(run, None)

    def of(self, run: str) -> Admission | None:
        return self._runs.get(run, self._default)

    async def wait_for(self, run: str) -> Admission:
        while (admission := self.of(run)) is None:
            await self._changed.wait()
        return admission


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this appliance is on the bus."""

    appliance: str
    zone: str
    bus: BusLogin
    capacity: int
    processes: int
    sources: Sources = ANY_SOURCE
    """What targets are dialled from."""
    fast_path: bool = True
    """False: its logins are made by the protocol libraries as they come."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An appliance as those who watch see it."""

    scanners: int
    in_flight: int
    runs: int
    loop_lag_ms: float
    vaults: Mapping[str, GrantorState]
    """By title, the worst of its logins; those that have been used."""


@dataclass(slots=True)
class _OpenRun:
    """A run that the zone's notices name."""

    run: str
    targets: int
    scope: anyio.CancelScope
    told_to_pause: bool = False
    """By its notice."""


@dataclass(slots=True)
class _Scanner:
    """One scan process and our end of its channel."""

    run: _OpenRun
    process: Process
    channel: Channel
    busy: Busy | None = None
    """Its newest word; None until it has taken jobs, or seen that there are none."""


async def start_scanner() -> tuple[Process, Channel]:
    """A new scan process and our end of its channel."""
    return await start_child("appliance.worker")


@dataclass(slots=True)
class Supervisor:
    identity: Identity
    bus: ApplianceBus
    admissions: Admissions
    clock: Callable[[], float] = time.time
    start: Callable[[], Awaitable[tuple[Process, Channel]]] = start_scanner
    draining: anyio.Event = field(default_factory=anyio.Event)
    _scanners: list[_Scanner] = field(default_factory=list)
    _all_ended: anyio.Event = field(default_factory=anyio.Event)
    _notices: Mapping[str, RunNotice] = field(default_factory=dict)
    _vaults: Grantors | None = None
    drained: bool = False
    """By order of the fleet."""
    _ordered: anyio.Event = field(default_factory=anyio.Event)
    """What is ordered is known."""

    async def serve(self) -> None:
        """Until drained; cancelled, it aborts (the launcher's parent-death signal ends what is left)."""
        async with anyio.create_task_group() as tasks, self.bus.vault_queries(self._answer):
            self._vaults = Grantors(tasks)
            tasks.start_soon(self._beat, name="supervisor: heartbeat")
            tasks.start_soon(self._follow_orders, name="supervisor: orders")
            tasks.start_soon(self._follow_runs, name="supervisor: runs")
            await self.draining.wait()
            for scanner in list(self._scanners):
                await self._tell_to_drain(scanner)
            self._note_end()
            await self._all_ended.wait()
            await self._send_beat()
            tasks.cancel_scope.cancel()

    # -- runs and their processes ------------------------------------------------------------------------------------

    async def _follow_orders(self) -> None:
        async with self.bus.orders() as changes:
            async for orders in changes:
                # No orders, as on a bus that has lost its store, say nothing: to resume is an order too.
                drained = self.drained if orders is None else orders.drains(self.identity.appliance)
                if drained != self.drained:
                    log.info("drained by order" if drained else "takes jobs again, by order")
                    self.drained = drained
                    for scanner in [s for s in self._scanners if drained]:
                        await self._tell_to_drain(scanner)
                    await self._send_beat()
                self._ordered.set()

    def _paused(self, run: _OpenRun) -> bool:
        return run.told_to_pause or self.drained

    async def _follow_runs(self) -> None:
        open_runs: dict[str, _OpenRun] = {}
        with anyio.move_on_after(ORDERS_S):
            await self._ordered.wait()
        async with anyio.create_task_group() as tasks, self.bus.runs() as changes:
            async for notices in changes:
                self._notices = notices
                for run in [run for run in open_runs if run not in notices]:
                    open_runs.pop(run).scope.cancel()
                for run, notice in notices.items():
                    if run in open_runs:
                        await self._pause(open_runs[run], notice)
                    else:
                        known = open_runs[run] = _OpenRun(run, notice.targets, anyio.CancelScope(), notice.paused)
                        tasks.start_soon(self._serve_run, known, name=f"supervisor: run {run}")

    async def _pause(self, run: _OpenRun, notice: RunNotice) -> None:
        run.told_to_pause = notice.paused
        for scanner in [s for s in self._scanners if notice.paused and s.run is run]:
            await self._tell_to_drain(scanner, cut=notice.cut)

    async def _serve_run(self, run: _OpenRun) -> None:
        with run.scope:
            admission = await self.admissions.wait_for(run.run)
            async with anyio.create_task_group() as tasks:
                processes = processes_for(run.targets, self.identity.capacity, self.identity.processes)
                for index in range(processes):
                    first = (index + 1) / processes
                    name = f"supervisor: {run.run} scanner {index}"
                    tasks.start_soon(self._keep_scanner, run, admission, first, name=name)

    async def _keep_scanner(self, run: _OpenRun, admission: Admission, first: float) -> None:
        """Keep one scan process while the run has jobs; a crashed one is replaced, an idle one when jobs come.

        One that may have been started together with the run's others lives for the part `first` of a life, so that they
        are replaced one after the other: a new one takes a second to come up, in which nobody would work.
        """
        needed, pause, life = True, RESPAWN_S, first
        while not self.draining.is_set():
            if self._paused(run) or not (needed or await self._has_jobs(run.run)):
                needed, life = needed or self._paused(run), first
                await anyio.sleep(POLL_S)
                continue
            began = anyio.current_time()
            async with self._scanner(run, admission, life) as scanner:
                await self._serve_scanner(scanner, admission)
            code = scanner.process.returncode
            # What a dead process held is redelivered only while somebody pulls, and shows as leased till then.
            needed = code != 0
            life = first if needed else 1.0
            if needed:
                pause = RESPAWN_S if anyio.current_time() - began >= STEADY_S else pause
                log.warning("scan process ended", run=run.run, code=code, again_in=pause)
                await anyio.sleep(pause)
                pause = min(2 * pause, LONGEST_RESPAWN_S)

    async def _has_jobs(self, run: str) -> bool:
        try:
            return await self.bus.unended(run) > 0
        except BusUnavailable:
            return False

    @asynccontextmanager
    async def _scanner(self, run: _OpenRun, admission: Admission, life: float) -> AsyncIterator[_Scanner]:
        """A scan process, started and greeted; drained and then ended on the way out."""
        with anyio.CancelScope(shield=True):  # a fork is short, and a process that nobody knows of would not be ended
            process, channel = await self.start()
        scanner = _Scanner(run, process, channel)
        self._scanners.append(scanner)
        try:
            await self._greet(scanner, admission, life)
            yield scanner
        finally:
            with anyio.CancelScope(shield=True):
                await self._end(scanner)
            self._scanners.remove(scanner)
            self._note_end()

    async def _greet(self, scanner: _Scanner, admission: Admission, life: float) -> None:
        try:
            await scanner.channel.send(self._hello(scanner.run.run, admission, life))
        except anyio.BrokenResourceError:
            log.info("scan process ended before its greeting")
        if self._paused(scanner.run) or self.draining.is_set():  # while it was being started: the others were told then
            await self._tell_to_drain(scanner)

    def _note_end(self) -> None:
        if self.draining.is_set() and not self._scanners:
            self._all_ended.set()

    def _hello(self, run: str, admission: Admission, life: float) -> Hello:
        identity = self.identity
        return Hello(
            appliance=identity.appliance,
            zone=identity.zone,
            run=run,
            bus=identity.bus,
            networks=admission.networks,
            host_keys=admission.policy.host_keys.value,
            vaults=tuple(login.access for login in admission.logins),
            capacity=capacity_each(identity.capacity, identity.processes),
            source_v4=identity.sources.v4,
            source_v6=identity.sources.v6,
            fast_path=identity.fast_path,
            life=life,
        )

    async def _serve_scanner(self, scanner: _Scanner, admission: Admission) -> None:
        """Answer a scan process until it closes its end."""
        async with anyio.create_task_group() as answers:
            while (message := await scanner.channel.receive()) is not None:
                if isinstance(message, TokenAsk):
                    name = f"supervisor: {scanner.run.run} token"
                    answers.start_soon(self._give, scanner, message, admission, name=name)
                elif isinstance(message, Busy):
                    scanner.busy = message
            answers.cancel_scope.cancel()

    async def _give(self, scanner: _Scanner, ask: TokenAsk, admission: Admission) -> None:
        # As it is now: a vault's password may have been changed since the scan process was started.
        login = (self.admissions.of(scanner.run.run) or admission).login(ask.vault)
        if login is None:
            token: Token | Failure = Failure(Phase.VAULT, named("REFUSED_BY_POLICY"), _unknown(ask.vault))
        else:
            token = await self._known_vaults.token(login, ask.stale)
        given = TokenGive.of(ask, token)
        try:
            await scanner.channel.send(given)
        except anyio.BrokenResourceError:
            log.info("scan process went away before its token came")

    @property
    def _known_vaults(self) -> Grantors:
        assert self._vaults is not None, "only `serve` gives out and answers"  # noqa: S101 - narrows the type
        return self._vaults

    async def _tell_to_drain(self, scanner: _Scanner, *, cut: bool = False) -> None:
        """One that does not read its pipe keeps nobody waiting."""
        with anyio.move_on_after(TELL_WAIT_S):
            try:
                await scanner.channel.send(Drain(cut=cut))
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                log.debug("scan process has ended already")

    async def _end(self, scanner: _Scanner) -> None:
        """Drain, wait END_WAIT_S, then kill; shielded by the caller."""
        with anyio.move_on_after(END_WAIT_S):
            if scanner.process.returncode is None:
                await self._tell_to_drain(scanner)
                await scanner.process.wait()
        if scanner.process.returncode is None:
            scanner.process.send_signal(signal.SIGKILL)
            await scanner.process.wait()
        await scanner.channel.aclose()

    def seen(self) -> Seen:
        busy = [scanner.busy for scanner in self._scanners if scanner.busy is not None]
        return Seen(
            scanners=len(self._scanners),
            in_flight=sum(one.in_flight for one in busy),
            runs=len(self._notices),
            loop_lag_ms=max((one.loop_lag_ms for one in busy), default=0.0),
            vaults=self._vaults.states() if self._vaults is not None else {},
        )

    # -- heartbeat and questions -------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        while True:
            await self._send_beat()
            await anyio.sleep(HEARTBEAT_S)

    async def _send_beat(self) -> None:
        busy = [scanner.busy for scanner in self._scanners if scanner.busy is not None]
        beat = Heartbeat(
            appliance=self.identity.appliance,
            zone=self.identity.zone,
            capacity=self.identity.capacity,
            in_flight=sum(one.in_flight for one in busy),
            runs=tuple(self._notices),
            sent_at=self.clock(),
            draining=self.draining.is_set() or self.drained,
            pulling=len(busy),
            loop_lag_ms=max((one.loop_lag_ms for one in busy), default=0.0),
            release=RELEASE,
            reads=(OLDEST, VERSION),
        )
        try:
            await self.bus.heartbeat(beat)
        except BusUnavailable:
            log.warning("heartbeat not sent: the bus does not answer")

    async def _answer(self, query: VaultQuery) -> VaultAnswer:
        admission = self.admissions.of(query.run)
        login = admission.login(query.vault) if admission else None
        if login is None:
            return VaultAnswer(ok=False, reason="REFUSED_BY_POLICY", text=_unknown(query.vault))
        return await self._known_vaults.answer(login, query)


def _unknown(vault: str) -> str:
    return (
        f"this appliance has no login for a vault titled {vault!r}: [[vaults]] of its file must name it, with its url; "
        "and where the login is not there but sent, `keymuster fleet login` sends it"
    )

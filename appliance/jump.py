"""Jump hosts: one SSH session with each, which all scans of this process share that go through it.

The rules, stated here and nowhere else:

 J1 session   A session is made by the first scan that needs it, as a part of its attempt, while the others wait; it is
              kept while it is used and for IDLE_S longer.
 J2 login     The jump host is an account: permit, then vault, then one answer, as at any target; the credential is
              forgotten as soon as the verdict is there. A login that nobody was granted is never repeated.
 J3 memory    A login that has failed is not tried again at once: for REFUSED_S after a refusal, and for AWAY_S after
              anything else, the scans that need it end with what is known. The pacer remembers a refusal for all.
 J4 lost      A session that is lost is made anew by the next scan, and once more by one that has not come through yet.
 J5 blame     What goes wrong at the jump host, or on the way to it, is no word on the target: it has reasons of its own
              (JUMP_*), and the jump host's own reason stands beside them. What the jump host says of the target is.
 J6 policy    The jump host's address is judged by this appliance's policy. A target behind it is dialled by the jump
              host and not by us: whether it may be is what the campaign's list says, out of which the job comes.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from socket import socket

import anyio
from anyio.abc import TaskGroup, TaskStatus

from appliance.contract import (
    DEADLINE,
    Candidate,
    Failure,
    Job,
    Jump,
    Phase,
    View,
    named,
    peer_text,
)
from appliance.jump_login import Attempt, Login, Refusal, as_candidate, as_job, blamed, for_others
from appliance.login import Dial, Gate, GateFactory
from appliance.permit import Later, PermitDesk
from appliance.phases import PhaseLedger
from appliance.policy import Policy
from appliance.reading import in_session
from appliance.vault import CredentialSource

IDLE_S = 20.0
POLL_S = 1.0
SHARE = 0.5
"""Of an attempt's time, for a session with its jump host; the rest is the target's."""

PARTS = ("jump", "jump again")
"""Of an attempt: the logins at its jump host, each with a permit of its own (J4)."""

_BEFORE_THE_SESSION = (Phase.NEGOTIATE, Phase.KEX, Phase.PERMIT, Phase.VAULT, Phase.AUTH)
_CUTS = frozenset(("CONNECTION_RESET", "AUTH_DROPPED", "SSH_PROTOCOL", "NOT_SSH", "SSH_THROTTLED"))


@dataclass(frozen=True, slots=True)
class Passage:
    """A way through a jump host to one target."""

    sock: socket
    gate: Gate
    place: str

    def judge(self, end: Failure, reason: str) -> Failure:
        """A login that was cut since the jump host is gone is not the target's doing (J5); one that stands, stands."""
        if not self.gate.ended or end.phase not in _BEFORE_THE_SESSION or reason not in _CUTS:
            return end
        text = peer_text(f"jump host {self.place} was lost in phase {end.phase}: {end.text}")
        return Failure(end.phase, named("JUMP_LOST"), text, end.facts)


@dataclass(slots=True)
class _Host:
    """What is known of one jump host."""

    opening: anyio.Lock = field(default_factory=anyio.Lock)
    gate: Gate | None = None
    trying: Gate | None = None
    key_fingerprint: str = ""
    users: int = 0
    """Scans that have been given the session and have not asked it for a connection yet."""
    failed: Failure | None = None
    failed_until: float = 0.0


@dataclass(slots=True)
class Jumps:
    """The sessions of one scan process and run. Made by `open_jumps`."""

    policy: Policy
    sources: Mapping[str, CredentialSource]
    dial: Dial
    gates: GateFactory
    desk: PermitDesk
    handshakes: anyio.CapacityLimiter
    owner: TaskGroup
    wall: Callable[[], float] = time.time
    idle_s: float = IDLE_S
    _hosts: dict[Jump, _Host] = field(default_factory=dict)

    async def through(
        self,
        job: Job,
        candidate: Candidate,
        jump: Jump,
        ledger: PhaseLedger,
        facts: dict[str, str],
        views: list[View],
    ) -> Passage | Failure | Later:
        """A connection to the job's target. Of the jump host, `facts` is told as it happens: `jump_host`, and of a
        session that was made for this attempt also how that went; `views` of what was read for it.
        """
        facts["jump_host"] = jump.place
        host = self._hosts.setdefault(jump, _Host())
        for part in PARTS:
            ledger.enter(Phase.JUMP)
            as_login = as_candidate(candidate.record, jump)
            gate = await self._session(host, Attempt(job, as_login, jump, part, facts, views))
            if isinstance(gate, Failure | Later):
                return gate
            if host.key_fingerprint:
                facts["jump_host_key_fingerprint"] = host.key_fingerprint
            host.users += 1
            ledger.enter(Phase.TCP)
            try:
                reached = await gate.reach(job.target.address, candidate.port)
            finally:
                host.users -= 1
            if not isinstance(reached, Failure):
                return Passage(reached, gate, jump.place)
            if not gate.ended:
                return replace(reached, text=f"through jump host {jump.place}: {reached.text}")
        return Failure(Phase.JUMP, named("JUMP_LOST"), f"jump host {jump.place} was lost twice")

    async def _session(self, host: _Host, attempt: Attempt) -> Gate | Refusal:
        """The one that stands, or a new one."""
        async with host.opening:
            if host.gate is not None and not host.gate.ended:
                return host.gate
            if host.failed is not None and anyio.current_time() < host.failed_until:
                return host.failed
            opened: Gate | Refusal = await self.owner.start(
                self._hold, host, attempt, name=f"jump host {attempt.jump.place}"
            )
            if isinstance(opened, Failure):
                host.failed, patience = for_others(opened)
                host.failed_until = anyio.current_time() + patience
            return opened

    async def _hold(self, host: _Host, attempt: Attempt, *, task_status: TaskStatus[Gate | Refusal]) -> None:
        """A session's whole life. Until it stands, whoever waits for it may cancel it."""
        ledger = PhaseLedger()
        ledger.enter(Phase.LEASE)
        refusal: Refusal | None = None
        host.trying = None
        with anyio.CancelScope(deadline=anyio.current_time() + attempt.job.deadline * SHARE) as patience:
            try:
                refusal = await self._made(host, attempt, ledger, patience, task_status)
            except BaseException:
                if math.isfinite(patience.deadline):  # it does not stand yet
                    where = ledger.current
                raise
            finally:
                spent = (f"{time.phase} {time.ms:.0f}" for time in ledger.finish())
                attempt.facts.setdefault("jump_phases_ms", ", ".join(spent))
        if patience.cancelled_caught:
            submitted = host.trying is not None and host.trying.submitted
            refusal = blamed(attempt, Failure(where, DEADLINE), submitted=submitted)
        if refusal is not None:
            task_status.started(refusal)

    async def _made(
        self,
        host: _Host,
        attempt: Attempt,
        ledger: PhaseLedger,
        patience: anyio.CancelScope,
        task_status: TaskStatus[Gate | Refusal],
    ) -> Refusal | None:
        jump, told = attempt.jump, dict[str, str]()
        job = as_job(attempt)
        if refusal := self.policy.refusal(job):
            return blamed(attempt, Failure(Phase.LEASE, named("REFUSED_BY_POLICY"), refusal), submitted=False)
        ledger.enter(Phase.VAULT)
        handle = await in_session(self.sources[jump.secret.vault].settle(jump.secret))
        if isinstance(handle, Failure):
            return blamed(attempt, handle, submitted=False)
        sock = await self.dial(jump.address, jump.port, ledger, allow=self.policy.allows_address, facts=told)
        attempt.facts.update({f"jump_{key}": value for key, value in told.items()})
        if isinstance(sock, Failure):
            return blamed(attempt, sock, submitted=False)
        async with self.gates(sock, job, ledger) as gate:
            host.trying = gate
            refused = await Login(self, attempt, job, gate, ledger, handle).story()
            if refused is not None:
                return blamed(attempt, refused, submitted=gate.submitted)
            spent = (f"{time.phase} {time.ms:.0f}" for time in ledger.finish())
            attempt.facts["jump_phases_ms"] = ", ".join(spent)
            host.gate, host.key_fingerprint = gate, attempt.facts.get("jump_host_key_fingerprint", "")
            patience.deadline = math.inf
            task_status.started(gate)
            await self._while_used(host, gate)
            host.gate = None
        return None

    async def _while_used(self, host: _Host, gate: Gate) -> None:
        async with anyio.create_task_group() as tasks:

            async def until_gone() -> None:
                await gate.wait_ended()
                tasks.cancel_scope.cancel()

            tasks.start_soon(until_gone, name="jump host: its end")
            used = anyio.current_time()
            while anyio.current_time() - used < self.idle_s:
                await anyio.sleep(min(POLL_S, self.idle_s))
                if host.users or gate.open:
                    used = anyio.current_time()
            host.gate = None  # before anything is awaited: nobody is given a session that is about to be closed
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def open_jumps(
    policy: Policy,
    sources: Mapping[str, CredentialSource],
    dial: Dial,
    gates: GateFactory,
    desk: PermitDesk,
    handshakes: anyio.CapacityLimiter,
    *,
    idle_s: float = IDLE_S,
) -> AsyncIterator[Jumps]:
    """No session yet; those that have been made are closed on the way out."""
    async with anyio.create_task_group() as tasks:
        yield Jumps(policy, sources, dial, gates, desk, handshakes, tasks, idle_s=idle_s)
        tasks.cancel_scope.cancel()

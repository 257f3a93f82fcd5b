"""Scans through a jump host, with everything but vault and pacer in earnest: asyncssh servers on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import anyio

from appliance.access import AccessAnswer, AccessRequest
from appliance.bus import NoPacer
from appliance.classify import classify
from appliance.contract import (
    AccessTerms,
    CredentialRef,
    Evidence,
    Failure,
    HostKeyPolicy,
    Job,
    Jump,
    Outcome,
    PermitAnswer,
    PermitRelease,
    PermitRequest,
    PermitVerdict,
    Phase,
    Report,
    SecretLookup,
    Technology,
    View,
    account_key,
    named,
)
from appliance.jump import open_jumps
from appliance.login import GateFactory
from appliance.login.dial import dial
from appliance.login.ssh import ssh_login
from appliance.login.ssh_jump import ssh_gate
from appliance.policy import Policy
from appliance.scan import Kit, scan
from appliance.vault import DEFAULT_TERMS, CredentialSource, SecretHandle
from appliance.vault.credential import Credential
from tests.peers.attempt import make_job
from tests.unit.login.ssh_servers import PASSWORD

VAULT = "vault"
JUMP_PASSWORD = "Jump-Marker-1"


@dataclass
class Desk:
    """A pacer that grants, or answers the logins at the jump host as it is told."""

    jump_answer: PermitAnswer = field(default_factory=lambda: PermitAnswer(verdict=PermitVerdict.GRANTED))
    away: bool = False
    asked: list[PermitRequest] = field(default_factory=list)
    released: list[PermitRelease] = field(default_factory=list)
    wanted: list[AccessRequest] = field(default_factory=list)

    async def permit(self, request: PermitRequest, wait: float) -> PermitAnswer:
        await anyio.lowlevel.checkpoint()
        self.asked.append(request)
        if self.away and request.part:
            raise NoPacer("nobody answers")
        return self.jump_answer if request.part else PermitAnswer(verdict=PermitVerdict.GRANTED)

    async def release(self, release: PermitRelease) -> None:
        await anyio.lowlevel.checkpoint()
        self.released.append(release)

    async def access(self, request: AccessRequest, wait: float) -> AccessAnswer:
        await anyio.lowlevel.checkpoint()
        self.wanted.append(request)
        return AccessAnswer(ok=True)

    def jumps(self) -> list[str]:
        """The parts for which there was a permit."""
        return [request.part for request in self.asked if request.part]

    def jump_reasons(self) -> list[str]:
        """What became of the logins at the jump host, as the pacer reads it."""
        ends = [r for r in self.released if r.part]
        seen = [Evidence(phase=r.phase, signal=r.signal, submitted=r.submitted, reread=r.reread) for r in ends]
        return [classify(Technology.UNIX, evidence).code for evidence in seen]


@dataclass
class Source:
    """A vault. A secret with several passwords shows one after the other."""

    passwords: dict[str, list[str]] = field(default_factory=lambda: {"target": [PASSWORD], "jump": [JUMP_PASSWORD]})
    keys: dict[str, bytes] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    """The reason why a secret cannot be had, which a check-out settles."""
    told: dict[str, AccessTerms] = field(default_factory=dict)
    lent: list[Credential] = field(default_factory=list)

    async def turn(self, ref: CredentialRef) -> Callable[[], None]:
        return lambda: None

    async def settle(self, ref: CredentialRef) -> SecretHandle | Failure:
        if ref.key not in self.passwords:
            return Failure(Phase.VAULT, named("SECRET_NOT_FOUND"), "no such secret")
        return SecretHandle(ref, list(self.passwords).index(ref.key) + 1)

    async def fetch(
        self,
        handle: SecretHandle,
        *,
        private_key: bool,
        purpose: str,
        terms: AccessTerms = DEFAULT_TERMS,
        checked_out: bool = False,
        anew: bool = False,
        views: list[View] | None = None,
    ) -> Credential | Failure:
        await anyio.lowlevel.checkpoint()
        key = handle.ref.key
        self.told[key] = terms
        if key in self.refuses and not checked_out:
            return Failure(Phase.VAULT, named(self.refuses[key]), "not so")
        said = self.passwords[key]
        password = said[min(self.read.count(key), len(said) - 1)]
        self.read.append(key)
        if views is not None:
            views.append(View(vault=VAULT, secret_id=handle.secret_id, asked=1.0, answered=2.0))
        self.lent.append(Credential(password=password, private_key=self.keys.get(key, b"")))
        return self.lent[-1]


def a_jump(
    port: int,
    *,
    address: str = "127.0.0.1",
    user: str = "jumper",
    private_key: bool = False,
    host_keys: HostKeyPolicy = HostKeyPolicy.TOFU,
) -> Jump:
    return Jump(
        address=address,
        port=port,
        user=user,
        account=account_key(f"host:{address}", user),
        secret=CredentialRef(vault=VAULT, by=SecretLookup.NAME, key="jump"),
        private_key=private_key,
        host_keys=host_keys,
    )


def a_job(
    target: int, jump: Jump, number: int = 1, *, deadline: float = 20.0, keys: Sequence[str] = (), user: str = "scan"
) -> Job:
    job = make_job(Technology.UNIX, user, target)
    secret = CredentialRef(vault=VAULT, by=SecretLookup.NAME, key="target")
    candidate = job.candidates[0].model_copy(update={"jump": jump, "secret": secret})
    changes = {"candidates": (candidate,), "job": f"job {number}", "lease": f"{number:02}", "deadline": deadline}
    return job.model_copy(update={**changes, "known_jump_keys": tuple(keys), "give_up_at": 1e12})


@dataclass
class World:
    kit: Kit
    desk: Desk
    source: Source

    async def scan(self, job: Job) -> Report:
        return await scan(job, self.kit)

    async def scan_all(self, jobs: Sequence[Job]) -> list[Report]:
        reports: list[Report] = []

        async def one(job: Job) -> None:
            reports.append(await self.scan(job))

        async with anyio.create_task_group() as tasks:
            for job in jobs:
                tasks.start_soon(one, job)
        return reports


@asynccontextmanager
async def a_world(
    *,
    networks: Sequence[str] = ("127.0.0.0/8",),
    host_keys: str = "any",
    idle_s: float = 20.0,
    desk: Desk | None = None,
    source: Source | None = None,
    gates: GateFactory = ssh_gate,
) -> AsyncIterator[World]:
    desk, source = desk or Desk(), source or Source()
    policy = Policy.of(networks, host_keys, {VAULT: "https://vault.example"})
    sources = {VAULT: cast("CredentialSource", source)}
    handshakes = anyio.CapacityLimiter(64)
    async with open_jumps(policy, sources, dial, gates, desk, handshakes, idle_s=idle_s) as jumps:
        kit = Kit(
            appliance="a",
            policy=policy,
            sources=sources,
            dial=dial,
            logins={Technology.UNIX: ssh_login},
            desk=desk,
            handshakes=handshakes,
            lag=lambda _seconds: 0.0,
            jumps=jumps,
        )
        yield World(kit, desk, source)


def evidence(report: Report) -> Evidence:
    assert isinstance(report, Outcome), report
    return report.evidence


def reason(report: Report) -> str:
    return classify(Technology.UNIX, evidence(report)).code

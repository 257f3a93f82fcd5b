"""What worker and supervisor stand on, in memory: a bus whose queue the test fills, and a kit whose scans it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from socket import socket
from typing import cast

import anyio

from appliance.bus import ApplianceBus, BusUnavailable
from appliance.contract import (
    AccessTerms,
    Candidate,
    CredentialRef,
    Failure,
    Job,
    Phase,
    Report,
    SecretLookup,
    Selection,
    Signal,
    SignalKind,
    Target,
    Technology,
    View,
    account_key,
)
from appliance.permit import PermitDesk
from appliance.phases import PhaseLedger
from appliance.policy import Policy
from appliance.scan import Kit
from appliance.vault import DEFAULT_TERMS, CredentialSource, SecretHandle
from appliance.vault.credential import Credential

VAULT = "Vault"
DEADLINE = 30.0


def a_job(number: int = 1, *, attempt: int = 1) -> Job:
    address = f"10.0.{number // 250}.{number % 250}"
    candidate = Candidate(
        record="r",
        user="u",
        account=account_key(f"host:{address}", "u"),
        secret=CredentialRef(vault=VAULT, by=SecretLookup.NAME, key="s"),
        selection=Selection.IP,
        port=22,
    )
    return Job(
        run="run",
        job=f"job {number}",
        attempt=attempt,
        lease=f"{number:032x}{attempt}",
        zone="default",
        technology=Technology.UNIX,
        target=Target(address=address),
        candidates=(candidate,),
        deadline=DEADLINE,
        give_up_at=1e12,
        purpose="test",
    )


@dataclass(slots=True)
class Lease:
    """Implements `JobLease`; writes down what becomes of it."""

    job: Job
    story: list[str]
    delivery: int = 1
    kept: int = 0

    async def in_progress(self) -> None:
        self.kept += 1

    async def done(self) -> None:
        self.story.append(f"ended {self.job.job}:{self.delivery}")

    async def give_back(self, delay: float) -> None:
        self.story.append(f"given back {self.job.job} for {delay:g} s")


@dataclass(slots=True)
class Queue:
    """The part of `ApplianceBus` that a worker uses."""

    story: list[str] = field(default_factory=list)
    leases: list[Lease] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    down: bool = False
    """No server answers."""
    asked: list[int] = field(default_factory=list)
    together: list[int] = field(default_factory=list)
    """How many reports each message was to hold."""
    _more: anyio.Event = field(default_factory=anyio.Event)

    def put(self, *jobs: Job, delivery: int = 1) -> list[Lease]:
        new = [Lease(job, self.story, delivery) for job in jobs]
        self.leases += new
        self._more.set()
        self._more = anyio.Event()
        return new

    async def lease(self, run: str, count: int, wait: float) -> Sequence[Lease]:
        assert run == "run"
        self.asked.append(count)
        if self.down:
            raise BusUnavailable("no server answers")
        if not self.leases:
            with anyio.move_on_after(wait):
                await self._more.wait()
        out, self.leases = self.leases[:count], self.leases[count:]
        return out

    async def publish(self, *reports: Report) -> None:
        self.together.append(len(reports))
        if self.down:
            raise BusUnavailable("no server answers")
        for report in reports:
            self.story.append(f"reported {report.job}")
            self.reports.append(report)

    async def done(self, *leases: Lease) -> None:
        for lease in leases:
            await lease.done()


class Source:
    """A vault that knows every secret and is never asked for one."""

    async def turn(self, ref: CredentialRef) -> Callable[[], None] | Failure:
        return lambda: None

    async def settle(self, ref: CredentialRef) -> SecretHandle | Failure:
        return SecretHandle(ref, 1)

    async def approval(self, handle: SecretHandle) -> Failure | None:
        return None

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
        raise AssertionError(f"nobody is logged in here: {handle}, {private_key}, {purpose}")


REFUSED = Failure(Phase.TCP, Signal(kind=SignalKind.ERRNO, name="ECONNREFUSED"))


class Hosts:
    """Targets whose connections the test refuses when it likes: until then a scan hangs in its dial."""

    def __init__(self, *, silent: bool = False) -> None:
        self.dialled: list[str] = []
        self.most_at_once = 0
        self.bug: Exception | None = None
        self._now = 0
        self._answers = anyio.Event()
        if not silent:
            self._answers.set()

    def refuse(self) -> None:
        """End every dial that hangs; those to come hang on."""
        self._answers.set()
        self._answers = anyio.Event()

    async def dial(
        self,
        address: str,
        port: int,
        ledger: PhaseLedger,
        /,
        *,
        allow: Callable[[str], bool],
        facts: dict[str, str],
    ) -> socket | Failure:
        assert port == 22
        assert allow(address)
        assert not facts
        ledger.enter(Phase.TCP)
        self.dialled.append(address)
        if self.bug is not None:
            raise self.bug
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            await self._answers.wait()
        finally:
            self._now -= 1
        return REFUSED


def a_kit(hosts: Hosts) -> Kit:
    return Kit(
        appliance="a",
        policy=Policy.of(["10.0.0.0/8"], "any", {VAULT: "https://vault.example"}),
        sources={VAULT: cast("CredentialSource", Source())},
        dial=hosts.dial,
        logins={},
        desk=cast("PermitDesk", None),  # no scan here comes as far as its permit
        handshakes=anyio.CapacityLimiter(64),
        lag=lambda _seconds: 0.0,
        wall=anyio.current_time,
        monotonic=anyio.current_time,
    )


def as_bus(queue: Queue) -> ApplianceBus:
    return cast("ApplianceBus", queue)

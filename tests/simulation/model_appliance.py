"""Layer 1's appliance: the story of a scan as events. It submits a password exactly when it was told that it may.

The stories follow `appliance/scan.py` in what they ask, send and report, and in which order; how the real one behaves
under cancellation is layer 2's business.
"""

from __future__ import annotations

from collections.abc import Callable

from appliance.contract import (
    DEADLINE,
    OK,
    Candidate,
    Deferred,
    Evidence,
    Outcome,
    PermitAnswer,
    PermitRelease,
    PermitRequest,
    PermitVerdict,
    Phase,
    PhaseTime,
    Report,
    Reread,
    Signal,
    SignalKind,
    Technology,
    named,
    ntstatus,
    raised,
)
from appliance.permit import ANSWER_WAIT_S, DEFER_S, GRACE_S
from tests.simulation.estate import AccountTruth, Answer, Estate, Submission
from tests.simulation.kernel import Actor, Kernel, Violation
from tests.simulation.model_bus import Message, ModelBus
from tests.simulation.options import Options
from tests.simulation.oracle import Oracle
from tests.simulation.parts import Parts

REFUSED = {
    Technology.UNIX: Signal(kind=SignalKind.EXCEPTION, name="asyncssh.misc.PermissionDenied"),
    Technology.WINDOWS: ntstatus(0xC000006D),
}
CLOSED = Signal(kind=SignalKind.ERRNO, name="ECONNREFUSED")
RESET = raised(ConnectionResetError())
DISABLED = named("ACCOUNT_DISABLED")
LIMITED = named("PRIV_NO_SUDO")
VAULT = "vault"
NO_ANSWER = named("VAULT_UNREACHABLE")
MISSING = named("SECRET_NOT_FOUND")
DOUBLING = ("lapsed-lease", "appliance-crash", "orchestrator-crash", "power-cut", "stop")
"""Faults after which an attempt may still run while its job has a newer one: a resume, and a redelivery, don't wait."""
RELEASE_RETRY_S = 3.2
RELEASE_TRIES = 2


class Office:
    """The permit desk as an appliance reaches it: a question may be lost, and so may its answer."""

    def __init__(self, bus: ModelBus) -> None:
        self._bus = bus
        self.request: Callable[[PermitRequest, Callable[[PermitAnswer], None]], None] | None = None
        self.release: Callable[[PermitRelease, Callable[[], None]], None] | None = None

    def ask(self, actor: Actor, request: PermitRequest, answered: Callable[[PermitAnswer], None]) -> None:
        bus, kernel = self._bus, self._bus.kernel
        if self.request is None or bus.strikes("lost-question"):
            return

        def reply(answer: PermitAnswer) -> None:
            if not bus.strikes("lost-answer"):
                kernel.at(bus.delay(), actor, answered, answer)

        kernel.at(bus.delay(), bus, self._hear, request, reply)

    def _hear(self, request: PermitRequest, reply: Callable[[PermitAnswer], None]) -> None:
        if self.request is not None:
            self.request(request, reply)

    def tell(self, actor: Actor, release: PermitRelease, acknowledged: Callable[[], None]) -> None:
        bus, kernel = self._bus, self._bus.kernel
        if self.release is None or bus.strikes("lost-release"):
            return

        def reply() -> None:
            if not bus.strikes("lost-answer"):
                kernel.at(bus.delay(), actor, acknowledged)

        kernel.at(bus.delay(), bus, self._note, release, reply)

    def _note(self, release: PermitRelease, reply: Callable[[], None]) -> None:
        if self.release is not None:
            self.release(release, reply)


class Appliance(Actor):
    def __init__(
        self, name: str, kernel: Kernel, options: Options, bus: ModelBus, estate: Estate, oracle: Oracle, parts: Parts
    ) -> None:
        super().__init__()
        self.name = name
        self.kernel = kernel
        self.options = options
        self.bus = bus
        self.estate = estate
        self.oracle = oracle
        self.parts = parts
        self.office = Office(bus)
        self.vault_down_until = 0.0
        self.in_hand: dict[int, Scan] = {}
        self.peers: list[Appliance] = [self]
        self._told = False
        self._scans = 0

    def poke(self) -> None:
        """There may be something to pull."""
        if not self._told:
            self._told = True
            self.kernel.at(self.bus.delay(0.2), self, self._pull)

    def poll(self) -> None:
        self.poke()
        self.kernel.at(self.kernel.rng.uniform(2.0, 5.0), self, self.poll)

    def _pull(self) -> None:
        self._told = False
        free = self.options.capacity - len(self.in_hand)
        for message, epoch, seq in self.bus.lease(free) if free > 0 else ():
            self._scans += 1
            scan = Scan(self, self._scans, message, epoch, seq)
            self.in_hand[self._scans] = scan
            scan.start()

    def crash(self) -> None:
        self.kernel.note("CRASH", self.name)
        for scan in self.in_hand.values():
            self.bus.abandon(scan.epoch, scan.seq, scan.message.run)
        self.in_hand.clear()
        self._told = False
        self.die()

    def rise(self) -> None:
        super().rise()
        self.kernel.note("up", self.name)
        self.poll()

    def alone(self, scan: Scan) -> None:
        """Where nothing lets two attempts of a job live at once, none may submit beside another."""
        if any(self.options.on(fault) for fault in DOUBLING):
            return
        for appliance in self.peers:
            for other in appliance.in_hand.values():
                if other is not scan and other.submitted and not other.over and other.who[:2] == scan.who[:2]:
                    raise Violation(f"{scan.who} submits beside {other.who}")

    @property
    def vault_down(self) -> bool:
        return self.kernel.now < self.vault_down_until


class Scan:
    """One attempt in an appliance's hands."""

    def __init__(self, home: Appliance, number: int, message: Message, epoch: str, seq: int) -> None:
        self.home, self.number, self.message, self.epoch, self.seq = home, number, message, epoch, seq
        self.kernel = home.kernel
        self.attempt = message.attempt
        self.planned = message.attempt.planned
        self.host = home.estate.hosts[self.planned.target.address]
        self.candidate: Candidate | None = None
        self.permit_open = False
        self.submitted = False
        self.over = False
        self.version = 0
        self.release_tries = 0
        self.asked = False
        self.asked_at = 0.0
        self.waited: float | None = None
        """Seconds for its permit; None before it has asked."""

    @property
    def who(self) -> Submission:
        return (self.message.run, self.planned.job, self.attempt.attempt)

    @property
    def truth(self) -> AccountTruth:
        assert self.candidate is not None
        return self.home.estate.accounts[self.candidate.account]

    def _then(self, delay: float, act: Callable[..., None], *args: object) -> None:
        def unless_over() -> None:
            if not self.over:
                act(*args)

        self.kernel.at(delay, self.home, unless_over)

    # -- before the permit -------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.kernel.note(self.home.name, "starts", *self.who)
        self._then(self.home.options.deadline, self._out_of_time)
        if self.home.vault_down:
            self._wait_for_vault()
        else:
            self._then(self.kernel.rng.uniform(0.01, 0.5), self._connect)

    def _wait_for_vault(self) -> None:
        if self.kernel.now < self.attempt.give_up_at:
            # The real one's breaker opens only after several failures in a row: till then it tells of no vault.
            vault = VAULT if self.kernel.chance(0.7) else ""
            self._end_later("VAULT_UNREACHABLE", self.kernel.now + DEFER_S, vault)
        else:
            self._end(Phase.VAULT, NO_ANSWER)

    def _connect(self) -> None:
        match self.host.fault:
            case "closed":
                self._end(Phase.TCP, CLOSED)
            case "silent":
                pass  # until the deadline
            case "reset" if self.kernel.chance(0.5):
                self._end(Phase.KEX, RESET)
            case _:
                self._then(self.kernel.rng.uniform(0.01, 1.0), self._ask)

    def _ask(self) -> None:
        candidates = [c for c in self.planned.candidates if c.record not in self.attempt.tried]
        self.candidate = candidates[0]
        if self.truth.missing:
            self._end(Phase.VAULT, MISSING)
            return
        request = PermitRequest(
            run=self.message.run,
            job=self.planned.job,
            attempt=self.attempt.attempt,
            lease=self.attempt.lease,
            holder=f"{self.home.name}-{self.number}",
            account=self.candidate.account,
            record=self.candidate.record,
            valid_for=self.home.options.deadline + GRACE_S,
        )
        self.permit_open = self.asked = True
        self.asked_at, self.waited = self.kernel.now, 0.0
        self.home.office.ask(self.home, request, self._answered)
        self._then(ANSWER_WAIT_S, self._no_pacer)

    def _no_pacer(self) -> None:
        if self.asked:
            self._end_later("NO_PACER", self.kernel.now + DEFER_S)

    def _answered(self, answer: PermitAnswer) -> None:
        if self.over or not self.asked:
            return
        self.asked = False
        self.waited = self.kernel.now - self.asked_at
        if answer.verdict is PermitVerdict.GRANTED:
            self._then(self.kernel.rng.uniform(0.01, 2.0), self._submit)
            return
        self.permit_open = False
        match answer.verdict:
            case PermitVerdict.SKIP:
                reason = answer.cause if answer.cause == "STOPPED" else "SKIPPED_BREAKER"
                self._end(Phase.PERMIT, named(reason), cause=answer.cause)
            case PermitVerdict.DUPLICATE:
                self._end(Phase.PERMIT, named("APPLIANCE_LOST"))
            case _:
                self._end_later("PERMIT_WAIT", min(answer.until, self.kernel.now + DEFER_S))

    # -- with the permit ---------------------------------------------------------------------------------------------

    def _submit(self) -> None:
        if self.home.vault_down:
            self._wait_for_vault()
            return
        self.version = self.truth.in_vault
        self.submitted = True
        self.kernel.note(self.home.name, "submits", *self.who, f"v{self.version}")
        self.home.oracle.submitted(self.who)
        self.home.alone(self)
        self.truth.submit(self.who, self.version, self.kernel.now)
        # The host judges whatever becomes of the appliance.
        self.kernel.at(self.kernel.rng.uniform(0.01, 1.0), self.home.bus, self._judge, self.truth)
        if self.home.parts.early_release:
            self._give_back(Phase.AUTH, DEADLINE, Reread.NOT_DONE, submitted=False)

    def _judge(self, truth: AccountTruth) -> None:
        if self.who not in truth.pending:
            return
        answer = truth.judge(self.who, self.kernel.now)
        if self.over or self.home.in_hand.get(self.number) is not self:
            return
        slow = self.host.fault == "slow"
        delay = self.kernel.rng.uniform(1.0, 40.0) if slow else self.kernel.rng.uniform(0.01, 0.5)
        if self.host.fault == "dropped" and self.kernel.chance(0.5):
            self._then(delay, self._end, Phase.AUTH, RESET)
        else:
            self._then(delay, self._verdict, answer)

    def _verdict(self, answer: Answer) -> None:
        self.kernel.note(self.home.name, "hears", *self.who, answer)
        match answer:
            case Answer.WELCOME:
                self._end(Phase.PRIVILEGE if self.host.fault == "limited" else Phase.LOGOFF, OK)
            case Answer.DISABLED:
                self._end(Phase.AUTH, DISABLED)
            case Answer.REFUSED:
                self._then(self.kernel.rng.uniform(0.01, 3.0), self._reread)

    def _reread(self) -> None:
        if self.home.vault_down:
            reread = Reread.FAILED
        else:
            reread = Reread.UNCHANGED if self.truth.in_vault == self.version else Reread.CHANGED
        self._end(Phase.AUTH, REFUSED[self.planned.technology], reread=reread)

    # -- the end -----------------------------------------------------------------------------------------------------

    def _out_of_time(self) -> None:
        if self.submitted and self.who in self.truth.pending:
            self.truth.judge(self.who, self.kernel.now)
        phase = Phase.AUTH if self.submitted else Phase.PERMIT if self.candidate is not None else Phase.NEGOTIATE
        if self.asked:
            self.waited = self.kernel.now - self.asked_at
        self._end(phase, DEADLINE)

    def _end_later(self, reason: str, not_before: float, vault: str = "") -> None:
        report = Deferred(
            run=self.message.run,
            job=self.planned.job,
            attempt=self.attempt.attempt,
            lease=self.attempt.lease,
            appliance=self.home.name,
            reason=reason,
            not_before=max(not_before, self.kernel.now),
            vault=vault,
        )
        self._finish(report, Phase.AUTH, DEADLINE, Reread.NOT_DONE)

    def _end(self, phase: Phase, signal: Signal, *, reread: Reread = Reread.NOT_DONE, cause: str = "") -> None:
        evidence = Evidence(
            phase=phase,
            signal=LIMITED if phase is Phase.PRIVILEGE else signal,
            facts={"cause": cause} if cause else {},
            record=self.candidate.record if self.candidate else "",
            submitted=self.submitted,
            reread=reread,
            phases=() if self.waited is None else (PhaseTime(phase=Phase.PERMIT, ms=self.waited * 1000),),
        )
        report = Outcome(
            run=self.message.run,
            job=self.planned.job,
            attempt=self.attempt.attempt,
            lease=self.attempt.lease,
            appliance=self.home.name,
            evidence=evidence,
        )
        self._finish(report, Phase.AUTH if signal is OK else phase, signal, reread)

    def _finish(self, report: Report, phase: Phase, signal: Signal, reread: Reread) -> None:
        self.over = True
        self.kernel.note(self.home.name, "ends", *self.who, phase, signal.name or signal.kind)
        if self.permit_open:
            self._give_back(phase, signal, reread, submitted=self.submitted)
        late = self.kernel.rng.uniform(0.1, 12.0) if self.home.bus.strikes("late-report") else 0.0
        self.kernel.at(self.home.bus.delay() + late, self.home, self._report, report)

    def _give_back(self, phase: Phase, signal: Signal, reread: Reread, *, submitted: bool) -> None:
        assert self.candidate is not None
        self.permit_open = False
        release = PermitRelease(
            run=self.message.run,
            job=self.planned.job,
            attempt=self.attempt.attempt,
            lease=self.attempt.lease,
            holder=f"{self.home.name}-{self.number}",
            technology=self.planned.technology,
            account=self.candidate.account,
            phase=phase,
            signal=signal,
            submitted=submitted,
            reread=reread,
        )
        self._tell(release, RELEASE_TRIES, [])

    def _tell(self, release: PermitRelease, tries: int, heard: list[None]) -> None:
        if heard or not tries:
            return
        self.home.office.tell(self.home, release, lambda: heard.append(None))
        self.kernel.at(RELEASE_RETRY_S, self.home, self._tell, release, tries - 1, heard)

    def _report(self, report: Report) -> None:
        self.home.bus.publish(report)
        self.kernel.at(self.home.bus.delay(), self.home, self._done)

    def _done(self) -> None:
        self.home.bus.done(self.epoch, self.seq, self.message.run)
        self.home.in_hand.pop(self.number, None)
        self.home.poke()

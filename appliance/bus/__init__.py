"""The bus as its users see it; NATS itself is known to this package only.

The bus may lose, repeat or reorder anything: no caller may rest exactness on it. The store, the permit ledger and the
reconciler carry that. One contract suite (`tests/contract/test_bus.py`) runs on every implementation of these seams.

**Streams.** Each zone has a work queue JOBS_<zone> (subjects jobs.<zone>.<run>); a stream of its own, because
permissions cover whole tokens only. All zones share the work queue OUTCOMES (outcomes.<zone>.<appliance>.<run>) and
three key-value buckets: HEARTBEATS, key <zone>.<appliance>, where a key expires by itself and watchers are told; RUNS,
key <zone>.<run>, the announcements of open runs, and <zone>.=orders, who is drained; and LOGINS, key
<zone>.<appliance>, the sealed vault logins of each.

**Consumers.** One durable pull consumer per run reads the zone's queue through the filter jobs.<zone>.<run> (filters of
a work queue must not overlap). It gives out at most `capacity` unacknowledged jobs, and takes back what is not
acknowledged or kept alive for 10 s. One durable consumer per run reads its reports, outcomes.*.*.<run>, so that
whoever holds the run has them all, and nobody else any; a run that is closed has none left.

**Requests.** permits.<zone>.<appliance>.ask (many requests and releases in one message) and .hold (one request that may
wait) are answered by the pacer, access.<zone>.<appliance> by the offices of check-outs and approvals; vault.<zone> by
one supervisor of the zone (queue group); control.<verb> by the process that holds the state directory. These need no
stream: a question that nobody hears is answered "nobody hears it", at once. Several orchestrators on one bus all hear
permits and access, and the one that holds the run answers; orchestrators.<name>.<desk>.<verb> is heard by one alone.

**Permissions** are in `users.py`: the subject names the sender, and an appliance may publish under its own name only.

**The way of a retry.** A job is delivered twice at most: to an appliance, and to another one if the first dies. What is
then still not acknowledged lies in the stream, undelivered for ever, until somebody takes it away: the MAX_DELIVERIES
advisory and, since an advisory can be missed, a sweep tell the orchestrator, who removes it (`lost_jobs`). The server
looks for such jobs only while somebody pulls. Giving a job back (nak) counts as a delivery. So every other retry, be it
for a transient failure or a deferral, is a new attempt: the appliance publishes its report and ends the job, and the
orchestrator dispatches attempt n+1 under the id `<job>:<n+1>`, which the two minutes of de-duplication don't know.

**Calls** have a budget: publishing and the server's own interface are retried for 15 s, always with the same id, since
a leader change stops publishing for up to 9 s. The connection is remade for ever. A server that comes back with an
empty store has no streams: calls raise BusError until `open_zone` and `open_run` make them again; open watches find the
way back by themselves. What cannot be decoded is dropped and logged, never raised.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from appliance.access import AccessAnswer, AccessRequest
from appliance.contract import (
    EnrolmentAnswer,
    EnrolmentRequest,
    Heartbeat,
    Job,
    PermitAnswer,
    PermitAsk,
    PermitRequest,
    Report,
    RunNotice,
    ZoneOrders,
)
from appliance.contract.sealed import SealedLogins
from appliance.questions import VaultAnswer, VaultQuery


class BusError(Exception):
    """The bus could not do what was asked. The text says what to do about it."""


class BusUnavailable(BusError):
    """No server answered within the retry budget (15 s: a leader change stops publishing for up to 9 s)."""


class BusRefused(BusError):
    """The server refused the login or a permission."""


class NoPacer(BusError):
    """Nobody answered a permit request. No pacer, no password."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The bus's intervals, in seconds. Both sides of one bus must use the same; tests use shorter ones."""

    ack_wait: float = 10.0
    """A job that is neither ended nor kept alive for so long is delivered again."""
    report_wait: float = 10.0
    """The same for a report that the orchestrator has taken and not confirmed. A report that was on its way when the
    server died is lost for so long; one that comes twice costs a look into the store.
    """
    beat_ttl: float = 15.0
    retry: float = 15.0
    """The budget of one call."""
    sweep: float = 10.0
    """How often `lost_jobs` looks for jobs whose advisory was missed."""


class JobLease(Protocol):
    """One delivered job. It must be ended by `done` or `give_back`; else it is delivered again after 10 s."""

    @property
    def job(self) -> Job: ...

    @property
    def delivery(self) -> int:
        """1 for the first delivery, 2 for the redelivery after a lost appliance; there is no third."""
        ...

    async def in_progress(self) -> None:
        """Keep the lease for another 10 s; call every 3 s while the job runs. Never raises for a lost bus."""
        ...

    async def done(self) -> None:
        """The report is published: remove the job; confirmed. Raises BusUnavailable."""
        ...

    async def give_back(self, delay: float) -> None:
        """Only for a job that was never started: deliver it again after `delay` seconds. Raises BusUnavailable."""
        ...


class ApplianceBus(Protocol):
    """What supervisor and scan process need. Made by `connect_appliance`; its identity is its credentials'."""

    @property
    def connected(self) -> bool:
        """Is the bus there now? It is found again by itself."""
        ...

    async def lease(self, run: str, count: int, wait: float) -> Sequence[JobLease]:
        """Up to `count` jobs of a run, waiting at most `wait` seconds for the first; empty when none came or the run
        is closed. Raises BusUnavailable.
        """
        ...

    async def publish(self, *reports: Report) -> None:
        """Returns when the reports are stored on the bus; repeats with the same id until then. Raises BusUnavailable:
        some of them may be stored.
        """
        ...

    async def done(self, *leases: JobLease) -> None:
        """`JobLease.done` of several jobs, with one confirmation for all. Raises BusUnavailable."""
        ...

    async def ask(self, asks: Sequence[PermitAsk], wait: float) -> Sequence[PermitAnswer | None]:
        """Put requests and releases to the pacer in one message, in this order. It answers at once: WAIT means that the
        permit may be waited for (`permit`), None that a release is durable. Raises NoPacer when nobody answers within
        `wait` seconds; any of them may have been taken in.
        """
        ...

    async def permit(self, request: PermitRequest, wait: float) -> PermitAnswer:
        """Ask the pacer, and wait for as long as it holds the request. Raises NoPacer when nobody answers within `wait`
        seconds.
        """
        ...

    async def access(self, request: AccessRequest, wait: float) -> AccessAnswer:
        """Have a secret checked out for the run, or access to it approved. Raises BusUnavailable when nobody answers
        within `wait` seconds.
        """
        ...

    async def heartbeat(self, beat: Heartbeat) -> None:
        """Put the beat under this appliance's key; it vanishes by itself 15 s later. Raises BusUnavailable."""
        ...

    def runs(self) -> AbstractAsyncContextManager[AsyncIterator[Mapping[str, RunNotice]]]:
        """The open runs of this appliance's zone, by run id: first as they are, then anew after every change."""
        ...

    def orders(self) -> AbstractAsyncContextManager[AsyncIterator[ZoneOrders | None]]:
        """What is ordered of this appliance's zone: first as it is, then anew after every change; None where nothing
        is.
        """
        ...

    async def unended(self, run: str) -> int:
        """Jobs of the run that nobody has ended, whether given out or not; 0 for a closed run. Raises BusUnavailable.

        While there are any somebody must pull: a lease that has run out is looked at only then.
        """
        ...

    def vault_queries(
        self, answer: Callable[[VaultQuery], Awaitable[VaultAnswer]]
    ) -> AbstractAsyncContextManager[None]:
        """Answer the orchestrator's vault queries while the context is open; one appliance of the zone gets each."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a job lies: the stream's epoch (its creation time; a wiped stream has another) and sequence number."""

    epoch: str
    seq: int


@dataclass(frozen=True, slots=True)
class RunView:
    """What the bus says of one run's jobs, for the reconciler."""

    epoch: str
    last_seq: int
    ack_floor: int
    """Every job up to this sequence number has been ended, or given up by the server after its second delivery."""
    waiting: int
    """Jobs that nobody has been given yet."""
    leased: int
    """Jobs that were given out and not ended; their leases may have run out."""
    reports_waiting: int
    """Reports of the run that the orchestrator has not taken yet."""
    delivered: int = 0
    """The last sequence number that has been given to an appliance."""


class ReportDelivery(Protocol):
    """One report, with the sender that its subject names (permissions let an appliance publish under no other)."""

    @property
    def report(self) -> Report: ...

    @property
    def sender(self) -> str: ...

    async def done(self) -> None:
        """The store has it. Never raises: a report that comes again is absorbed there."""
        ...


Hold = Callable[[PermitRequest, str], Awaitable[PermitAnswer | None]]
Ask = Callable[[Sequence[PermitAsk], str], Awaitable[Sequence[PermitAnswer | None] | None]]
"""How the pacer is asked: what, and by whom. None in place of the whole: the run is another orchestrator's."""


class OrchestratorBus(Protocol):
    """What the orchestrator needs. Made by `connect_orchestrator`."""

    @property
    def connected(self) -> bool:
        """Is the bus there now? It is found again by itself."""
        ...

    async def open_zone(self, zone: str) -> None:
        """Make or update the zone's stream. Idempotent. Raises BusError."""
        ...

    async def open_run(self, notice: RunNotice, capacity: int) -> None:
        """Make the run's consumer, which has at most `capacity` jobs out at a time, and announce the run; or do both
        anew. Idempotent. Raises BusError.
        """
        ...

    async def close_run(self, run: str, zone: str) -> None:
        """Withdraw the announcement, drop the consumers and what is left of the run's jobs and reports. Idempotent."""
        ...

    async def put(self, jobs: Sequence[Job]) -> Sequence[Placed | None]:
        """Publish jobs, pipelined, ids `<job>:<attempt>`; None where the server did not confirm within 15 s (the
        reconciler will see to it). A duplicate id within two minutes is confirmed and not stored again.
        """
        ...

    async def purge_run(self, run: str, zone: str) -> None:
        """Forget every job of the run that lies on the bus, and its consumer's state. Idempotent."""
        ...

    async def view(self, run: str, zone: str) -> RunView:
        """Raises BusUnavailable, or BusError when stream or consumer are gone (open them again)."""
        ...

    def reports(self, run: str) -> AbstractAsyncContextManager[AsyncIterator[Sequence[ReportDelivery]]]:
        """A run's reports in batches of at most 500, each batch at most 50 ms old. Unreadable ones are logged and
        dropped. When the context is left, the run's lost jobs are no longer ours to look for, until it is opened anew.
        """
        ...

    def permits(
        self,
        hold: Hold,
        ask: Ask,
    ) -> AbstractAsyncContextManager[None]:
        """Serve `ApplianceBus.permit` and `ask` while the context is open; the second argument is the sender that the
        subject names. They are served concurrently (what is held may take up to 5 s); an unreadable request is answered
        with SKIP, whatever else is in its message. Where the answer is None nothing is said.
        """
        ...

    def access(
        self, answer: Callable[[AccessRequest, str], Awaitable[AccessAnswer | None]]
    ) -> AbstractAsyncContextManager[None]:
        """Serve requests for check-outs and approvals while the context is open; the second argument is the sender
        that the subject names. They are served concurrently; an unreadable one is refused. Where the answer is None
        nothing is said.
        """
        ...

    def lost_jobs(self) -> AbstractAsyncContextManager[AsyncIterator[Job]]:
        """Jobs of runs that were opened here, delivered twice and never ended (the MAX_DELIVERIES advisory), taken off
        the stream.
        """
        ...

    def serve_control(self, answer: Callable[[str, bytes], Awaitable[bytes]]) -> AbstractAsyncContextManager[None]:
        """Answer `ControlBus.ask` while the context is open: verb and body in, body out. Served concurrently."""
        ...

    def serve_desk(
        self, name: str, desk: str, answer: Callable[[str, bytes], Awaitable[bytes | None]]
    ) -> AbstractAsyncContextManager[None]:
        """Answer `ask_desk` as the orchestrator of this name; None in place of an answer: nothing is said."""
        ...

    async def ask_desk(self, name: str, desk: str, verb: str, body: bytes, wait: float) -> bytes:
        """Ask another orchestrator. Raises BusUnavailable when it does not answer within `wait` seconds."""
        ...

    def appliances(self) -> AbstractAsyncContextManager[AsyncIterator[Mapping[str, Heartbeat]]]:
        """The appliances that are alive, by name: first as they are, then anew after every change or expiry."""
        ...

    async def ask_vault(self, zone: str, query: VaultQuery, wait: float) -> VaultAnswer:
        """Put a question to any appliance of a zone. Raises BusError when none answers within `wait` seconds."""
        ...

    async def close(self) -> None: ...


class FleetBus(Protocol):
    """What a fleet's office needs besides. The orchestrator's adapter has it too."""

    async def put_logins(self, zone: str, appliance: str, sealed: SealedLogins | None) -> None:
        """Keep them for the appliance, in place of those before; None takes them away. Raises BusError."""
        ...

    async def put_orders(self, orders: ZoneOrders) -> None:
        """In place of those that the zone had. Raises BusError."""
        ...

    def enrolments(
        self, answer: Callable[[EnrolmentRequest, str], Awaitable[EnrolmentAnswer]]
    ) -> AbstractAsyncContextManager[None]:
        """Answer machines that want to be appliances while the context is open; the second argument is the invitation
        that the subject names. An unreadable request is refused.
        """
        ...


class ControlBus(Protocol):
    """What a second command line needs to speak to the holder of a state directory. Made by `connect_control`."""

    async def ask(self, verb: str, body: bytes, wait: float) -> bytes:
        """Raises BusError when nobody answers within `wait` seconds."""
        ...

    async def close(self) -> None: ...

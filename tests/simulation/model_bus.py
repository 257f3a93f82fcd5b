"""Layer 1's bus: JetStream's facts (`sim_stream.py`) with faults on the way, driven by the kernel's heap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.bus import Placed, RunView
from appliance.contract import Report
from orchestrator.attempts import OpenAttempt
from tests.simulation.kernel import Actor, Kernel
from tests.simulation.options import Options
from tests.simulation.sim_stream import Consumer, Stream

COLLECTOR = "collector"
ACK_WAIT = 10.0
REPORT_WAIT = 30.0
KEPT = 1e9
"""When a lease falls due that somebody keeps alive: never."""


@dataclass(frozen=True, slots=True)
class Message:
    """A job on the stream."""

    run: str
    attempt: OpenAttempt


@dataclass(frozen=True, slots=True)
class Taken:
    """A report in the orchestrator's hands; `seq` is what its acknowledgement needs."""

    report: Report
    epoch: str
    seq: int


class Gone(Exception):
    """The stream or the run's consumer is not there: open it again."""


class ModelBus(Actor):
    def __init__(self, kernel: Kernel, options: Options) -> None:
        super().__init__()
        self.kernel = kernel
        self.options = options
        self.jobs: Stream[Message] | None = None
        self.reports: Stream[Report] = self._collector("epoch-0")
        self.poke_appliances: Callable[[], None] = lambda: None
        self.poke_orchestrator: Callable[[], None] = lambda: None
        self.advise: Callable[[Message], None] = lambda _: None
        self.paused: dict[str, None] = {}
        """Runs that the appliances have been told to take nothing of."""
        self._epochs = 0

    def strikes(self, fault: str) -> bool:
        """Does a fault strike now? Never after the healing."""
        options = self.options
        return options.on(fault) and self.kernel.now < options.heal_at and self.kernel.chance(options.rate)

    def delay(self, most: float = 0.05) -> float:
        return self.kernel.rng.uniform(0.001, most)

    @staticmethod
    def _collector(epoch: str) -> Stream[Report]:
        stream: Stream[Report] = Stream(epoch)
        stream.consumers[COLLECTOR] = Consumer(">", 1000, REPORT_WAIT, 0)
        return stream

    # -- the orchestrator's calls ------------------------------------------------------------------------------------

    def open(self, run: str, capacity: int) -> None:
        if self.jobs is None:
            self._epochs += 1
            self.jobs = Stream(f"epoch-{self._epochs}")
        self.jobs.consumers.setdefault(run, Consumer(run, capacity, ACK_WAIT, 2)).capacity = capacity

    def put(self, run: str, attempt: OpenAttempt) -> Placed | None:
        """Raises Gone."""
        if self.jobs is None:
            raise Gone
        message_id = f"{attempt.planned.job}:{attempt.attempt}"
        before = self.jobs.last_seq
        seq = self.jobs.publish(run, Message(run, attempt), message_id, self.kernel.now)
        placed = Placed(self.jobs.epoch, seq)
        if seq > before and self.strikes("lost-job"):
            self.jobs.remove(seq)  # acknowledged, then gone with the page cache
        self.poke_appliances()
        return None if self.strikes("lost-confirmation") else placed

    def purge(self, run: str) -> None:
        if self.jobs is not None and run in self.jobs.consumers:
            self.jobs.purge(run)
            consumer = self.jobs.consumers[run]
            self.jobs.consumers[run] = Consumer(run, consumer.capacity, ACK_WAIT, 2, delivered=self.jobs.last_seq)

    def close(self, run: str) -> None:
        if self.jobs is not None:
            self.jobs.purge(run)
            self.jobs.consumers.pop(run, None)

    def view(self, run: str) -> RunView:
        """Raises Gone."""
        if self.jobs is None or run not in self.jobs.consumers:
            raise Gone
        consumer = self.jobs.consumers[run]
        return RunView(
            epoch=self.jobs.epoch,
            last_seq=self.jobs.last_seq,
            ack_floor=consumer.ack_floor,
            waiting=len(self.jobs.waiting(run)),
            leased=len(consumer.pending),
            delivered=consumer.delivered,
            reports_waiting=len(self.reports.waiting(COLLECTOR)) + len(self.reports.consumers[COLLECTOR].pending),
        )

    def take_reports(self) -> list[Taken]:
        out, _ = self.reports.pull(COLLECTOR, 500, self.kernel.now)
        return [Taken(stored.body, self.reports.epoch, stored.seq) for stored, _ in out]

    def confirm(self, taken: Taken) -> None:
        if taken.epoch == self.reports.epoch and not self.strikes("copied-report"):
            self.reports.ack(COLLECTOR, taken.seq)

    def sweep(self, run: str) -> list[Message]:
        """Jobs that were given up while nobody listened."""
        consumer = self.jobs.consumers.get(run) if self.jobs is not None else None
        if self.jobs is None or consumer is None or consumer.pending:
            return []
        found = [self.jobs.remove(seq) for seq in list(consumer.given_up)]
        return [stored.body for stored in found if stored is not None]

    # -- an appliance's calls ----------------------------------------------------------------------------------------

    def lease(self, count: int) -> list[tuple[Message, str, int]]:
        """Jobs of any run: (message, epoch, seq). A lease is kept while its holder lives, unless that is lost."""
        got: list[tuple[Message, str, int]] = []
        if self.jobs is None:
            return got
        now = self.kernel.now
        for name, consumer in list(self.jobs.consumers.items()):
            if name in self.paused:
                continue
            out, given_up = self.jobs.pull(name, count - len(got), now)
            for stored, _ in out:
                got.append((stored.body, self.jobs.epoch, stored.seq))
                consumer.pending[stored.seq].due = self._due(now)
            for seq in given_up:
                self._give_up(seq)
        return got

    def _due(self, now: float) -> float:
        lapses = self.strikes("lapsed-lease")
        return now + self.kernel.rng.uniform(0.1, ACK_WAIT) if lapses else KEPT

    def _give_up(self, seq: int) -> None:
        if self.jobs is None or self.strikes("missed-advisory"):
            return
        stored = self.jobs.remove(seq)
        if stored is not None:
            self.advise(stored.body)

    def abandon(self, epoch: str, seq: int, run: str) -> None:
        """The holder of a lease has died: nobody keeps it any longer."""
        if self.jobs is None or self.jobs.epoch != epoch or run not in self.jobs.consumers:
            return
        pending = self.jobs.consumers[run].pending.get(seq)
        if pending is not None:
            pending.due = min(pending.due, self.kernel.now + self.kernel.rng.uniform(0.0, ACK_WAIT))

    def done(self, epoch: str, seq: int, run: str) -> None:
        if self.jobs is not None and self.jobs.epoch == epoch:
            self.jobs.ack(run, seq)

    def publish(self, report: Report) -> None:
        """Store a report; what may be lost is lost after it was confirmed."""
        message_id = f"{report.job}:{report.attempt}:{report.lease}"
        seq = self.reports.publish("report", report, message_id, self.kernel.now)
        if self.strikes("lost-report"):
            self.reports.remove(seq)
        self.poke_orchestrator()

    # -- disasters ---------------------------------------------------------------------------------------------------

    def wipe(self) -> None:
        """The server comes back with an empty store."""
        self.jobs = None
        self._epochs += 1
        self.reports = self._collector(f"reports-{self._epochs}")

"""JetStream as it was measured, without a server: streams, de-duplication, pull consumers. Pure: time comes as `now`.

The facts, each seen on nats-server 2.15.1:
 * an id is remembered for two minutes, whatever became of its message (acknowledged, purged);
 * a lease that runs out is looked at only when somebody pulls: then the job is delivered again, or, after its second
   delivery, given up with an advisory, and it stays in the stream;
 * giving back counts as a delivery; what is given back stays leased until its time;
 * the acknowledgement floor moves with acknowledgements only, and passes over what was given up;
 * a consumer hands out at most `capacity` unacknowledged messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

DEDUPE_S = 120.0


@dataclass
class Stored(Generic[T]):
    seq: int
    subject: str
    body: T


@dataclass
class Pending:
    count: int
    due: float


@dataclass
class Consumer(Generic[T]):
    """`max_deliver` 0 means without end."""

    subject: str
    capacity: int
    ack_wait: float
    max_deliver: int
    delivered: int = 0
    ack_floor: int = 0
    pending: dict[int, Pending] = field(default_factory=dict)
    given_up: dict[int, None] = field(default_factory=dict)

    def settle(self, seq: int) -> bool:
        """End a lease; False when there was none."""
        if self.pending.pop(seq, None) is None:
            return False
        self.ack_floor = min(self.pending) - 1 if self.pending else self.delivered
        return True


class Stream(Generic[T]):
    """A work queue."""

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self.last_seq = 0
        self.messages: dict[int, Stored[T]] = {}
        self.consumers: dict[str, Consumer[T]] = {}
        self._ids: dict[str, tuple[int, float]] = {}

    def publish(self, subject: str, body: T, msg_id: str, now: float) -> int:
        """The sequence number, an old one for an id that is remembered."""
        for known, (_, at) in list(self._ids.items()):
            if now - at < DEDUPE_S:
                break  # in order of time
            del self._ids[known]
        if msg_id in self._ids:
            return self._ids[msg_id][0]
        self.last_seq += 1
        self.messages[self.last_seq] = Stored(self.last_seq, subject, body)
        self._ids[msg_id] = (self.last_seq, now)
        return self.last_seq

    def pull(self, name: str, count: int, now: float) -> tuple[list[tuple[Stored[T], int]], list[int]]:
        """Messages with their delivery counts, and the sequence numbers that were given up while looking."""
        consumer = self.consumers[name]
        out: list[tuple[Stored[T], int]] = []
        given_up: list[int] = []
        for seq, pending in list(consumer.pending.items()):
            if pending.due > now:
                continue
            if consumer.max_deliver and pending.count >= consumer.max_deliver:
                del consumer.pending[seq]
                consumer.given_up[seq] = None
                given_up.append(seq)
            elif len(out) < count:
                pending.count, pending.due = pending.count + 1, now + consumer.ack_wait
                out.append((self.messages[seq], pending.count))
        for message in list(self.waiting(name)):
            if len(out) >= count or len(consumer.pending) >= consumer.capacity:
                break
            consumer.delivered = message.seq
            consumer.pending[message.seq] = Pending(1, now + consumer.ack_wait)
            out.append((message, 1))
        return out, given_up

    def waiting(self, name: str) -> list[Stored[T]]:
        consumer = self.consumers[name]
        return [
            m for m in self.messages.values() if m.seq > consumer.delivered and _matches(consumer.subject, m.subject)
        ]

    def next_due(self, name: str) -> float:
        """When a pull may next see something that it does not see now."""
        return min((p.due for p in self.consumers[name].pending.values()), default=float("inf"))

    def ack(self, name: str, seq: int) -> None:
        consumer = self.consumers.get(name)
        if consumer is not None and consumer.settle(seq):
            self.messages.pop(seq, None)

    def remove(self, seq: int) -> Stored[T] | None:
        """Delete a message wherever it stands, as an operator's delete, or a loss of the disk."""
        for consumer in self.consumers.values():
            consumer.settle(seq)
            consumer.given_up.pop(seq, None)
        return self.messages.pop(seq, None)

    def purge(self, subject: str) -> None:
        for seq in [m.seq for m in self.messages.values() if m.subject == subject]:
            self.remove(seq)


def _matches(pattern: str, subject: str) -> bool:
    return pattern in {subject, ">"}

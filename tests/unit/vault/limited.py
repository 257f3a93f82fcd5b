"""A vault that limits its rate, and clients that always want more, under a clock of its own: whole minutes at once."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from random import Random

from appliance.vault.pace import Pace, Turn


@dataclass
class Bucket:
    """As the simulated vault has it (`targets.secret_server.weather`)."""

    per_second: float
    """0: no limit."""
    burst: float
    names_pause: bool = True
    filled_at: float = 0.0
    allowance: float = field(init=False)

    def __post_init__(self) -> None:
        self.allowance = self.burst

    def refuses(self, now: float) -> float | None:
        """None for an answer; else the seconds of Retry-After."""
        if not self.per_second:
            return None
        self.allowance = min(self.burst, self.allowance + (now - self.filled_at) * self.per_second)
        self.filled_at = now
        if self.allowance >= 1:
            self.allowance -= 1
            return None
        return float(ceil((1 - self.allowance) / self.per_second)) if self.names_pause else 0.0


@dataclass
class Client:
    """A scan process: at most `at_once` requests in flight, as soon as its pace allows."""

    pace: Pace
    at_once: int = 8
    begins: float = 0.0
    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    in_flight: int = 0
    waits: bool = False

    def share(self, since: float, until: float) -> float:
        """Answers a second."""
        return sum(since <= at < until for at in self.answered) / (until - since)


def clients(number: int, seed: int = 1, **given: float) -> list[Client]:
    rng = Random(seed)  # noqa: S311 - a seeded source is the point
    return [Client(Pace(rng.random), **given) for _ in range(number)]  # type: ignore[arg-type]  # its own fields


def run(
    vault: Bucket,
    crowd: list[Client],
    seconds: float,
    *,
    latency: float = 0.01,
    seed: int = 1,
    events: dict[float, Callable[[float], None]] | None = None,
) -> None:
    """`events`: what happens to the vault, and when."""
    rng = Random(seed)  # noqa: S311 - a seeded source is the point
    number = 0
    heap: list[tuple[float, int, Callable[[float], None]]] = []

    def at(when: float, what: Callable[[float], None]) -> None:
        nonlocal number
        number += 1
        heapq.heappush(heap, (when, number, what))

    def ask(client: Client, now: float, *, waited: bool) -> None:
        while client.in_flight < client.at_once and not (client.waits and not waited):
            due = client.pace.due(now)
            if due > now:
                client.waits = True
                at(due, lambda then: ask(client, then, waited=True))
                return
            client.waits = False
            turn = client.pace.sent(now, waited=waited)
            waited = False
            client.in_flight += 1
            client.sent.append(now)
            pause = vault.refuses(now)
            took = latency * rng.uniform(0.5, 1.5)
            at(now + took, lambda then, turn=turn, pause=pause: told(client, turn, pause, then))  # type: ignore[misc]
        client.waits = client.waits and not waited

    def told(client: Client, turn: Turn, pause: float | None, now: float) -> None:
        client.in_flight -= 1
        if pause is None:
            client.answered.append(now)
            client.pace.answered(turn, now)
        else:
            client.refused.append(now)
            client.pace.turned_away(turn, now, pause)
        ask(client, now, waited=False)

    for client in crowd:
        at(client.begins, lambda now, client=client: ask(client, now, waited=False))  # type: ignore[misc]
    for when, event in (events or {}).items():
        at(when, event)
    while heap and heap[0][0] < seconds:
        now, _, what = heapq.heappop(heap)
        what(now)

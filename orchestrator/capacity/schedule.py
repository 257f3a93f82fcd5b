"""How long jobs take that share places, or that may begin at a certain rate only. Pure.

The rules, stated here and nowhere else:

 L1 blocks      A target is one block: for `busy` seconds it holds a place, after `elapsed` (pauses between attempts
                included) it has its outcome. Its attempts are taken to follow one another at once, in one place.
 L2 order       Blocks begin in a fixed order, each as soon as a place is free. So more places, or shorter blocks, never
                make anything later (jobs that do not wait for each other have no anomalies: R. L. Graham, 1969).
 L3 mix         The blocks of a run are drawn evenly from those that were measured, by length: of 5 % slow ones among
                those measured it has 5 %, however many there are, and they are spread over its order.
 L4 long runs   Of more than MOST blocks, MOST are laid out; the others add what they hold of the places.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.permutation import Permutation

MOST = 20_000
_SEED = 1


@dataclass(frozen=True, slots=True)
class Block:
    """Seconds."""

    busy: float
    elapsed: float


@dataclass(frozen=True, slots=True)
class Queue:
    """So many blocks, of which at most MOST are laid out, in their order."""

    count: int
    blocks: tuple[Block, ...]

    @property
    def busy_mean(self) -> float:
        return sum(block.busy for block in self.blocks) / len(self.blocks) if self.blocks else 0.0

    @property
    def slowest(self) -> float:
        return max((block.elapsed for block in self.blocks), default=0.0)


def queue_of(parts: Sequence[tuple[Sequence[Block], int]]) -> Queue:
    """For each part so many blocks like those that were measured, of which there must be one (L3)."""
    count = sum(number for _, number in parts)
    laid: list[Block] = []
    for measured, number in parts:
        of_part = number if count <= MOST else -(-number * MOST // count)
        by_length = sorted(measured, key=lambda block: (block.elapsed, block.busy))
        laid += (by_length[(2 * place + 1) * len(by_length) // (2 * of_part)] for place in range(of_part))
    order = Permutation(len(laid), _SEED)
    return Queue(count, tuple(laid[order[n]] for n in range(len(laid))))


def with_places(queue: Queue, places: int) -> float:
    """Seconds until all blocks have their outcome with so many places (L2), of which there must be one."""
    free = [0.0] * min(places, len(queue.blocks))
    over = 0.0
    for block in queue.blocks:
        began = free[0]
        heapq.heapreplace(free, began + block.busy)
        over = max(over, began + block.elapsed)
    return over + max(0, queue.count - len(queue.blocks)) * queue.busy_mean / places


def at_rate(queue: Queue, per_s: float) -> float:
    """Seconds until all blocks have their outcome when they begin at this rate."""
    laid = len(queue.blocks)
    if not laid:
        return 0.0
    spread = queue.count / per_s
    return max(spread * place / laid + block.elapsed for place, block in enumerate(queue.blocks, 1))

"""Jobs that wait for room: at an account of a directory, in a subnet, at a vault, or in the window
of their zone. Pure.

They wait in queues, one for each account, subnet, vault and zone, since that alone decides whether a job fits: so a
step looks at the heads of the queues, and not at each of thousands that wait for one account. (2,500 targets of one
directory account: of 33 s that a run took, 11.6 s were spent on asking each of the held ones again, step by step.)
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from appliance.contract import Account

T = TypeVar("T")
Place = tuple[Account | None, str, str, str]
"""Where there must be room: the directory account, if the plan knows it; the subnet, where one is capped; the vault,
where only one could serve the job; and the zone that the target belongs to.
"""


class Waiting(Generic[T]):
    """In order of coming, over all queues."""

    def __init__(self) -> None:
        self._queues: dict[Place, deque[tuple[int, T]]] = {}
        self._first, self._last = 0, 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def count(self, of: Callable[[Place], bool]) -> int:
        """Of those in such places."""
        return sum(len(queue) for place, queue in self._queues.items() if of(place))

    def by_zone(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for (_, _, _, zone), queue in self._queues.items():
            found[zone] = found.get(zone, 0) + len(queue)
        return found

    def put(self, place: Place, job: T) -> None:
        self._last += 1
        self._queues.setdefault(place, deque()).append((self._last, job))
        self._length += 1

    def put_first(self, jobs: Iterable[tuple[Place, T]]) -> None:
        """Before all others, in this order."""
        for place, job in reversed(list(jobs)):
            self._first -= 1
            self._queues.setdefault(place, deque()).appendleft((self._first, job))
            self._length += 1

    def take(self, fits: Callable[[Place], bool]) -> Iterator[tuple[Place, T]]:
        """Each job that fits when its turn comes, taken out. Whoever wants no more stops asking, and gives what it has
        not used back by `put_first`.
        """
        heads = [(queue[0][0], place) for place, queue in self._queues.items() if fits(place)]
        turns = [(number, n, place) for n, (number, place) in enumerate(heads)]  # places have no order
        heapq.heapify(turns)
        while turns:
            _, n, place = heapq.heappop(turns)
            if not fits(place):
                continue
            queue = self._queues[place]
            _, job = queue.popleft()
            self._length -= 1
            if queue:
                heapq.heappush(turns, (queue[0][0], n, place))
            else:
                del self._queues[place]
            yield place, job

"""What goes out next. Pure: time, lease tokens and known host keys come from outside; I/O is the caller's.

The rules, stated here and nowhere else:

 D1 window      At most WINDOW x capacity attempts are open in a zone at once, so that its stream never holds a run's
                whole plan. An attempt goes to the zone of its target, or to whom its caller says stands in for it
                (`zone_watch`); a zone without room holds up no other.
 D2 round-robin New targets are taken from the cursors in turn; due repeats go before new targets.
 D3 account     Of one directory account that is known at plan as many attempts are open as keep its permits in use
                (`crowd`), and any number while its breaker is open (then nobody waits for a permit). What must wait is
                held, in order; when HELD_LIMIT targets are held, no new ones are taken. Its cursor has passed a held
                target: the store must know of it.
 D4 subnet      At most `per_subnet` attempts are open in one /24 (IPv4) or /64 (IPv6), where the campaign sets it: of
                all runs of the holder that set one (`shared_room`).
 D5 one         At most one attempt of a job is open. A new attempt has the next number and a fresh lease token.
 D6 vault       A job that only vaults that are away could serve waits (`vault_watch`), apart from those held under D3;
                with PARKED_LIMIT of them no new targets are taken.
 D7 stop        A job is left out, and ends, when an admin's stop binds every login that is left to it (`stops`), before
                its first attempt or before the next one. Where only some are stopped it goes out: the target says which
                login applies, and the permit decides.
 D8 approval    A job that only secrets whose approval is waited for could serve waits (`approval_watch`), and so does
                one whose target has chosen such a secret; counted under D6's limit.
 D9 due         A target is not taken before it is due, where whoever made the dispatcher says when (a load test).
 D10 rate       For a vault that limits its rate as many attempts are open as its appliances have room for
                (`vault_room`), of all runs of the holder (`shared_room`). What must wait is held as under D3.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from types import MappingProxyType
from typing import Protocol, TypeVar

from appliance.contract import Account, Candidate, CredentialRef, Target
from orchestrator.approval_watch import ApprovalWatch, Unapproved
from orchestrator.attempts import OpenAttempt, Planned, Repeat, Unplannable
from orchestrator.crowd import Crowd
from orchestrator.shared_room import RoomOf
from orchestrator.stops import Stop
from orchestrator.vault_watch import Away, VaultWatch
from orchestrator.waiting import Place, Waiting

K = TypeVar("K")

WINDOW = 4
LIMIT = 500
"""Attempts of one step."""
HELD_LIMIT = 4096
PARKED_LIMIT = 65_536


class Source(Protocol):
    """The plan as the dispatcher sees it: named cursors, each resumable by index."""

    def cursors(self) -> Sequence[str]: ...

    def count(self, cursor: str) -> int: ...

    def zone(self, cursor: str) -> str:
        """That all its targets belong to."""
        ...

    def at(self, cursor: str, index: int) -> Planned | Unplannable: ...


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A job that will not be dispatched (again), since an admin has stopped what it would use."""

    planned: Planned
    stop: Stop
    after: int
    """Its newest attempt, which is over, whether it was reported or not; 0 for none."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One step of dispatching: attempts to write down and publish, and targets that end at once."""

    attempts: tuple[OpenAttempt, ...] = ()
    unplannable: tuple[Unplannable, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    held: tuple[Planned, ...] = ()
    """Targets taken from their cursors that must wait: to be written down, since a restart would pass over them."""
    cursors: Mapping[str, int] = field(default_factory=dict)
    """Every cursor's next index after this step; written in the same transaction as the attempts."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What the campaign asks of the dispatcher and the appliances."""

    deadline: float
    vault_patience: float
    retries: int = 1
    per_subnet: int = 0
    throttle_patience: float = 300.0
    """Seconds for which a host that turns us away is asked again."""


NO_ROUTE: Mapping[str, str] = MappingProxyType({})
StopOn = Callable[[Candidate], Stop | None]
"""The admin's stop that binds a login, if there is one."""
Due = Callable[[str, int], float]
"""When the target at an index of a cursor is due. Those of one cursor are due in their order."""


class Dispatcher:
    """A run's open attempts, its cursors and its repeats."""

    def __init__(
        self,
        source: Source,
        pace: Pace,
        cursors: Mapping[str, int],
        lease: Callable[[], str],
        budget: Callable[[Account], int],
        due: Due = lambda _cursor, _index: 0.0,
        room: RoomOf | None = None,
        vault_key: Callable[[str], str] = str,
    ) -> None:
        """`room`: what other runs leave of subnets and vaults; `vault_key`: what tells a vault, by its title here, from
        those of other campaigns.
        """
        self._due_at = due
        self._opens: float | None = None
        """When the next target is due, if that is all that keeps it."""
        self._source = source
        self._pace = pace
        self._lease = lease
        self._budget = budget
        self._next = {name: cursors.get(name, 0) for name in source.cursors()}
        self._turn: deque[str] = deque(source.cursors())
        self._open: dict[str, OpenAttempt] = {}
        self._repeats: list[tuple[float, int, Repeat]] = []
        self._sequence = 0
        self._watch: VaultWatch[Repeat] = VaultWatch(pace.vault_patience)
        self._approvals: ApprovalWatch[Repeat] = ApprovalWatch()
        self._room = room if room is not None else RoomOf(per_subnet=pace.per_subnet)
        self._vault_key = vault_key
        self._held: Waiting[Repeat] = Waiting()
        self._by_account: dict[Account, int] = {}
        self._by_zone: dict[str, int] = {}
        self._windows: Mapping[str, int] = {}
        """Attempts that may be open in each zone, as of this step."""
        self._route: Mapping[str, str] = {}
        self._taken: dict[str, int] = {}
        """By home: jobs that have left their cursors, or were never in one, and have not ended."""
        self._crowds: dict[Account, Crowd] = {}

    # -- what goes out -------------------------------------------------------------------------------------------------

    def step(
        self,
        *,
        capacity: Mapping[str, int],
        now: float,
        broken: Callable[[Account], bool],
        stop_on: StopOn,
        route: Mapping[str, str] = NO_ROUTE,
        limit: int = LIMIT,
    ) -> Batch:
        """The next attempts. `capacity`: by zone; `broken` says whether an account's breaker is open for this run;
        `route`: who stands in for a zone.
        """
        self._opens = None
        self._room.at(now)
        self._windows, self._route = {zone: WINDOW * places for zone, places in capacity.items()}, route
        if not any(self._by_zone.get(zone, 0) < window for zone, window in self._windows.items()):
            return Batch(cursors=dict(self._next))
        left_out: list[LeftOut] = []
        attempts = self._due(now, broken, stop_on, limit, left_out)
        unplannable: list[Unplannable] = []
        held: list[Planned] = []
        while len(attempts) < limit and max(len(unplannable) + len(left_out), len(held)) < limit and self._may_hold:
            fresh = self._fresh(now)
            if fresh is None:
                break
            if isinstance(fresh, Unplannable):
                unplannable.append(fresh)
            elif (stop := _stop_of(fresh, stop_on)) is not None:
                left_out.append(LeftOut(fresh.planned, stop, after=0))
                self._take(fresh.planned, -1)
            elif self._parked(fresh, now):
                held.append(fresh.planned)
            elif self._fits(self._place(fresh), broken):
                attempts.append(self._start(fresh, now))
            else:
                self._hold(fresh)
                held.append(fresh.planned)
        return Batch(tuple(attempts), tuple(unplannable), tuple(left_out), tuple(held), dict(self._next))

    def _due(
        self, now: float, broken: Callable[[Account], bool], stop_on: StopOn, limit: int, left_out: list[LeftOut]
    ) -> list[OpenAttempt]:
        """Start held and repeated jobs whose time has come and that fit, in order; the others stay, in order, but for
        those that are left out.
        """
        while self._repeats and self._repeats[0][0] <= now:
            self._hold(heapq.heappop(self._repeats)[2])
        started: list[OpenAttempt] = []
        back: list[tuple[Place, Repeat]] = []
        for repeat in self._watch.released(now):
            place = self._place(repeat)
            if (stop := _stop_of(repeat, stop_on)) is not None:
                left_out.append(self._leave_out(repeat, stop))
            elif len(started) < limit and self._fits(place, broken):
                started.append(self._start(repeat, now))
            else:
                back.append((place, repeat))
        for place, repeat in self._held.take(lambda place: self._fits(place, broken)):
            if (stop := _stop_of(repeat, stop_on)) is not None:
                left_out.append(self._leave_out(repeat, stop))
            elif self._parked(repeat, now):
                continue
            elif len(started) < limit:
                started.append(self._start(repeat, now))
            else:
                back.append((place, repeat))
                break
        self._held.put_first(back)
        return started

    def _leave_out(self, repeat: Repeat, stop: Stop) -> LeftOut:
        self._take(repeat.planned, -1)
        return LeftOut(repeat.planned, stop, after=repeat.attempt - 1)

    def _take(self, planned: Planned, step: int) -> None:
        _add(self._taken, planned.zone, step)

    def _hold(self, repeat: Repeat) -> None:
        self._held.put(self._place(repeat), repeat)

    def _place(self, repeat: Repeat) -> Place:
        """Where it needs room."""
        subnet = subnet_of(repeat.planned.target) if self._pace.per_subnet else ""
        return repeat.planned.account, subnet, _only_vault(repeat.planned, repeat.tried), repeat.planned.zone

    @property
    def _may_hold(self) -> bool:
        return len(self._held) < HELD_LIMIT and self._parked_all < PARKED_LIMIT

    @property
    def _parked_all(self) -> int:
        return self._watch.parked + self._approvals.parked

    def _parked(self, repeat: Repeat, now: float) -> bool:
        """Does it wait for a vault or an approval (from now on)?"""
        vault = self._watch.parked_by(_vaults(repeat), now)
        if vault is not None:
            self._watch.park(vault, repeat)
            return True
        return self._approvals.parks(repeat, _secrets(repeat), repeat.waits_for)

    def _fresh(self, now: float) -> Repeat | Unplannable | None:
        for _ in range(len(self._turn)):
            name = self._turn[0]
            self._turn.rotate(-1)
            index = self._next[name]
            if index < self._source.count(name) and self._zone_has_room(self._source.zone(name)):
                if (due := self._due_at(name, index)) > now:
                    self._opens = due if self._opens is None else min(self._opens, due)
                    continue
                self._next[name] = index + 1
                planned = self._source.at(name, index)
                if isinstance(planned, Unplannable):
                    return planned
                self._take(planned, 1)
                return Repeat(planned, attempt=1, not_before=now)
        return None

    def _zone_has_room(self, home: str) -> bool:
        zone = self._route.get(home, home)
        return self._by_zone.get(zone, 0) < self._windows.get(zone, 0)

    def _fits(self, place: Place, broken: Callable[[Account], bool]) -> bool:
        account, subnet, vault, home = place
        if not self._zone_has_room(home):
            return False
        crowd = self._by_account.get(account, 0) if account is not None else 0
        if account is not None and crowd >= self._crowd(account).limit and not broken(account):
            return False
        if vault and not self._room.vault_has_room(self._vault_key(vault)):
            return False
        return not subnet or self._room.subnet_has_room(subnet)

    def _crowd(self, account: Account) -> Crowd:
        return self._crowds.setdefault(account, Crowd(self._budget(account)))

    def _start(self, repeat: Repeat, now: float) -> OpenAttempt:
        waited = repeat.waiting_since
        give_up_at = (waited if waited is not None else now) + self._pace.vault_patience
        if (over := self._watch.gives_up_at(_vaults(repeat))) is not None:
            give_up_at = min(give_up_at, over)
        attempt = OpenAttempt(
            planned=repeat.planned,
            attempt=repeat.attempt,
            lease=self._lease(),
            dispatched_at=now,
            give_up_at=give_up_at,
            retries=repeat.retries,
            rotations=repeat.rotations,
            tried=repeat.tried,
            waiting_since=waited,
            turned_away=repeat.turned_away,
            turned_away_since=repeat.turned_away_since,
            zone=self._route.get(repeat.planned.zone, repeat.planned.zone),
        )
        self._open[repeat.planned.job] = attempt
        self._count(attempt, 1)
        return attempt

    # -- what came back ------------------------------------------------------------------------------------------------

    def open(self, job: str) -> OpenAttempt | None:
        return self._open.get(job)

    def open_attempts(self) -> Sequence[OpenAttempt]:
        return tuple(self._open.values())

    def close(self, job: str) -> None:
        """The job's open attempt has ended. Idempotent."""
        if (attempt := self._no_longer_open(job)) is not None:
            self._take(attempt.planned, -1)

    def _no_longer_open(self, job: str) -> OpenAttempt | None:
        attempt = self._open.pop(job, None)
        if attempt is not None:
            self._count(attempt, -1)
        return attempt

    def again(self, repeat: Repeat) -> None:
        """Dispatch a job anew when its time has come. Its open attempt, if any, is closed: it has been superseded."""
        if self._no_longer_open(repeat.planned.job) is None:
            self._take(repeat.planned, 1)
        if self._parked(repeat, repeat.not_before):
            return
        self._sequence += 1
        heapq.heappush(self._repeats, (repeat.not_before, self._sequence, repeat))

    def permit_waited(self, attempt: OpenAttempt, seconds: float, *, now: float) -> None:
        """An attempt, which is still open, had to wait so long for its permit, or was `crowd.PUT_OFF`."""
        account = attempt.planned.account
        if account is not None:
            open_now = self._by_account.get(account, 0)
            self._crowd(account).waited(seconds, dispatched_at=attempt.dispatched_at, open_now=open_now, now=now)

    def leave(self) -> None:
        """Nothing more goes out, and whoever shares subnets and vaults with this run has them to himself."""
        self._room.leave()

    def vault_away(self, vault: str, *, now: float, until: float) -> None:
        self._watch.away(vault, now=now, until=until)

    def vault_back(self, vault: str, attempt: OpenAttempt) -> None:
        """The vault was there for this attempt."""
        for repeat in self._watch.back(vault, attempt.dispatched_at):
            self._hold(repeat)

    def vault_full(self, vault: str, *, now: float) -> None:
        """An attempt found no room there, since the vault limits its rate; to be told before its job goes on."""
        self._room.vault_full(self._vault_key(vault), now)

    def vault_has_room(self, attempt: OpenAttempt, *, now: float) -> None:
        """An attempt ended, and not for that."""
        if vault := _only_vault(attempt.planned, attempt.tried):
            self._room.vault_ended(self._vault_key(vault), now)

    def approval_waits(self, secret: CredentialRef, since: float) -> None:
        self._approvals.waits(secret, since)

    def approval_over(self, secret: CredentialRef) -> None:
        """There is an answer, whichever: who has waited for it goes on."""
        for repeat in self._approvals.over(secret):
            self._hold(repeat)

    # -- questions -----------------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        waiting = self._open or self._repeats or self._held or self._parked_all
        return not waiting and not self.fresh_left

    @property
    def fresh_left(self) -> int:
        return sum(self._source.count(name) - index for name, index in self._next.items())

    @property
    def in_flight(self) -> int:
        return len(self._open)

    @property
    def in_flight_by_zone(self) -> Mapping[str, int]:
        return dict(self._by_zone)

    def ready(self) -> Mapping[str, int]:
        """Jobs that wait for room alone, and targets that have not been taken yet, by home."""
        ready = self._fresh_by_home()
        for home, number in self._held.by_zone().items():
            _add(ready, home, number)
        return ready

    def _fresh_by_home(self) -> dict[str, int]:
        fresh: dict[str, int] = {}
        for name, index in self._next.items():
            _add(fresh, self._source.zone(name), self._source.count(name) - index)
        return fresh

    def left(self) -> Mapping[str, int]:
        """Jobs that have not ended, by home; homes that have none are left out."""
        left = self._fresh_by_home()
        for home, number in self._taken.items():
            _add(left, home, number)
        return left

    @property
    def waiting(self) -> int:
        """Jobs that wait for others of their account, subnet or vault (D3, D4, D10)."""
        return len(self._held)

    @property
    def held(self) -> int:
        """Jobs that wait for others of their account or subnet (D3, D4)."""

        def for_another_reason(place: Place) -> bool:
            return not place[2] or self._room.vault_has_room(self._vault_key(place[2]), asks=False)

        return self._held.count(for_another_reason)

    def next_due(self) -> float | None:
        """When the earliest job that waits for its time, or for a vault, may go out."""
        dues = [self._repeats[0][0] if self._repeats else None, self._watch.next_due(), self._opens]
        return min((due for due in dues if due is not None), default=None)

    @property
    def unapproved(self) -> tuple[Unapproved, ...]:
        return self._approvals.unapproved()

    @property
    def vaults_away(self) -> tuple[Away, ...]:
        return self._watch.those_away()

    def _count(self, attempt: OpenAttempt, step: int) -> None:
        account = attempt.planned.account
        _add(self._by_zone, attempt.zone, step)
        if account is not None:
            _add(self._by_account, account, step)
        if self._pace.per_subnet:
            self._room.count_subnet(subnet_of(attempt.planned.target), step)
        if vault := _only_vault(attempt.planned, attempt.tried):
            self._room.count_vault(self._vault_key(vault), step)


def _add(counts: dict[K, int], key: K, step: int) -> None:
    """What has come to nothing is forgotten."""
    count = counts.get(key, 0) + step
    if count:
        counts[key] = count
    else:
        counts.pop(key, None)


def _vaults(repeat: Repeat) -> tuple[str, ...]:
    """Those that could serve the job."""
    return tuple(s.vault for c in repeat.planned.candidates if c.record not in repeat.tried for s in c.secrets)


def _only_vault(planned: Planned, tried: Sequence[str]) -> str:
    """The one that alone could serve the job; empty where there are several."""
    vaults = dict.fromkeys(secret.vault for c in planned.candidates if c.record not in tried for secret in c.secrets)
    return next(iter(vaults)) if len(vaults) == 1 else ""


def _secrets(repeat: Repeat) -> tuple[CredentialRef, ...]:
    return tuple(c.secret for c in repeat.planned.candidates if c.record not in repeat.tried)


def _stop_of(repeat: Repeat, stop_on: StopOn) -> Stop | None:
    """The stop that leaves a job no login (D7)."""
    stops = [stop_on(candidate) for candidate in repeat.planned.candidates if candidate.record not in repeat.tried]
    return stops[0] if stops and all(stop is not None for stop in stops) else None


def subnet_of(target: Target) -> str:
    """The /24 or /64 of a literal; a name counts as a subnet of its own."""
    try:
        ip = ip_address(target.address)
    except ValueError:
        return target.address
    return str(ip_network((ip, 24 if ip.version == 4 else 64), strict=False))

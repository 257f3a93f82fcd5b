"""The office of check-outs: one per run and secret, given back exactly once, whatever is lost in between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import anyio
import pytest

from appliance.access import AccessAnswer, AccessKind, AccessRequest
from appliance.bus import BusError
from appliance.contract import (
    Account,
    Candidate,
    CredentialRef,
    Jump,
    SecretLookup,
    Selection,
    Target,
    Technology,
    Ticket,
)
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from orchestrator.attempts import OpenAttempt, Planned
from orchestrator.check_outs import TEND_S, CheckOutOffice
from orchestrator.purposes import Purposes, VaultTerms
from orchestrator.stops import Selector, Stop, Stops
from orchestrator.store.records import CheckOutRow
from orchestrator.vault_use import VaultUse
from tests.simulation.virtual_loop import run as run_virtually
from tests.unit.orchestrator.office_rows import Rows

URL, USER = "https://vault.example", "svc"
SECRET = CredentialRef(vault="Vault", by=SecretLookup.NAME, key="shared")
JUMP = CredentialRef(vault="Vault", by=SecretLookup.NAME, key="jump")
ID = 7


@dataclass
class Vault:
    """One secret, one user of ours; it does what is ordered, and loses what it is told to lose."""

    clock: Clock
    held_until: float = 0.0
    by_somebody: bool = False
    outs: int = 0
    ins: int = 0
    asked: int = 0
    told: list[tuple[str, str, str, bool]] = field(default_factory=list)
    minutes: int = 30
    away: bool = False
    loses_answers: int = 0
    slow: float = 0.01
    needless: bool = False
    extends: bool = True
    """False: over SOAP it only says how long it is held still."""

    @property
    def ours(self) -> bool:
        return self.clock() < self.held_until

    async def ask(self, zone: str, query: VaultQuery, wait: float) -> VaultAnswer:
        self.asked += 1
        self.told.append((query.kind.value, query.comment, query.ticket.number if query.ticket else "", query.told))
        assert (zone, query.vault) == ("z", "Vault")
        assert query.secret == CredentialRef(vault="Vault", by=SecretLookup.ID, key=str(ID))
        await anyio.sleep(self.slow)
        if self.away:
            raise BusError("nobody answers")
        answer = self._obey(query)
        if self.loses_answers:
            self.loses_answers -= 1
            await anyio.sleep(wait)
            raise BusError("the answer is lost")
        return answer

    def _obey(self, query: VaultQuery) -> VaultAnswer:
        if query.kind is VaultQueryKind.CHECK_OUT:
            if self.by_somebody:
                return VaultAnswer(ok=False, reason="SECRET_CHECKED_OUT_BY", text="checked out by somebody")
            if self.ours:
                return VaultAnswer(ok=True, facts={"minutes": str(self.minutes), "already": "yes"})
            if self.needless:
                return VaultAnswer(ok=True, facts={"needless": "yes"})
            self.outs += 1
            self.held_until = self.clock() + self.minutes * 60
            return VaultAnswer(ok=True, facts={"minutes": str(self.minutes)})
        if query.kind is VaultQueryKind.EXTEND:
            if not self.extends and not self.ours:
                return VaultAnswer(ok=False, reason="SECRET_NEEDS_CHECKOUT")
            self.held_until += query.minutes * 60 if self.extends else 0
            return VaultAnswer(ok=True, facts={"minutes": str(int((self.held_until - self.clock()) // 60))})
        if not self.ours:
            return VaultAnswer(ok=True, facts={"already": "yes"})
        self.ins += 1
        self.held_until = 0.0
        return VaultAnswer(ok=True)


@dataclass
class Clock:
    began: float = 1000.0

    def __call__(self) -> float:
        return self.began + anyio.current_time()


@dataclass
class Run:
    run: str = "one"
    allowed: bool = True
    needed: bool = True
    terms: VaultTerms = field(default_factory=VaultTerms)
    jobs: dict[str, OpenAttempt] = field(default_factory=dict)

    @property
    def vaults(self) -> Iterable[VaultUse]:
        return (VaultUse("Vault", URL, USER, self.allowed),)

    @property
    def purposes(self) -> Purposes:
        return Purposes("c", self.run, {"Vault": self.terms})

    def asked_in(self, zone: str) -> str:
        return "z"

    def current(self, job: str) -> OpenAttempt | None:
        return self.jobs.get(job)

    def approval_waits(self, secret: CredentialRef, since: float) -> None: ...

    def approval_over(self, secret: CredentialRef) -> None: ...

    async def needs(self, secret: CredentialRef) -> bool:
        assert secret in (SECRET, JUMP)
        return self.needed

    def request(self, job: str = "j1", *, lease: str = "lease", secret: CredentialRef = SECRET) -> AccessRequest:
        account = Account(authority="host:h", user="u")
        jump = Jump(address="b", port=22, user="j", account=account, secret=JUMP)
        candidate = Candidate(
            record="r", user="u", account=account, secret=SECRET, selection=Selection.IP, port=22, jump=jump
        )
        planned = Planned(job, Technology.UNIX, Target(address="10.0.0.1"), (candidate,))
        self.jobs[job] = OpenAttempt(planned, 1, "lease", 0.0, 0.0)
        return AccessRequest(
            kind=AccessKind.CHECK_OUT, run=self.run, job=job, attempt=1, lease=lease, secret=secret, secret_id=ID
        )


@dataclass
class Bench:
    clock: Clock = field(default_factory=Clock)
    rows: Rows[CheckOutRow] = field(default_factory=Rows)
    stops: Stops = field(default_factory=Stops)
    vault: Vault = field(init=False)

    def __post_init__(self) -> None:
        self.vault = Vault(self.clock)

    def office(self, *elsewhere: str) -> CheckOutOffice:
        """`elsewhere`: runs of other orchestrators."""
        return CheckOutOffice(self.rows, self.vault.ask, self.clock, self.stops, elsewhere.__contains__)

    @asynccontextmanager
    async def open(self, office: CheckOutOffice, run: Run) -> AsyncIterator[None]:
        """A run's life as the service lives it."""
        await office.enter(run)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(office.tend, run)
            yield
            tasks.cancel_scope.cancel()
        await office.leave(run)


def virtually(story: Callable[[Bench], Awaitable[None]]) -> Callable[[], None]:
    """The test, on a clock that jumps to whatever is due next."""

    def test() -> None:
        run_virtually(lambda: story(Bench()), Random(7))  # noqa: S311 - a seed, no secret

    test.__doc__ = story.__doc__
    return test


@virtually
async def test_a_thousand_ask_and_one_check_out_is_made_and_given_back_once(b: Bench) -> None:
    run, office = Run(), b.office()
    answers: list[AccessAnswer] = []

    async def ask(number: int) -> None:
        answers.append(await office.request(run.request(f"j{number}"), "a"))

    async with b.open(office, run):
        async with anyio.create_task_group() as tasks:
            for number in range(1000):
                tasks.start_soon(ask, number)
        assert b.vault.ours
    assert {answer.ok for answer in answers} == {True}
    assert (b.vault.outs, b.vault.ins, b.rows.rows) == (1, 1, {})
    assert b.vault.asked < 10


@virtually
async def test_the_vault_is_told_the_campaigns_comment_and_ticket(b: Bench) -> None:
    run, office = Run(terms=VaultTerms("{campaign}, run {run}: {target}", Ticket(number="CHG-1"))), b.office()
    async with b.open(office, run):
        await office.request(run.request(), "a")
    whom = "c, run one: all targets of secret shared"
    assert b.vault.told == [("check-out", whom, "CHG-1", True), ("check-in", whom, "CHG-1", True)]


@virtually
async def test_what_a_dead_run_left_is_given_back_in_its_own_name(b: Bench) -> None:
    first, run = b.office(), Run("dead")
    await first.enter(run)
    await first.request(run.request(), "a")
    await b.office().enter(Run("later", terms=VaultTerms("{run}", Ticket(number="CHG-1"))))
    said = "left by keymuster run dead, given back by run later"
    assert b.vault.told == [
        ("check-out", "keymuster run dead, secret shared", "", False),
        ("check-in", said, "CHG-1", True),
    ]


@virtually
async def test_it_is_held_on_while_the_run_works(b: Bench) -> None:
    run, office = Run(), b.office()
    async with b.open(office, run):
        await office.request(run.request(), "a")
        for _ in range(600):
            await anyio.sleep(30)
            assert b.vault.ours
    assert (b.vault.outs, b.vault.ins) == (1, 1)


@virtually
async def test_one_that_cannot_be_made_longer_runs_out_and_is_taken_anew(b: Bench) -> None:
    run, office = Run(), b.office()
    b.vault.extends = False
    async with b.open(office, run):
        for number in range(1, 4):
            assert (await office.request(run.request(f"j{number}"), "a")).ok
            assert b.vault.ours
            await anyio.sleep(b.vault.minutes * 60 + 120)
            assert not b.vault.ours
            assert b.rows.rows == {}, "there is nothing to give back"
            assert b.vault.asked < number * 60, "it is not asked about all the time"
    assert (b.vault.outs, b.vault.ins) == (3, 0)


@virtually
async def test_what_needs_no_check_out_is_asked_about_once_and_leaves_no_row(b: Bench) -> None:
    run, office = Run(), b.office()
    b.vault.needless = True
    answers: list[AccessAnswer] = []

    async def ask(number: int) -> None:
        answers.append(await office.request(run.request(f"j{number}"), "a"))

    async with b.open(office, run):
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(ask, number)
        assert ({answer.ok for answer in answers}, len(answers)) == ({True}, 100)
        assert (b.vault.asked, b.rows.rows) == (1, {})
        await anyio.sleep(600)
    assert (b.vault.asked, b.vault.outs, b.vault.ins) == (1, 0, 0), "it is neither held on nor given back"


@virtually
async def test_it_is_given_back_when_the_last_job_that_may_ask_is_done(b: Bench) -> None:
    run, office = Run(), b.office()
    async with b.open(office, run):
        await office.request(run.request(), "a")
        run.needed = False
        await anyio.sleep(2 * TEND_S)
        assert (b.vault.ours, b.vault.ins, b.rows.rows) == (False, 1, {})
    assert (b.vault.outs, b.vault.ins) == (1, 1)


@pytest.mark.parametrize("selector", [Selector.of_secret("SHARED"), Selector.of_vault("Vault")], ids=str)
def test_what_an_admin_stops_is_given_back_at_once_and_not_taken_again(selector: Selector) -> None:
    @virtually
    async def story(b: Bench) -> None:
        run, other, office = Run(), Run("two"), b.office()
        async with b.open(office, run), b.open(office, other):
            for each in (run, other):
                assert (await office.request(each.request(), "a")).ok
            await anyio.sleep(2 * TEND_S)
            assert (b.vault.outs, b.vault.ins) == (1, 0)
            stop = b.stops.put(Stop(selector, 1.0, "alice", "leaked"))
            office.stops_changed()
            await anyio.sleep(TEND_S / 5)
            assert (b.vault.ins, b.rows.rows) == (1, {})
            refused = await office.request(run.request("j2"), "a")
            assert (refused.ok, refused.reason, refused.text) == (False, "STOPPED", stop.text)
            b.stops.lift(stop)
            assert (await office.request(run.request("j3"), "a")).ok
        assert (b.vault.outs, b.vault.ins) == (2, 2)

    story()


@virtually
async def test_a_check_out_that_is_under_way_when_the_stop_comes_is_given_back_too(b: Bench) -> None:
    run, office = Run(), b.office()
    b.vault.slow = 1.0
    async with b.open(office, run), anyio.create_task_group() as tasks:
        tasks.start_soon(office.request, run.request(), "a")
        await anyio.sleep(0.5)
        b.stops.put(Stop(Selector.of_secret("shared"), 1.0, "alice"))
        office.stops_changed()
        await anyio.sleep(2.0)
        assert (b.vault.outs, b.vault.ins, b.rows.rows) == (1, 1, {})


@virtually
async def test_two_runs_share_it_and_the_last_one_gives_it_back(b: Bench) -> None:
    one, two, office = Run("one"), Run("two"), b.office()
    await office.enter(one)
    await office.enter(two)
    assert (await office.request(one.request(), "a")).ok
    assert (await office.request(two.request(), "a")).ok
    await office.leave(one)
    assert (b.vault.ours, b.vault.ins) == (True, 0)
    await office.leave(two)
    assert (b.vault.outs, b.vault.ins, b.rows.rows) == (1, 1, {})


@virtually
async def test_what_the_user_had_before_us_is_used_and_left(b: Bench) -> None:
    run, office = Run(), b.office()
    b.vault.held_until = b.clock() + 3600
    async with b.open(office, run):
        assert (await office.request(run.request(), "a")).ok
    assert (b.vault.ours, b.vault.outs, b.vault.ins, b.rows.rows) == (True, 0, 0, {})


@virtually
async def test_an_answer_that_is_lost_makes_no_second_check_out_and_no_stranger_of_the_first(b: Bench) -> None:
    run, office = Run(), b.office()
    b.vault.loses_answers = 1
    async with b.open(office, run):
        refused = await office.request(run.request(), "a")
        assert (refused.ok, refused.reason) == (False, "VAULT_TIMEOUT")
        await anyio.sleep(3)
        assert (await office.request(run.request("j2"), "a")).ok
    assert (b.vault.outs, b.vault.ins, b.rows.rows) == (1, 1, {})


@virtually
async def test_a_killed_orchestrator_leaves_a_row_and_the_next_run_gives_back(b: Bench) -> None:
    first, run = b.office(), Run()
    await first.enter(run)
    await first.request(run.request(), "a")
    second, later = b.office(), Run("later")
    async with b.open(second, later):
        assert (b.vault.ours, b.vault.ins, b.rows.rows) == (False, 1, {})
        assert (await second.request(later.request(), "a")).ok
    assert (b.vault.outs, b.vault.ins, b.rows.rows) == (2, 2, {})


@virtually
async def test_one_that_was_killed_before_it_asked_leaves_nothing_to_give_back(b: Bench) -> None:
    await b.rows.put(CheckOutRow(URL, USER, ID, "dead", "Vault", "z", "shared"))
    await b.office().enter(Run("later"))
    assert (b.vault.outs, b.vault.ins, b.rows.rows) == (0, 0, {})


@virtually
async def test_a_run_on_another_vault_leaves_the_rows_of_this_one(b: Bench) -> None:
    row = CheckOutRow("https://other.example", USER, ID, "dead", "Vault", "z", "shared")
    await b.rows.put(row)
    await b.office().enter(Run("later"))
    assert list(b.rows.rows.values()) == [row]


@virtually
async def test_somebody_elses_is_a_reason_and_leaves_no_row(b: Bench) -> None:
    run, office = Run(), b.office()
    b.vault.by_somebody = True
    async with b.open(office, run):
        refused = await office.request(run.request(), "a")
        assert (refused.reason, refused.text) == ("SECRET_CHECKED_OUT_BY", "checked out by somebody")
        assert b.rows.rows == {}
        for number in range(100):
            await office.request(run.request(f"j{number}"), "a")
        assert b.vault.asked == 1, "who asks at once is told the same"
        b.vault.by_somebody = False
        await anyio.sleep(3)
        assert (await office.request(run.request(), "a")).ok
    assert (b.vault.outs, b.vault.ins) == (1, 1)


@virtually
async def test_a_vault_that_is_away_at_the_end_keeps_nobody_and_its_row_stays(b: Bench) -> None:
    run, office = Run(), b.office()
    await office.enter(run)
    await office.request(run.request(), "a")
    b.vault.away = True
    before = anyio.current_time()
    await office.leave(run)
    assert anyio.current_time() - before < 60
    assert len(b.rows.rows) == 1
    b.vault.away = False
    later = Run("later")
    async with b.open(office, later):
        assert (b.vault.ins, b.rows.rows) == (1, {})
        assert (await office.request(later.request(), "a")).ok
    assert (b.vault.outs, b.vault.ins, b.rows.rows) == (2, 2, {})


@virtually
async def test_a_vault_that_is_back_before_the_end_is_asked_again(b: Bench) -> None:
    run, office = Run(), b.office()
    await office.enter(run)
    await office.request(run.request(), "a")
    b.vault.away = True
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(office.leave, run)
        await anyio.sleep(5)
        b.vault.away = False
    assert (b.vault.outs, b.vault.ins, b.rows.rows) == (1, 1, {})


@virtually
async def test_the_secret_of_a_records_jump_host_may_be_asked_for(b: Bench) -> None:
    office, run = b.office(), Run()
    async with b.open(office, run):
        assert (await office.request(run.request(secret=JUMP), "a")).ok
    assert b.vault.outs == 1


@pytest.mark.parametrize("wrong", ["lease", "run", "secret", "vault", "forbidden"])
def test_who_may_not_ask_is_refused_and_the_vault_is_not_asked(wrong: str) -> None:
    expected = {"vault": "APPLIANCE_LOST", "forbidden": "SECRET_NEEDS_CHECKOUT"}.get(wrong, "APPLIANCE_LOST")

    async def story(b: Bench) -> None:
        run, office = Run(allowed=wrong != "forbidden"), b.office()
        await office.enter(run)
        request = run.request()
        changed: dict[str, object] = {
            "lease": {"lease": "another"},
            "run": {"run": "unknown"},
            "secret": {"secret": SECRET.model_copy(update={"key": "another"})},
            "vault": {"secret": SECRET.model_copy(update={"vault": "Another"})},
            "forbidden": {},
        }[wrong]  # type: ignore[assignment]
        answer = await office.request(request.model_copy(update=changed), "a")
        assert (answer.ok, answer.reason) == (False, expected)
        assert (b.vault.asked, b.rows.rows) == (0, {})

    run_virtually(lambda: story(Bench()), Random(7))  # noqa: S311 - a seed, no secret


@pytest.mark.parametrize("later", [0.0, 0.0005, 0.002, 1.0])
def test_two_orchestrators_whose_runs_end_together_give_a_secret_back_once(later: float) -> None:
    @virtually
    async def story(b: Bench) -> None:
        one, two = Run("one"), Run("two")
        here, there = b.office("two"), b.office("one")
        for office, run in ((here, one), (there, two)):
            await office.enter(run)
            assert (await office.request(run.request(), "a")).ok

        async def end(office: CheckOutOffice, run: Run, after: float) -> None:
            await anyio.sleep(after)
            await office.leave(run)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end, here, one, 0.0)
            tasks.start_soon(end, there, two, later)
        assert (b.vault.outs, b.vault.ins, b.vault.ours, b.rows.rows) == (1, 1, False, {})

    story()


@virtually
async def test_what_a_dead_run_has_left_is_not_given_back_under_another_orchestrator(b: Bench) -> None:
    await b.rows.put(CheckOutRow(URL, USER, ID, "dead", "Vault", "z", "shared"))
    b.vault.held_until = b.clock() + 1800
    await b.rows.put(CheckOutRow(URL, USER, ID, "two", "Vault", "z", "shared", ours=False))
    async with b.open(b.office("two"), Run("three")):
        assert (b.vault.ins, [(row.run, row.ours) for row in b.rows.rows.values()]) == (0, [("two", True)])

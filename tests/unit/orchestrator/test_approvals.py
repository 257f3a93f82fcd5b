"""The office of approvals: one request per run and secret, whatever is lost in between, and none left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import anyio
import pytest

from appliance.access import AccessAnswer, AccessKind, AccessRequest
from appliance.bus import BusError
from appliance.contract import Account, Candidate, CredentialRef, SecretLookup, Selection, Target, Technology, Ticket
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from orchestrator.approvals import NEEDS_APPROVAL, POLL_S, ApprovalOffice
from orchestrator.attempts import OpenAttempt, Planned
from orchestrator.purposes import Purposes, VaultTerms
from orchestrator.stops import Selector, Stop, Stops
from orchestrator.store.records import ApprovalRow
from orchestrator.vault_use import ApprovalTerms, VaultUse
from tests.simulation.virtual_loop import run as run_virtually
from tests.unit.orchestrator.office_rows import Rows

URL, USER, ID = "https://vault.example", "svc", 7
SECRET = CredentialRef(vault="Vault", by=SecretLookup.NAME, key="shared")
WAIT = 600.0


@dataclass
class Request:
    status: str = "pending"
    by: str = ""
    said: str = ""


@dataclass
class Vault:
    """One secret that somebody has to approve; it loses what it is told to lose."""

    requests: list[Request] = field(default_factory=list)
    approved: bool = False
    away: bool = False
    loses: set[VaultQueryKind] = field(default_factory=set)
    refuses: set[VaultQueryKind] = field(default_factory=set)
    asked: list[VaultQuery] = field(default_factory=list)

    async def ask(self, zone: str, query: VaultQuery, wait: float) -> VaultAnswer:
        assert query.secret == CredentialRef(vault="Vault", by=SecretLookup.ID, key=str(ID))
        self.asked.append(query)
        await anyio.sleep(0.01)
        if self.away:
            raise BusError("nobody answers")
        if query.kind in self.refuses:
            return VaultAnswer(ok=False, reason=NEEDS_APPROVAL, text="Not possible.")
        answer = self._obey(query)
        if query.kind in self.loses:
            self.loses.discard(query.kind)
            await anyio.sleep(wait)
            raise BusError("the answer is lost")
        return answer

    def _obey(self, query: VaultQuery) -> VaultAnswer:
        if query.kind is VaultQueryKind.REQUEST:
            self.requests.append(Request())
            return VaultAnswer(ok=True, facts=self._facts(len(self.requests)))
        if query.kind is VaultQueryKind.CANCEL:
            self.requests[query.request - 1].status = "canceled"
            return VaultAnswer(ok=True)
        if self.approved:
            return VaultAnswer(ok=True, facts={"needed": "no"})
        if query.request:
            return VaultAnswer(ok=True, facts={"needed": "yes", **self._facts(query.request)})
        live = [n for n, one in enumerate(self.requests, 1) if one.status in ("pending", "approved")]
        newest = len(self.requests)
        counts = self._facts(live[-1] if live else newest) if newest else {}
        return VaultAnswer(ok=True, facts={"needed": "yes", "newest": str(newest), **counts})

    def _facts(self, number: int) -> dict[str, str]:
        one = self.requests[number - 1]
        return {"request": str(number), "status": one.status, "by": one.by, "said": one.said, "requested": "then"}

    def approve(self) -> None:
        self.requests[-1].status, self.approved = "approved", True

    def filed(self) -> int:
        return sum(query.kind is VaultQueryKind.REQUEST for query in self.asked)


@dataclass
class Run:
    run: str = "one"
    terms: ApprovalTerms | None = field(default_factory=lambda: ApprovalTerms(WAIT, 4 * 3600.0))
    waits: set[CredentialRef] = field(default_factory=set)
    jobs: dict[str, OpenAttempt] = field(default_factory=dict)

    @property
    def vaults(self) -> Iterable[VaultUse]:
        return (VaultUse("Vault", URL, USER, approval=self.terms),)

    @property
    def purposes(self) -> Purposes:
        return Purposes("c", self.run, {"Vault": VaultTerms("{run}: {target}", Ticket(number="CHG-1"), approval=True)})

    def asked_in(self, zone: str) -> str:
        return "z"

    def current(self, job: str) -> OpenAttempt | None:
        return self.jobs.get(job)

    def approval_waits(self, secret: CredentialRef, since: float) -> None:
        self.waits.add(secret)

    def approval_over(self, secret: CredentialRef) -> None:
        self.waits.discard(secret)

    async def needs(self, secret: CredentialRef) -> bool:
        return True

    def request(self, job: str = "j1", lease: str = "lease") -> AccessRequest:
        account = Account(authority="host:h", user="u")
        candidate = Candidate(record="r", user="u", account=account, secret=SECRET, selection=Selection.IP, port=22)
        planned = Planned(job, Technology.UNIX, Target(address="10.0.0.1"), (candidate,))
        self.jobs[job] = OpenAttempt(planned, 1, "lease", 0.0, 0.0)
        ids = {"run": self.run, "job": job, "attempt": 1, "lease": lease}
        return AccessRequest(kind=AccessKind.APPROVAL, **ids, secret=SECRET, secret_id=ID, record="r")


@dataclass
class Bench:
    rows: Rows[ApprovalRow] = field(default_factory=Rows)
    stops: Stops = field(default_factory=Stops)
    vault: Vault = field(default_factory=Vault)

    def office(self, *elsewhere: str) -> ApprovalOffice:
        """`elsewhere`: runs of other orchestrators."""
        return ApprovalOffice(
            self.rows,
            self.vault.ask,
            lambda: 1000.0 + anyio.current_time(),
            self.stops,
            elsewhere.__contains__,
        )

    @asynccontextmanager
    async def open(self, office: ApprovalOffice, run: Run, *, finished: bool = True) -> AsyncIterator[None]:
        """A run's life as the service lives it."""
        await office.enter(run)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(office.tend, run)
            yield
            tasks.cancel_scope.cancel()
        await office.leave(run, finished=finished)
        office.abandon(run)


def virtually(story: Callable[[Bench], Awaitable[None]]) -> Callable[[], None]:
    """The test, on a clock that jumps to whatever is due next."""

    def test() -> None:
        run_virtually(lambda: story(Bench()), Random(7))  # noqa: S311 - a seed, no secret

    test.__doc__ = story.__doc__
    return test


def not_yet(answer: AccessAnswer) -> bool:
    return answer.waiting and not answer.ok and answer.reason == NEEDS_APPROVAL


@virtually
async def test_a_thousand_ask_one_request_is_filed_and_they_go_on_within_seconds(b: Bench) -> None:
    run, office, answers = Run(), b.office(), list[AccessAnswer]()

    async def ask(number: int) -> None:
        answers.append(await office.request(run.request(f"j{number}"), "a"))

    async with b.open(office, run):
        async with anyio.create_task_group() as tasks:
            for number in range(1000):
                tasks.start_soon(ask, number)
        assert (len(answers), all(map(not_yet, answers)), run.waits) == (1000, True, {SECRET})
        filed = next(query for query in b.vault.asked if query.kind is VaultQueryKind.REQUEST)
        assert (filed.comment, filed.ticket, filed.minutes) == (
            "one: all targets of secret shared",
            Ticket(number="CHG-1"),
            240,
        )
        await anyio.sleep(300)
        b.vault.approve()
        await anyio.sleep(2 * POLL_S)
        assert run.waits == set()
        assert (await office.request(run.request("again"), "a")).ok
    assert (b.vault.filed(), b.vault.requests, b.rows.rows) == (1, [Request("approved")], {})


@pytest.mark.parametrize("status", ["denied", "canceled", "expired"])
def test_an_end_is_told_with_the_approvers_words_and_nobody_is_asked_again(status: str) -> None:
    @virtually
    async def story(b: Bench) -> None:
        run, office = Run(), b.office()
        async with b.open(office, run):
            await office.request(run.request(), "a")
            b.vault.requests[0] = Request(status, "boss", "no")
            await anyio.sleep(2 * POLL_S)
            assert run.waits == set()
            before = len(b.vault.asked)
            for number in range(100):
                answer = await office.request(run.request(f"j{number}"), "a")
                assert (answer.waiting, answer.reason) == (False, NEEDS_APPROVAL)
                assert answer.text == f"access request 1 is {status} by boss: no"
            assert len(b.vault.asked) == before
        assert (b.vault.filed(), b.vault.requests[0].status) == (1, status)

    story()


@virtually
async def test_nobody_answers_in_time_and_it_is_taken_back_at_the_end(b: Bench) -> None:
    run, office = Run(), b.office()
    async with b.open(office, run):
        await office.request(run.request(), "a")
        await anyio.sleep(WAIT - 2 * POLL_S)
        assert run.waits
        await anyio.sleep(4 * POLL_S)
        assert not run.waits
        answer = await office.request(run.request("j2"), "a")
        since = "access request 1 is pending since 1970-01-01 00:16:40 UTC"
        said = f"{since}; nobody has answered within 600 s (approval_wait)"
        assert (answer.waiting, answer.text) == (False, said)
        assert b.vault.requests[0].status == "pending"
    assert (b.vault.requests[0].status, b.rows.rows) == ("canceled", {})


@virtually
async def test_one_that_cannot_be_taken_back_is_left_and_keeps_nobody(b: Bench) -> None:
    run, office = Run(), b.office()
    b.vault.refuses = {VaultQueryKind.CANCEL}
    async with b.open(office, run):
        await office.request(run.request(), "a")
    assert (b.vault.requests[0].status, b.rows.rows) == ("pending", {})


@virtually
async def test_a_killed_orchestrator_files_nothing_twice(b: Bench) -> None:
    first, run = b.office(), Run()
    await first.enter(run)
    assert not_yet(await first.request(run.request(), "a"))
    second, resumed = b.office(), Run()
    async with b.open(second, resumed):
        assert not_yet(await second.request(resumed.request(), "a"))
        b.vault.approve()
        await anyio.sleep(2 * POLL_S)
        assert (await second.request(resumed.request("j2"), "a")).ok
    assert (b.vault.filed(), b.rows.rows) == (1, {})


@virtually
async def test_one_that_was_killed_before_it_knew_the_number_finds_it(b: Bench) -> None:
    b.vault.requests = [Request("denied"), Request("expired")]
    b.vault.loses = {VaultQueryKind.REQUEST}
    first, run = b.office(), Run()
    await first.enter(run)
    answer = await first.request(run.request(), "a")
    assert (answer.ok, answer.waiting, answer.reason) == (False, False, "VAULT_TIMEOUT")
    b.vault.requests[2] = Request("denied", "boss", "no")
    second, resumed = b.office(), Run()
    async with b.open(second, resumed):
        answer = await second.request(resumed.request(), "a")
        assert answer.text == "access request 3 is denied by boss: no"
    assert (b.vault.filed(), b.rows.rows) == (1, {})


@virtually
async def test_one_that_was_killed_before_it_filed_does(b: Bench) -> None:
    await b.rows.put(ApprovalRow(URL, USER, ID, "one", "Vault", "shared", 900.0))
    office, run = b.office(), Run()
    async with b.open(office, run):
        assert not_yet(await office.request(run.request(), "a"))
    assert b.vault.filed() == 1


@virtually
async def test_one_that_is_open_already_is_used_and_left(b: Bench) -> None:
    b.vault.requests = [Request()]
    office, run = b.office(), Run()
    async with b.open(office, run):
        answer = await office.request(run.request(), "a")
        assert (not_yet(answer), answer.text) == (True, "access request 1 is pending since then (the vault's time)")
    assert (b.vault.filed(), b.vault.requests[0].status, b.rows.rows) == (0, "pending", {})


@virtually
async def test_two_runs_wait_for_one_request_and_the_last_takes_it_back(b: Bench) -> None:
    office, one, two = b.office(), Run("one"), Run("two")
    await office.enter(one)
    async with b.open(office, two):
        for run in (one, two):
            assert not_yet(await office.request(run.request(), "a"))
        await office.leave(one, finished=True)
        office.abandon(one)
        assert b.vault.requests[0].status == "pending"
    assert (b.vault.filed(), b.vault.requests[0].status, b.rows.rows) == (1, "canceled", {})


@virtually
async def test_an_interrupted_run_leaves_it(b: Bench) -> None:
    office, run = b.office(), Run()
    async with b.open(office, run, finished=False):
        await office.request(run.request(), "a")
    assert (b.vault.requests[0].status, len(b.rows.rows)) == ("pending", 1)


@virtually
async def test_a_vault_that_is_away_decides_nothing(b: Bench) -> None:
    office, run = b.office(), Run()
    async with b.open(office, run):
        b.vault.away = True
        answer = await office.request(run.request(), "a")
        assert (answer.waiting, answer.reason, b.vault.filed()) == (False, "VAULT_TIMEOUT", 0)
        b.vault.away = False
        await anyio.sleep(3)
        assert not_yet(await office.request(run.request("j2"), "a"))
        b.vault.away = True
        await anyio.sleep(WAIT / 2)
        assert run.waits
        b.vault.away = False
        b.vault.approve()
        await anyio.sleep(2 * POLL_S)
        assert not run.waits


@virtually
async def test_a_vault_that_stays_away_keeps_nobody_beyond_the_wait(b: Bench) -> None:
    office, run = b.office(), Run()
    async with b.open(office, run):
        await office.request(run.request(), "a")
        b.vault.away = True
        await anyio.sleep(WAIT + 2 * POLL_S)
        assert not run.waits


@virtually
async def test_an_approval_that_runs_out_is_its_own_answer(b: Bench) -> None:
    office, run = b.office(), Run()
    async with b.open(office, run):
        await office.request(run.request(), "a")
        b.vault.approve()
        await anyio.sleep(2 * POLL_S)
        b.vault.approved, b.vault.requests[0].status = False, "expired"
        answer = await office.request(run.request("j2"), "a")
        assert (answer.waiting, answer.text) == (False, "access request 1 is expired")
    assert b.vault.filed() == 1


@virtually
async def test_a_request_that_the_vault_does_not_take_is_the_reason(b: Bench) -> None:
    office, run = b.office(), Run()
    b.vault.refuses = {VaultQueryKind.REQUEST}
    async with b.open(office, run):
        answer = await office.request(run.request(), "a")
        assert (answer.waiting, answer.text) == (False, "the vault takes no access request: Not possible.")
    assert b.rows.rows == {}


@virtually
async def test_what_an_admin_stops_is_waited_for_no_more(b: Bench) -> None:
    office, run = b.office(), Run()
    async with b.open(office, run):
        await office.request(run.request(), "a")
        stop = b.stops.put(Stop(Selector.of_secret("shared"), 1.0, "alice", "leaked"))
        office.stops_changed()
        await anyio.sleep(0.5)
        assert not run.waits
        answer = await office.request(run.request("j2"), "a")
        assert (answer.reason, answer.text) == ("STOPPED", stop.text)
    assert b.vault.requests[0].status == "canceled"


@pytest.mark.parametrize("wrong", ["run", "lease", "forbidden"])
def test_who_may_not_ask_is_refused_and_nothing_is_filed(wrong: str) -> None:
    @virtually
    async def story(b: Bench) -> None:
        office, run = b.office(), Run(terms=None) if wrong == "forbidden" else Run()
        async with b.open(office, run):
            request = run.request(lease="another" if wrong == "lease" else "lease")
            if wrong == "run":
                request = request.model_copy(update={"run": "other"})
            answer = await office.request(request, "a")
        expected = NEEDS_APPROVAL if wrong == "forbidden" else "APPLIANCE_LOST"
        assert (answer.ok, answer.reason, b.vault.asked, b.rows.rows) == (False, expected, [], {})

    story()


@virtually
async def test_a_request_that_a_run_of_another_orchestrator_waits_for_is_left_to_it(b: Bench) -> None:
    one, two = Run("one"), Run("two")
    here, there = b.office("two"), b.office("one")
    async with b.open(there, two):
        async with b.open(here, one):
            assert not_yet(await here.request(one.request(), "a"))
            assert not_yet(await there.request(two.request(), "b"))
        assert (b.vault.filed(), b.vault.requests[0].status) == (1, "pending"), "the other still waits for it"
        assert [(row.run, row.ours) for row in b.rows.rows.values()] == [("two", True)]
    assert (b.vault.requests[0].status, b.rows.rows) == ("canceled", {})

"""The permit office: what is granted is durable, whoever waits is woken, and whoever has gone gets nothing.

All on a virtual clock: the office's wall clock is the loop's, unless a test turns it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import anyio
import pytest
from anyio.abc import TaskGroup

from appliance.contract import (
    OK,
    Account,
    Candidate,
    CredentialRef,
    PermitAnswer,
    PermitAsk,
    PermitRelease,
    PermitRequest,
    PermitVerdict,
    Phase,
    SecretLookup,
    Selection,
    Signal,
    Target,
    Technology,
    named,
)
from orchestrator.account_state import Budget
from orchestrator.attempts import OpenAttempt, Planned
from orchestrator.pacer_desk import HOLD_S, PacerDesk
from orchestrator.pacing import Pacer
from orchestrator.permit_ledger import LedgerEntry
from orchestrator.permits import PermitOffice
from orchestrator.stops import Selector, Stop, Stops
from orchestrator.store import StoreError
from tests.simulation.virtual_loop import run as run_virtually

ACCOUNT = Account(authority="dir:corp", user="scan")
HOSTS = tuple(Account(authority=f"host:192.0.2.{n}", user="scan") for n in range(20))
VALID_FOR = 40.0
GRANTED, WAIT, SKIP, DUPLICATE = PermitVerdict.GRANTED, PermitVerdict.WAIT, PermitVerdict.SKIP, PermitVerdict.DUPLICATE


class Ledger:
    """Keeps what was appended; a closed gate holds a commit up, `broken` makes it fail."""

    def __init__(self) -> None:
        self.commits: list[list[LedgerEntry]] = []
        self.gate = anyio.Event()
        self.gate.set()
        self.broken = False

    async def append(self, entries: Sequence[LedgerEntry]) -> None:
        await self.gate.wait()
        if self.broken:
            raise StoreError("its disk is full")
        self.commits.append(list(entries))

    @property
    def entries(self) -> list[tuple[str, str]]:
        return [(entry.kind.value, entry.job) for commit in self.commits for entry in commit]


@dataclass(slots=True)
class Run:
    """An open run whose attempts are all open, unless they have been closed."""

    began: float = 0.0
    failures: int = 2
    window: float = 1800.0
    closed: list[str] = field(default_factory=list)

    def current(self, job: str) -> OpenAttempt | None:
        if job in self.closed:
            return None
        candidates = tuple(map(_candidate, (ACCOUNT, *HOSTS)))
        planned = Planned(job, Technology.UNIX, Target(address="192.0.2.1"), candidates)
        return OpenAttempt(planned, 1, f"lease {job}", 0.0, 100.0)

    def budget(self, account: Account, record: str) -> Budget | None:
        return Budget(self.failures, self.window) if record == str(account) else None


def _candidate(account: Account) -> Candidate:
    ref = CredentialRef(vault="v", by=SecretLookup.NAME, key="s")
    return Candidate(
        record=str(account), user=account.user, account=account, secret=ref, selection=Selection.IP, port=22
    )


def request(job: str, account: Account = ACCOUNT, *, run: str = "r", lease: str = "") -> PermitRequest:
    return PermitRequest(
        run=run,
        job=job,
        attempt=1,
        lease=lease or f"lease {job}",
        holder=f"holder {job}",
        account=account,
        record=str(account),
        valid_for=VALID_FOR,
    )


def release(job: str, signal: Signal = OK, *, submitted: bool = True, account: Account = ACCOUNT) -> PermitRelease:
    return PermitRelease(
        run="r",
        job=job,
        attempt=1,
        lease=f"lease {job}",
        holder=f"holder {job}",
        technology=Technology.UNIX,
        account=account,
        phase=Phase.AUTH,
        signal=signal,
        submitted=submitted,
    )


class Alone(PermitOffice):
    """Where no other orchestrator is, it answers whatever it is asked."""

    async def ask(self, asks: Sequence[PermitAsk], sender: str) -> list[PermitAnswer | None]:
        answers = await super().ask(asks, sender)
        assert answers is not None
        return answers

    async def hold(self, request: PermitRequest, sender: str) -> PermitAnswer:
        answer = await super().hold(request, sender)
        assert answer is not None
        return answer


class Desk:
    """An office at work, with its ledger, a wall clock that can be turned, and the answers that it gave."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.turned = 0.0
        self.stops = Stops()
        self.office = self._office()
        self.run = Run()
        self.office.enter("r", self.run)
        self.answers: dict[str, PermitVerdict] = {}
        self.answered_at: dict[str, float] = {}

    def _office(self) -> Alone:
        def clock() -> float:
            return anyio.current_time() + self.turned

        return Alone(PacerDesk(Pacer(), self.ledger, clock), clock, self.stops)

    async def ask(self, job: str, account: Account = ACCOUNT) -> None:
        answer = await self.office.hold(request(job, account), "a")
        self.answers[job], self.answered_at[job] = answer.verdict, anyio.current_time()

    def verdict(self, job: str) -> PermitVerdict | None:
        return self.answers.get(job)


def at_work(story: Callable[[Desk, TaskGroup], Awaitable[None]]) -> Callable[[], None]:
    """A test on an office whose writer and sweeper run."""

    def test() -> None:
        async def whole() -> None:
            desk = Desk()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(desk.office.run)
                await story(desk, tasks)
                tasks.cancel_scope.cancel()

        run_virtually(whole, Random(1))  # noqa: S311 - a schedule, not a secret

    return test


async def turns() -> None:
    """Let everybody run who can: the virtual clock moves when nobody can any more."""
    await anyio.sleep(0.001)


# -- granting, and what must be on disk before -------------------------------------------------------------------------


@at_work
async def test_nothing_is_granted_before_it_is_durable(desk: Desk, tasks: TaskGroup) -> None:
    desk.ledger.gate = anyio.Event()
    tasks.start_soon(desk.ask, "1")
    await anyio.sleep(3.0)
    assert not desk.answers
    desk.ledger.gate.set()
    await turns()
    assert desk.verdict("1") is GRANTED
    assert desk.ledger.entries == [("granted", "1")]


@at_work
async def test_those_who_wait_share_one_commit(desk: Desk, tasks: TaskGroup) -> None:
    desk.ledger.gate = anyio.Event()
    tasks.start_soon(desk.ask, "first")
    await turns()
    for number, account in enumerate(HOSTS):
        tasks.start_soon(desk.ask, str(number), account)
    await turns()
    desk.ledger.gate.set()
    await turns()
    assert [len(commit) for commit in desk.ledger.commits] == [1, len(HOSTS)]
    assert set(desk.answers.values()) == {GRANTED}


@at_work
async def test_a_verdict_is_acknowledged_when_it_is_durable(desk: Desk, tasks: TaskGroup) -> None:
    await desk.ask("1")
    desk.ledger.gate = anyio.Event()
    acknowledged = anyio.Event()

    async def give_back() -> None:
        await desk.office.ask([release("1")], "a")
        acknowledged.set()

    tasks.start_soon(give_back)
    await anyio.sleep(3.0)
    assert not acknowledged.is_set()
    desk.ledger.gate.set()
    await turns()
    assert acknowledged.is_set()
    assert desk.ledger.entries == [("granted", "1"), ("success", "1")]


@at_work
async def test_what_is_asked_together_shares_a_commit_and_is_decided_in_order(desk: Desk, tasks: TaskGroup) -> None:
    await desk.ask("1")
    asked: list[PermitAsk] = [
        request("2"),
        release("1"),
        request("3"),
        request("1", lease="guessed"),
        request("4", HOSTS[0]),
    ]
    answers = await desk.office.ask(asked, "a")
    found = [None if answer is None else answer.verdict for answer in answers]
    assert found == [WAIT, None, GRANTED, DUPLICATE, GRANTED], "nobody waits here, and a stranger costs nobody else's"
    assert [len(commit) for commit in desk.ledger.commits] == [1, 3]


@at_work
async def test_none_of_those_asked_together_is_answered_before_all_is_durable(desk: Desk, tasks: TaskGroup) -> None:
    desk.ledger.gate = anyio.Event()
    answers: list[object] = []

    async def ask() -> None:
        answers.extend(await desk.office.ask([request("1"), request("2", HOSTS[0])], "a"))

    tasks.start_soon(ask)
    await anyio.sleep(3.0)
    assert not answers
    desk.stops.put(Stop(STOPS[0], 1.0, "alice"))
    desk.ledger.gate.set()
    await turns()
    verdicts = [answer.verdict for answer in answers if isinstance(answer, PermitAnswer)]
    assert verdicts == [SKIP, GRANTED], "a stop that comes meanwhile takes back what it binds, and nothing else"


@at_work
async def test_strangers_get_nothing(desk: Desk, tasks: TaskGroup) -> None:
    office = desk.office
    foreign = request("1").model_copy(update={"record": "another"})
    for asked in (request("1", lease="guessed"), request("1", run="unknown"), foreign):
        assert (await office.hold(asked, "a")).verdict is DUPLICATE
    assert desk.ledger.entries == []


@at_work
async def test_an_attempt_gets_one_permit(desk: Desk, tasks: TaskGroup) -> None:
    await desk.ask("1")
    assert (await desk.office.hold(request("1"), "a")).verdict is DUPLICATE


# -- the store fails ---------------------------------------------------------------------------------------------------


def test_when_the_ledger_fails_nobody_is_granted_and_its_own_word_ends_the_office() -> None:
    async def story() -> None:
        desk = Desk()
        desk.ledger.gate = anyio.Event()
        desk.ledger.broken = True

        async def serve() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(desk.office.run)
                for job, account in enumerate(HOSTS):
                    tasks.start_soon(desk.ask, str(job), account)
                await turns()
                desk.ledger.gate.set()

        with pytest.raises(BaseExceptionGroup) as failed:
            await serve()
        assert not desk.answers
        assert [str(leaf) for leaf in _leaves(failed.value)] == ["its disk is full"], "said once, by the store"

    run_virtually(story, Random(1))  # noqa: S311 - a schedule, not a secret


def test_an_office_that_ends_before_its_commit_grants_nothing() -> None:
    """Another part of the service fails while the writer waits for its turn: those who ask outlive the writer."""

    async def story() -> None:
        desk = Desk()
        desk.ledger.gate = anyio.Event()
        async with anyio.create_task_group() as askers:
            async with anyio.create_task_group() as service:
                service.start_soon(desk.office.run)
                askers.start_soon(desk.ask, "1")
                await turns()
                service.cancel_scope.cancel()
            await turns()
            assert not desk.answers
            assert desk.ledger.entries == []
            askers.cancel_scope.cancel()

    run_virtually(story, Random(1))  # noqa: S311 - a schedule, not a secret


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [leaf for e in group.exceptions for leaf in (_leaves(e) if isinstance(e, BaseExceptionGroup) else [e])]


# -- waiting for the account's turn ------------------------------------------------------------------------------------


@at_work
async def test_who_waits_is_woken_by_the_verdict(desk: Desk, tasks: TaskGroup) -> None:
    await desk.ask("1")
    tasks.start_soon(desk.ask, "2")
    await anyio.sleep(2.0)
    assert "2" not in desk.answers
    await desk.office.ask([release("1")], "a")
    await turns()
    assert desk.verdict("2") is GRANTED
    assert desk.answered_at["2"] == pytest.approx(2.0, abs=0.1)


@at_work
async def test_a_held_request_is_answered_in_time(desk: Desk, tasks: TaskGroup) -> None:
    await desk.ask("1")
    await desk.ask("2")
    assert desk.verdict("2") is WAIT
    assert desk.answered_at["2"] == pytest.approx(HOLD_S, abs=0.1)


@at_work
async def test_an_open_breaker_sends_away_who_waits(desk: Desk, tasks: TaskGroup) -> None:
    await desk.ask("1")
    for job in "23":
        tasks.start_soon(desk.ask, job)
    await turns()
    await desk.office.ask([release("1", named("BAD_CREDENTIALS"))], "a")
    await turns()
    assert desk.verdict("2") is desk.verdict("3") is SKIP
    assert desk.ledger.entries == [("granted", "1"), ("failure", "1"), ("breaker", "1")]


@at_work
async def test_a_permit_that_nobody_returns_becomes_a_failure_and_makes_room(desk: Desk, tasks: TaskGroup) -> None:
    await desk.ask("1")
    await anyio.sleep(VALID_FOR - 2.0)
    await desk.ask("2")
    assert desk.verdict("2") is GRANTED
    assert desk.ledger.entries == [("granted", "1"), ("failure", "1"), ("granted", "2")]


@at_work
async def test_a_verdict_that_comes_during_a_commit_wakes_who_must_wait(desk: Desk, tasks: TaskGroup) -> None:
    """A request finds one permit expired and another one out: while the failure is written, that one comes back."""
    await desk.ask("1")
    await desk.office.ask([release("1")], "a")  # proven: two may be out
    await anyio.sleep(0.5)
    await desk.ask("expires")
    await anyio.sleep(20.0)
    await desk.ask("returns")
    await anyio.sleep(VALID_FOR - 20.0 + 0.1)  # the sweeper comes 0.4 s later
    desk.ledger.gate = anyio.Event()
    tasks.start_soon(desk.ask, "4")
    await turns()
    tasks.start_soon(desk.office.ask, [release("returns")], "a")
    await turns()
    desk.ledger.gate.set()
    began = anyio.current_time()
    await anyio.sleep(0.1)
    assert desk.verdict("4") is GRANTED
    assert desk.answered_at["4"] == pytest.approx(began, abs=0.1)


@at_work
async def test_an_attempt_that_ends_while_it_waits_gets_nothing(desk: Desk, tasks: TaskGroup) -> None:
    await desk.ask("1")
    tasks.start_soon(desk.ask, "2")
    await turns()
    desk.run.closed.append("2")
    await desk.office.ask([release("1")], "a")
    await turns()
    assert desk.verdict("2") is DUPLICATE
    assert desk.ledger.entries == [("granted", "1"), ("success", "1")]


@at_work
async def test_who_has_given_up_waiting_gets_nothing(desk: Desk, tasks: TaskGroup) -> None:
    """The deadline strikes while the office holds the request: the release comes before the account falls free.

    A permit granted then would have no holder; it would count as a failed logon that never was.
    """
    await desk.ask("1")
    tasks.start_soon(desk.ask, "2")
    await turns()
    await desk.office.ask([release("2", named("PERMIT_WAIT"), submitted=False)], "a")
    await turns()
    await desk.office.ask([release("1")], "a")
    await anyio.sleep(VALID_FOR + 5.0)
    assert ("granted", "2") not in desk.ledger.entries
    assert ("failure", "2") not in desk.ledger.entries
    assert desk.verdict("2") is WAIT


@at_work
async def test_a_clock_that_is_set_back_keeps_nobody_waiting(desk: Desk, tasks: TaskGroup) -> None:
    await desk.ask("1")
    tasks.start_soon(desk.ask, "2")
    await turns()
    desk.turned = -3600.0
    await anyio.sleep(HOLD_S + 0.1)
    assert desk.verdict("2") is WAIT


# -- what an admin has stopped -----------------------------------------------------------------------------------------

STOPS = (
    Selector.of_account("scan@corp"),
    Selector.of_secret("s"),
    Selector.of_secret("s", "v"),
    Selector.of_vault("v"),
)


@pytest.mark.parametrize("selector", STOPS, ids=str)
def test_a_login_that_is_stopped_gets_no_permit_by_whatever_it_was_stopped(selector: Selector) -> None:
    @at_work
    async def story(desk: Desk, tasks: TaskGroup) -> None:
        stop = desk.stops.put(Stop(selector, 1.0, "alice", "leaked"))
        answer = await desk.office.hold(request("1"), "a")
        assert (answer.verdict, answer.cause, answer.text) == (SKIP, "STOPPED", stop.text)
        assert desk.ledger.entries == []
        desk.stops.lift(stop)
        await desk.ask("1")
        assert desk.verdict("1") is GRANTED

    story()


@at_work
async def test_another_account_goes_on(desk: Desk, tasks: TaskGroup) -> None:
    desk.stops.put(Stop(STOPS[0], 1.0, "alice"))
    await desk.ask("1", HOSTS[0])
    assert desk.verdict("1") is GRANTED


@at_work
async def test_a_stop_sends_away_who_waits_and_leaves_who_has_a_permit(desk: Desk, tasks: TaskGroup) -> None:
    await desk.ask("1")
    tasks.start_soon(desk.ask, "2")
    await turns()
    desk.stops.put(Stop(STOPS[0], 1.0, "alice"))
    desk.office.stops_changed()
    await turns()
    assert desk.verdict("2") is SKIP
    await desk.office.ask([release("1")], "a")
    assert desk.ledger.entries == [("granted", "1"), ("success", "1")]


@at_work
async def test_a_permit_that_is_being_written_when_the_stop_comes_is_withdrawn(desk: Desk, tasks: TaskGroup) -> None:
    """Whoever gave the order has been told that it holds, perhaps before the ledger was written."""
    desk.ledger.gate = anyio.Event()
    tasks.start_soon(desk.ask, "1")
    await turns()
    stop = desk.stops.put(Stop(STOPS[1], 1.0, "alice"))
    desk.office.stops_changed()
    desk.ledger.gate.set()
    await turns()
    assert desk.verdict("1") is SKIP
    assert desk.ledger.entries == [("granted", "1"), ("neutral", "1")]
    desk.stops.lift(stop)
    await desk.ask("2")
    assert desk.verdict("2") is GRANTED, "what was withdrawn is not out, and is no failure"
    await anyio.sleep(VALID_FOR + 2.0)
    assert ("failure", "1") not in desk.ledger.entries


@at_work
async def test_a_second_request_is_a_duplicate_though_the_login_is_stopped(desk: Desk, tasks: TaskGroup) -> None:
    """ "Not tried" would be untrue of it: the first one has had its permit."""
    await desk.ask("1")
    desk.stops.put(Stop(STOPS[0], 1.0, "alice"))
    await desk.ask("1")
    assert desk.verdict("1") is DUPLICATE


# -- runs --------------------------------------------------------------------------------------------------------------


@at_work
async def test_a_run_that_has_left_gets_nothing_and_leaves_its_breaker(desk: Desk, tasks: TaskGroup) -> None:
    await desk.ask("1")
    await desk.office.ask([release("1", named("BAD_CREDENTIALS"))], "a")
    desk.office.leave("r")
    await desk.ask("2")
    assert desk.verdict("2") is DUPLICATE
    desk.office.enter("r", desk.run)
    assert desk.office.broken(ACCOUNT, "r")
    await desk.ask("3")
    assert desk.verdict("3") is SKIP


@at_work
async def test_two_runs_share_an_account_and_the_smaller_budget_wins(desk: Desk, tasks: TaskGroup) -> None:
    await desk.ask("1")
    await desk.office.ask([release("1")], "a")
    desk.office.enter("other", Run(failures=1))
    await desk.ask("2")
    await desk.ask("3")
    assert (desk.verdict("2"), desk.verdict("3")) == (GRANTED, WAIT)


# -- several logins of one attempt -------------------------------------------------------------------------------------


@at_work
async def test_each_login_of_an_attempt_has_a_permit_of_its_own(desk: Desk, tasks: TaskGroup) -> None:
    """The jump host's and the target's; the same part is granted once, whoever asks."""
    for part, account, expected in (
        ("jump", HOSTS[0], GRANTED),
        ("", ACCOUNT, GRANTED),
        ("jump", HOSTS[0], DUPLICATE),
        ("", ACCOUNT, DUPLICATE),
    ):
        asked = request("1", account).model_copy(update={"part": part})
        assert (await desk.office.hold(asked, "a")).verdict is expected, part
    done = release("1", account=HOSTS[0]).model_copy(update={"part": "jump"})
    await desk.office.ask([done], "a")
    again = request("1", HOSTS[0]).model_copy(update={"part": "jump again"})
    assert (await desk.office.hold(again, "a")).verdict is GRANTED
    assert desk.ledger.entries == [
        ("granted", "1/jump"),
        ("granted", "1"),
        ("success", "1/jump"),
        ("granted", "1/jump again"),
    ]


@at_work
async def test_the_account_must_be_one_of_the_records_logins(desk: Desk, tasks: TaskGroup) -> None:
    other = Account(authority="host:192.0.2.99", user="scan")
    asked = request("1").model_copy(update={"part": "jump", "account": other})
    assert (await desk.office.hold(asked, "a")).verdict is DUPLICATE

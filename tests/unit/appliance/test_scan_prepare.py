"""What a login finds out without its credential comes before permit and vault; what a directory has taken is proven."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from appliance.contract import (
    CUT,
    DEADLINE,
    OK,
    Candidate,
    Evidence,
    Failure,
    Job,
    Outcome,
    PermitAnswer,
    PermitRelease,
    PermitRequest,
    PermitVerdict,
    Phase,
    Technology,
    View,
    named,
)
from appliance.login import AskRoot, Authenticated, Elevation, Login, Negotiated, NextAnswer, Privileges
from appliance.permit import PermitDesk
from appliance.phases import CutOff, PhaseLedger
from appliance.scan import scan
from appliance.vault import CredentialSource, SecretHandle
from appliance.vault.credential import Credential
from tests.unit.appliance.scripted import VAULT, Hosts, Source, a_job, a_kit


@dataclass
class Story:
    """Login, pacer and vault in one: what was asked of each, in order."""

    unfit: Failure | None = None
    refused: Failure | None = None
    hangs: bool = False
    proven: bool = False
    lets_in: dict[str, str] = field(default_factory=dict)
    submitted: bool = False
    pacer_takes: float = 0.0
    steps: list[str] = field(default_factory=list)
    released: list[PermitRelease] = field(default_factory=list)

    async def greet(self) -> Failure | None:
        return None

    async def negotiate(self) -> Negotiated | Failure:
        self.steps.append("negotiate")
        return Negotiated()

    async def prepare(self, candidate: Candidate) -> Failure | None:
        self.steps.append(f"prepare {candidate.record}")
        return self.unfit

    elevation = Elevation.UNTRIED

    async def authenticate(
        self, candidate: Candidate, credential: Credential, following: NextAnswer | None = None
    ) -> Authenticated | Failure:
        self.steps.append("authenticate")
        self.submitted = True
        if self.hangs:
            await anyio.sleep_forever()
        return self.refused or Authenticated(self.lets_in)

    async def privileges(self, ask_root: AskRoot | None = None) -> Privileges | Failure:
        await anyio.lowlevel.checkpoint()
        return Privileges()

    async def permit(self, request: PermitRequest, wait: float) -> PermitAnswer:
        self.steps.append("permit")
        return PermitAnswer(verdict=PermitVerdict.GRANTED)

    async def release(self, release: PermitRelease) -> None:
        await anyio.sleep(self.pacer_takes)
        self.released.append(release)

    @asynccontextmanager
    async def login(self, sock: socket.socket, job: Job, ledger: PhaseLedger) -> AsyncIterator[Login]:
        with sock:
            yield self

    async def dial(
        self,
        address: str,
        port: int,
        ledger: PhaseLedger,
        /,
        *,
        allow: Callable[[str], bool],
        facts: dict[str, str],
    ) -> socket.socket | Failure:
        return socket.socket()


class Vault(Source):
    def __init__(self, story: Story) -> None:
        self._story = story

    async def fetch(self, handle: SecretHandle, *, views: list[View] | None = None, **_: Any) -> Credential | Failure:
        self._story.steps.append("fetch")
        return Credential(user="u", password="p")


async def scanned(story: Story, deadline: float = 30.0, cut: CutOff | None = None) -> Outcome:
    kit = replace(
        a_kit(Hosts()),
        sources={VAULT: cast("CredentialSource", Vault(story))},
        dial=story.dial,
        logins={Technology.UNIX: story.login},
        desk=cast("PermitDesk", story),
        cut=cut or CutOff(),
    )
    report = await scan(a_job().model_copy(update={"deadline": deadline}), kit)
    assert isinstance(report, Outcome)
    return report


UNFIT = Failure(Phase.KDC, named("KDC_UNREACHABLE"), "nobody there")
REFUSED = Failure(Phase.AUTH, named("KRB_TICKET_REFUSED"))


async def test_the_steps_come_in_this_order() -> None:
    story = Story()
    assert (await scanned(story)).evidence.signal == OK
    assert story.steps == ["negotiate", "prepare r", "permit", "fetch", "authenticate"]


async def test_what_cannot_be_logged_in_to_costs_neither_permit_nor_view() -> None:
    story = Story(unfit=UNFIT)
    evidence = (await scanned(story)).evidence
    assert story.steps == ["negotiate", "prepare r"]
    assert (evidence.phase, evidence.signal, evidence.text) == (Phase.KDC, UNFIT.signal, UNFIT.text)
    assert evidence.record == "r"
    assert not evidence.submitted
    assert story.released == []


@pytest.mark.parametrize("hangs", [False, True])
@pytest.mark.parametrize("proven", [False, True])
async def test_the_permit_is_returned_with_the_directorys_word(hangs: bool, proven: bool) -> None:
    """Whatever the host makes of it: refused, or never answered."""
    story = Story(refused=REFUSED, proven=proven, hangs=hangs)
    evidence = (await scanned(story, deadline=0.2 if hangs else 30.0)).evidence
    assert evidence.signal != OK
    assert evidence.submitted
    [release] = story.released
    assert (release.signal == OK) == proven
    assert release.submitted


async def test_a_pacer_that_takes_its_time_takes_none_of_the_targets() -> None:
    """Its store may be away: a good login is not to end as if the host had hung."""
    story = Story(pacer_takes=0.4)
    evidence = (await scanned(story, deadline=0.3)).evidence
    assert (evidence.phase, evidence.signal) == (Phase.LOGOFF, OK)
    assert [release.signal for release in story.released] == [OK]


async def test_cut_off_at_the_end_of_a_window_the_permit_is_returned_and_the_evidence_says_so() -> None:
    """What had been submitted counts, as ever."""
    story, cut, found = Story(hangs=True), CutOff(), list[Evidence]()

    async def attempt() -> None:
        found.append((await scanned(story, cut=cut)).evidence)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt)
            while "authenticate" not in story.steps:
                await anyio.lowlevel.checkpoint()
            cut.strike()
    (evidence,) = found
    assert (evidence.signal, evidence.facts[CUT], evidence.submitted) == (DEADLINE, "yes", True)
    assert "window is over" in evidence.text
    [release] = story.released
    assert (release.signal, release.submitted) == (DEADLINE, True)


async def test_one_that_begins_after_the_cut_submits_nothing() -> None:
    story, cut = Story(), CutOff()
    cut.strike()
    evidence = (await scanned(story, cut=cut)).evidence
    assert (evidence.signal, evidence.facts[CUT], evidence.submitted) == (DEADLINE, "yes", False)
    assert "authenticate" not in story.steps


@pytest.mark.parametrize(("method", "by_key"), [("publickey", True), ("password", False), ("", False)])
async def test_the_pacer_hears_whether_it_was_a_key_that_was_taken(method: str, by_key: bool) -> None:
    """And nothing else of what the host has shown."""
    story = Story(lets_in={"auth_method": method, "banner": "SSH-2.0-x"} if method else {})
    await scanned(story)
    assert [(told.signal, told.by_key, told.facts.keys() - {"auth_method"}) for told in story.released] == [
        (OK, by_key, set())
    ]

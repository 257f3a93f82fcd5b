"""What a login finds out without its credential comes before permit and vault; what a directory has taken is proven."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import anyio
import pytest

from appliance.contract import (
    OK,
    Candidate,
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
from appliance.phases import PhaseLedger
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
    submitted: bool = False
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
        return self.refused or Authenticated()

    async def privileges(self, ask_root: AskRoot | None = None) -> Privileges | Failure:
        return Privileges()

    async def permit(self, request: PermitRequest, wait: float) -> PermitAnswer:
        self.steps.append("permit")
        return PermitAnswer(verdict=PermitVerdict.GRANTED)

    async def release(self, release: PermitRelease) -> None:
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


async def scanned(story: Story, deadline: float = 30.0) -> Outcome:
    kit = replace(
        a_kit(Hosts()),
        sources={VAULT: cast("CredentialSource", Vault(story))},
        dial=story.dial,
        logins={Technology.UNIX: story.login},
        desk=cast("PermitDesk", story),
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

"""Access requests at the simulated vault, and what is understood of any vault's answers about them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract import AccessTerms, CredentialRef, Failure, SecretLookup, Ticket
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from appliance.vault import SecretHandle, approval_answers
from appliance.vault.approval_answers import Requested
from appliance.vault.credential import Credential
from appliance.vault.definition import Api, Hidden, VaultAccess, VaultLogin
from appliance.vault.grantor import Grantor, open_grantor
from appliance.vault.messages import Answer
from appliance.vault.secret_server import SecretServerSource, open_source
from targets.secret_server.access_requests import AccessRequest, Status
from targets.secret_server.refusal import Refused
from targets.secret_server.users import Caller
from targets.vault_weather import WeatherSpec
from targets.world import World
from tests.unit.targets.targets_lab import running

ESTATE = """
seed = 7
[[vault.users]]
name = "boss"
[[secrets]]
name = "guarded"
security = { approvers = ["boss"], ticket = "CHG-[0-9]+" }
[[secrets]]
name = "plain"
"""
ASK, FILE, CANCEL = VaultQueryKind.APPROVAL, VaultQueryKind.REQUEST, VaultQueryKind.CANCEL
TICKET = Ticket(number="CHG-1")


@dataclass(frozen=True, slots=True)
class Desk:
    grantor: Grantor
    source: SecretServerSource
    world: World

    async def put(self, kind: VaultQueryKind, name: str = "guarded", **more: Any) -> VaultAnswer:
        stored = self.world.vault.search(name, exact=True)[0]
        ref = CredentialRef(vault="Vault", by=SecretLookup.ID, key=str(stored.id))
        asked = {"comment": "run 7", "ticket": TICKET, **more}
        return await self.grantor.answer(VaultQuery(run="r", kind=kind, vault="Vault", secret=ref, **asked))

    async def file(self, minutes: int = 60) -> VaultAnswer:
        return await self.put(FILE, minutes=minutes)

    def answer(self, status: Status, number: int = 1, said: str = "") -> None:
        user = self.world.service.users.named("boss")
        assert user is not None
        done = self.world.service.requests.answer(number, Caller(user, "127.0.0.1"), status, said)
        assert not isinstance(done, Refused), done

    def filed(self) -> list[AccessRequest]:
        user = self.world.service.users.named("boss")
        assert user is not None
        return self.world.service.requests.all(Caller(user, "127.0.0.1"))


@asynccontextmanager
async def desk(state: Path, api: Api = "rest") -> AsyncIterator[Desk]:
    async with running(ESTATE, state) as (ready, world):
        access = VaultAccess(title="Vault", url=ready.vault_url, user=ready.vault_user, api=api)
        login = VaultLogin(access, Hidden(world.estate.vault_password))
        async with open_grantor(login) as grantor, open_source(access, grantor.token) as source:
            yield Desk(grantor, source, world)


async def test_asked_filed_approved(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        before = await d.put(ASK)
        assert (before.ok, before.facts) == (True, {"needed": "yes", "newest": "0"})
        assert (await d.put(ASK, "plain")).facts == {"needed": "no"}
        filed = await d.file()
        assert (filed.ok, filed.facts["request"], filed.facts["status"]) == (True, "1", "pending")
        [request] = d.filed()
        assert (request.comment, request.ticket) == ("run 7", "CHG-1")
        assert (request.end - request.start, request.start <= d.world.service.clock.now()) == (timedelta(hours=1), True)
        for known in (0, 1):
            pending = await d.put(ASK, request=known)
            assert (pending.facts["needed"], pending.facts["status"]) == ("yes", "pending")
        d.answer(Status.APPROVED)
        approved = await d.put(ASK)
        assert (approved.facts["needed"], "approved_until" in approved.facts) == ("no", True)
        assert d.world.metrics.vault.views == 0


async def test_denied_with_the_approvers_words_and_the_open_one_counts(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        await d.file()
        await d.file()
        d.answer(Status.DENIED, 2, "no")
        one = (await d.put(ASK)).facts
        assert (one["request"], one["status"], one["newest"]) == ("1", "pending", "2")
        two = (await d.put(ASK, request=2)).facts
        assert (two["status"], two["by"], two["said"]) == ("denied", "boss", "no")


async def test_taken_back(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        await d.file()
        assert (await d.put(CANCEL, request=1)).ok
        assert [request.status for request in d.filed()] == [Status.CANCELED]
        again = await d.put(CANCEL, request=1)
        assert (again.ok, again.text) == (False, "Not possible: the request is Canceled.")


@pytest.mark.parametrize("ahead", [-7200.0, 7200.0])
async def test_the_window_begins_by_the_vaults_own_clock(tmp_path: Path, ahead: float) -> None:
    async with desk(tmp_path) as d:
        d.world.order_weather(WeatherSpec(clock_skew=ahead))
        await d.file()
        d.answer(Status.APPROVED)
        assert (await d.put(ASK)).facts["needed"] == "no"


async def test_a_request_without_the_ticket_that_is_wanted_is_refused_in_the_vaults_words(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        refused = await d.put(FILE, minutes=60, ticket=None)
        assert (refused.ok, refused.reason) == (False, "SECRET_NEEDS_APPROVAL")
        assert refused.text == "The requested Secret requires a ticket number when viewed."
        assert d.filed() == []


async def test_soap_files_none_and_says_so(tmp_path: Path) -> None:
    async with desk(tmp_path, "soap") as d:
        for kind in (ASK, FILE, CANCEL):
            told = await d.put(kind, minutes=60, request=1)
            assert (told.ok, told.reason, 'needs api = "rest"' in told.text) == (False, "SECRET_NEEDS_APPROVAL", True)
        assert d.filed() == []


async def test_a_dry_question_tells_how_it_stands_and_files_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        ref = CredentialRef(vault="Vault", by=SecretLookup.NAME, key="guarded")
        query = VaultQuery(run="r", kind=VaultQueryKind.SECRET, vault="Vault", secret=ref)
        told = await d.grantor.answer(query)
        assert (told.reason, told.facts["newest"], d.filed()) == ("SECRET_NEEDS_APPROVAL", "0", [])
        await d.file()
        assert (await d.grantor.answer(query)).facts["status"] == "pending"
        d.answer(Status.APPROVED)
        told = await d.grantor.answer(query)
        assert (told.ok, "approved_until" in told.facts) == (True, True)


async def test_the_source_says_before_a_view_what_has_to_be_approved(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        handles = {}
        for name in ("guarded", "plain"):
            handle = await d.source.settle(CredentialRef(vault="Vault", by=SecretLookup.NAME, key=name))
            assert isinstance(handle, SecretHandle)
            handles[name] = handle
        asked = d.world.metrics.vault.requests
        assert await d.source.approval(handles["plain"]) is None
        assert d.world.metrics.vault.requests == asked, "the search has said so"
        lacking = await d.source.approval(handles["guarded"])
        assert isinstance(lacking, Failure)
        assert lacking.signal.name == "SECRET_NEEDS_APPROVAL"
        await d.file()
        d.answer(Status.APPROVED)
        assert await d.source.approval(handles["guarded"]) is None
        terms = AccessTerms(ticket=TICKET)
        fetch = partial(d.source.fetch, handles["guarded"], private_key=False, purpose="p", terms=terms)
        assert isinstance(await fetch(), Credential)
        d.world.order_weather(WeatherSpec(clock_skew=7200.0))  # beyond its end
        assert await d.source.approval(handles["guarded"]) is None, "it was approved, as far as is known"
        assert isinstance(await fetch(), Failure)
        assert await d.source.approval(handles["guarded"]) is not None, "a refused view has told otherwise"


ONE = {
    "secretAccessRequestId": 3,
    "secretId": 7,
    "status": "Denied",
    "approverDisplayName": "Ann",
    "responseComment": "x",
}


@pytest.mark.parametrize("body", [ONE, [ONE], {"records": [ONE]}, {"records": [{"status": 3}, ONE, None]}])
def test_ones_own_requests_come_in_whatever_shape(body: Any) -> None:
    found = approval_answers.read_requests(Answer(200, "application/json", body=json.dumps(body).encode()))
    assert found == (Requested(3, 7, "denied", by="Ann", said="x"),)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["records", *ONE, "requestDate"]), inner, max_size=6)
    ),
    max_leaves=12,
)


@given(
    status=st.sampled_from([200, 200, 200, 400, 500]),
    body=st.binary(max_size=60) | JSON.map(lambda j: json.dumps(j).encode()),
)
def test_whatever_comes_is_a_value_or_a_failure(status: int, body: bytes) -> None:
    answer = Answer(status, "application/json", body=body)
    assert isinstance(approval_answers.read_request(answer), Requested | Failure)
    assert isinstance(approval_answers.read_requests(answer), tuple | Failure)

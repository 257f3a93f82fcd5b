from __future__ import annotations

import pytest

from appliance.contract import (
    DEADLINE,
    OK,
    Account,
    CheckOutAnswer,
    CheckOutRequest,
    CredentialRef,
    Failure,
    PermitAnswer,
    PermitRelease,
    PermitRequest,
    PermitVerdict,
    Phase,
    Reread,
    RootBy,
    RootPassword,
    SecretLookup,
    named,
)
from appliance.elevation import ASKINGS, RootAnswer
from appliance.login import Elevation
from appliance.permit import Permit
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential
from appliance.vault.failures import fail
from tests.unit.appliance.scripted import a_job

GRANTED = PermitAnswer(verdict=PermitVerdict.GRANTED)
WAIT = PermitAnswer(verdict=PermitVerdict.WAIT, text="a login is under way")
ROOT = Account(authority="host:10.0.0.1", user="root")


class Desk:
    def __init__(self, *answers: PermitAnswer) -> None:
        self.answers = list(answers)
        self.asked: list[PermitRequest] = []
        self.released: list[PermitRelease] = []

    async def permit(self, request: PermitRequest, wait: float) -> PermitAnswer:
        self.asked.append(request)
        return self.answers.pop(0)

    async def release(self, release: PermitRelease) -> None:
        self.released.append(release)

    async def check_out(self, request: CheckOutRequest, wait: float) -> CheckOutAnswer:
        raise AssertionError((request, wait))


class Lent:
    """An answer with its desk and its vault; `given` is what has been read."""

    def __init__(
        self,
        desk: Desk,
        *secrets: Credential | Failure,
        by: RootBy = RootBy.SU,
        account: Account = ROOT,
        own: Credential | None = None,
    ) -> None:
        self.desk, self.secrets, self.given = desk, list(secrets), list[Credential | Failure]()
        ref = CredentialRef(vault="Vault", by=SecretLookup.NAME, key="root")
        root = RootPassword(by=by, user=account.user, account=account, secret=ref)
        job = a_job()
        candidate = job.candidates[0].model_copy(update={"root": root})
        self.ledger = PhaseLedger(lambda: 0.0)
        self.ledger.enter(Phase.PRIVILEGE)

        async def fetch(_anew: bool) -> Credential | Failure:
            self.given.append(self.secrets.pop(0))
            return self.given[-1]

        permit = Permit(job, candidate, desk, lambda: 0.0, root=True)
        self.answer = RootAnswer(root, permit, fetch, self.ledger, own)


async def test_it_is_read_under_a_permit_of_its_own_and_forgotten() -> None:
    credential = Credential(password="secret")
    lent = Lent(Desk(GRANTED), credential)
    assert await lent.answer() == "secret"
    [asked] = lent.desk.asked
    assert (asked.account, asked.elevation) == (ROOT, True)
    assert lent.ledger.current is Phase.PRIVILEGE
    lent.answer.forget()
    assert credential.forgotten
    await lent.answer.give_back(Elevation.ACCEPTED)
    [released] = lent.desk.released
    assert (released.account, released.elevation, released.signal, released.submitted) == (ROOT, True, OK, True)


async def test_the_logins_own_password_is_read_no_second_time() -> None:
    lent = Lent(Desk(GRANTED), own=Credential(password="own"))
    assert await lent.answer() == "own"
    assert lent.given == []


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (PermitAnswer(verdict=PermitVerdict.SKIP, cause="PRIV_SU_REFUSED"), "PRIV_SU_REFUSED"),
        (PermitAnswer(verdict=PermitVerdict.SKIP, cause="STOPPED", text="account root: stopped"), "STOPPED"),
        (PermitAnswer(verdict=PermitVerdict.DUPLICATE), "APPLIANCE_LOST"),
    ],
)
async def test_without_a_permit_nothing_is_read(answer: PermitAnswer, cause: str) -> None:
    lent = Lent(Desk(answer))
    refused = await lent.answer()
    assert isinstance(refused, Failure)
    assert (refused.signal, refused.facts["cause"]) == (named("PRIV_NOT_TRIED"), cause)
    assert lent.given == []
    await lent.answer.give_back(Elevation.UNTRIED)
    assert lent.desk.released == []


async def test_it_waits_its_turn_for_a_while() -> None:
    assert await Lent(Desk(WAIT, GRANTED), Credential(password="p")).answer() == "p"
    refused = await Lent(Desk(*[WAIT] * ASKINGS)).answer()
    assert isinstance(refused, Failure)
    assert refused.facts["cause"] == "PERMIT_WAIT"


async def test_a_vault_without_it_leaves_the_login_standing() -> None:
    lent = Lent(Desk(GRANTED), fail("SECRET_NOT_FOUND", "no secret of that name"))
    refused = await lent.answer()
    assert isinstance(refused, Failure)
    assert (refused.phase, refused.signal) == (Phase.PRIVILEGE, named("PRIV_NO_SECRET"))
    assert refused.text == "SECRET_NOT_FOUND: no secret of that name"
    await lent.answer.give_back(Elevation.UNTRIED)
    [released] = lent.desk.released
    assert released.submitted is False


@pytest.mark.parametrize(
    ("by", "account", "state", "counted"),
    [
        (RootBy.SUDO, ROOT, Elevation.REFUSED, ("PRIV_SUDO_REFUSED", True, 2)),
        (RootBy.SU, ROOT, Elevation.REFUSED, ("PRIV_SU_REFUSED", True, 1)),
        (RootBy.SUDO, ROOT, Elevation.SENT, ("", True, 2)),
        (RootBy.SU, ROOT, Elevation.SENT, ("", True, 1)),
        (RootBy.SUDO, ROOT, Elevation.BEGUN, ("", True, 1)),
        (RootBy.SUDO, Account(authority="dir:corp", user="scan"), Elevation.BEGUN, ("", False, 1)),
        (RootBy.SU, ROOT, Elevation.BEGUN, ("", False, 1)),
        (RootBy.SU, ROOT, Elevation.UNTRIED, ("", False, 1)),
    ],
)
async def test_what_counts(by: RootBy, account: Account, state: Elevation, counted: tuple[str, bool, int]) -> None:
    lent = Lent(Desk(GRANTED), Credential(password="p"), by=by, account=account)
    await lent.answer()
    await lent.answer.give_back(state)
    [released] = lent.desk.released
    assert (released.signal.name, released.submitted, released.logons) == counted
    assert released.signal.kind == (named("").kind if counted[0] else DEADLINE.kind)


@pytest.mark.parametrize(
    ("again", "reread"),
    [
        (Credential(password="p"), Reread.UNCHANGED),
        (Credential(password="another"), Reread.CHANGED),
        (fail("VAULT_TIMEOUT", ""), Reread.FAILED),
    ],
)
async def test_a_second_look_after_a_refusal(again: Credential | Failure, reread: Reread) -> None:
    lent = Lent(Desk(GRANTED), Credential(password="p"), again)
    await lent.answer()
    lent.answer.forget()
    await lent.answer.second_look(0.0)
    await lent.answer.give_back(Elevation.REFUSED)
    [released] = lent.desk.released
    assert released.reread is reread

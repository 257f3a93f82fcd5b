from __future__ import annotations

import pytest

from appliance import reading
from appliance.access import AccessAnswer, AccessRequest
from appliance.answering import Answers
from appliance.contract import (
    DEADLINE,
    OK,
    Account,
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
    View,
    named,
)
from appliance.elevation import ASKINGS, RootAnswer
from appliance.job_secrets import JobSecrets
from appliance.login import Elevation
from appliance.phases import PhaseLedger
from appliance.vault import SecretHandle
from appliance.vault.credential import Credential
from appliance.vault.failures import fail
from tests.unit.appliance.scripted import Source, a_job

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

    async def access(self, request: AccessRequest, wait: float) -> AccessAnswer:
        raise AssertionError((request, wait))


class Vault(Source):
    """Gives one after the other."""

    def __init__(self, secrets: list[Credential | Failure]) -> None:
        self.secrets = secrets
        self.given: list[Credential | Failure] = []

    async def fetch(self, *_: object, views: list[View] | None = None, **__: object) -> Credential | Failure:
        assert views is not None
        views.append(View(asked=1.0, answered=2.0, vault="Vault", secret_id=1))
        self.given.append(self.secrets.pop(0))
        return self.given[-1]


class Lent:
    """An answer with its desk and its vault; `given` is what has been read."""

    def __init__(
        self,
        desk: Desk,
        *secrets: Credential | Failure,
        by: RootBy = RootBy.SU,
        account: Account = ROOT,
        own: Credential | None = None,
        settled: Failure | None = None,
    ) -> None:
        self.desk, vault = desk, Vault(list(secrets))
        self.given = vault.given
        job = a_job()
        record = job.candidates[0]
        ref = record.secret if own is not None else CredentialRef(vault="Vault", by=SecretLookup.NAME, key="root")
        root = RootPassword(by=by, user=account.user, account=account, secret=ref)
        candidate = record.model_copy(update={"root": root})
        self.ledger = PhaseLedger(lambda: 0.0)
        self.ledger.enter(Phase.PRIVILEGE)
        self.secrets = JobSecrets(job, {"Vault": vault}, desk, lambda: 0.0)
        handles = {ref: settled or SecretHandle(ref, 1)}
        login = Answers(candidate, self.secrets, handles, self.ledger, {}, 0)
        login.credential = own or Credential(password="login")
        self.answer = RootAnswer(candidate, self.secrets, handles, self.ledger, login)


async def test_it_is_read_under_a_permit_of_its_own_and_forgotten() -> None:
    credential = Credential(password="secret")
    lent = Lent(Desk(GRANTED), credential)
    assert await lent.answer() == "secret"
    [asked] = lent.desk.asked
    assert (asked.account, asked.part) == (ROOT, "root")
    assert [view.secret for view in lent.secrets.views] == ["root"]
    assert lent.ledger.current is Phase.PRIVILEGE
    lent.answer.forget()
    assert credential.forgotten
    await lent.answer.give_back(Elevation.ACCEPTED)
    [released] = lent.desk.released
    assert (released.account, released.part, released.signal, released.submitted) == (ROOT, "root", OK, True)


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


@pytest.mark.parametrize("settled", [True, False])
async def test_a_vault_without_it_leaves_the_login_standing(settled: bool) -> None:
    unknown = fail("SECRET_NOT_FOUND", "no secret of that name")
    lent = Lent(Desk(GRANTED), settled=unknown) if settled else Lent(Desk(GRANTED), unknown)
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
async def test_a_second_look_after_a_refusal(
    again: Credential | Failure, reread: Reread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SECOND_LOOK_S", 0.0)
    lent = Lent(Desk(GRANTED), Credential(password="p"), again)
    await lent.answer()
    lent.answer.forget()
    await lent.answer.second_look()
    await lent.answer.give_back(Elevation.REFUSED)
    [released] = lent.desk.released
    assert released.reread is reread

"""The supervisor's role: one grant, shared by all, refused once for ever."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator

import anyio
import pytest

from appliance.contract import CredentialRef, Failure, SecretLookup
from appliance.questions import VaultQuery, VaultQueryKind
from appliance.vault.exchange import open_exchange
from appliance.vault.grantor import Grantor, open_grantor
from appliance.vault.grantors import Grantors
from appliance.vault.tokens import UNANSWERED_WINDOW, Token
from tests.unit.vault.scripted import (
    API,
    DENIED,
    PASSWORD,
    TOKEN,
    Gate,
    Hang,
    ScriptedVault,
    grant,
    page,
    raw,
    reason,
    reply,
    row,
    scripted_vault,
    state_body,
)

GRANT = "/oauth2/token"
HEALTH = f"{API}/healthcheck"


@pytest.fixture
async def vault() -> AsyncIterator[ScriptedVault]:
    async with scripted_vault() as vault:
        vault.on("GET", HEALTH, reply(200, {"healthy": True}))
        yield vault


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def token(result: Token | Failure) -> Token:
    assert isinstance(result, Token), result
    return result


async def test_the_grant_is_the_documented_form(vault: ScriptedVault) -> None:
    vault.on("POST", GRANT, grant())
    async with open_grantor(vault.login(domain="corp.example")) as grantor:
        given = token(await grantor.token())
    assert given.value.reveal() == TOKEN
    assert 1019 <= given.fresh_for <= 1020
    form = {"grant_type": "password", "username": "svc", "password": PASSWORD, "domain": "corp.example"}
    assert vault.asked[0].form == form
    assert vault.asked[0].headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in vault.asked[0].headers


async def test_all_who_ask_share_one_grant(vault: ScriptedVault) -> None:
    gate = Gate(grant())
    vault.on("POST", GRANT, gate)
    got: list[Token] = []
    async with open_grantor(vault.login()) as grantor:

        async def ask() -> None:
            got.append(token(await grantor.token()))

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(ask)
            await gate.reached.wait()
            gate.open.set()
        await ask()
    assert {t.generation for t in got} == {1}
    assert len(got) == 51
    assert vault.count(GRANT) == 1


async def test_a_caller_that_goes_away_takes_no_grant_with_it(vault: ScriptedVault) -> None:
    gate = Gate(grant())
    vault.on("POST", GRANT, gate)
    async with open_grantor(vault.login()) as grantor:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(grantor.token)
            await gate.reached.wait()
            tasks.cancel_scope.cancel()
        gate.open.set()
        assert token(await grantor.token()).generation == 1
    assert vault.count(GRANT) == 1


@pytest.mark.parametrize(
    "answer",
    [
        reply(400, {"error": "Login failed."}),
        reply(401, b"", kind="text/html"),
        reply(400, b"<html>", kind="text/html"),
    ],
)
async def test_a_refused_login_is_tried_once_whoever_asks(vault: ScriptedVault, answer: Gate) -> None:
    vault.on("POST", GRANT, answer)
    clock = Clock()
    async with open_exchange(vault.access()) as exchange, anyio.create_task_group() as tasks:
        grantor = Grantor(vault.login(), exchange, tasks, clock=clock)
        async with anyio.create_task_group() as callers:
            for _ in range(20):
                callers.start_soon(grantor.token)
        for _ in range(5):
            clock.now += 10 * UNANSWERED_WINDOW
            result = await grantor.token()
            assert reason(result) == "VAULT_LOGIN_REFUSED"
            assert (await grantor.check()).reason == "VAULT_LOGIN_REFUSED"
    assert vault.count(GRANT) == 1


async def test_a_token_that_the_vault_refused_is_replaced_once(vault: ScriptedVault) -> None:
    vault.on("POST", GRANT, grant("token-1"), grant("token-2"))
    async with open_grantor(vault.login()) as grantor:
        first = token(await grantor.token())
        got: list[Token] = []

        async def complain() -> None:
            got.append(token(await grantor.token(first.generation)))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(complain)
    assert {t.value.reveal() for t in got} == {"token-2"}
    assert vault.count(GRANT) == 2


async def test_an_ageing_token_serves_while_the_next_is_fetched(vault: ScriptedVault) -> None:
    gate = Gate(grant("token-2"))
    vault.on("POST", GRANT, grant("token-1", life=1000), gate)
    clock = Clock()
    async with open_exchange(vault.access()) as exchange, anyio.create_task_group() as tasks:
        grantor = Grantor(vault.login(), exchange, tasks, clock=clock)
        await grantor.token()
        clock.now += 900
        for _ in range(5):
            assert token(await grantor.token()).value.reveal() == "token-1"
        await gate.reached.wait()
        gate.open.set()
        assert token(await grantor.token(1)).value.reveal() == "token-2"
    assert vault.count(GRANT) == 2


async def test_the_refresh_token_saves_a_password_grant(vault: ScriptedVault) -> None:
    vault.on("POST", GRANT, grant("token-1", refresh_token="refresh-1"), grant("token-2"), grant("token-3"))
    async with open_grantor(vault.login()) as grantor:
        await grantor.token()
        assert token(await grantor.token(1)).value.reveal() == "token-2"
        assert token(await grantor.token(2)).value.reveal() == "token-3"
    kinds = [a.form["grant_type"] for a in vault.asked]
    assert kinds == ["password", "refresh_token", "password"], "the second answer brought no refresh token"
    assert vault.asked[1].form["refresh_token"] == "refresh-1"


async def test_a_refused_refresh_token_is_no_refused_login(vault: ScriptedVault) -> None:
    refused = reply(400, {"error": "invalid_grant"})
    vault.on("POST", GRANT, grant("token-1", refresh_token="refresh-1"), refused, grant("token-2"))
    async with open_grantor(vault.login()) as grantor:
        await grantor.token()
        assert token(await grantor.token(1)).value.reveal() == "token-2"
    assert [a.form["grant_type"] for a in vault.asked] == ["password", "refresh_token", "password"]


async def test_an_unanswered_password_is_repeated_once_and_only_to_a_vault_that_looks_well(
    vault: ScriptedVault,
) -> None:
    vault.on("POST", GRANT, raw(b""))
    vault.on("GET", HEALTH, reply(503), reply(503), reply(503), reply(200, b"Healthy", kind="text/plain"))
    clock = Clock()
    async with open_exchange(vault.access()) as exchange, anyio.create_task_group() as tasks:
        grantor = Grantor(vault.login(), exchange, tasks, clock=clock)
        assert reason(await grantor.token()) == "VAULT_UNREACHABLE"
        clock.now += 60
        assert reason(await grantor.token()) == "VAULT_ERROR"
        assert vault.count(GRANT) == 1, "it did not look well"
        clock.now += 60
        assert reason(await grantor.token()) == "VAULT_UNREACHABLE"
        assert vault.count(GRANT) == 2
        for _ in range(10):
            clock.now += 60
            blocked = await grantor.token()
            assert isinstance(blocked, Failure)
            assert "without a verdict" in blocked.text
    assert vault.count(GRANT) == 2


async def test_a_throttled_grant_was_not_judged(vault: ScriptedVault) -> None:
    vault.on("POST", GRANT, reply(429), reply(503), reply(429, Retry_After="90"), grant())
    clock = Clock()
    async with open_exchange(vault.access(), clock) as exchange, anyio.create_task_group() as tasks:
        grantor = Grantor(vault.login(), exchange, tasks, clock=clock)
        assert reason(await grantor.token()) == "VAULT_RATE_LIMITED"
        assert reason(await grantor.token()) == "VAULT_RATE_LIMITED"
        assert vault.count(GRANT) == 1, "there is a pause"
        clock.now += 40
        assert reason(await grantor.token()) == "VAULT_ERROR"
        clock.now += 40
        assert reason(await grantor.token()) == "VAULT_RATE_LIMITED"
        clock.now += 89
        assert reason(await grantor.token()) == "VAULT_RATE_LIMITED"
        clock.now += 10  # a moment more than asked for: nobody comes back together with the others
        assert token(await grantor.token()).generation == 1
    assert vault.count(HEALTH) == 0


async def test_a_grant_that_hangs_is_a_time_out(vault: ScriptedVault) -> None:
    vault.on("POST", GRANT, Hang())
    async with open_grantor(vault.login(), patience=0.2) as grantor:
        result = await grantor.token()
    assert reason(result) == "VAULT_TIMEOUT"


async def test_a_grant_that_ends_in_a_bug_is_one_failure(vault: ScriptedVault, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody expects ends no supervisor, and a password that was sent then counts as one without a verdict."""

    def broken(*_: object) -> None:
        raise KeyError(PASSWORD)

    vault.on("POST", GRANT, grant("token-1"), grant("token-2"))
    clock = Clock()
    async with open_exchange(vault.access()) as exchange, anyio.create_task_group() as tasks:
        grantor = Grantor(vault.login(), exchange, tasks, clock=clock)
        with monkeypatch.context() as patch:
            patch.setattr(exchange, "send", broken)
            failure = await grantor.token()
            assert isinstance(failure, Failure)
            assert (reason(failure), failure.text) == ("INTERNAL", "KeyError")
            assert await grantor.token() == failure, "there is a pause"
        clock.now += 60
        with monkeypatch.context() as patch:
            patch.setattr("appliance.vault.answers.read_grant", broken)
            assert reason(await grantor.token()) == "INTERNAL"
        assert (vault.count(GRANT), vault.count(HEALTH)) == (1, 0), "the first one sent nothing"
        clock.now += 60
        assert token(await grantor.token()).value.reveal() == "token-2"
    assert vault.count(HEALTH) == 1, "the second one's password may have counted"


@pytest.mark.parametrize(
    ("raised", "told"), [(RuntimeError(PASSWORD), "INTERNAL"), (OSError(errno.EMFILE, ""), "OWN_OVERLOAD")]
)
async def test_a_vault_that_cannot_be_opened_costs_one_answer(
    vault: ScriptedVault, monkeypatch: pytest.MonkeyPatch, raised: Exception, told: str
) -> None:
    def broken() -> None:
        raise raised

    vault.on("POST", GRANT, grant())
    check = VaultQuery(run="r", kind=VaultQueryKind.CHECK, vault="Vault")
    async with anyio.create_task_group() as tasks:
        grantors = Grantors(tasks)
        with monkeypatch.context() as patch:
            patch.setattr("appliance.vault.grantors._load", broken)
            assert reason(await grantors.token(vault.login(), None)) == told
            answer = await grantors.answer(vault.login(), check)
            assert (answer.ok, answer.reason, PASSWORD in answer.text) == (False, told, False)
        assert (await grantors.answer(vault.login(), check)).ok
        assert token(await grantors.token(vault.login(), None)).generation == 1
        tasks.cancel_scope.cancel()


async def test_on_the_way_out_nobody_is_left_waiting(vault: ScriptedVault) -> None:
    hang = Hang()
    vault.on("POST", GRANT, hang)
    got: list[Token | Failure] = []
    async with anyio.create_task_group() as tasks:
        async with open_grantor(vault.login()) as grantor:

            async def ask() -> None:
                got.append(await grantor.token())

            tasks.start_soon(ask)
            await hang.reached.wait()
        with anyio.fail_after(5):
            await hang.left.wait()
    assert [reason(r) for r in got] == ["APPLIANCE_LOST"]
    assert reason(await grantor.token()) == "APPLIANCE_LOST"


async def test_check_sends_no_password_to_a_vault_that_is_ill(vault: ScriptedVault) -> None:
    vault.on("POST", GRANT, grant())
    vault.on("GET", HEALTH, reply(503), reply(503), reply(503), reply(404, b"", kind="text/plain"))
    async with open_grantor(vault.login()) as grantor:
        ill = await grantor.check()
        assert (ill.reason, ill.facts["url"]) == ("VAULT_ERROR", vault.login().access.url)
        assert vault.count(GRANT) == 0
        answer = await grantor.answer(VaultQuery(run="r", kind=VaultQueryKind.CHECK, vault="Vault"))
    assert answer.ok
    assert answer.facts["url"] == ill.facts["url"]
    assert vault.count(GRANT) == 1


def ref(key: str, by: SecretLookup = SecretLookup.NAME) -> CredentialRef:
    return CredentialRef(vault="Vault", by=by, key=key)


async def test_look_resolves_and_asks_for_the_state_without_a_view(vault: ScriptedVault) -> None:
    vault.on("POST", GRANT, grant())
    vault.on("GET", f"{API}/secrets", reply(200, page(row(7, "admin"))))
    checked_out = {"isCheckedOut": True, "checkedOutUserDisplayName": "Ann"}
    vault.on(
        "GET",
        f"{API}/secrets/7/state",
        reply(200, state_body(7)),
        reply(200, state_body(7, "RequiresComment")),
        reply(200, state_body(7, "RequiresApproval")),
        reply(200, state_body(7, "RequiresCheckout", **checked_out)),
        reply(400, DENIED),
    )
    async with open_grantor(vault.login()) as grantor:
        answers = [
            await grantor.answer(VaultQuery(run="r", kind=VaultQueryKind.SECRET, vault="Vault", secret=ref("admin")))
            for _ in range(5)
        ]
        missing = await grantor.look(ref("other"))
    assert [a.reason for a in answers] == [
        "",
        "",
        "SECRET_NEEDS_APPROVAL",
        "SECRET_CHECKED_OUT_BY",
        "SECRET_ACCESS_DENIED",
    ]
    assert [a.ok for a in answers] == [True, True, False, False, False]
    assert answers[0].facts["secret_id"] == "7"
    assert answers[3].text == "checked out by Ann"
    assert missing.reason == "SECRET_NOT_FOUND"
    assert all(a.path != f"{API}/secrets/7" for a in vault.asked)

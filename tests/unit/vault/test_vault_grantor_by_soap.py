"""The supervisor's role over SOAP, and over whichever interface the vault has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import anyio
import pytest

from appliance.questions import VaultQuery, VaultQueryKind
from appliance.vault.definition import Hidden
from appliance.vault.exchange import open_exchange
from appliance.vault.grantor import Grantor, open_grantor
from appliance.vault.tokens import UNANSWERED_WINDOW, Token
from tests.unit.vault.scripted import API, TOKEN, Act, ScriptedVault, grant, raw, reason, reply, scripted_vault
from tests.unit.vault.soap_script import refused, result, soap_grant

GRANT, HEALTH, VERSION = "/oauth2/token", f"{API}/healthcheck", "VersionGet"
NONE = reply(404, b"<html>not here</html>", kind="text/html")
CHECK = VaultQuery(run="r", kind=VaultQueryKind.CHECK, vault="Vault")


@pytest.fixture
async def vault() -> AsyncIterator[ScriptedVault]:
    """One that has both interfaces."""
    async with scripted_vault() as vault:
        vault.on("GET", HEALTH, reply(200, {"healthy": True}))
        vault.on("POST", VERSION, result(VERSION, "<Version>8.9</Version>"))
        vault.on("POST", GRANT, grant())
        vault.on("POST", "Authenticate", soap_grant())
        yield vault


def routes(vault: ScriptedVault) -> list[str]:
    return [asked.route for asked in vault.asked]


def token(given: object) -> Token:
    assert isinstance(given, Token), given
    return given


async def test_a_grant_by_soap_is_for_soap(vault: ScriptedVault) -> None:
    async with open_grantor(vault.login(domain="corp", api="soap")) as grantor:
        given = token(await grantor.token())
        assert (given.value.reveal(), given.api) == ("AgJ-soap-token-1", "soap")
        assert 1019 <= given.fresh_for <= 1020, "the answer tells no life: it is the product's default, less 15 %"
    assert routes(vault) == ["Authenticate"]
    assert b"<domain>corp</domain>" in vault.asked[0].body


@pytest.mark.parametrize(
    "answer",
    [refused("Authenticate", "Login failed."), refused("Authenticate", "An administrator's own words."), reply(401)],
)
async def test_a_refused_login_is_tried_once_whoever_asks(vault: ScriptedVault, answer: Act) -> None:
    vault.on("POST", "Authenticate", answer)
    now = [1000.0]
    async with open_exchange(vault.access(api="soap")) as exchange, anyio.create_task_group() as tasks:
        grantor = Grantor(vault.login(api="soap"), exchange, tasks, clock=lambda: now[0])
        async with anyio.create_task_group() as callers:
            for _ in range(20):
                callers.start_soon(grantor.token)
        for _ in range(5):
            now[0] += 10 * UNANSWERED_WINDOW
            assert reason(await grantor.token()) == "VAULT_LOGIN_REFUSED"
            assert (await grantor.answer(CHECK)).reason == "VAULT_LOGIN_REFUSED"
    assert vault.count("Authenticate") == 1


@pytest.mark.parametrize("answer", [reply(500), reply(503), raw(b"")])
async def test_a_password_is_never_repeated_by_itself(vault: ScriptedVault, answer: Act) -> None:
    vault.on("POST", "Authenticate", answer)
    async with open_grantor(vault.login(api="soap")) as grantor:
        assert reason(await grantor.token()) in ("VAULT_ERROR", "VAULT_UNREACHABLE")
    assert vault.count("Authenticate") == 1


async def test_an_unanswered_password_is_repeated_once_and_only_to_a_vault_that_looks_well(
    vault: ScriptedVault,
) -> None:
    vault.on("POST", "Authenticate", raw(b""))
    vault.on("POST", VERSION, *[reply(503)] * 3, result(VERSION))
    now = [1000.0]
    async with open_exchange(vault.access(api="soap")) as exchange, anyio.create_task_group() as tasks:
        grantor = Grantor(vault.login(api="soap"), exchange, tasks, clock=lambda: now[0])
        said = []
        for _ in range(6):
            said.append(reason(await grantor.token()))
            now[0] += 60
    assert said == ["VAULT_UNREACHABLE", "VAULT_ERROR", *["VAULT_UNREACHABLE"] * 4]
    assert vault.count("Authenticate") == 2


async def test_a_login_that_xml_cannot_carry_is_not_sent(vault: ScriptedVault) -> None:
    async with open_grantor(replace(vault.login(api="soap"), password=Hidden("p\x00w"))) as grantor:
        for _ in range(2):
            assert reason(await grantor.token()) == "VAULT_LOGIN_REFUSED"
    assert vault.asked == []


async def test_a_check_looks_first_and_says_what_is_spoken(vault: ScriptedVault) -> None:
    fault = b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultstring>It broke.'
    fault += b"</faultstring></s:Fault></s:Body></s:Envelope>"
    vault.on("POST", VERSION, *[reply(500, fault, kind="text/xml")] * 3, refused(VERSION, "not for you"))
    async with open_grantor(vault.login(api="soap")) as grantor:
        ill = await grantor.answer(CHECK)
        assert (ill.reason, ill.text) == ("VAULT_ERROR", "It broke.")
        assert vault.count("Authenticate") == 0
        well = await grantor.answer(CHECK)
        assert (well.ok, well.facts) == (True, {"url": vault.login().access.url, "user": "svc", "api": "soap"})


# -- whichever ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "health",
    [
        reply(200, {"healthy": True}),
        reply(200, {"Healthy": False}),
        reply(200, b"Healthy", kind="text/plain"),
        reply(200, b'"Healthy"'),
        reply(403, {"message": "Access is not allowed from this IP address."}),
    ],
)
async def test_what_answers_by_rest_is_asked_by_rest(vault: ScriptedVault, health: Act) -> None:
    vault.on("GET", HEALTH, health)
    async with open_grantor(vault.login(api="auto")) as grantor:
        given = token(await grantor.token())
        assert (given.value.reveal(), given.api) == (TOKEN, "rest")
        token(await grantor.token(given.generation))
    assert routes(vault) == [HEALTH, GRANT, GRANT], "found out once"


@pytest.mark.parametrize("health", [NONE, reply(200, b"<html>Log in</html>", kind="text/html"), reply(302)])
async def test_what_answers_by_soap_alone_is_asked_by_soap(vault: ScriptedVault, health: Act) -> None:
    vault.on("GET", HEALTH, health)
    async with open_grantor(vault.login(api="auto")) as grantor:
        given = token(await grantor.token())
        assert (given.value.reveal(), given.api) == ("AgJ-soap-token-1", "soap")
        assert (await grantor.answer(CHECK)).facts["api"] == "soap"
    assert routes(vault) == [HEALTH, VERSION, "Authenticate", VERSION], "found out once"


@pytest.mark.parametrize(
    ("health", "version", "expected"),
    [
        (NONE, NONE, "VAULT_BAD_RESPONSE"),
        (reply(200, b"<html>", kind="text/html"), reply(200, b"<html>", kind="text/html"), "VAULT_BAD_RESPONSE"),
        (reply(503), result(VERSION), "VAULT_ERROR"),
        (reply(429), result(VERSION), "VAULT_RATE_LIMITED"),
        (NONE, reply(503), "VAULT_ERROR"),
        (raw(b""), result(VERSION), "VAULT_UNREACHABLE"),
    ],
)
async def test_no_password_goes_to_what_is_not_known_and_it_is_looked_at_again(
    vault: ScriptedVault, health: Act, version: Act, expected: str
) -> None:
    vault.on("GET", HEALTH, health)
    vault.on("POST", VERSION, version)
    now = [1000.0]
    async with open_exchange(vault.access(api="auto")) as exchange, anyio.create_task_group() as tasks:
        grantor = Grantor(vault.login(api="auto"), exchange, tasks, clock=lambda: now[0])
        assert reason(await grantor.token()) == expected
        assert (await grantor.check()).reason == expected
        assert vault.count(GRANT) == vault.count("Authenticate") == 0
        vault.on("GET", HEALTH, reply(200, {}))
        now[0] += 60
        assert token(await grantor.token()).api == "rest"

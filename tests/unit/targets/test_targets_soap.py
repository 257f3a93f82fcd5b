"""The simulated vault's SOAP sessions and protocols: logins, tokens, envelopes, faults, the HTTP GET form."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tests.unit.targets.soap_client import PATH, SOAP_11, SOAP_12, Fault, other, request, soap
from tests.unit.targets.targets_lab import Clock

DEAD = ["Authentication failed or expired token"]
REFUSED = {"Errors": ["Login failed."]}


# -- sessions ----------------------------------------------------------------------------------------------------------


async def test_a_login_gives_a_token_that_rest_takes_too_and_the_other_way_round() -> None:
    async with soap() as s:
        assert s.vault.world.metrics.vault.grants == 1
        s.vault.token = s.token
        assert (await s.vault.ask(f"v1/secrets/{s.vault.id('plain')}"))[0] == 200
        await s.vault.login()
        s.token = s.vault.token
        assert await s.ask("GetTokenIsValid") == {"Errors": [], "MaxOfflineSeconds": "0", "Version": "11.2.000002"}


@pytest.mark.parametrize(
    ("user", "changed", "ok"),
    [
        ("", {"password": "wrong"}, False),
        ("", {"username": "nobody"}, False),
        ("", {"domain": "(Local)"}, True),
        ("", {"domain": "CORP"}, False),
        ("", {"organization": "acme"}, True),
        ("abroad", {}, True),
        ("abroad", {"domain": ""}, False),
        ("abroad", {"domain": "", "organization": "CORP"}, False),
        ("abroad", {"domain": "", "username": "corp\\ABROAD"}, True),
        ("coded", {}, False),
        ("elsewhere", {}, False),
    ],
)
async def test_a_login_wants_user_password_and_domain(user: str, changed: dict[str, str], ok: bool) -> None:
    async with soap() as s:
        result = await s.login(user, **changed)
        assert ("Token" in result and result["Errors"] == []) if ok else result == REFUSED
        assert s.vault.world.metrics.vault.failed_grants == (not ok)


async def test_a_code_comes_as_the_radius_password() -> None:
    async with soap() as s:
        user = s.vault.world.service.users.named("coded")
        assert user is not None
        login = {"username": "coded", "password": user.password, "organization": "", "domain": ""}
        assert "Token" in await s.call("AuthenticateRADIUS", **login, radiusPassword="123456")
        assert await s.call("AuthenticateRADIUS", **login, radiusPassword="654321") == REFUSED


async def test_failures_of_both_interfaces_lock_the_user() -> None:
    async with soap() as s:
        for _ in range(3):
            assert await s.login(password="wrong") == REFUSED
        for _ in range(2):
            assert (await s.vault.grant(password="wrong"))[0] == 400
        assert await s.login() == REFUSED
        assert s.vault.world.logins.locked


async def test_a_dead_token_and_none_at_all_are_alike() -> None:
    clock = Clock()
    async with soap(clock) as s:
        clock.now += 1200
        for token in (s.token, "KMS-foreign", ""):
            s.token = token
            assert await s.errors("GetTokenIsValid") == DEAD
            assert await s.errors("GetSecret", secretId=1, loadSettingsAndPermissions=False) == DEAD
        assert await s.call("GetTokenIsValid") == {"Errors": DEAD}
        assert s.vault.world.metrics.vault.views == 0


async def test_a_token_from_another_address_is_refused() -> None:
    async with soap() as s:
        users = s.vault.world.service.users
        user = users.named("elsewhere")
        assert user is not None
        s.token = s.vault.world.logins.tokens.issue(user.id).access_token
        assert await s.errors("WhoAmI") == ["Access is not allowed from this IP address."]


async def test_who_one_is_and_which_version_it_is() -> None:
    async with soap() as s:
        abroad = await other(s, "abroad")
        assert await abroad.ask("WhoAmI") == {
            "Errors": [],
            "DisplayName": "abroad",
            "UserName": "abroad",
            "KnownAs": "CORP\\abroad",
            "UserId": "8",
            "DomainId": "1",
            "DomainName": "CORP",
        }
        assert await s.call("VersionGet") == {"Errors": [], "Version": "11.2.000002"}


# -- protocols ---------------------------------------------------------------------------------------------------------


async def test_soap_12_is_spoken_too_with_and_without_an_action() -> None:
    async with soap() as s:
        asked: dict[str, Any] = {"token": s.token, "secretId": s.vault.id("plain")}
        one = await s.call("GetSecretLegacy", **asked)
        assert await s.call("GetSecretLegacy", soap=SOAP_12, **asked) == one
        status, _ = await s.post(request("GetSecretLegacy", asked, SOAP_12), None, SOAP_12)
        assert status == 200


UNKNOWN = "Server did not recognize the value of HTTP Header SOAPAction: {}."
NO_ACTION = "Unable to handle request without a valid action parameter. Please supply a valid soap action."


@pytest.mark.parametrize(
    ("action", "soap_version", "fault"),
    [
        (None, SOAP_11, Fault("soap:Client", NO_ACTION)),
        ("urn:thesecretserver.com/Nope", SOAP_11, Fault("soap:Client", UNKNOWN.format("urn:thesecretserver.com/Nope"))),
        ("urn:other/VersionGet", SOAP_11, Fault("soap:Client", UNKNOWN.format("urn:other/VersionGet"))),
        ("urn:thesecretserver.com/Nope", SOAP_12, Fault("soap:Sender", NO_ACTION)),
    ],
)
async def test_an_action_that_is_none_is_a_fault(action: str | None, soap_version: str, fault: Fault) -> None:
    async with soap() as s:
        assert await s.fault(request("VersionGet", {}, soap_version), action, soap_version) == fault


async def test_what_is_no_envelope_is_a_fault() -> None:
    async with soap() as s:
        broken = await s.fault(b"<s:Envelope", "VersionGet")
        assert (broken.code, broken.text[:36]) == ("soap:Client", "Server was unable to read request. -")
        mixed = await s.fault(request("VersionGet", {}, SOAP_12), "VersionGet")
        assert mixed.code == "soap:VersionMismatch"
        unknown = await s.fault(request("Nope", {}, SOAP_12), None, SOAP_12)
        assert unknown == Fault("soap:Sender", NO_ACTION)
        header = '<s:Header><x xmlns="urn:y" s:mustUnderstand="1"/></s:Header><s:Body/>'
        body = f'<s:Envelope xmlns:s="{SOAP_11}">{header}</s:Envelope>'.encode()
        assert await s.fault(body, "VersionGet") == Fault("soap:MustUnderstand", "SOAP header x was not understood.")
        long = await s.fault(io.BytesIO(request("VersionGet", {"x": "x" * 1024 * 1024})), "VersionGet")
        assert long == Fault("soap:Server", "Maximum request length exceeded.")


async def test_other_content_is_refused() -> None:
    async with soap() as s, s.vault.client.post(s.vault.mount + PATH, json={}) as response:
        assert response.status == 500
        assert await response.text() == "Request format is invalid: application/json."


@pytest.mark.parametrize(
    "path", ["/SecretServer/webservices/SSWebService.asmx", "/secretserver/WEBSERVICES/sswebservice.ASMX"]
)
async def test_the_path_is_taken_in_any_case_and_below_the_root_too(path: str) -> None:
    async with soap() as s:
        for mounted in (path, path.removeprefix(path[:13])):
            async with s.vault.client.get(f"{mounted}?wsdl") as response:
                text = await response.text()
                assert response.content_type == "text/xml"
                assert f'location="{response.url.with_query(None)}"' in text
            async with s.vault.client.get(mounted) as response:
                assert "GetSecretLegacy" in await response.text()


async def test_simple_operations_are_answered_to_a_get() -> None:
    async with soap() as s:
        where = f"{s.vault.mount}{PATH}"

        async def ask(operation: str, **query: str) -> tuple[int, str]:
            async with s.vault.client.get(f"{where}/{operation}", params=query) as response:
                return response.status, await response.text()

        status, text = await ask("GetSecretLegacy", TOKEN=s.token, secretId=str(s.vault.id("plain")))
        assert status == 200
        assert "<GetSecretResult " in text
        assert s.vault.world.vault.named("plain").material.password in text
        assert await ask("GetSecretLegacy", token=s.token) == (500, "Missing parameter: secretId.")
        assert await ask("GetSecret", token=s.token) == (500, "GetSecret Web Service method name is not valid.")
        status, text = await ask("CheckIn", token=s.token, secretId="x")
        assert (status, text) == (500, "Cannot convert x to int. ---> Input string was not in a correct format.")
        status, text = await ask("CheckIn", token="", secretId="1")
        assert (status, DEAD[0] in text) == (200, True)

"""The faults of the simulated vault as SOAP shows them: those on order, those of a secret, the weather."""

from __future__ import annotations

import anyio
import pytest

from targets.secret_server import reading
from tests.unit.targets.soap_client import PATH, SOAP_11, SOAP_12, Fault, Soap, request
from tests.unit.targets.targets_lab import vault

ESTATE = """
[vault]
retry_after = 7
slow = 0.05
[[secrets]]
name = "plain"
[[secrets]]
name = "broken"
state = "unavailable"
[[secrets]]
name = "late"
state = "slow"
"""


@pytest.mark.parametrize(
    ("fault", "login", "read"),
    [
        ("refuse", "Login failed.", ""),
        ("dead_tokens", "", "Authentication failed or expired token"),
        ("ip_blocked", "Login failed.", "Access is not allowed from this IP address."),
        ("forbidden", "", "You do not have permission to perform this operation."),
        ("expire_tokens", "", "Authentication failed or expired token"),
        ("restart", "", "Authentication failed or expired token"),
    ],
)
async def test_a_refusal_on_order_is_an_error_of_the_operation(fault: str, login: str, read: str) -> None:
    async with vault(ESTATE) as v:
        s = Soap(v)
        await s.login()
        token = s.token
        v.world.order_vault_faults(frozenset({fault}))
        assert await s.login() == {"Errors": [login]} if login else "Token" in await s.login()
        assert v.world.metrics.vault.failed_grants == bool(login)
        s.token = token
        result = await s.ask("GetSecretLegacy", secretId=1)
        assert result == {"Errors": [read]} if read else "Secret" in result
        v.world.order_vault_faults(frozenset())
        await s.login()
        assert "Secret" in await s.ask("GetSecretLegacy", secretId=1)


async def test_an_error_on_order_is_a_fault_of_the_server_but_no_login_s() -> None:
    async with vault(ESTATE) as v:
        s = Soap(v)
        v.world.order_vault_faults(frozenset({"error"}))
        assert (await s.login())["Errors"] == []
        text = "Server was unable to process request. ---> An error has occurred."
        body = request("GetSecretLegacy", {"token": s.token, "secretId": 1})
        assert await s.fault(body, "GetSecretLegacy") == Fault("soap:Server", text)
        body = request("GetSecretLegacy", {"token": s.token, "secretId": 1}, SOAP_12)
        assert await s.fault(body, "GetSecretLegacy", SOAP_12) == Fault("soap:Receiver", text)
        query = {"token": s.token, "secretId": "1"}
        async with v.client.get(f"{PATH}/GetSecretLegacy", params=query) as response:
            assert (response.status, await response.text()) == (500, text)
        assert v.world.metrics.vault.views == 0


@pytest.mark.parametrize(("fault", "status"), [("down", 503), ("html", 200), ("throttled", 429)])
@pytest.mark.parametrize("how", ["envelope", "no envelope", "form", "bad form", "wsdl", "json"])
async def test_what_stands_before_the_vault_answers_for_all_of_it(fault: str, status: int, how: str) -> None:
    async with vault(ESTATE) as v:
        v.world.order_vault_faults(frozenset({fault}))
        headers = {"SOAPAction": "urn:thesecretserver.com/VersionGet", "Content-Type": "text/xml"}
        asked = {
            "envelope": ("POST", PATH, headers, request("VersionGet", {})),
            "no envelope": ("POST", PATH, headers, b"<"),
            "form": ("GET", f"{PATH}/VersionGet", {}, None),
            "bad form": ("GET", f"{PATH}/CheckIn", {}, None),
            "wsdl": ("GET", f"{PATH}?WSDL", {}, None),
            "json": ("POST", PATH, {"Content-Type": "application/json"}, b"{}"),
        }
        method, path, more, body = asked[how]
        async with v.client.request(method, path, headers=more, data=body) as response:
            assert response.status == status
            assert response.headers.get("Retry-After") == ("7" if status == 429 else None)
        assert v.world.metrics.vault.answers == {str(status): 1}


async def test_a_request_that_is_none_is_still_one_under_a_refusal_on_order() -> None:
    async with vault(ESTATE) as v:
        v.world.order_vault_faults(frozenset({"forbidden"}))
        assert (await Soap(v).fault(b"<", "VersionGet")).code == "soap:Client"


async def test_a_vault_in_read_only_mode_shows_but_checks_nothing_out() -> None:
    async with vault(ESTATE + '[[secrets]]\nname = "out"\nsecurity = { checkout = true }\n') as v:
        s = Soap(v)
        await s.login()
        v.world.order_vault_faults(frozenset({"read_only"}))
        assert "Secret" in await s.ask("GetSecretLegacy", secretId=v.id("plain"))
        read_only = ["Secret Server is in read-only mode."]
        assert await s.errors("GetSecretLegacy", secretId=v.id("out")) == read_only
        assert await s.errors("CheckIn", secretId=v.id("out")) == read_only


async def test_a_secret_that_cannot_be_had_is_a_503() -> None:
    async with vault(ESTATE) as v:
        s = Soap(v)
        await s.login()
        arguments = {"token": s.token, "secretId": v.id("broken")}
        headers = {"SOAPAction": "urn:thesecretserver.com/GetSecretLegacy", "Content-Type": "text/xml"}
        body = request("GetSecretLegacy", arguments, SOAP_11)
        async with v.client.post(PATH, data=body, headers=headers) as response:
            assert (response.status, response.content_type) == (503, "text/html")
        query = {name: str(value) for name, value in arguments.items()}
        async with v.client.get(f"{PATH}/GetSecretLegacy", params=query) as response:
            assert response.status == 503
        assert v.world.metrics.vault.views == 0


async def test_a_slow_secret_is_late_with_its_values_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with vault(ESTATE) as v:
        s = Soap(v)
        await s.login()
        waits: list[float] = []

        async def slept(seconds: float) -> None:
            waits.append(seconds)

        monkeypatch.setattr(anyio, "sleep", slept)
        await s.ask("GetCheckOutStatus", secretId=v.id("late"))
        assert reading.SLOW_S not in waits
        await s.ask("GetSecretLegacy", secretId=v.id("late"))
        assert reading.SLOW_S in waits


async def test_requests_are_counted_as_rest_s_are() -> None:
    async with vault(ESTATE) as v:
        s = Soap(v)
        await s.login()
        await s.fault(b"<", "VersionGet")
        assert (v.world.metrics.vault.requests, v.world.metrics.vault.answers) == (2, {"200": 1, "500": 1})


@pytest.mark.parametrize("fault", ["error", "forbidden", "dead_tokens"])
async def test_the_wsdl_is_no_call_and_is_served_whatever_calls_meet(fault: str) -> None:
    async with vault(ESTATE) as v:
        v.world.order_vault_faults(frozenset({fault}))
        async with v.client.get(f"{PATH}?WSDL") as response:
            assert (response.status, response.content_type) == (200, "text/xml")

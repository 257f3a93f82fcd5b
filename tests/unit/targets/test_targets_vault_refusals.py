"""What the simulated vault refuses besides what its other tests show, each with the answer that belongs to it."""

from __future__ import annotations

from typing import Any

import pytest

from targets.faults import SecretState
from targets.secret_server import audit, tokens
from tests.unit.targets.targets_lab import MOUNT, Clock, Vault, vault

DENIED = (400, {"errorCode": "API_AccessDenied", "message": "Access Denied"})
REFUSED = (400, {"error": "Login failed."})

ESTATE = """
[vault]
refresh_tokens = true
[[vault.users]]
name = "boss"
access = { '\\' = "owner" }
[[vault.users]]
name = "root"
permissions = ["Unlimited Administrator"]
[[vault.onboarding]]
rule = "open"
user = "root"
addresses = ["10.0.0.0/8"]
[[vault.onboarding]]
rule = "here"
user = "boss"
addresses = ["127.0.0.0/8"]
[[secrets]]
name = "plain"
[[secrets]]
name = "out"
security = { checkout = true }
[[secrets]]
name = "ask"
security = { approvers = ["boss"] }
[[secrets]]
name = "shown_once"
state = "ambiguous"
"""


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "secrets/999/{rest}", None),
        ("GET", "secrets/999/settings", None),
        ("GET", "secrets/999/preview", None),
        ("GET", "secrets/999/summary", None),
        ("GET", "secrets/999/fields/notes/list", None),
        ("POST", "secrets/999/check-out", {}),
        ("POST", "secrets/999/check-in", {}),
        ("POST", "secrets/999/extend-check-out", {"data": {"minutesToAdd": 1}}),
        ("POST", "secrets/999/heartbeat", {}),
        ("PUT", "secrets/999", {"items": []}),
        ("PUT", "secrets/999/fields/notes", {"value": "x"}),
        ("PUT", "secrets/999/fields/private-key", {"fileName": "x", "fileAttachment": "eA=="}),
        ("PATCH", "secrets/999/security-checkout", {"data": {}}),
        ("PATCH", "secrets/999/general", {"data": {"secretFields": [{"slug": "notes", "dirty": True, "value": "x"}]}}),
        ("PUT", "secret-access-requests", {"secretAccessRequestId": 99, "status": "Approved"}),
        ("GET", "secret-access-requests/99", None),
        ("POST", "secret-access-requests/secrets/999/view-comment", {"comment": "x"}),
        ("GET", "secret-access-requests/secrets/999/options", None),
        ("GET", "users/999/ipaddress-restrictions", None),
    ],
)
async def test_what_does_not_exist_is_denied(method: str, path: str, body: Any) -> None:
    async with vault(ESTATE) as v:
        root = await v.as_user("root")
        assert await root.ask(f"v1/{path.format(rest='state')}", body=body, method=method) == DENIED


@pytest.mark.parametrize(
    ("method", "path", "body", "named"),
    [
        ("GET", "secrets/first", None, "id"),
        ("GET", "secrets/999999999999", None, "id"),
        ("POST", "secrets/1/restricted", {"comment": ["x"]}, "comment"),
        ("POST", "secrets/1/restricted", {"forceCheckIn": "perhaps"}, "forceCheckIn"),
        ("POST", "secrets/1/extend-check-out", {}, "data"),
        ("POST", "secret-access-requests", {"secretId": "3"}, "secretId"),
        ("POST", "secret-access-requests", {"secretId": True}, "secretId"),
    ],
)
async def test_what_has_the_wrong_type_is_named(method: str, path: str, body: Any, named: str) -> None:
    async with vault(ESTATE) as v:
        await v.login()
        status, answer = await v.ask(f"v1/{path}", body=body, method=method)
        assert (status, list(answer["modelState"])) == (400, [named])


async def test_only_secrets_that_are_checked_out_can_be() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        status, body = await v.ask("v1/secrets/1/check-out", body={})
        assert (status, body["errorCode"]) == (400, "API_GenericException")
        at = f"v1/secrets/{v.id('out')}"
        for _ in range(2):
            assert (await v.ask(f"{at}/check-out", body={}))[0] == 200
        assert v.audit("out") == [("CHECK OUT", "svc_scan")]
        v.world.service.mode.read_only = True
        assert (await v.ask(f"{at}/check-in", body={}))[1]["errorCode"] == "API_ReadOnlyMode"


async def test_a_request_is_answered_once_by_approvers_with_a_window_that_can_be() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        boss, requests = await v.as_user("boss"), "v1/secret-access-requests"
        _, filed = await v.post(requests, secretId=v.id("ask"))
        answer = {"secretAccessRequestId": filed["secretAccessRequestId"], "status": "Approved"}
        for wrong in ({"status": "Expired"}, {"status": "Pending"}, {"expirationDate": "2000-01-01T00:00:00"}):
            status, body = await boss.ask(requests, body=answer | wrong, method="PUT")
            assert (status, list(body["modelState"])) == (400, ["status" if "status" in wrong else "expirationDate"])
        v.world.service.mode.read_only = True
        assert (await boss.ask(requests, body=answer, method="PUT"))[1]["errorCode"] == "API_ReadOnlyMode"
        v.world.service.mode.read_only = False
        assert (await boss.ask(requests, body=answer, method="PUT"))[1]["status"] == "Approved"


async def test_a_secret_of_a_broken_store_is_a_503_and_no_view() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        v.world.vault.set_state("plain", SecretState.UNAVAILABLE)
        status, page = await v.ask("v1/secrets/1")
        assert status == 503
        assert b"Unavailable" in page
        assert (v.audit("plain"), v.world.metrics.vault.views) == ([], 0)


async def test_an_estate_may_begin_with_two_secrets_of_one_name() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        _, page = await v.ask("v1/secrets?filter.searchText=shown_once&filter.isExactMatch=true")
        assert [r["folderPath"] for r in page["records"]] == ["\\Scan", "\\Archive"]


async def test_a_user_who_is_locked_or_off_gets_no_new_session_by_any_way() -> None:
    async with vault(ESTATE) as v:
        boss = Vault(v.world, v.client, "boss")
        _, granted = await boss.grant()
        assert (await v.post("v1/sdk-client-accounts", clientId="a", ruleName="open"))[0] == 400, "not from here"
        _, account = await v.post("v1/sdk-client-accounts", clientId="a", ruleName="here", onboardingKey="any")
        credentials = {"client_id": account["clientId"], "client_secret": account["clientSecret"]}
        for _ in range(5):
            await boss.grant(password="wrong")
        refresh = granted["refresh_token"]
        assert await boss.grant(grant_type="refresh_token", refresh_token=refresh) == REFUSED
        assert await boss.grant(grant_type="client_credentials", **credentials) == REFUSED
        known = v.world.service.users.named("boss")
        assert known is not None
        v.world.logins.unlock(known)
        assert (await boss.grant(grant_type="client_credentials", **credentials))[0] == 200


async def test_a_refresh_token_outlives_its_session_for_a_while_only() -> None:
    clock = Clock()
    async with vault(ESTATE, clock) as v:
        for late, status in ((899, 200), (900, 400)):
            _, granted = await v.grant()
            clock.now += 1200 + late
            answer = await v.grant(grant_type="refresh_token", refresh_token=granted["refresh_token"])
            assert answer[0] == status


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "TOKENS_KEPT", 3)
    monkeypatch.setattr(audit, "KEPT", 4)
    async with vault(ESTATE) as v:
        held = []
        for _ in range(4):
            await v.login()
            held.append(v.token)
        assert [(await v.ask("v1/secrets/1", token=token))[0] for token in held] == [401, 200, 200, 200]
        for _ in range(6):
            await v.ask("v1/secrets/1")
            await v.grant(username="nobody")
        assert (len(v.audit("plain")), len(v.world.service.audit.logins)) == (4, 4)


async def test_a_secret_knows_its_administrators_and_a_folder_its_templates() -> None:
    async with vault(ESTATE) as v:
        root = await v.as_user("root")
        _, folder = await root.ask("v1/folders/0?folderPath=%5CScan&includeAssociatedTemplates=true")
        assert {t["id"] for t in folder["secretTemplates"]} >= {6003, 6007}
        assert (await root.ask("v1/secrets/1/state"))[1]["role"] == "Owner"


async def test_a_beat_that_is_on_its_way_is_not_queued_again_and_what_is_written_twice_changes_once() -> None:
    async with vault(ESTATE) as v:
        boss = await v.as_user("boss")
        service, caller = v.world.service, v.world.logins.caller(boss.token, address="127.0.0.1")
        for _ in range(2):
            service.managing.heartbeat(caller, 1)  # type: ignore[arg-type]
        service.tick()
        assert v.world.metrics.vault.heartbeats == 1
        for _ in range(2):
            await boss.ask("v1/secrets/1/fields/notes", body={"value": "x"}, method="PUT")
        await boss.ask("v1/secrets/1/change-password", body={})
        v.world.service.changes.order(v.world.vault.named("plain"))
        service.tick()
        assert v.world.metrics.vault.password_changes == 1


async def test_a_page_in_place_of_answers_for_a_share_of_them() -> None:
    async with vault(ESTATE + "[vault.weather]\nmangled = { html = 1.0 }\n") as v:
        async with v.client.get(f"{MOUNT}/api/v1/healthcheck") as response:
            assert (response.status, response.content_type) == (200, "text/html")
        assert v.world.metrics.vault.mangled == {"html": 1}

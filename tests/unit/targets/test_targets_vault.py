from __future__ import annotations

from typing import Any

import pytest

from targets.faults import SecretState
from tests.unit.targets.targets_lab import MOUNT, Clock, Vault, vault

EXPIRED = (403, {"message": "Authentication failed or expired token."})
DENIED = {"errorCode": "API_AccessDenied", "message": "Access Denied"}
REFUSED = (400, {"error": "Login failed."})

ESTATE = """
seed = 7
[[hosts]]
count = 3
[[hosts]]
login = "key"
secret_name = "key on {address}"
network = "127.21.0.0/24"
[[secrets]]
name = "win_scan_secret"
template = "windows"
user = "vm_scan_account"
machine = "dc1.corp.example"
folder = "\\\\Scan\\\\Windows"
"""


def items(model: dict[str, Any]) -> dict[str, Any]:
    return {item["slug"]: item["itemValue"] for item in model["items"]}


async def test_grant_gives_a_bearer_token_with_its_lifetime() -> None:
    async with vault("[vault]\ntoken_lifetime = 60") as v:
        status, body = await v.grant()
        assert status == 200
        assert body == {"access_token": body["access_token"], "token_type": "bearer", "expires_in": 60}
        assert v.world.metrics.vault.grants == 1


@pytest.mark.parametrize(
    ("form", "ok"),
    [
        ({}, False),
        ({"domain": "corp"}, True),
        ({"username": "CORP\\SVC_SCAN"}, True),
        ({"domain": "other"}, False),
        ({"domain": "CORP", "username": "someone"}, False),
        ({"domain": "CORP", "password": "wrong"}, False),
    ],
)
async def test_grant_wants_user_password_and_domain(form: dict[str, str], ok: bool) -> None:
    async with vault('[vault]\ndomain = "CORP"') as v:
        answer = await v.grant(**form)
        assert answer[0] == 200 if ok else answer == REFUSED
        assert v.world.metrics.vault.failed_grants == (not ok)


async def test_five_failures_lock_the_vault_user_and_a_success_in_between_resets() -> None:
    async with vault("") as v:
        for _ in range(4):
            assert await v.grant(password="wrong") == REFUSED
        await v.login()
        for _ in range(5):
            assert await v.grant(password="wrong") == REFUSED
        assert await v.grant() == REFUSED


async def test_refresh_tokens_are_single_use_limited_and_off_by_default() -> None:
    async with vault("[vault]\nrefresh_tokens = true") as v:
        _, body = await v.grant()
        first = body["refresh_token"]
        for _ in range(3):
            status, body = await v.grant(grant_type="refresh_token", refresh_token=body["refresh_token"])
            assert status == 200
        assert "refresh_token" not in body
        assert await v.grant(grant_type="refresh_token", refresh_token=first) == REFUSED
    async with vault("") as v:
        assert "refresh_token" not in (await v.grant())[1]


async def test_an_unknown_grant_type_counts_for_nothing() -> None:
    async with vault("") as v:
        for _ in range(9):
            assert await v.grant(grant_type="device_code") == (400, {"error": "unsupported_grant_type"})
        await v.login()


async def test_an_expired_token_and_a_foreign_one_are_told_apart() -> None:
    clock = Clock()
    async with vault(ESTATE, clock) as v:
        await v.login()
        assert (await v.ask("v1/secrets/1"))[0] == 200
        assert (await v.ask("v1/secrets/1", token="KMS-forged"))[0] == 401
        async with v.client.get(f"{MOUNT}/api/v1/secrets/1") as response:
            assert response.status == 401
        clock.now += 1200
        assert await v.ask("v1/secrets/1") == EXPIRED


async def test_healthcheck_needs_no_token_and_version_does() -> None:
    async with vault("") as v:
        status, body = await v.ask("v1/healthcheck", token="none")
        assert status == 200
        assert body["Healthy"] is body["healthy"] is True
        assert (await v.ask("v1/version", token="none"))[0] == 401
        await v.login()
        assert (await v.ask("v1/version"))[1]["model"]["version"].startswith("11.")


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    "query",
    [
        "filter.searchText=unix-127.20.0.2&filter.isExactMatch=true",
        "FILTER.SEARCHTEXT=UNIX-127.20.0.2&filter.isexactmatch=True",
        "paging.filter.searchText=unix-127.20.0.2&paging.filter.isExactMatch=true",
        "filter.searchText=127.20.0.2&filter.isExactMatch=true",
        "filter.searchText=0.2",
    ],
)
async def test_search_finds_by_name_or_machine_whatever_the_case(version: str, query: str) -> None:
    async with vault(ESTATE) as v:
        await v.login()
        status, page = await v.ask(f"{version}/secrets?{query}")
        assert status == 200
        assert [(r["name"], r["secretTemplateId"]) for r in page["records"]] == [("unix-127.20.0.2", 6007)]
        assert page["total"] == 1
        assert "items" not in page["records"][0]
        assert v.world.metrics.vault.views == 0


async def test_search_pages() -> None:
    async with vault("[[hosts]]\ncount = 23") as v:
        await v.login()
        names, skip, pages = [], 0, []
        while True:
            _, page = await v.ask(f"v1/secrets?filter.searchText=unix-&skip={skip}")
            pages.append(page)
            names += [r["name"] for r in page["records"]]
            if not page["hasNext"]:
                break
            skip = page["nextSkip"]
        assert len(names) == len(set(names)) == 23
        assert [p["batchCount"] for p in pages] == [10, 10, 3]
        assert {(p["total"], p["pageCount"]) for p in pages} == {(23, 3)}
        assert (await v.ask("v1/secrets?filter.searchText=unix-&take=2147483647"))[1]["batchCount"] == 23


@pytest.mark.parametrize(("query", "name"), [("take=many", "take"), ("filter.isExactMatch=2", "filter.isExactMatch")])
async def test_a_parameter_of_the_wrong_type_is_named(query: str, name: str) -> None:
    async with vault(ESTATE) as v:
        await v.login()
        status, body = await v.ask(f"v1/secrets?{query}")
        assert status == 400
        assert list(body["modelState"]) == [name]


async def test_a_windows_secret_has_the_fields_of_its_template() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        _, model = await v.ask(f"v2/secrets/{v.id('win_scan_secret')}")
        assert model["secretTemplateId"] == 6003
        assert {i["slug"]: i["fieldId"] for i in model["items"]} == {
            "machine": 83, "username": 86, "password": 85, "notes": 84,
        }  # fmt: skip
        material = v.world.estate.secrets["win_scan_secret"].material
        assert items(model) == {
            "machine": "dc1.corp.example", "username": "vm_scan_account", "password": material.password, "notes": "",
        }  # fmt: skip


async def test_a_key_secret_gives_its_key_as_an_attachment_only() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        name = "key on 127.21.0.1"
        material, secret_id = v.world.estate.secrets[name].material, v.id(name)
        _, model = await v.ask(f"v1/secrets/{secret_id}")
        key = next(i for i in model["items"] if i["slug"] == "private-key")
        assert (key["fieldId"], key["isFile"], key["itemValue"]) == (189, True, "*** Not Valid For Display ***")
        assert key["fileAttachmentId"]
        assert items(model)["private-key-passphrase"] == material.passphrase
        status, body = await v.ask(f"v1/secrets/{secret_id}/fields/private-key")
        assert (status, body) == (200, material.private_key_file())
        assert v.world.metrics.vault.views_by_secret == {name: 2}
        assert v.world.metrics.vault.field_reads == 1


async def test_a_text_field_is_a_json_string_and_an_absent_one_an_error() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        password = v.world.estate.secrets["unix-127.20.0.1"].material.password
        assert await v.ask("v1/secrets/1/fields/password") == (200, password)
        for slug in ("private-key", "nonsense"):
            assert (await v.ask(f"v1/secrets/1/fields/{slug}"))[0] == 400
        assert v.world.metrics.vault.views == 1


async def test_a_secret_is_read_by_path() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        status, model = await v.ask("v1/secrets/0?secretPath=%5CScan%5CWindows%5Cwin_scan_secret")
        assert (status, model["name"]) == (200, "win_scan_secret")
        assert (await v.ask("v1/secrets/0?SECRETPATH=%5Cscan%5CWindows%5CWin_Scan_Secret/"))[0] == 400
        assert (await v.ask("v1/secrets/0")) == (400, DENIED)


@pytest.mark.parametrize("status", [400, 403])
async def test_what_is_missing_and_what_is_forbidden_look_alike(status: int) -> None:
    text = f"{ESTATE}[vault]\naccess_denied_status = {status}"
    async with vault(text) as v:
        await v.login()
        v.world.vault.set_state("unix-127.20.0.1", SecretState.FORBIDDEN)
        for path in ("1", "999", "0?secretPath=%5Cno%5Csuch", "1/fields/password", "999/state", "999/audits"):
            assert await v.ask(f"v1/secrets/{path}") == (status, DENIED)
        assert (await v.ask("v1/secrets/1/restricted", body={"comment": "please"})) == (status, DENIED)
        assert (await v.ask("v1/secrets/1/state"))[1]["secretState"] == "CannotView"
        assert v.world.metrics.vault.views == 0


async def found(v: Vault, name: str, more: str = "") -> int:
    _, page = await v.ask(f"v1/secrets?filter.searchText={name}&filter.isExactMatch=true{more}")
    return int(page["total"])


async def test_states_of_a_secret_change_what_is_found_and_shown() -> None:
    name, store = "unix-127.20.0.1", SecretState
    async with vault(ESTATE) as v:
        await v.login()
        v.world.vault.set_state(name, store.INACTIVE)
        assert (await found(v, name), await found(v, name, "&filter.includeInactive=true")) == (0, 1)
        assert (await v.ask("v1/secrets/1")) == (400, DENIED)
        assert (await v.ask("v1/secrets/1?includeInactive=true"))[1]["active"] is False
        v.world.vault.set_state(name, store.AMBIGUOUS)
        _, page = await v.ask(f"v1/secrets?filter.searchText={name}&filter.isExactMatch=true")
        assert [r["name"] for r in page["records"]] == [name, name]
        assert len({r["folderPath"] for r in page["records"]}) == 2
        v.world.vault.set_state(name, store.MISSING)
        assert (await found(v, name), (await v.ask("v1/secrets/1"))[1]) == (0, DENIED)
        v.world.vault.set_state(name, store.READABLE)
        assert (await found(v, name), (await v.ask("v1/secrets/1"))[0]) == (1, 200)


async def test_a_secret_that_wants_a_comment_is_shown_with_one_and_records_it() -> None:
    name = "unix-127.20.0.1"
    async with vault(ESTATE) as v:
        await v.login()
        v.world.vault.set_state(name, SecretState.COMMENT)
        assert (await found(v, name), await found(v, name, "&filter.includeRestricted=true")) == (0, 1)
        status, body = await v.ask("v1/secrets/1")
        assert (status, body["errorCode"]) == (400, "API_ValidateSecretAccessCommentRequired")
        assert (await v.ask("v1/secrets/1/state"))[1]["secretState"] == "RequiresComment"
        assert (await v.ask("v1/secrets/1/restricted", body={}))[0] == 400
        assert (await v.ask("v1/secrets/1/restricted", body=["no object"]))[0] == 400
        assert v.world.metrics.vault.views == 0
        assert (await v.ask("v1/secrets/1/restricted", body={"comment": "run 7, host x"}))[0] == 200
        assert (await v.ask("v1/secrets/1/restricted/fields/password", body={"comment": "again"}))[0] == 200
        _, page = await v.ask("v1/secrets/1/audits")
        assert [(r["notes"], r["username"]) for r in page["records"]] == [
            ("again", "svc_scan"),
            ("run 7, host x", "svc_scan"),
        ]


async def test_every_view_is_audited_newest_first() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        await v.ask("v1/secrets/1")
        await v.ask("v1/secrets/1/fields/password")
        _, page = await v.ask("v1/secrets/1/audits")
        assert [r["action"] for r in page["records"]] == ["WEBSERVICE PASSWORD DISPLAYED", "VIEW"]
        assert page["total"] == 2


async def test_an_unknown_route_answers_an_object_too() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        for path in ("v1/nonsense", "v9/secrets/1"):
            status, body = await v.ask(path)
            assert status == 404
            assert "No HTTP resource was found" in body["message"]
        async with v.client.get("/elsewhere") as response:
            assert response.status == 404
            assert "message" in await response.json()

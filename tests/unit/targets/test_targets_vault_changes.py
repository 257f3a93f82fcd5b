"""What changes secrets in the simulated vault: passwords on both sides, heartbeats, values, files, activity."""

from __future__ import annotations

import base64
from pathlib import Path

import aiohttp
import pytest

from targets.estate import AccountKey
from tests.unit.targets.targets_lab import MOUNT, Clock, Vault, opened, running, until, vault

DENIED = (400, {"errorCode": "API_AccessDenied", "message": "Access Denied"})

ESTATE = """
[vault]
rotation_time = 10
{more}
[[vault.users]]
name = "boss"
access = {{ '\\' = "owner" }}
[[hosts]]
count = 2
[[hosts]]
fault = "wrong_password"
network = "127.21.0.0/24"
[[hosts]]
fault = "closed"
network = "127.22.0.0/24"
[[hosts]]
account = "CORP"
secret = "shared"
secret_name = "shared"
network = "127.23.0.0/24"
security = {{ rotate_every = "1h" }}
[[hosts]]
login = "key"
network = "127.24.0.0/24"
[[hosts]]
fault = "locked"
network = "127.25.0.0/24"
[[secrets]]
name = "own"
template = "unix-key-rotation"
login = "key"
"""
UNIX = "unix-127.20.0.1"


def on_host(v: Vault, address: str, password: str) -> bool:
    return opened(v.world.accounts, v.world.estate.hosts[address], "scan", password)


def in_vault(v: Vault, name: str) -> str:
    return v.world.vault.search(name, exact=True)[0].material.password


@pytest.mark.parametrize(("order", "between"), [("hosts-first", (False, True)), ("vault-first", (True, False))])
async def test_a_change_reaches_one_side_after_the_other(order: str, between: tuple[bool, bool]) -> None:
    clock = Clock()
    more = f'rotation_lag = 30\nrotation_order = "{order}"'
    async with vault(ESTATE.format(more=more), clock) as v:
        boss, at = await v.as_user("boss"), f"v1/secrets/{v.id(UNIX)}"
        before = in_vault(v, UNIX)
        assert (await boss.ask(f"{at}/change-password", body={}))[0] == 200
        assert (await boss.ask(f"{at}/state"))[1]["passwordChangePending"] is True
        assert in_vault(v, UNIX) == before
        clock.now += 10
        assert (await boss.ask(f"{at}/state"))[1]["passwordChangePending"] is True
        assert (in_vault(v, UNIX) != before, not on_host(v, "127.20.0.1", before)) == between
        clock.now += 30
        assert (await boss.ask(f"{at}/state"))[1]["passwordChangePending"] is False
        assert in_vault(v, UNIX) != before
        assert on_host(v, "127.20.0.1", in_vault(v, UNIX))
        assert [a for a, _ in v.audit(UNIX)] == ["PASSWORD CHANGE QUEUED", "PASSWORD CHANGE"]


async def test_a_change_to_a_given_password_and_one_of_a_side_that_was_ahead() -> None:
    clock = Clock()
    async with vault(ESTATE.format(more="rotation_lag = 1"), clock) as v:
        boss, name = await v.as_user("boss"), "unix-127.21.0.1"
        assert not on_host(v, "127.21.0.1", in_vault(v, name))
        await boss.post(f"v1/secrets/{v.id(name)}/change-password", newPassword="KMS-given")
        clock.now += 11
        await boss.ask("v1/healthcheck")
        assert in_vault(v, name) == "KMS-given"
        assert on_host(v, "127.21.0.1", "KMS-given")


async def test_a_queued_change_can_be_stopped_and_one_under_way_cannot() -> None:
    clock = Clock()
    async with vault(ESTATE.format(more="rotation_lag = 30"), clock) as v:
        boss, at = await v.as_user("boss"), f"v1/secrets/{v.id(UNIX)}"
        assert await boss.ask(f"{at}/stop-password-change", method="POST") == (200, {"success": False})
        await boss.ask(f"{at}/change-password", body={})
        assert await boss.ask(f"{at}/stop-password-change", method="POST") == (200, {"success": True})
        await boss.ask(f"{at}/change-password", body={})
        clock.now += 10
        assert await boss.ask(f"{at}/stop-password-change", method="POST") == (200, {"success": False})


async def test_a_secret_changes_on_its_schedule_on_all_hosts_of_the_account() -> None:
    clock = Clock()
    async with vault(ESTATE.format(more=""), clock) as v:
        before = in_vault(v, "shared")
        for passed in (3600, 10):
            clock.now += passed
            v.world.service.tick()
        after = in_vault(v, "shared")
        assert after != before
        assert on_host(v, "127.23.0.1", after)
        clock.now += 3600
        v.world.service.tick()
        clock.now += 10
        v.world.service.tick()
        assert in_vault(v, "shared") != after
        assert v.world.metrics.vault.password_changes == 2


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (UNIX, "Success"),
        ("unix-127.21.0.1", "Failed"),
        ("unix-127.22.0.1", "UnableToConnect"),
        ("unix-127.24.0.1", "Success"),
        ("unix-127.25.0.1", "AccountLockedOut"),
        ("own", "UnableToConnect"),
    ],
)
async def test_a_heartbeat_tells_whether_the_password_opens_the_account(name: str, found: str) -> None:
    async with vault(ESTATE.format(more="")) as v:
        await v.login()
        at = f"v1/secrets/{v.id(name)}"
        assert (await v.ask(f"{at}/heartbeat", method="POST"))[1]["lastHeartBeatStatus"] == "Processing"
        _, summary = await v.ask(f"{at}/summary")
        assert (summary["lastHeartBeatStatus"], summary["isOutOfSync"]) == (found, found == "Failed")
        headers = {"Authorization": f"Bearer {v.token}"}
        url = f"{MOUNT}/internals/secret-detail/{v.id(name)}"
        async with v.client.get(f"{url}/heartbeat-status", headers=headers) as response:
            assert (await response.json())["lastHeartBeatStatus"] == found
        async with v.client.get(f"{url}/password-status", headers=headers) as response:
            assert (await response.json())["passwordChangePending"] is False
        assert (await v.client.get(f"{url}/password-status")).status == 401
        assert not v.world.accounts.records() or all(r.failed == 0 for r in v.world.accounts.records().values())


async def test_values_and_files_are_written_in_the_vault_alone() -> None:
    async with vault(ESTATE.format(more="")) as v:
        boss, at = await v.as_user("boss"), f"v1/secrets/{v.id(UNIX)}"
        before = in_vault(v, UNIX)
        assert await boss.ask(f"{at}/fields/password", body={"value": "KMS-typed"}, method="PUT") == (200, "KMS-typed")
        assert await boss.ask(f"{at}/fields/password") == (200, "KMS-typed")
        assert on_host(v, "127.20.0.1", before)
        await boss.ask(f"{at}/heartbeat", method="POST")
        assert (await boss.ask(f"{at}/summary"))[1]["lastHeartBeatStatus"] == "Failed"
        items = {"items": [{"slug": "machine", "itemValue": "renamed"}, {"fieldId": 109, "itemValue": "a note"}]}
        _, model = await boss.ask(at, body=items, method="PUT")
        assert {i["slug"]: i["itemValue"] for i in model["items"]}["notes"] == "a note"
        assert (await boss.ask("v1/secrets/search-total?filter.searchText=renamed&filter.isExactMatch=true"))[1] == 1
        patch = {"data": {"secretFields": [{"slug": "notes", "dirty": True, "value": "patched"}]}}
        assert (await boss.ask(f"{at}/general", body=patch, method="PATCH")) == (200, patch)
        assert await boss.ask(f"{at}/fields/notes") == (200, "patched")
        for slug in ("private-key", "colour"):
            assert (await boss.ask(f"{at}/fields/{slug}", body={"value": "x"}, method="PUT"))[0] == 400
        for wrong in ({"items": "x"}, {"items": ["x"]}):
            assert (await boss.ask(at, body=wrong, method="PUT"))[0] == 400
        assert (await boss.ask(f"{at}/general", body={"data": {"secretFields": "x"}}, method="PATCH"))[0] == 400


async def test_a_file_is_attached_as_base64_or_as_a_form() -> None:
    async with vault(ESTATE.format(more="")) as v:
        boss, at = await v.as_user("boss"), f"v1/secrets/{v.id(UNIX)}/fields/private-key"
        given = {"fileName": "key.pem", "fileAttachment": base64.b64encode(b"PEM").decode()}
        assert await boss.ask(at, body=given, method="PUT") == (200, "key.pem")
        assert await boss.ask(at) == (200, b"PEM")
        assert (await boss.ask(at, body=given | {"fileAttachment": "?"}, method="PUT"))[0] == 400
        headers = {"Authorization": f"Bearer {boss.token}"}
        for part, status in (("file", 200), ("other", 400)):
            form = aiohttp.FormData()
            form.add_field(part, b"second", filename="second.pem")
            async with v.client.put(f"{MOUNT}/api/{at}", data=form, headers=headers) as response:
                assert response.status == status
        assert await boss.ask(at) == (200, b"second")
        _, model = await boss.ask(f"v1/secrets/{v.id(UNIX)}")
        assert {i["slug"]: i["filename"] for i in model["items"]}["private-key"] == "second.pem"
        assert (await boss.ask(at.replace("private-key", "password"), body=given, method="PUT"))[0] == 400


async def test_a_rotating_key_has_a_public_half() -> None:
    async with vault(ESTATE.format(more="")) as v:
        await v.login()
        at = f"v1/secrets/{v.id('own')}"
        _, public = await v.ask(f"{at}/fields/public-key")
        assert public.startswith(b"ssh-ed25519 AAAA")
        _, model = await v.ask(at)
        files = {i["slug"]: i["fileAttachmentId"] for i in model["items"] if i["isFile"]}
        assert len(set(files.values())) == 2
        assert (await v.ask(f"{at}/fields/machine/list"))[0] == 400


async def test_a_secret_is_deactivated_expired_and_brought_back_by_those_who_may() -> None:
    async with vault(ESTATE.format(more="")) as v:
        await v.login()
        boss, at = await v.as_user("boss"), f"v1/secrets/{v.id('own')}"
        for method, path in (("DELETE", at), ("PUT", f"{at}/activate"), ("POST", f"{at}/expire"),
                             ("POST", f"{at}/change-password"), ("POST", f"{at}/stop-password-change")):  # fmt: skip
            assert await v.ask(path, method=method) == DENIED
        assert (await boss.ask(f"{at}/expire", method="POST"))[1]["daysUntilExpiration"] == 0
        assert (await boss.ask(at, method="DELETE"))[1]["objectType"] == "Secret"
        assert await v.ask(at) == DENIED
        assert (await v.ask(f"{at}/state"))[1]["secretState"] == "RequiresUndelete"
        assert (await boss.ask(f"{at}/activate", method="PUT"))[0] == 200
        assert (await v.ask(at))[0] == 200
        dirty = {"data": {"active": {"dirty": True, "value": False}}}
        assert await v.ask(f"{at}/general", body=dirty, method="PATCH") == DENIED
        assert (await boss.ask(f"{at}/general", body=dirty, method="PATCH"))[0] == 200
        assert await v.ask(at) == DENIED


async def test_a_preview_and_settings_are_no_views() -> None:
    async with vault(ESTATE.format(more="")) as v:
        await v.login()
        at = f"v1/secrets/{v.id(UNIX)}"
        _, model = await v.ask(f"{at}/preview")
        assert {i["slug"]: i["itemValue"] for i in model["items"]}["password"] == ""
        assert (await v.ask(f"{at}/settings"))[1]["checkOutEnabled"] is False
        assert (await v.ask(f"{at}/settings", method="POST"))[0] == 405
        assert v.world.metrics.vault.views == 0
        assert v.audit(UNIX) == []


async def test_hosts_get_their_new_passwords_with_nobody_asking(tmp_path: Path) -> None:
    text = ESTATE.format(more="").replace("rotation_time = 10", "rotation_time = 0")
    async with running(text, tmp_path) as (_, world):
        before = world.vault.search(UNIX, exact=True)[0].material.password
        world.service.changes.order(world.vault.named(UNIX))

        async def changed() -> bool:
            return not world.accounts.opens(AccountKey("127.20.0.1", "scan"), before)

        await until(changed)


async def test_a_schedule_is_given_and_taken_away_on_order() -> None:
    clock = Clock()
    async with vault(ESTATE.format(more=""), clock) as v:
        for rotate_every, changes in ((60, 1), (0, 1), (30, 2)):
            order = {"secret": UNIX, "security": {"rotate_every": rotate_every}}
            assert (await v.client.post("/_lab/security", json=order)).status == 200
            for passed in (60, 10):
                clock.now += passed
                v.world.service.tick()
            changed = [action for action, _ in v.audit(UNIX)].count("PASSWORD CHANGE")
            assert changed == changes, rotate_every
        wrong = {"secret": UNIX, "security": {"rotate_every": 0.1}}
        assert (await v.client.post("/_lab/security", json=wrong)).status == 400

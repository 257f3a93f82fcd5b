"""Who the simulated vault lets in, and from where."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from targets.secret_server import server
from targets.secret_server.rights import address_range, allowed
from targets.world import World
from tests.unit.targets.targets_lab import MOUNT, Clock, Vault, build, vault

REFUSED = (400, {"error": "Login failed."})
EXPIRED = (403, {"message": "Authentication failed or expired token."})

USERS = """
[vault]
local_always_allowed = false
[[vault.users]]
name = "root"
permissions = ["Unlimited Administrator"]
[[vault.users]]
name = "coded"
one_time_code = "123456"
[[vault.users]]
name = "gone"
enabled = false
[[vault.users]]
name = "single"
addresses = ["127.0.0.5"]
[[vault.users]]
name = "range"
addresses = ["127.0.0.5-127.0.0.9"]
[[vault.users]]
name = "block"
addresses = ["127.0.0.0/29", "10.0.0.0/8"]
[[vault.onboarding]]
rule = "scanners"
key = "KMS-onboarding"
user = "coded"
[[secrets]]
name = "s"
"""


@asynccontextmanager
async def coming_from(world: World, address: str, user: str) -> AsyncIterator[Vault]:
    """A client whose connections have this source address."""
    async with (
        TestServer(server.application(world)) as served,
        aiohttp.ClientSession(
            base_url=served.make_url("/"), connector=aiohttp.TCPConnector(local_addr=(address, 0))
        ) as session,
    ):
        yield Vault(world, session, user)


@pytest.mark.parametrize(
    ("user", "address", "ok"),
    [
        ("single", "127.0.0.5", True),
        ("single", "127.0.0.6", False),
        ("range", "127.0.0.9", True),
        ("range", "127.0.0.10", False),
        ("block", "127.0.0.7", True),
        ("block", "127.0.0.8", False),
    ],
)
async def test_a_restriction_by_address_holds_at_login_and_at_every_call(user: str, address: str, ok: bool) -> None:
    world = World(build(USERS), Clock())
    async with coming_from(world, address, user) as there:
        status, body = await there.grant()
        assert (status == 200) is ok
        if not ok:
            assert body == REFUSED[1]
    known = world.service.users.named(user)
    assert known is not None
    assert known.failures == 0, "a wrong address counts for nothing"
    there.token = world.logins.tokens.issue(known.id).access_token
    async with coming_from(world, address, user) as caller:
        status, body = await caller.ask("v1/secrets/1", token=there.token)
        assert status == (200 if ok else 403)
        assert ok or "IP address" in body["message"]


@pytest.mark.parametrize("bad", ["10.0.0.9-10.0.0.1", "10.0.0.0/33", "10.0.0", "::1-10.0.0.1", ""])
def test_what_is_no_range_of_addresses(bad: str) -> None:
    with pytest.raises(ValueError, match=r"address|range|appear|netmask|Octet|octet"):
        address_range(bad)


def test_the_servers_own_address_is_always_allowed_where_the_product_does_so() -> None:
    ranges = (address_range("10.0.0.1"),)
    assert allowed("127.0.0.1", ranges, local_always=True)
    assert not allowed("127.0.0.1", ranges, local_always=False)
    assert not allowed("", ranges, local_always=True)
    assert allowed("", (), local_always=False)


async def test_a_one_time_code_is_asked_for_in_a_header_of_any_case() -> None:
    async with vault(USERS) as v:
        coded = Vault(v.world, v.client, "coded")
        assert await coded.grant() == REFUSED
        assert await coded.grant(otp="000000") == REFUSED
        assert (await coded.grant(otp="123456"))[0] == 200


async def test_a_disabled_user_is_refused_and_a_live_token_of_one_counts_as_expired() -> None:
    async with vault(USERS) as v:
        gone = Vault(v.world, v.client, "gone")
        assert await gone.grant() == REFUSED
        single = v.world.service.users.named("gone")
        assert single is not None
        assert await gone.ask("v1/secrets/1", token=v.world.logins.tokens.issue(single.id).access_token) == EXPIRED


async def test_a_lock_is_one_users_and_failed_logins_are_audited() -> None:
    async with vault(USERS) as v:
        for _ in range(5):
            await v.grant(password="wrong")
        assert await v.grant() == REFUSED
        assert v.world.logins.locked
        await v.grant(username="nobody")
        root = await v.as_user("root")
        assert (await root.ask("v1/secrets/1"))[0] == 200
        rows = v.world.service.audit.logins
        assert [(row.action, row.user) for row in rows] == [("LOGIN FAILED", "svc_scan")] * 6 + [
            ("LOGIN FAILED", "nobody")
        ]
        assert {row.address for row in rows} == {"127.0.0.1"}
        v.world.logins.unlock(v.world.service.users.first)
        await v.login()


async def test_a_token_is_dead_once_its_user_has_expired_it_and_others_live() -> None:
    async with vault(USERS) as v:
        await v.login()
        root = await v.as_user("root")
        assert (await v.ask("v1/oauth-expiration", body={}))[0] == 200
        assert await v.ask("v1/secrets/1") == EXPIRED
        assert (await root.ask("v1/secrets/1"))[0] == 200


async def test_an_sdk_client_is_onboarded_once_and_logs_in_with_its_own_secret() -> None:
    async with vault(USERS) as v:
        given = {"ClientId": "5e1f", "Name": "scan", "RuleName": "scanners", "OnboardingKey": "KMS-onboarding"}
        for wrong in ({"RuleName": "none"}, {"OnboardingKey": "no"}, {"ClientId": ""}):
            assert (await v.post("v1/sdk-client-accounts", **(given | wrong)))[0] == 400
        status, made = await v.post("v1/sdk-client-accounts", **given)
        assert (status, made["clientId"]) == (200, "sdk-client-5e1f")
        assert (await v.post("v1/sdk-client-accounts", **given))[0] == 400
        form = {"grant_type": "client_credentials", "client_id": made["clientId"]}
        assert await v.grant(**form, client_secret="wrong") == REFUSED
        status, body = await v.grant(**form, client_secret=made["clientSecret"])
        assert status == 200
        assert "refresh_token" not in body
        _, user = await v.ask("v1/users/current", token=body["access_token"])
        assert user["userName"] == "coded"


async def test_the_current_user_and_the_restrictions_that_bind_users() -> None:
    async with vault(USERS) as v:
        root = await v.as_user("root")
        await v.login()
        _, me = await v.ask("v1/users/current")
        assert {p["name"] for p in me["permissions"]} >= {"View Secret", "View Launcher Password"}
        assert (await v.ask(f"v1/users/{me['id']}/ipaddress-restrictions"))[1]["total"] == 0
        block = v.world.service.users.named("block")
        assert block is not None
        _, page = await root.ask(f"v1/users/{block.id}/ipaddress-restrictions")
        assert [r["range"] for r in page["records"]] == ["127.0.0.0/29", "10.0.0.0/8"]
        _, all_of_them = await root.ask("v1/ipaddress-restrictions")
        assert all_of_them["total"] == 4
        number = page["records"][0]["id"]
        _, bound = await root.ask(f"v1/ipaddress-restrictions/{number}/users")
        assert [u["userName"] for u in bound["records"]] == ["block"]
        for path in (
            f"users/{block.id}/ipaddress-restrictions",
            "ipaddress-restrictions",
            "ipaddress-restrictions/1/users",
        ):
            assert (await v.ask(f"v1/{path}"))[0] in {400, 403}
        assert (await root.ask("v1/ipaddress-restrictions/99/users"))[0] == 400


async def test_it_is_mounted_at_the_root_too_and_where_the_estate_says() -> None:
    async with vault(USERS.replace("[vault]", '[vault]\nmount = "/sim.secretservercloud.com"')) as v:
        for mount, status in (("", 200), ("/sim.secretservercloud.com", 200), (MOUNT, 404)):
            v.mount = mount
            assert (await v.ask("v1/healthcheck"))[0] == status


async def test_a_tenants_client_finds_its_vault() -> None:
    async with vault(USERS) as v:
        assert (await v.client.get("/health")).status == 404
        assert (await (await v.client.get("/platform/health")).json())["healthy"] is True
        assert (await v.client.get("/platform/api/v1/healthcheck")).status == 404
        known = v.world.service.users.first
        form = {"client_id": known.name, "client_secret": known.password, "grant_type": "client_credentials"}
        url = "/platform/identity/api/oauth2/token/xpmplatform"
        assert (await v.client.post(url, data=form)).status == 400
        assert (await v.client.post(url, data=form | {"scope": "xpmheadless", "client_secret": "no"})).status == 400
        given = await (await v.client.post(url, data=form | {"scope": "xpmheadless"})).json()
        assert (await v.client.get("/platform/vaultbroker/api/vaults")).status == 401
        bearer = {"Authorization": f"Bearer {given['access_token']}"}
        found = await (await v.client.get("/platform/vaultbroker/api/vaults", headers=bearer)).json()
        assert found["vaults"][0]["connection"]["url"].endswith(MOUNT)
        v.token = given["access_token"]
        assert (await v.ask("v1/secrets/1"))[0] == 200

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tests.unit.targets.targets_lab import MOUNT, vault

ESTATE = "[vault]\nslow = 0.05\nretry_after = 3\n[[hosts]]\n"


@pytest.mark.parametrize(
    ("fault", "grant", "api"),
    [
        ("down", 503, 503),
        ("error", 200, 500),
        ("refuse", 400, 200),
        ("dead_tokens", 200, 403),
        ("ip_blocked", 400, 403),
        ("forbidden", 200, 403),
        ("html", 200, 200),
        ("throttled", 429, 429),
        ("slow", 200, 200),
    ],
)
async def test_a_fault_answers_until_it_is_withdrawn(fault: str, grant: int, api: int) -> None:
    async with vault(ESTATE) as v:
        await v.login()
        v.world.order_vault_faults(frozenset([fault]))
        form = {"grant_type": "password", "username": "svc_scan", "password": v.world.estate.vault_password}
        async with v.client.post(f"{MOUNT}/oauth2/token", data=form) as response:
            assert response.status == grant
        assert (await v.ask("v1/secrets/1"))[0] == api
        v.world.order_vault_faults(frozenset())
        await v.login()
        assert (await v.ask("v1/secrets/1"))[1]["id"] == 1
        assert v.world.metrics.vault.failed_grants == (grant == 400)


async def raw(v: Any, path: str) -> Any:
    return await v.client.get(f"{MOUNT}/api/{path}", headers={"Authorization": f"Bearer {v.token}"})


async def test_html_is_a_page_with_status_200() -> None:
    async with vault(ESTATE + '[[secrets]]\nname = "x"') as v:
        await v.login()
        v.world.order_vault_faults(frozenset(["html"]))
        response = await raw(v, "v1/secrets/1")
        assert (response.status, response.content_type) == (200, "text/html")
        assert v.world.metrics.vault.views == 0


async def test_throttling_says_when_to_come_back() -> None:
    async with vault(ESTATE) as v:
        v.world.order_vault_faults(frozenset(["throttled"]))
        response = await raw(v, "v1/healthcheck")
        assert (response.status, response.headers["Retry-After"]) == (429, "3")


async def test_expiring_the_tokens_spares_those_issued_later() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        v.world.order_vault_faults(frozenset(["expire_tokens"]))
        expired = (403, {"message": "Authentication failed or expired token."})
        assert await v.ask("v1/secrets/1") == expired
        await v.login()
        assert (await v.ask("v1/secrets/1"))[0] == 200
        v.world.order_vault_faults(frozenset(["expire_tokens"]))
        assert await v.ask("v1/secrets/1") == expired


async def test_faults_of_the_file_are_on_from_the_start_and_everything_is_counted() -> None:
    async with vault('[vault]\nfaults = ["down"]') as v:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(v.ask, "v1/healthcheck")
        seen = v.world.metrics.vault
        assert (seen.requests, dict(seen.answers)) == (3, {"503": 3})


async def test_slow_answers_are_in_flight_together() -> None:
    async with vault('[vault]\nfaults = ["slow"]\nslow = 0.2') as v:
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(v.ask, "v1/healthcheck")
        assert v.world.metrics.vault.in_flight_peak == 5

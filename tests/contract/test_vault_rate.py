"""Two scan processes at the simulated vault, which limits its rate: everybody gets the secret, few are turned away."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import anyio
import pytest

from appliance.contract import Failure
from appliance.vault import CredentialSource, SecretHandle
from appliance.vault.credential import Credential
from appliance.vault.grantor import open_grantor
from appliance.vault.secret_server import open_source
from targets.vault_spec import VaultSpec
from targets.vault_weather import WeatherSpec
from tests.contract.test_credential_source import estate, ref

JOBS = 150
PER_S = 60.0


async def job(source: CredentialSource, handle: SecretHandle, ends: list[Credential | Failure]) -> None:
    """As a scan does it: the turn, then a target that takes a moment, then the secret."""
    asks = await source.turn(ref("win"))
    if isinstance(asks, Failure):
        ends.append(asks)
        return
    await anyio.sleep(0.05)
    asks()
    ends.append(await source.fetch(handle, private_key=False, purpose="p"))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("api", ["rest", "soap"])
async def test_the_rate_is_found_and_kept(
    tmp_path: Path, api: Literal["rest", "soap"], form: Literal["seconds", "date"]
) -> None:
    weather = WeatherSpec(requests_per_second=PER_S, burst=10, retry_after=form)
    async with (
        estate(tmp_path, VaultSpec(weather=weather), api) as (login, world),
        open_grantor(login) as grantor,
        open_source(login.access, grantor.token) as one,
        open_source(login.access, grantor.token) as other,
    ):
        found = await one.settle(ref("win"))
        assert isinstance(found, SecretHandle)
        assert isinstance(await other.settle(ref("win")), SecretHandle)
        ends: list[Credential | Failure] = []
        began = anyio.current_time()
        with anyio.fail_after(60):
            while missing := JOBS - sum(isinstance(end, Credential) for end in ends):
                async with anyio.create_task_group() as tasks:
                    for number in range(missing):
                        tasks.start_soon(job, (one, other)[number % 2], found, ends)
        seen = world.metrics.vault
        # Before the limit is known all go at once, and the simulated vault has to answer them in this process.
        assert {end.signal.name for end in ends if isinstance(end, Failure)} <= {"VAULT_RATE_LIMITED", "VAULT_TIMEOUT"}
        assert anyio.current_time() - began >= (JOBS - 10) / PER_S
        assert seen.answers["429"] <= 0.25 * seen.requests, "most of them before the limit is known"
        assert seen.views >= JOBS


@pytest.mark.slow
async def test_a_vault_that_answers_nobody_is_away_and_found_again(tmp_path: Path) -> None:
    async with (
        estate(tmp_path, VaultSpec()) as (login, world),
        open_grantor(login) as grantor,
        open_source(login.access, grantor.token) as source,
    ):
        found = await source.settle(ref("win"))
        assert isinstance(found, SecretHandle)
        world.order_vault_faults(frozenset({"throttled"}))
        for _ in range(2):
            end = await source.fetch(found, private_key=False, purpose="p")
            assert isinstance(end, Failure)
            assert end.signal.name == "VAULT_RATE_LIMITED"
        world.order_vault_faults(frozenset())
        with anyio.fail_after(30):
            while isinstance(await source.fetch(found, private_key=False, purpose="p"), Failure):  # noqa: ASYNC110 - asked
                await anyio.sleep(0.2)

"""`python -m tests.bench.vault_fetch WHO`: one client of a simulated vault in a process of its own.

WHO is `keymuster` (settle, fetch, forget, as a scan does) or `aiohttp` (the bare GET of the same bytes, with a bearer
that somebody has fetched before). The order comes as JSON on stdin; a line of figures goes out after every `step`
fetches: fetches so far, and since the first one seconds, CPU seconds and resident MiB.
"""

from __future__ import annotations

import itertools
import json
import resource
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import anyio

from appliance.contract import CredentialRef, SecretLookup
from appliance.vault import SecretHandle
from appliance.vault.credential import Credential
from appliance.vault.definition import Hidden, VaultAccess, VaultLogin, VaultTls
from appliance.vault.grantor import open_grantor
from appliance.vault.secret_server import open_source
from appliance.vault.tokens import Token

Fetch = Callable[[int], Awaitable[None]]
PURPOSE = "Keymuster: campaign bench, run 20261124-110228-4a28, target 10.10.0.7"


def login_of(order: dict[str, Any]) -> VaultLogin:
    access = VaultAccess(
        title="Vault",
        url=order["url"],
        user=order["user"],
        tls=VaultTls(ca=order["ca"]),
        requests=order["at_once"],
    )
    return VaultLogin(access, Hidden(order["password"]))


async def through_keymuster(order: dict[str, Any]) -> None:
    login = login_of(order)
    async with open_grantor(login) as grantor, open_source(login.access, grantor.token) as source:
        # A job brings its reference along.
        refs = {n: CredentialRef(vault="Vault", by=SecretLookup.ID, key=str(n)) for n in order["ids"]}

        async def fetch(number: int) -> None:
            handle = await source.settle(refs[number])
            assert isinstance(handle, SecretHandle), handle
            credential = await source.fetch(handle, private_key=False, purpose=PURPOSE)
            assert isinstance(credential, Credential), credential
            assert credential.password
            credential.forget()

        await measured(fetch, order)


async def with_aiohttp(order: dict[str, Any]) -> None:
    login = login_of(order)
    async with open_grantor(login) as grantor:
        token = await grantor.token()
        assert isinstance(token, Token)
    tls: ssl.SSLContext | bool = login.access.tls.context() if order["ca"] else True
    connector = aiohttp.TCPConnector(limit=order["at_once"], ssl=tls)
    headers = {"Authorization": f"Bearer {token.value.reveal()}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def fetch(number: int) -> None:
            url = f"{login.access.url}/api/v1/secrets/{number}?noAutoCheckout=true"
            async with session.get(url) as answer:
                body = await answer.read()
                assert answer.status == 200, body

        await measured(fetch, order)


async def measured(fetch: Fetch, order: dict[str, Any]) -> None:
    """All secrets once, unmeasured; then as many fetches as ordered, a step at a time."""
    numbers = itertools.cycle(order["ids"])
    await many(fetch, itertools.islice(numbers, len(order["ids"])), order["at_once"])
    began, before = time.perf_counter(), cpu_spent()
    for done in range(order["step"], order["fetches"] + 1, order["step"]):
        await many(fetch, itertools.islice(numbers, order["step"]), order["at_once"])
        figures = time.perf_counter() - began, cpu_spent() - before, resident()
        print(done, *(f"{figure:.4f}" for figure in figures), flush=True)


async def many(fetch: Fetch, numbers: itertools.islice[int], at_once: int) -> None:
    async def one_after_the_other() -> None:
        for number in numbers:
            await fetch(number)

    async with anyio.create_task_group() as tasks:
        for index in range(at_once):
            tasks.start_soon(one_after_the_other, name=f"bench: client {index}")


def cpu_spent() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident() -> float:
    """MiB."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize() / 2**20


WHO = {"keymuster": through_keymuster, "aiohttp": with_aiohttp}

if __name__ == "__main__":
    anyio.run(WHO[sys.argv[1]], json.load(sys.stdin), backend_options={"use_uvloop": True})

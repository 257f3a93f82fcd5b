"""The scanner's SOAP codec and the simulated vault: each understands the other, over our own HTTP exchange."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from appliance.contract import Failure
from appliance.vault import soap, soap_answers
from appliance.vault.answers import Grant, Page, Secret
from appliance.vault.definition import Hidden, VaultAccess, VaultLogin
from appliance.vault.exchange import Exchange, open_exchange
from appliance.vault.failures import reason_of
from appliance.vault.fields import choose
from appliance.vault.messages import Answer, Request, Why
from appliance.vault.soap_answers import Checkout
from appliance.vault.trip import Trip
from targets.world import World
from tests.unit.targets.targets_lab import running

T = TypeVar("T")

ESTATE = r"""
[[vault.users]]
name = "boss"
access = { '\' = "owner" }
[[hosts]]
network = "127.27.0.0/24"
login = "key"
secret_name = "key {address}"
[[secrets]]
name = "out"
security = { checkout = true }
[[secrets]]
name = "why"
security = { comment = true }
[[secrets]]
name = "ask"
security = { approvers = ["boss"] }
[[secrets]]
name = "locked"
security = { double_lock = "KMS-second" }
[[secrets]]
name = "gone"
state = "inactive"
[[secrets]]
name = "hidden"
state = "forbidden"
[[secrets]]
name = "broken"
state = "unavailable"
"""


class Client:
    def __init__(self, exchange: Exchange, world: World, login: VaultLogin) -> None:
        self.exchange = exchange
        self.world = world
        self.login = login
        self.token = Hidden("")

    async def ask(self, request: Request | Failure, parse: Callable[[Answer], T | Failure]) -> T | Failure:
        assert isinstance(request, Request)
        answer = await self.exchange.send(request, Trip())
        assert isinstance(answer, Answer)
        return parse(answer)

    async def enter(self, user: str = "") -> None:
        known = self.world.service.users.named(user) or self.world.service.users.first
        access = self.login.access.model_copy(update={"user": known.name})
        granted = await self.ask(soap.authenticate(VaultLogin(access, Hidden(known.password))), soap_answers.read_grant)
        assert isinstance(granted, Grant)
        self.token = granted.access

    async def view(self, name: str, comment: str = "", code: str = soap.COMMENT) -> Secret | Failure:
        request = soap.secret(self.world.vault.named(name).id, self.token, Why(comment), code)
        return await self.ask(request, soap_answers.read_secret)


@asynccontextmanager
async def client(state: Path) -> AsyncIterator[Client]:
    async with running(ESTATE, state) as (ready, world):
        access = VaultAccess(title="Vault", url=ready.vault_url, user=ready.vault_user)
        async with open_exchange(access) as exchange:
            made = Client(exchange, world, VaultLogin(access, Hidden(world.estate.vault_password)))
            await made.enter()
            yield made


def reason(read: object) -> str:
    assert isinstance(read, Failure), read
    return reason_of(read)


async def test_a_login_and_its_refusals(tmp_path: Path) -> None:
    async with client(tmp_path) as c:
        assert await c.ask(soap.token_is_valid(c.token), soap_answers.read_token_is_valid) is True
        assert await c.ask(soap.token_is_valid(Hidden("KMS-foreign")), soap_answers.read_token_is_valid) is False
        wrong = VaultLogin(c.login.access, Hidden("wrong & <wrong>"))
        assert reason(await c.ask(soap.authenticate(wrong), soap_answers.read_grant)) == "VAULT_LOGIN_REFUSED"
        c.world.order_vault_faults(frozenset({"expire_tokens"}))
        assert reason(await c.view("why")) == "VAULT_TOKEN_EXPIRED"


@pytest.mark.parametrize(
    ("fault", "login", "read"),
    [
        ("down", "VAULT_ERROR", "VAULT_ERROR"),
        ("error", "", "VAULT_ERROR"),
        ("refuse", "VAULT_LOGIN_REFUSED", ""),
        ("dead_tokens", "", "VAULT_TOKEN_EXPIRED"),
        ("ip_blocked", "VAULT_LOGIN_REFUSED", "VAULT_IP_BLOCKED"),
        ("forbidden", "", "VAULT_FORBIDDEN"),
        ("html", "VAULT_BAD_RESPONSE", "VAULT_BAD_RESPONSE"),
        ("throttled", "VAULT_RATE_LIMITED", "VAULT_RATE_LIMITED"),
    ],
)
async def test_the_vaults_faults_have_the_reasons_that_rest_gives(
    fault: str, login: str, read: str, tmp_path: Path
) -> None:
    async with client(tmp_path) as c:
        c.world.order_vault_faults(frozenset({fault}))
        granted = await c.ask(soap.authenticate(c.login), soap_answers.read_grant)
        assert (reason(granted) if login else "") == login
        found = await c.ask(soap.search("key", c.token, inactive=False), soap_answers.read_page)
        assert (reason(found) if read else "") == read


async def test_a_search_finds_what_is_restricted_and_what_is_inactive_when_asked(tmp_path: Path) -> None:
    async with client(tmp_path) as c:
        for name, inactive, hits in (("why", False, 1), ("gone", False, 0), ("gone", True, 1), ("nothing", True, 0)):
            page = await c.ask(soap.search(name, c.token, inactive=inactive), soap_answers.read_page)
            assert isinstance(page, Page)
            assert [(s.id, s.name) for s in page.records] == [
                (s.id, s.name) for s in c.world.vault.search(name, exact=True)
            ][:hits]
            assert len(page.records) == hits


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("why", "SECRET_NEEDS_COMMENT"),
        ("ask", "SECRET_NEEDS_APPROVAL"),
        ("locked", "SECRET_DOUBLELOCK"),
        ("gone", "SECRET_ACCESS_DENIED"),
        ("hidden", "SECRET_ACCESS_DENIED"),
        ("broken", "VAULT_ERROR"),
    ],
)
async def test_what_stands_before_a_secret_has_its_reason(name: str, expected: str, tmp_path: Path) -> None:
    async with client(tmp_path) as c:
        assert reason(await c.view(name)) == expected
        assert c.world.metrics.vault.views == 0


async def test_a_comment_answers_the_code_of_the_refusal(tmp_path: Path) -> None:
    async with client(tmp_path) as c:
        refused = await c.view("why")
        assert isinstance(refused, Failure)
        secret = await c.view("why", "run 7 & 8", refused.facts["error_code"])
        assert isinstance(secret, Secret)
        stored = c.world.vault.named("why")
        password = choose(secret).password
        assert password is not None
        assert password.value == stored.material.password
        assert [row.notes for row in stored.audits] == ["run 7 & 8"]


async def test_a_key_is_downloaded_by_its_item(tmp_path: Path) -> None:
    async with client(tmp_path) as c:
        name = "key 127.27.0.1"
        stored, secret = c.world.vault.named(name), await c.view(name)
        assert isinstance(secret, Secret)
        chosen = choose(secret)
        assert chosen.key is not None
        assert chosen.key.has_file
        assert (chosen.user, chosen.passphrase and chosen.passphrase.value) == (stored.user, stored.material.passphrase)
        request = soap.file_item(secret.id, chosen.key.id, c.token)
        assert await c.ask(request, soap_answers.read_file) == stored.material.private_key_file()
        request = soap.file_item(secret.id, 1, c.token)
        assert reason(await c.ask(request, soap_answers.read_file)) == "SECRET_FIELD_MISSING"


async def test_a_check_out_is_seen_before_and_after(tmp_path: Path) -> None:
    async with client(tmp_path) as c:
        status = soap.checkout_status(c.world.vault.named("out").id, c.token)
        assert await c.ask(status, soap_answers.read_checkout) == Checkout(held=False)
        assert isinstance(await c.view("out"), Secret)
        assert await c.ask(status, soap_answers.read_checkout) == Checkout(True, "svc_scan", 2, 30)
        await c.enter("boss")
        assert reason(await c.view("out")) == "SECRET_CHECKED_OUT_BY"
        missing = soap.checkout_status(999, c.token)
        assert reason(await c.ask(missing, soap_answers.read_checkout)) == "SECRET_ACCESS_DENIED"

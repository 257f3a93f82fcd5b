"""Check-out, extension and check-in at the simulated vault; and what is believed when an answer is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.contract import CredentialRef, SecretLookup
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from appliance.vault.definition import Api, Hidden, VaultAccess, VaultLogin
from appliance.vault.grantor import Grantor, open_grantor
from appliance.vault.secret_server import open_source
from targets.secret_server.audit import Action
from targets.secret_server.gate import Ask
from targets.secret_server.secrets import StoredSecret
from targets.secret_server.users import Caller
from targets.world import World
from tests.unit.targets.targets_lab import running
from tests.unit.vault.scripted import Hang, ScriptedVault, grant, reply, scripted_vault, state_body
from tests.unit.vault.soap_script import asked_for, result, soap_grant, status, user, with_password

ESTATE = """
seed = 7
[[vault.users]]
name = "somebody"
[[secrets]]
name = "exclusive"
security = { checkout = true, checkout_interval = "20m", change_on_checkin = true }
[[secrets]]
name = "explained"
security = { checkout = true, comment = true }
[[secrets]]
name = "explained only"
state = "comment"
[[secrets]]
name = "hidden"
state = "forbidden"
[[secrets]]
name = "plain"
[[secrets]]
name = "locked"
security = { double_lock = "another password" }
"""
APIS: tuple[Api, ...] = ("rest", "soap")
OUT, MORE, IN = VaultQueryKind.CHECK_OUT, VaultQueryKind.EXTEND, VaultQueryKind.CHECK_IN


@dataclass(frozen=True, slots=True)
class Desk:
    grantor: Grantor
    world: World

    def stored(self, name: str) -> StoredSecret:
        return self.world.vault.search(name, exact=True)[0]

    def id(self, name: str) -> int:
        return self.stored(name).id

    async def order(self, kind: VaultQueryKind, name: str, minutes: int = 0) -> VaultAnswer:
        ref = CredentialRef(vault="Vault", by=SecretLookup.ID, key=str(self.id(name)))
        query = VaultQuery(run="r", kind=kind, vault="Vault", secret=ref, comment="run 7", minutes=minutes)
        return await self.grantor.answer(query)

    def actions(self, name: str) -> list[str]:
        return [row.action for row in self.stored(name).audits]

    def somebody(self) -> Caller:
        user = self.world.service.users.named("somebody")
        assert user is not None
        return Caller(user, "127.0.0.1")


@asynccontextmanager
async def desk(state: Path, api: Api = "rest") -> AsyncIterator[Desk]:
    async with running(ESTATE, state) as (ready, world):
        access = VaultAccess(title="Vault", url=ready.vault_url, user=ready.vault_user, api=api)
        login = VaultLogin(access, Hidden(world.estate.vault_password))
        async with open_grantor(login) as grantor:
            yield Desk(grantor, world)


@pytest.mark.parametrize(("api", "views"), [("rest", 0), ("soap", 1)])
async def test_out_and_in_once_whatever_is_repeated(tmp_path: Path, api: Api, views: int) -> None:
    async with desk(tmp_path, api) as d:
        first, again = await d.order(OUT, "exclusive"), await d.order(OUT, "exclusive")
        assert (first.ok, first.facts) == (True, {"minutes": "20"})
        assert (again.ok, again.facts) == (True, {"minutes": "20", "already": "yes"})
        back, again = await d.order(IN, "exclusive"), await d.order(IN, "exclusive")
        assert (back.ok, back.facts) == (True, {})
        assert (again.ok, again.facts) == (True, {"already": "yes"})
        seen = d.world.metrics.vault
        assert (seen.checkouts, seen.checkins, seen.views) == (1, 1, views)


async def test_it_is_held_on(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        await d.order(OUT, "exclusive")
        longer = await d.order(MORE, "exclusive", minutes=30)
        assert (longer.ok, longer.facts) == (True, {"minutes": "50"})
        assert Action.EXTENDED in d.actions("exclusive")


async def test_by_soap_it_is_told_how_long_it_is_held_still(tmp_path: Path) -> None:
    async with desk(tmp_path, "soap") as d:
        await d.order(OUT, "exclusive")
        longer = await d.order(MORE, "exclusive", minutes=30)
        assert (longer.ok, longer.facts) == (True, {"minutes": "20"})


@pytest.mark.parametrize("name", ["plain", "explained only"])
async def test_what_by_soap_turns_out_to_want_no_check_out_is_needless(tmp_path: Path, name: str) -> None:
    async with desk(tmp_path, "soap") as d:
        told = await d.order(OUT, name)
        assert (told.ok, told.facts) == (True, {"needless": "yes"})
        assert d.world.metrics.vault.checkouts == 0
        assert (await d.order(IN, name)).facts == {"already": "yes"}


@pytest.mark.parametrize("api", APIS)
async def test_what_is_not_held_is_not_extended(tmp_path: Path, api: Api) -> None:
    async with desk(tmp_path, api) as d:
        assert not (await d.order(MORE, "exclusive", minutes=30)).ok


@pytest.mark.parametrize("api", APIS)
async def test_why_is_said_where_the_vault_wants_to_know(tmp_path: Path, api: Api) -> None:
    async with desk(tmp_path, api) as d:
        assert (await d.order(OUT, "explained")).ok
        assert "run 7" in [row.notes for row in d.stored("explained").audits]


@pytest.mark.parametrize("api", APIS)
async def test_somebody_elses_is_left_alone(tmp_path: Path, api: Api) -> None:
    async with desk(tmp_path, api) as d:
        assert d.world.service.checkouts.take(d.stored("exclusive"), d.somebody(), Ask()) is None
        refused = await d.order(OUT, "exclusive")
        assert (refused.ok, refused.reason) == (False, "SECRET_CHECKED_OUT_BY")
        assert "somebody" in refused.text
        assert (await d.order(IN, "exclusive")).facts == {"already": "yes"}
        assert d.stored("exclusive").checkout is not None, "theirs, still"


@pytest.mark.parametrize(
    ("api", "name", "reason"),
    [
        ("rest", "locked", "SECRET_DOUBLELOCK"),
        ("rest", "plain", "VAULT_ERROR"),
        ("soap", "locked", "SECRET_DOUBLELOCK"),
        ("soap", "hidden", "SECRET_ACCESS_DENIED"),
    ],
)
async def test_what_cannot_be_checked_out_has_its_reason(tmp_path: Path, api: Api, name: str, reason: str) -> None:
    async with desk(tmp_path, api) as d:
        refused = await d.order(OUT, name)
        assert (refused.ok, refused.reason) == (False, reason)


@pytest.mark.parametrize("api", APIS)
async def test_a_vault_that_only_reads_checks_nothing_out(tmp_path: Path, api: Api) -> None:
    async with desk(tmp_path, api) as d:
        d.world.order_vault_faults(frozenset({"read_only"}))
        refused = await d.order(OUT, "exclusive")
        assert (refused.ok, refused.reason, refused.text) == (
            False,
            "VAULT_ERROR",
            "Secret Server is in read-only mode.",
        )


async def test_a_secret_that_somebody_else_has_is_told_before_a_target_is_dialled(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        d.world.service.checkouts.take(d.stored("exclusive"), d.somebody(), Ask())
        access = d.grantor._login.access
        async with open_source(access, d.grantor.token) as source:
            for by, key in ((SecretLookup.NAME, "exclusive"), (SecretLookup.ID, str(d.id("exclusive")))):
                found = await source.settle(CredentialRef(vault="Vault", by=by, key=key))
                assert getattr(found, "signal", None) is not None
                assert found.signal.name == "SECRET_CHECKED_OUT_BY"  # type: ignore[union-attr]
        assert d.world.metrics.vault.views == 0


STATE = "/api/v1/secrets/7/state"


def state(*, ours: bool) -> dict[str, Any]:
    return state_body(
        7,
        "None" if ours else "RequiresCheckout",
        isCheckedOut=ours,
        isCheckedOutByCurrentUser=ours,
        checkOutMinutesRemaining=30 if ours else None,
    )


async def ordered(vault: ScriptedVault, kind: VaultQueryKind, patience: float = 5.0, api: Api = "rest") -> VaultAnswer:
    ref = CredentialRef(vault="V", by=SecretLookup.ID, key="7")
    async with open_grantor(vault.login(api=api), patience=patience) as grantor:
        return await grantor.answer(VaultQuery(run="r", kind=kind, vault="V", secret=ref))


async def test_a_check_out_whose_answer_was_an_error_and_which_was_done_is_done() -> None:
    async with scripted_vault() as vault:
        vault.on("POST", "/oauth2/token", grant())
        vault.on("GET", STATE, reply(200, state(ours=False)), reply(200, state(ours=True)))
        vault.on("POST", "/api/v1/secrets/7/check-out", reply(500, {"message": "An error has occurred."}))
        answer = await ordered(vault, OUT)
        assert (answer.ok, answer.facts) == (True, {"minutes": "30"})
        assert sum(asked.path.endswith("check-out") for asked in vault.asked) == 1


async def test_a_vault_that_hangs_is_told_in_time() -> None:
    async with scripted_vault() as vault:
        vault.on("POST", "/oauth2/token", grant())
        vault.on("GET", STATE, reply(200, state(ours=False)))
        vault.on("POST", "/api/v1/secrets/7/check-out", Hang())
        answer = await ordered(vault, OUT, patience=0.3)
        assert (answer.ok, answer.reason) == (False, "VAULT_TIMEOUT")


async def test_a_check_out_by_soap_whose_answer_was_lost_is_done_and_tells_nothing_of_the_secret() -> None:
    async with scripted_vault() as vault:
        vault.on("POST", "Authenticate", soap_grant())
        vault.on("POST", "WhoAmI", user(2))
        vault.on("POST", "GetCheckOutStatus", status(), status(2, minutes=9))
        for viewed in (reply(501), with_password("Tgt-1")):
            vault.on("POST", "GetCheckOutStatus", status(), status(2, minutes=9))
            vault.on("POST", "GetSecret", viewed)
            answer = await ordered(vault, OUT, api="soap")
            assert (answer.ok, answer.facts) == (True, {"minutes": "9"})


async def test_a_check_out_by_soap_gives_the_comment_that_is_asked_for_once() -> None:
    async with scripted_vault() as vault:
        vault.on("POST", "Authenticate", soap_grant())
        vault.on("POST", "GetCheckOutStatus", status())
        vault.on("POST", "GetSecret", asked_for("COMMENT", "Say why."))
        answer = await ordered(vault, OUT, api="soap")
        assert (answer.ok, answer.reason, answer.text) == (False, "SECRET_NEEDS_COMMENT", "Say why.")
        assert vault.count("GetSecret") == 2


async def test_a_check_in_by_soap_is_ordered_once() -> None:
    async with scripted_vault() as vault:
        vault.on("POST", "Authenticate", soap_grant())
        vault.on("POST", "WhoAmI", user(2))
        vault.on("POST", "GetCheckOutStatus", status(2))
        vault.on("POST", "CheckIn", reply(503), result("CheckIn"))
        assert (await ordered(vault, IN, api="soap")).reason == "VAULT_ERROR"
        assert vault.count("CheckIn") == 1, "an order is not repeated by itself"
        assert (await ordered(vault, IN, api="soap")).ok


@pytest.mark.parametrize("kind", [OUT, MORE, IN])
async def test_an_order_without_a_secrets_id_is_none(kind: VaultQueryKind) -> None:
    async with scripted_vault() as vault:
        async with open_grantor(vault.login()) as grantor:
            answer = await grantor.answer(VaultQuery(run="r", kind=kind, vault="V"))
        assert (answer.ok, answer.reason, vault.asked) == (False, "INTERNAL", [])

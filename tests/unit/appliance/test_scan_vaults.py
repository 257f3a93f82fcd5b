"""Vaults that cannot answer now: a job is deferred before its target is dialled, unless another vault may serve it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

import anyio
import pytest

from appliance.contract import CredentialRef, Deferred, Failure, Job, Outcome, Report, SecretLookup, Selection
from appliance.permit import DEFER_S
from appliance.policy import Policy
from appliance.scan import scan
from appliance.vault import CredentialSource, SecretHandle
from appliance.vault.breaker import AWAY
from appliance.vault.failures import fail
from appliance.vault.turns import PACED
from tests.unit.appliance.scripted import Hosts, a_job, a_kit

REST = 12.0
AWAY_NOW = fail("VAULT_UNREACHABLE", "ECONNREFUSED", **{AWAY: str(REST)})
BUSY = fail("VAULT_TIMEOUT", "no answer within 4.5 s")


class Vault:
    def __init__(self, ill: Failure | None, late: Failure | None = None, wait: float = 0.0) -> None:
        self.ill = ill
        self.late = late
        self.wait = wait
        self.asked = 0
        self.turns: list[str] = []

    async def turn(self, ref: CredentialRef) -> Callable[[], None] | Failure:
        await anyio.sleep(self.wait)
        self.turns.append("entered")
        return self.late or (lambda: self.turns.append("left"))

    async def settle(self, ref: CredentialRef) -> SecretHandle | Failure:
        self.asked += 1
        return self.ill or SecretHandle(ref, 1)


def job(**selections: Selection) -> Job:
    """A job with one record per vault, in this order."""
    (only,) = a_job().candidates
    records = tuple(
        only.model_copy(
            update={
                "record": vault,
                "selection": selection,
                "secret": CredentialRef(vault=vault, by=SecretLookup.NAME, key="s"),
            }
        )
        for vault, selection in selections.items()
    )
    return a_job().model_copy(update={"candidates": records})


async def scanned(what: Job, hosts: Hosts, vaults: Mapping[str, Vault]) -> Report:
    sources = {title: cast("CredentialSource", vault) for title, vault in vaults.items()}
    policy = Policy.of(["10.0.0.0/8"], "any", dict.fromkeys(vaults, "https://vault.example"))
    return await scan(what, replace(a_kit(hosts), sources=sources, policy=policy))


async def test_a_vault_that_is_away_is_named_and_nobody_is_dialled() -> None:
    hosts = Hosts()
    report = await scanned(job(A=Selection.IP), hosts, {"A": Vault(AWAY_NOW)})
    assert isinstance(report, Deferred)
    assert (report.reason, report.vault, report.text) == ("VAULT_UNREACHABLE", "A", "ECONNREFUSED")
    assert hosts.dialled == []


async def test_a_vault_that_is_slow_once_is_not_called_away() -> None:
    report = await scanned(job(A=Selection.IP), Hosts(), {"A": Vault(BUSY)})
    assert isinstance(report, Deferred)
    assert report.vault == ""


async def test_the_deferral_lasts_as_long_as_the_vault_is_left_alone() -> None:
    slow, away = [await scanned(job(A=Selection.IP), Hosts(), {"A": Vault(failure)}) for failure in (BUSY, AWAY_NOW)]
    assert isinstance(slow, Deferred)
    assert isinstance(away, Deferred)
    assert away.not_before - slow.not_before >= REST - DEFER_S


async def test_with_the_patience_at_its_end_it_is_an_outcome_with_the_vaults_words() -> None:
    late = job(A=Selection.IP).model_copy(update={"give_up_at": 0.0})
    hosts = Hosts()
    report = await scanned(late, hosts, {"A": Vault(AWAY_NOW)})
    assert isinstance(report, Outcome)


async def test_a_target_that_may_be_served_by_another_vault_is_dialled() -> None:
    hosts, vaults = Hosts(), {"A": Vault(AWAY_NOW), "B": Vault(None)}
    what = job(A=Selection.SERVICE_SELECTED, B=Selection.LOCAL)
    assert isinstance(await scanned(what, hosts, vaults), Outcome)
    assert len(hosts.dialled) == 1


async def test_a_vault_that_cannot_be_chosen_is_not_asked() -> None:
    hosts, vaults = Hosts(), {"A": Vault(None), "B": Vault(AWAY_NOW)}
    what = job(A=Selection.USER_SELECTED, B=Selection.LOCAL)
    assert isinstance(await scanned(what, hosts, vaults), Outcome)
    assert (len(hosts.dialled), vaults["B"].asked) == (1, 0)


async def test_a_turn_that_does_not_come_is_a_deferral_that_speaks_against_nobody() -> None:
    late = fail("VAULT_RATE_LIMITED", "40 jobs wait for it already", **{PACED: "yes"})
    hosts, vault = Hosts(), Vault(None, late=late)
    what = job(A=Selection.IP).model_copy(update={"give_up_at": 0.0})
    report = await scanned(what, hosts, {"A": vault})
    assert isinstance(report, Deferred)
    assert (report.reason, report.vault, report.paced, report.text) == ("VAULT_RATE_LIMITED", "A", True, late.text)
    assert (hosts.dialled, vault.asked) == ([], 0)


async def test_a_vault_that_answers_nobody_is_away() -> None:
    late = fail("VAULT_RATE_LIMITED", "no turn within 30 s", **{AWAY: "5.0"})
    report = await scanned(job(A=Selection.IP), Hosts(), {"A": Vault(None, late=late)})
    assert isinstance(report, Deferred)
    assert (report.vault, report.paced) == ("A", False)


async def test_waiting_for_a_turn_is_no_time_of_the_deadline() -> None:
    vault = Vault(BUSY, wait=0.3)
    report = await scanned(job(A=Selection.IP).model_copy(update={"deadline": 0.2}), Hosts(), {"A": vault})
    assert isinstance(report, Deferred)
    assert (report.reason, vault.asked) == ("VAULT_TIMEOUT", 1)


@pytest.mark.parametrize("ill", [BUSY, None])
async def test_whatever_ends_the_job_its_place_is_given_back(ill: Failure | None) -> None:
    vault = Vault(ill)
    await scanned(job(A=Selection.IP), Hosts(), {"A": vault})
    assert vault.turns == ["entered", "left"]


async def test_a_job_that_either_of_two_vaults_could_serve_waits_for_none() -> None:
    vaults = {"A": Vault(BUSY), "B": Vault(BUSY)}
    await scanned(job(A=Selection.SERVICE_SELECTED, B=Selection.IP), Hosts(), vaults)
    assert [vault.turns for vault in vaults.values()] == [[], []]

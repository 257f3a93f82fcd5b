"""A load test of the vault alone: the secret is read and forgotten, and nobody is dialled or asked for a permit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from appliance.contract import OK, Candidate, Deferred, Failure, Job, Outcome, Phase, Report, Selection
from appliance.policy import Policy
from appliance.scan import scan
from appliance.vault import CredentialSource, SecretHandle
from appliance.vault.credential import Credential
from appliance.vault.failures import fail
from tests.unit.appliance.scripted import Hosts, Source, a_job, a_kit
from tests.unit.appliance.test_scan_vaults import job


@dataclass
class Vault(Source):
    """Gives its secret, or says why not."""

    ill: Failure | None = None
    unknown: Failure | None = None
    given: list[Credential] = field(default_factory=list)

    async def settle(self, ref: Any) -> SecretHandle | Failure:
        return self.unknown or SecretHandle(ref, 1)

    async def fetch(self, handle: SecretHandle, **asked: Any) -> Credential | Failure:
        assert asked["purpose"] == "test"
        if self.ill is not None:
            return self.ill
        self.given.append(Credential(user="u", password="known to nobody"))
        return self.given[-1]


async def read(what: Job, vault: Vault) -> tuple[Report, Hosts]:
    """No login stands ready, and no permit desk: whoever wants one fails."""
    hosts = Hosts()
    titles = {c.secret.vault for c in what.candidates}
    policy = Policy.of(["10.0.0.0/8"], "any", dict.fromkeys(titles, "https://vault.example"))
    sources = dict.fromkeys(titles, cast("CredentialSource", vault))
    kit = replace(a_kit(hosts), sources=sources, policy=policy)
    return await scan(what.model_copy(update={"vault_only": True}), kit), hosts


async def test_the_secret_is_read_and_forgotten_and_nobody_is_dialled() -> None:
    vault = Vault()
    report, hosts = await read(a_job(), vault)
    assert isinstance(report, Outcome)
    evidence = report.evidence
    assert (evidence.phase, evidence.signal, evidence.record, evidence.submitted) == (Phase.LOGOFF, OK, "r", False)
    assert {time.phase for time in evidence.phases} == {Phase.LEASE, Phase.VAULT}
    assert hosts.dialled == []
    (credential,) = vault.given
    assert not credential.password


@pytest.mark.parametrize(
    "vault", [Vault(ill=fail("SECRET_ACCESS_DENIED", "no")), Vault(unknown=fail("SECRET_NOT_FOUND", "no"))]
)
async def test_a_secret_that_cannot_be_had_is_the_outcome(vault: Vault) -> None:
    report, hosts = await read(a_job(), vault)
    assert isinstance(report, Outcome)
    failure = vault.ill or vault.unknown
    assert failure is not None
    assert (report.evidence.phase, report.evidence.signal) == (Phase.VAULT, failure.signal)
    assert hosts.dialled == []


@pytest.mark.parametrize(
    "vault", [Vault(ill=fail("VAULT_RATE_LIMITED", "slow")), Vault(unknown=fail("VAULT_TIMEOUT", "slow"))]
)
async def test_a_vault_that_cannot_answer_now_is_asked_again(vault: Vault) -> None:
    report, _ = await read(a_job(), vault)
    assert isinstance(report, Deferred)


async def test_it_is_read_for_the_first_record_that_may_apply() -> None:
    asked: list[Candidate] = []
    what = job(A=Selection.SERVICE_SELECTED, B=Selection.IP)
    asked += what.candidates
    report, _ = await read(what, Vault())
    assert isinstance(report, Outcome)
    assert report.evidence.record == asked[0].record

"""Secrets that somebody has to approve: asked for before a target is dialled, and never waited for in its session."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import cast

from appliance.access import AccessAnswer, AccessKind, AccessRequest
from appliance.bus import BusUnavailable
from appliance.contract import AccessTerms, Deferred, Failure, Job, Outcome, Report, Selection
from appliance.permit import PermitDesk
from appliance.policy import Policy
from appliance.scan import scan
from appliance.vault import CredentialSource, SecretHandle
from appliance.vault.failures import fail
from tests.unit.appliance.scripted import Hosts, Source, a_kit
from tests.unit.appliance.test_scan_vaults import job

LACKING = fail("SECRET_NEEDS_APPROVAL", "", secret_state="RequiresApproval")
PENDING = AccessAnswer(ok=False, waiting=True, reason="SECRET_NEEDS_APPROVAL", text="request 1 is pending")
DENIED = AccessAnswer(ok=False, reason="SECRET_NEEDS_APPROVAL", text="request 1 is denied")


class Guarded(Source):
    def __init__(self, lacking: Failure | None = LACKING) -> None:
        self.lacking = lacking
        self.looked = 0

    async def approval(self, handle: SecretHandle) -> Failure | None:
        self.looked += 1
        return self.lacking


@dataclass
class Desk:
    says: AccessAnswer | None
    asked: list[AccessRequest] = field(default_factory=list)

    async def access(self, request: AccessRequest, wait: float) -> AccessAnswer:
        self.asked.append(request)
        if self.says is None:
            raise BusUnavailable("nobody answers")
        return self.says


def asking(what: Job) -> Job:
    return what.model_copy(
        update={"terms": tuple(AccessTerms(record=c.record, approval=True) for c in what.candidates)}
    )


async def scanned(what: Job, hosts: Hosts, desk: Desk, **vaults: Source) -> Report:
    sources = {title: cast("CredentialSource", vault) for title, vault in vaults.items()}
    policy = Policy.of(["10.0.0.0/8"], "any", dict.fromkeys(vaults, "https://vault.example"))
    kit = replace(a_kit(hosts), sources=sources, policy=policy, desk=cast("PermitDesk", desk))
    return await scan(what, kit)


async def test_what_waits_is_put_off_undialled_and_names_its_secret() -> None:
    hosts, desk = Hosts(), Desk(PENDING)
    what = asking(job(A=Selection.IP)).model_copy(update={"give_up_at": 0.0})
    report = await scanned(what, hosts, desk, A=Guarded())
    assert isinstance(report, Deferred)
    assert (report.reason, report.text) == ("SECRET_NEEDS_APPROVAL", "request 1 is pending")
    assert (report.secret, report.vault) == (what.candidates[0].secret, "")
    [asked] = desk.asked
    assert (asked.kind, asked.secret, asked.record) == (AccessKind.APPROVAL, what.candidates[0].secret, "A")
    assert hosts.dialled == []


async def test_an_answer_lets_the_target_be_dialled_whichever_it_is() -> None:
    for says in (AccessAnswer(ok=True), DENIED):
        hosts = Hosts()
        report = await scanned(asking(job(A=Selection.IP)), hosts, Desk(says), A=Guarded())
        assert isinstance(report, Outcome)
        assert len(hosts.dialled) == 1


async def test_without_the_campaigns_word_nobody_is_asked() -> None:
    hosts, desk, vault = Hosts(), Desk(PENDING), Guarded()
    assert isinstance(await scanned(job(A=Selection.IP), hosts, desk, A=vault), Outcome)
    assert (desk.asked, vault.looked, len(hosts.dialled)) == ([], 0, 1)


async def test_a_secret_that_needs_none_asks_nobody() -> None:
    hosts, desk = Hosts(), Desk(PENDING)
    assert isinstance(await scanned(asking(job(A=Selection.IP)), hosts, desk, A=Guarded(None)), Outcome)
    assert (desk.asked, len(hosts.dialled)) == ([], 1)


async def test_a_target_that_may_choose_another_secret_is_dialled() -> None:
    hosts, desk = Hosts(), Desk(PENDING)
    what = asking(job(A=Selection.SERVICE_SELECTED, B=Selection.LOCAL))
    assert isinstance(await scanned(what, hosts, desk, A=Guarded(), B=Guarded(None)), Outcome)
    assert len(hosts.dialled) == 1


async def test_an_owner_that_does_not_answer_is_waited_for_with_patience() -> None:
    hosts = Hosts()
    report = await scanned(asking(job(A=Selection.IP)), hosts, Desk(None), A=Guarded())
    assert isinstance(report, Deferred)
    assert (report.reason, report.secret, hosts.dialled) == ("NO_PACER", None, [])

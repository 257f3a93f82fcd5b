"""Load tests without a bus: a plan of some hosts, and what a controller tells its book of them."""

from __future__ import annotations

from appliance.contract import OK, Evidence, Phase, PhaseTime, Signal, Target, Technology
from appliance.reasons import REASONS
from orchestrator.assembly import Prepared, Selection, prepare
from orchestrator.campaign_model import Campaign
from orchestrator.load.rate import Rate, Schedule
from orchestrator.load.source import Arrivals, job_of_arrival
from orchestrator.store.records import AttemptRow, JobRow, Settled, Undispatched

RUN = "load-1"
BEGAN = 1_000.0
DEADLINE = 3.0


def a_campaign(hosts: int = 3, **record: object) -> Campaign:
    data = {
        "name": "campaign",
        "vaults": [
            {
                "title": "Vault",
                "type": "Thycotic Secret Server",
                "url": "http://127.0.0.1:8080/SecretServer",
                "user": "svc",
                "password": {"env": "NOBODY_READS_IT"},
            }
        ],
        "records": [
            {
                "title": "Unix",
                "technology": "unix",
                "login_type": "Authentication Vault",
                "user": "scan",
                "vault": "Vault",
                "secret": "unix-{address}",
                "accounts": "local",
                "ips": [f"127.20.0.1-127.20.0.{hosts}"],
                **record,
            }
        ],
        "targets": {"include": [f"127.20.0.1-127.20.0.{hosts}"]},
        "pace": {"deadline": "3s"},
    }
    return Campaign.model_validate(data)


def a_plan(hosts: int = 3) -> Prepared:
    prepared = prepare(a_campaign(hosts), Selection(), run=RUN, seed=7, now=BEGAN)
    assert isinstance(prepared, Prepared)
    return prepared


def some_arrivals(per_second: float = 10.0, duration: float = 3.0, *, hosts: int = 3) -> Arrivals:
    arrivals = Arrivals(a_plan(hosts).plan, Schedule(Rate(per_second, per_second), duration))
    arrivals.began = BEGAN
    return arrivals


def row(number: int) -> JobRow:
    return JobRow(RUN, job_of_arrival(number), Technology.UNIX, Target(address="127.20.0.1"), ())


def sent(number: int, at: float, attempt: int = 1) -> tuple[JobRow, AttemptRow]:
    """`at`: seconds from the start, here and below."""
    return row(number), AttemptRow(RUN, job_of_arrival(number), attempt, "lease", BEGAN + at)


def ended(
    number: int,
    *,
    begun: float,
    spent: float = 0.1,
    heard: float | None = None,
    reason: str = "PASSED",
    attempt: int = 1,
    final: bool = True,
    phase: Phase = Phase.AUTH,
    text: str = "",
) -> Settled:
    evidence = Evidence(
        phase=Phase.LOGOFF if reason == "PASSED" else phase,
        signal=OK if reason == "PASSED" else Signal(kind="named", name=reason),
        text=text,
        started_at=BEGAN + begun,
        phases=(PhaseTime(phase=phase, ms=1000 * spent),),
    )
    return Settled(
        run=RUN,
        job=job_of_arrival(number),
        technology=Technology.UNIX,
        attempt=attempt,
        lease="lease",
        appliance="a",
        reason=reason,
        status=REASONS[reason].status,
        evidence=evidence,
        finished_at=BEGAN + (begun + spent if heard is None else heard),
        final=final,
    )


def never_sent(number: int, at: float, reason: str = "STOPPED", text: str = "") -> Undispatched:
    evidence = Evidence(phase=Phase.DISPATCH, signal=Signal(kind="named", name=reason), text=text)
    return Undispatched(row(number), reason, REASONS[reason].status, evidence, BEGAN + at)

"""Every name on the bus, in one place. Names of zones, appliances and runs are single NATS tokens, checked here."""

from __future__ import annotations

import re

OUTCOMES = "OUTCOMES"
OUTCOMES_FILTER = "outcomes.*.*.*"
OLD_COLLECTOR = "orchestrator"
"""The one durable consumer through which OUTCOMES was read before each run had its own."""

HEARTBEATS = "KV_HEARTBEATS"
HEARTBEATS_PREFIX = "$KV.HEARTBEATS."
RUNS = "KV_RUNS"
RUNS_PREFIX = "$KV.RUNS."
ORDERS_KEY = "=orders"

LOGINS = "KV_LOGINS"
LOGINS_PREFIX = "$KV.LOGINS."

PERMITS = "permits.*.*.*"
"""What the pacer listens on: zone, appliance, `ask` or `hold`."""
ACCESS = "access.*.*"
"""What the owner of runs listens on for check-outs and approvals: zone, appliance."""
VAULT_QUEUE = "vault"
"""The queue group of the supervisors of a zone: one of them answers a vault query."""
CONTROL = "control.*"
ORCHESTRATORS = "orchestrators"
"""What one of several orchestrators is asked by its name: `orchestrators.<name>.<desk>.<verb>`."""
ENROLMENT = "enroll.*"
"""Where machines that want to be appliances ask: by invitation."""
ENROLMENT_QUEUE = "enroll"
"""The queue group of those who answer them: one does."""

LOST = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.*.*"
JOBS_PREFIX = "JOBS_"

ORCHESTRATOR_INBOX = "_INBOX.orchestrator"
CONTROL_INBOX = "_INBOX.control"

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def token(name: str, what: str) -> str:
    """The name itself, if it is one NATS token; `what` is said in the error. Raises ValueError."""
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{what} {name!r}: use 1 to 64 letters, digits, '-' and '_'")
    return name


def jobs_stream(zone: str) -> str:
    return JOBS_PREFIX + token(zone, "zone")


def jobs_filter(zone: str) -> str:
    return f"jobs.{token(zone, 'zone')}.*"


def jobs(zone: str, run: str) -> str:
    return f"jobs.{token(zone, 'zone')}.{token(run, 'run')}"


def outcome(zone: str, appliance: str, run: str) -> str:
    return f"outcomes.{token(zone, 'zone')}.{token(appliance, 'appliance')}.{token(run, 'run')}"


def permit_ask(zone: str, appliance: str) -> str:
    return f"permits.{token(zone, 'zone')}.{token(appliance, 'appliance')}.ask"


def permit_hold(zone: str, appliance: str) -> str:
    return f"permits.{token(zone, 'zone')}.{token(appliance, 'appliance')}.hold"


def access(zone: str, appliance: str) -> str:
    return f"access.{token(zone, 'zone')}.{token(appliance, 'appliance')}"


def vault(zone: str) -> str:
    return f"vault.{token(zone, 'zone')}"


def control(verb: str) -> str:
    return f"control.{token(verb, 'verb')}"


def orchestrator(name: str, desk: str, verb: str) -> str:
    """`verb` may be `*`."""
    return f"{ORCHESTRATORS}.{token(name, 'orchestrator')}.{token(desk, 'desk')}.{verb}"


def reports_of(run: str) -> str:
    return f"outcomes.*.*.{token(run, 'run')}"


def enrolment(invitation: str) -> str:
    return f"enroll.{token(invitation, 'invitation')}"


def enrolment_inbox(invitation: str) -> str:
    return f"_INBOX.enroll.{token(invitation, 'invitation')}"


def heartbeat(zone: str, appliance: str) -> str:
    return f"{HEARTBEATS_PREFIX}{token(zone, 'zone')}.{token(appliance, 'appliance')}"


def logins(zone: str, appliance: str) -> str:
    return f"{LOGINS_PREFIX}{token(zone, 'zone')}.{token(appliance, 'appliance')}"


def run_notice(zone: str, run: str) -> str:
    return f"{RUNS_PREFIX}{token(zone, 'zone')}.{token(run, 'run')}"


def run_notices(zone: str) -> str:
    return f"{RUNS_PREFIX}{token(zone, 'zone')}.*"


def zone_orders(zone: str) -> str:
    """Beside the zone's run notices, where its appliances may read; no run has such a name."""
    return f"{RUNS_PREFIX}{token(zone, 'zone')}.{ORDERS_KEY}"


def appliance_inbox(zone: str, appliance: str) -> str:
    return f"_INBOX.appliance.{token(zone, 'zone')}.{token(appliance, 'appliance')}"


def sender(subject: str) -> str:
    """The appliance that an `outcomes.`, `permits.` or `access.` subject names."""
    return subject.split(".")[2]

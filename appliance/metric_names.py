"""THE table of metrics: every name that an orchestrator or an appliance exposes, with its kind, labels, and meaning.

Rules, stated here and nowhere else:
1. Base units, `_total` for what only rises, `_seconds` for times. What rises begins anew with the process.
2. Labels are few: vault titles, zones, reasons, phases, technologies, appliances; no target, account or secret.
   Campaign and run are labels of `keymuster_campaign_progress_ratio` alone, while a run is open.
3. Nothing is counted where a login passes: values are read, when they are asked for, from what is there anyway.

`make docs` writes docs/metrics.md from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PREFIX = "keymuster_"


class Kind(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    """Without the prefix; of a counter without `_total`."""
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """As a query names it."""
        suffix = {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(self.kind, "")
        return f"{PREFIX}{self.name}{suffix}"


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, text, labels)


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, text, labels)


def _histogram(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, Kind.HISTOGRAM, text, labels)


BUILD = Metric("build", Kind.INFO, "The release that runs.", ("version",))
LOOP_LAG = _gauge("eventloop_lag_seconds", "How late the event loop was, at worst in the last half minute.")
CONNECTED = _gauge("bus_connected", "1 while the bus is there, else 0.")
BOTH = (BUILD, LOOP_LAG, CONNECTED)

RUNS = _gauge("runs_open", "Runs that are under way here.")
TARGETS = _gauge(
    "targets",
    "Targets x technologies of open runs, by where they are. `zone`: all of a run's, joined by +.",
    "zone",
    "state",
)
PROGRESS = _gauge("campaign_progress_ratio", "Outcomes of an open run, of those planned.", "campaign", "run")
ATTEMPTS = _counter("attempts", "Attempts that have ended, by what became of them.", "technology", "status", "reason")
OUTCOMES = _counter("outcomes", "Targets x technologies that have their outcome.", "technology", "status", "reason")
PHASES = _histogram("phase_duration_seconds", "What attempts spent in each phase, in seconds.", "technology", "phase")
VIEWS = _histogram("vault_view_duration_seconds", "From the request for a secret's value to its answer.", "vault")
DELAY = _histogram("outcome_delay_seconds", "From the end of an attempt to its place in the store, by both clocks.")
STORE = _histogram("store_transaction_duration_seconds", "Transactions of the store that runs wait for.", "work")
PERMITS = _counter("permits", "Entries of the ledger: permits granted, and what became of them.", "kind")
FAILED_LOGONS = _counter("failed_logons", "Failures in the ledger, by what would lock the account.", "realm")
PERMITS_OUT = _gauge("permits_outstanding", "Permits that are out, and may yet be failed logons.")
BREAKERS = _gauge("breaker_open", "Accounts that are stopped after a definite refusal.", "kind")
VAULT_AWAY = _gauge("vault_away", "1 while an open run finds the vault away, else 0.", "vault")
CHECK_OUTS = _gauge("vault_checkouts", "Secrets that open runs have checked out.")
IN_FLIGHT = _gauge("inflight", "Attempts that are dispatched and not reported.", "zone")
QUEUE = _gauge("queue_depth", "Jobs of open runs on the bus that no appliance has taken.", "zone")
LEASES = _gauge("leases", "Jobs of open runs that appliances have in hand.", "zone")
REPORTS = _gauge("reports_waiting", "Reports on the bus that are not in the store yet.")
UP = _gauge(
    "appliance_up", "1 for an appliance that is alive, 0 for one that went without draining.", "appliance", "zone"
)
HEARD = _gauge("appliance_last_heartbeat_timestamp_seconds", "When it was last heard, by our clock.", "appliance")
OFFSET = _gauge("appliance_clock_offset_seconds", "Its clock against ours, by the least delayed beats.", "appliance")
RELEASES = _gauge("appliance_release", "1; its release, and the newest contract.", "appliance", "release", "contract")
CAPACITY = _gauge("appliance_capacity", "Targets that it takes at a time; 0 while it drains.", "appliance", "zone")
BUSY = _gauge("appliance_inflight", "Targets that it has in hand.", "appliance", "zone")
SCAN_LAG = _gauge("appliance_eventloop_lag_seconds", "The worst of its scan processes' event loops.", "appliance")
ORCHESTRATOR = (
    RUNS, TARGETS, PROGRESS, ATTEMPTS, OUTCOMES, PHASES, VIEWS, DELAY, STORE, PERMITS, FAILED_LOGONS, PERMITS_OUT,
    BREAKERS, VAULT_AWAY, CHECK_OUTS, IN_FLIGHT, QUEUE, LEASES, REPORTS, UP, HEARD, OFFSET, RELEASES, CAPACITY, BUSY,
    SCAN_LAG,
)  # fmt: skip

SCANNERS = _gauge("scan_processes", "Scan processes that are up; each holds the credentials of what it has in hand.")
HERE = _gauge("appliance_here_inflight", "Targets that this appliance has in hand.")
ROOM = _gauge("appliance_here_capacity", "Targets that this appliance takes at a time.")
DRAINING = _gauge("appliance_here_draining", "1 while this appliance takes no more jobs, else 0.")
OPEN_RUNS = _gauge("appliance_here_runs", "Open runs of this appliance's zone.")
WORST = _gauge("appliance_here_eventloop_lag_seconds", "The worst of this appliance's scan processes' event loops.")
LOGIN_REFUSED = _gauge(
    "vault_login_refused", "1 once the vault has refused the login, which is not sent again.", "vault"
)
LEFT_ALONE = _gauge("vault_left_alone", "1 while the supervisor finds the vault away or resting, else 0.", "vault")
APPLIANCE = (SCANNERS, HERE, ROOM, DRAINING, OPEN_RUNS, WORST, LOGIN_REFUSED, LEFT_ALONE)

HEAD = """\
# Metrics

`keymuster serve` has them at `/metrics` of `--listen`; `keymuster appliance serve FILE --metrics 127.0.0.1:PORT`
likewise. Prometheus's configuration, alerts and their tests are in [deploy/prometheus](../deploy/prometheus); what to
do about an alert is in [runbook.md](runbook.md).

Beside these there are `process_*` (CPU, memory, open files and their limit), by prometheus-client. No label names a
target, an account or a secret. This file is generated (`make docs`) from `appliance/metric_names.py`.
"""
TAIL = """\
## What is not told

* Secrets in memory: a scan process cannot count the copies that its libraries keep; `keymuster_scan_processes` says how
  many processes may hold some.
* In which phase the targets in flight are: their times are told when they end (`keymuster_phase_duration_seconds`),
  which costs a login nothing.
* Single requests to a vault: only views are in the evidence that reaches the orchestrator
  (`keymuster_vault_view_duration_seconds`).
"""


def markdown() -> str:
    parts = [HEAD]
    for title, metrics in (("Both", BOTH), ("Orchestrator", ORCHESTRATOR), ("Appliance", APPLIANCE)):
        rows = [f"| `{m.shown}` | {m.kind} | {', '.join(f'`{x}`' for x in m.labels)} | {m.help} |" for m in metrics]
        parts.append(
            "\n".join([f"## {title}\n", "| name | kind | labels | what it is |", "|---|---|---|---|", *rows, ""])
        )
    return "\n".join([*parts, TAIL])


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - the command's output

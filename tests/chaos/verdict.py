"""What must be true of a run after all that: section by section, each with what contradicts it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from appliance.leaks import places
from appliance.reasons import REASONS, Status
from targets.material import MARKER
from tests.acceptance.chaos.processes import command
from tests.chaos.timetable import Fault, Kind
from tests.chaos.world import HOSTS, World

BUDGET = 2
"""Failed or unanswered logons that a record allows an account by default."""
REFUSALS = {"BAD_CREDENTIALS", "ACCOUNT_LOCKED", "NO_AUTH_METHOD"}
"""What only a host may say that is not as it should be."""
REPEATING = {
    Kind.KILL_APPLIANCE, Kind.FREEZE_APPLIANCE, Kind.KILL_SCAN_PROCESS, Kind.KILL_ORCHESTRATOR,
    Kind.FREEZE_ORCHESTRATOR, Kind.CUT_ZONE,
}  # fmt: skip
"""After each of these what was out is done again, unless its report comes first (docs/orchestrators.md)."""
PARTS = ("passed", "passed_limited", "failed", "not_attempted")


def complaints(world: World, report: dict[str, Any], faults: Sequence[Fault]) -> Iterator[str]:
    """`faults`: what was done to the run."""
    yield from _exact(world, report)
    yield from _right(world, report)
    yield from _within_budget(world, 1 + sum(fault.kind in REPEATING for fault in faults))
    yield from _secrets(world)


def _exact(world: World, report: dict[str, Any]) -> Iterator[str]:
    """Every target one outcome, and totals that add up."""
    planned, totals = HOSTS * len(world.zones), report["totals"]
    named = Counter(row["target"] for row in report["targets"])
    if len(named) != planned or set(named.values()) != {1}:
        yield f"{len(named)} targets of {planned}; more than once: {[t for t, n in named.items() if n > 1]}"
    if not totals["planned"] == planned == sum(totals[part] for part in PARTS):
        yield f"totals do not add up: {totals}"
    if totals["open"] or totals["complaint"]:
        yield f"totals complain: {totals}"


def _right(world: World, report: dict[str, Any]) -> Iterator[str]:
    """No host that is as it should be is said to have refused a login: what we did to the rest is another matter."""
    truth = {row["address"]: row["fault"] for zone in world.zones for row in zone.truth}
    for row in report["targets"]:
        reason, good = row["reason"], truth[row["target"]] == "none"
        if good and reason in REFUSALS:
            yield f"{row['target']} is as it should be, and the report says {reason}"
        if not good and REASONS[reason].status is Status.PASSED:
            yield f"{row['target']} has the fault {truth[row['target']]}, and the report says {reason}"


def _within_budget(world: World, attempts: int) -> Iterator[str]:
    """As hosts and directories have counted: nobody is locked, nobody failed more often than the budget allows, and no
    host has seen more logons, good ones included, than attempts were lost.
    """
    for zone in world.zones:
        seen = zone.metrics()
        for name, account in seen["accounts"].items():
            if account["failed"] > BUDGET:
                yield f"account {name} of zone {zone.name}: {account['failed']} failed logons"
            if account["locked"]:
                yield f"account {name} of zone {zone.name} is locked"
        for address, host in seen["hosts"].items():
            if len(host["logons"]) > max(BUDGET, attempts):
                yield f"host {address}: {len(host['logons'])} logons"


def _secrets(world: World) -> Iterator[str]:
    """No secret in a file but the estates' own, nor in the memory of anybody but appliances and estates."""
    passwords = {Path(zone.ready["vault_password_file"]).parent for zone in world.zones}
    for path in world.directory.rglob("*"):
        if path.is_file() and not passwords & {path.parent, *path.parents} and MARKER.search(path.read_bytes()):
            yield f"a secret is in {path}"
    for name, pids in _others(world).items():
        for pid in pids:
            if _remembers(pid):
                yield f"a secret is in the memory of {name}: process {pid}, {command(pid)}"


def _others(world: World) -> dict[str, list[int]]:
    """Processes that no secret may ever reach. The vaults' logins are in the appliances' own files, so that here the
    orchestrators have none either.
    """
    return {
        **{node.name: [node.pid] for node in world.cluster.up},
        **{one.name: one.family() for one in world.orchestrators},
        "PostgreSQL": world.store.pids,
    }


def _remembers(pid: int) -> bool:
    try:
        return any(MARKER.search(block) for block in places.memory(pid))
    except (ProcessLookupError, FileNotFoundError):
        return False

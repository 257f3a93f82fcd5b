"""Why so many failed: failures with a shared factor become one cause, with an owner and one thing to do. Pure.

The rules, stated here and nowhere else:

 K1 factor    Each reason has the factor that its owner could fix once for many: the secret, the vault, the account, the
              subnet, the appliance, the jump host, what the hosts run; or none, where every host must be fixed for
              itself.
 K2 shared    A factor is to blame where at least two targets that have it failed for the reason, and they are more than
              half of all targets that have it. A secret that works on most hosts is not what is wrong. A target has
              what its attempt came to, and what it failed for: one that was never tried says nothing of its secret.
 K3 rest      Failures without a shared factor are one cause per reason.
 K4 skipped   A target that was skipped because an account's breaker was open counts for the reason that opened it: the
              same fix frees it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Interface

from appliance.contract import Phase
from appliance.reasons import REASONS, Owner, Reason, Status
from orchestrator.report.rows import ReportRow, account_name


class Factor(StrEnum):
    SECRET = "secret"  # noqa: S105 - the kind of a factor, not a secret
    VAULT = "vault"
    ACCOUNT = "account"
    SUBNET = "subnet"
    APPLIANCE = "appliance"
    SOFTWARE = "software"
    """What the host runs, as its SSH banner or its own words say."""
    JUMP = "jump host"
    NONE = ""


_BY_OWNER = {
    Owner.NETWORK: Factor.SUBNET,
    Owner.HOST: Factor.SOFTWARE,
    Owner.DIRECTORY: Factor.ACCOUNT,
    Owner.VAULT: Factor.SECRET,
    Owner.US: Factor.NONE,
    Owner.NOBODY: Factor.NONE,
}
_BY_REASON = {
    "SKIPPED_BREAKER": Factor.ACCOUNT,
    "LOCKOUT_BUDGET_SPENT": Factor.ACCOUNT,
    "PERMIT_WAIT": Factor.ACCOUNT,
    "KDC_UNREACHABLE": Factor.ACCOUNT,  # whose controllers they are
    "KRB_SPN": Factor.NONE,  # each host has its own name
    "APPLIANCE_LOST": Factor.APPLIANCE,
    "OWN_OVERLOAD": Factor.APPLIANCE,
    "SOURCE_ADDRESS": Factor.APPLIANCE,
}
_BY_REASON |= {code: Factor.VAULT for code in REASONS if code.startswith("VAULT_")}
_BY_REASON |= {code: Factor.JUMP for code in REASONS if code.startswith("JUMP_")}
"""Where the owner alone does not tell (K1)."""

_TRIED = frozenset(Phase) - {Phase.PLAN, Phase.DISPATCH}
_CAME_TO = {
    Factor.APPLIANCE: _TRIED,
    Factor.SUBNET: _TRIED - {Phase.LEASE, Phase.JUMP, Phase.VAULT},
    Factor.ACCOUNT: frozenset({Phase.PERMIT, Phase.AUTH, Phase.PRIVILEGE, Phase.LOGOFF}),
    Factor.SECRET: frozenset({Phase.VAULT, Phase.AUTH, Phase.PRIVILEGE, Phase.LOGOFF}),
}
_CAME_TO[Factor.VAULT] = _CAME_TO[Factor.SECRET]
"""The phases of which an attempt that came to the factor has had one (K2); the other factors are told by the host.
A vault may be asked before the host is dialled.
"""


@dataclass(frozen=True, slots=True)
class Cause:
    """Fix this, and `targets` (target x technology) may pass."""

    reason: Reason
    factor: Factor
    value: str
    """Which secret, account, subnet...; empty without a factor."""
    targets: int
    skipped: int
    """How many of them were not tried, since the cause was known by then."""


class Causes:
    """Counts rows as they pass by; the causes can be had at the end."""

    def __init__(self) -> None:
        self._failed: Counter[tuple[Reason, Factor, str]] = Counter()
        self._skipped: Counter[tuple[Reason, Factor, str]] = Counter()
        self._seen: Counter[tuple[Factor, str]] = Counter()

    def add_together(self, reason: Reason, number: int) -> None:
        """Targets that were ended as a whole, for a reason that has no factor."""
        self._failed[reason, Factor.NONE, ""] += number

    def add(self, row: ReportRow) -> None:
        values = _values(row)
        reason = REASONS.get(row.blocked_by, row.reason)  # K4
        factor = _BY_REASON.get(reason.code, _BY_OWNER[reason.owner])
        phases = {row.evidence.phase, *(time.phase for time in row.evidence.phases)}
        for one, value in values.items():
            if one is factor or one not in _CAME_TO or phases & _CAME_TO[one]:  # K2
                self._seen[one, value] += 1
        if row.status is Status.PASSED:
            return
        key = (reason, factor, values[factor]) if values.get(factor) else (reason, Factor.NONE, "")
        self._failed[key] += 1
        self._skipped[key] += bool(row.blocked_by)

    def found(self) -> tuple[Cause, ...]:
        """The commonest first."""
        failed: Counter[tuple[Reason, Factor, str]] = Counter()
        skipped: Counter[tuple[Reason, Factor, str]] = Counter()
        for key, number in self._failed.items():
            reason, factor, value = key
            shared = number >= 2 and 2 * number > self._seen[factor, value]  # K2
            kept = key if shared else (reason, Factor.NONE, "")  # K3
            failed[kept] += number
            skipped[kept] += self._skipped[key]
        causes = (Cause(*key, number, skipped[key]) for key, number in failed.items())
        return tuple(sorted(causes, key=lambda c: (-c.targets, c.reason.code, c.factor, c.value)))


def _values(row: ReportRow) -> dict[Factor, str]:
    """The factors that a target has, or would have had."""
    values = {
        Factor.SECRET: f"{row.secret} in {row.vault}" if row.secret else "",
        Factor.VAULT: row.vault,
        Factor.ACCOUNT: account_name(row.account),
        Factor.SUBNET: subnet(row.ip),
        Factor.APPLIANCE: row.appliance,
        Factor.JUMP: row.evidence.facts.get("jump_host", ""),
        Factor.SOFTWARE: row.os or row.evidence.facts.get("banner", ""),
    }
    return {factor: value for factor, value in values.items() if value}


def subnet(ip: str) -> str:
    """The /24 or /64 of an address; empty for none."""
    if ":" in ip:
        return str(IPv6Interface(f"{ip}/64").network)
    return f"{ip.rpartition('.')[0]}.0/24" if ip else ""  # of each row: nothing is parsed

"""Was a run right? Its outcomes beside the truth of the simulated estate that it ran on. Pure.

Each fault has one reason that is right for it, or one for each way of logging in. A host that at times has other faults
(it comes up late, or its network goes silent on the estate's timeline) may end with their reasons as well as with its
own. A host that was left out because its
account's breaker was open is right if that account has a fault which may open one; the host's own could not be seen any
more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.contract import account_key
from appliance.reasons import REASONS, Lockout, Owner, Reason

SKIPPED = ("SKIPPED_BREAKER", "LOCKOUT_BUDGET_SPENT")
_EITHER = {
    "none": "PASSED",
    "closed": "PORT_CLOSED",
    "silent": "BANNER_TIMEOUT",
    "reset": "CONNECTION_RESET",
    **dict.fromkeys(("reset_after_banner", "half_close"), "CONNECTION_RESET"),
    "reset_at_login": "AUTH_DROPPED",
    "reset_at_command": "PRIV_CHECK_FAILED",
    "stalled_login": "AUTH_TIMEOUT",
    "stalled_command": "PRIV_TIMEOUT",
    # Slow is not wrong.
    **dict.fromkeys(("slow_banner", "slow_kex", "slow_login", "slow_command"), "PASSED"),
    "wrong_password": "BAD_CREDENTIALS",
    "old_password": "BAD_CREDENTIALS",
    "unknown_user": "BAD_CREDENTIALS",
    "expired": "ACCOUNT_EXPIRED",
    "password_expired": "PASSWORD_EXPIRED",
    "secret_missing": "SECRET_NOT_FOUND",
    "secret_inactive": "SECRET_INACTIVE",
    "secret_ambiguous": "SECRET_AMBIGUOUS_NAME",
    "secret_forbidden": "SECRET_ACCESS_DENIED",
    # We always say why a secret is read, so a vault that insists on it is none the worse.
    "secret_comment": "PASSED",
    "secret_503": "VAULT_ERROR",
    "secret_slow": "VAULT_TIMEOUT",
    "secret_stale": "STALE_IN_VAULT",
}
_STRANGERS = ("garbage", "ftp", "http", "tls")
"""Other services on the port."""
EXPECTED: Mapping[str, Mapping[str, str]] = {
    "unix": {
        **_EITHER,
        **dict.fromkeys(_STRANGERS, "NOT_SSH"),
        "drip": "BANNER_TIMEOUT",
        "penalty": "SSH_PENALTY",
        # Whoever comes again is let in.
        "throttled": "PASSED",
        "stalled_kex": "KEX_TIMEOUT",
        "drip_kex": "KEX_TIMEOUT",
        "changed_host_key": "HOST_KEY_CHANGED",
        "revoked_host_key": "HOST_KEY_REVOKED",
        "certified": "PASSED",
        **dict.fromkeys(
            ("certificate_expired", "certificate_of_another", "certificate_unknown_ca"), "HOST_KEY_UNKNOWN"
        ),
        "certificate_missing": "HOST_KEY_UNKNOWN",
        # sshd has no way to say so to a password.
        "locked": "BAD_CREDENTIALS",
        "must_change": "PASSWORD_EXPIRED",
        "two_methods": "PARTIAL_SUCCESS",
        "slow_refusal": "BAD_CREDENTIALS",
        "one_try": "TOO_MANY_AUTH_FAILURES",
        "barred": "AUTH_DROPPED",
        "anonymous": "AUTH_NOT_REQUIRED",
        "sudo_missing": "PRIV_NO_SUDO",
        "network_device": "PRIV_NO_SHELL",
        "key_only": "SSH_METHOD_NOT_OFFERED",
        "no_sudo": "PRIV_SUDO_PASSWORD",
        "no_sudoer": "PRIV_NO_SUDO",
        "sudo_one_command": "PRIV_NOT_ROOT",
        "sudo_tty": "PASSED",
        "sudo_refuses": "PRIV_SUDO_REFUSED",
        "root_asks_code": "PRIV_PROMPT_UNKNOWN",
        "root_wrong_password": "PRIV_SU_REFUSED",
        "root_secret_missing": "PRIV_NO_SECRET",
        "su_denied": "PRIV_NO_SU",
        "nologin": "PRIV_NO_SHELL",
        "no_session": "PRIV_NO_SHELL",
        "forced_command": "PRIV_FORCED_COMMAND",
        "mfa": "MFA_REQUIRED",
        **dict.fromkeys(("old_kex", "old_cipher", "sha1_host_key"), "KEX_NO_MATCH"),
    },
    "windows": {
        **_EITHER,
        **dict.fromkeys(_STRANGERS, "NOT_SMB"),
        "no_admin": "PRIV_NOT_ADMIN",
        "no_admin_share": "ADMIN_SHARE_OFF",
        "disabled": "ACCOUNT_DISABLED",
        "locked": "ACCOUNT_LOCKED",
        "must_change": "PASSWORD_MUST_CHANGE",
        "logon_hours": "LOGON_HOURS",
        "workstation": "WORKSTATION",
        "logon_type": "LOGON_TYPE",
        **dict.fromkeys(("stalled_kex", "drip_kex"), "BANNER_TIMEOUT"),
        "no_such_user": "UNKNOWN_USER",
        "guest": "GUEST_SESSION",
        "anonymous": "ANONYMOUS_SESSION",
        "smb1_only": "SMB1_ONLY",
        "signing": "PASSED",
        "encryption": "PASSED",
        "encryption_gcm": "ENCRYPTION_REQUIRED",
        "keepalive_login": "AUTH_TIMEOUT",
        "pending_login": "AUTH_TIMEOUT",
        "pending_command": "PRIV_TIMEOUT",
        "restricted": "ACCOUNT_RESTRICTED",
        "smartcard": "SMARTCARD_REQUIRED",
        "auth_firewall": "AUTH_FIREWALL",
        "ntlm_disabled": "NTLM_DISABLED",
        "ntlm_blocked": "NTLM_DISABLED",
        "ntlm_refused": "NTLM_DISABLED",
        "kerberos_only": "NTLM_DISABLED",
        "no_logon_servers": "NO_LOGON_SERVERS",
        "trust_broken": "TRUST_BROKEN",
        "netlogon": "NETLOGON",
        "clock_skew": "CLOCK_SKEW",
        "session_limit": "SESSION_LIMIT",
        "server_busy": "SERVER_BUSY",
        "uac_filtered": "PRIV_UAC_FILTERED",
        "no_services": "PRIV_NO_SERVICES",
        "no_registry": "PRIV_NO_REGISTRY",
        "registry_off": "REMOTE_REGISTRY_OFF",
        "registry_stuck": "REMOTE_REGISTRY_OFF",
        # Who is an administrator, most hosts tell to administrators alone.
        "uac_hidden": "PRIV_NOT_ADMIN",
        "registry_starting": "PASSED",
    },
}
"""The right reason by technology and fault, as an estate's truth names them, for a login by password."""
_OTHER_LOGINS: Mapping[str, Mapping[str, str]] = {
    "key": dict.fromkeys(("wrong_password", "slow_refusal", "old_password", "unknown_user"), "KEY_REFUSED"),
    # PAM speaks to whom it asks: of a lock-out before the password, of an expired password after it.
    "keyboard-interactive": {
        "locked": "ACCOUNT_LOCKED",
        "password_expired": "PASSWORD_MUST_CHANGE",
        "must_change": "PASSWORD_MUST_CHANGE",
    },
}
"""What is right instead where hosts are logged in to in another way."""

_AT_TIMES: Mapping[str, Callable[[Reason], bool]] = {
    "vault": lambda reason: reason.owner is Owner.VAULT,
    "overrun": lambda reason: reason.code == "SSH_THROTTLED",
    "rotated": lambda reason: reason.code == "ROTATED_MID_SCAN",
}
"""What a truth says of some time and means no fault by: the reasons that are right for it."""

Truth = Mapping[str, Any]
"""A row of truth.ndjson: address, technology, fault, login, user and account; `at_times`, if it has them."""
Target = tuple[str, str]
"""(address, technology)"""
HostAccount = tuple[str, str]
"""(authority, user) as the estate has it, folded; the authority of a host's own account is its address."""


class ScoreError(ValueError):
    """The truth is of another estate, or of another release. The text says what is missing."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Hosts of one fault that ended with one reason."""

    technology: str
    fault: str
    expected: str
    reason: str
    right: bool
    number: int


@dataclass(frozen=True, slots=True)
class Score:
    cells: tuple[Cell, ...]
    """The confusion table, row by row: by technology and fault, in the truth's order, the right cell first."""

    @property
    def total(self) -> int:
        return sum(cell.number for cell in self.cells)

    @property
    def right(self) -> int:
        return sum(cell.number for cell in self.cells if cell.right)

    @property
    def wrong(self) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.cells if not cell.right)


def score(truth: Iterable[Truth], reasons: Mapping[Target, str]) -> Score:
    """Judge the outcomes of a run; hosts that it did not have are left out. Raises ScoreError."""
    rows = [row for row in truth if (row["address"], row["technology"]) in reasons]
    if unknown := reasons.keys() - {(row["address"], row["technology"]) for row in rows}:
        address, technology = min(unknown)
        raise ScoreError(f"the truth does not know {address} ({technology}), which the run had: it is another estate's")
    guilty = {_account(row) for row in rows if any(map(_may_open_a_breaker, (_expected(row), *_at_times(row))))}
    counted: Counter[tuple[str, str, str, str, bool]] = Counter()
    for row in rows:
        expected, reason = _expected(row), reasons[row["address"], row["technology"]]
        right = reason == expected or reason in _at_times(row) or (reason in SKIPPED and _account(row) in guilty)
        counted[row["technology"], row["fault"], expected, reason, right] += 1
    order = {key: place for place, key in enumerate(dict.fromkeys((t, f) for t, f, *_ in counted))}
    keys = sorted(counted, key=lambda key: (order[key[0], key[1]], not key[4], key[3]))
    return Score(tuple(Cell(*key, counted[key]) for key in keys))


def right_reason(technology: str, fault: str, login: str) -> str:
    """`login`: password, keyboard-interactive or key. Raises ScoreError for a fault that is not known here."""
    try:
        return _OTHER_LOGINS.get(login, {}).get(fault) or EXPECTED[technology][fault]
    except KeyError:
        raise ScoreError(f"the truth has the fault {fault!r}, for which no right reason is known here") from None


def _expected(row: Truth) -> str:
    return right_reason(row["technology"], row["fault"], row["login"])


def _at_times(row: Truth) -> frozenset[str]:
    """Reasons that are right besides the fault's own. Raises ScoreError."""
    also: set[str] = set()
    for name in row.get("at_times", ()):
        if name in _AT_TIMES:
            also |= {code for code, reason in REASONS.items() if _AT_TIMES[name](reason)}
        else:
            also.add(right_reason(row["technology"], name, row["login"]))
    return frozenset(also)


def account_at(row: Truth, user: str) -> HostAccount:
    """The account that a user's login at this host is judged by."""
    account = account_key(row["address"] if row["account"] == "local" else row["account"], user)
    return account.authority, account.user


def _account(row: Truth) -> HostAccount:
    return account_at(row, row["user"])


def _may_open_a_breaker(code: str) -> bool:
    reason = REASONS[code]
    return reason.lockout is not Lockout.NO or reason.breaks

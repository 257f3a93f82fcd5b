"""Each row of the reason table, column by column, written from what it means: the second book beside reasons.py.

A row that changes there must change here, and for a reason. `make mutate` holds that none can change unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple

import pytest

from appliance.reasons import QIDS, REASONS, Lockout, Owner, Reason, Status, counts_towards_lockout

NETWORK = (
    "DNS_FAILED", "DNS_NO_ANSWER", "HOST_UNREACHABLE", "PORT_CLOSED", "PORT_FILTERED", "TCP_TIMEOUT",
    "CONNECTION_RESET",
)  # fmt: skip
NEGOTIATION = (
    "NOT_SSH", "NOT_SMB", "BANNER_TIMEOUT", "KEX_TIMEOUT", "KEX_NO_MATCH", "SSH_THROTTLED", "SSH_PENALTY",
    "SSH_PROTOCOL", "HOST_KEY_UNKNOWN", "HOST_KEY_CHANGED", "HOST_KEY_REVOKED", "SMB1_ONLY", "SIGNING_MISMATCH",
    "ENCRYPTION_REQUIRED", "SMB_PROTOCOL", "SESSION_LIMIT", "SERVER_BUSY",
)  # fmt: skip
JUMP_NETWORK, JUMP_HOST = ("JUMP_UNREACHABLE", "JUMP_LOST"), ("JUMP_SSH", "JUMP_HOST_KEY", "JUMP_FORBIDS")
JUMP = (*JUMP_NETWORK, *JUMP_HOST, "JUMP_REFUSED", "JUMP_SKIPPED")
VAULT = (
    "VAULT_UNREACHABLE", "VAULT_TIMEOUT", "VAULT_TLS", "VAULT_LOGIN_REFUSED", "VAULT_TOKEN_EXPIRED",
    "VAULT_RATE_LIMITED", "VAULT_BAD_RESPONSE", "VAULT_ERROR", "VAULT_IP_BLOCKED", "VAULT_FORBIDDEN",
    "SECRET_NOT_FOUND", "SECRET_AMBIGUOUS_NAME", "SECRET_ACCESS_DENIED", "SECRET_INACTIVE", "SECRET_FIELD_MISSING",
    "SECRET_CERTIFICATE_UNUSABLE", "CERT_EXPIRED", "CERT_PRINCIPAL",
    "SECRET_KEY_UNREADABLE", "SECRET_PASSPHRASE_WRONG", "SECRET_HASH_UNREADABLE", "SECRET_NEEDS_APPROVAL",
    "SECRET_NEEDS_COMMENT", "SECRET_NEEDS_CHECKOUT", "SECRET_DOUBLELOCK", "SECRET_CHECKED_OUT_BY", "SECRET_RPC_PENDING",
    "STALE_IN_VAULT", "ROTATED_MID_SCAN",
)  # fmt: skip
ACCOUNT = (
    "UNKNOWN_USER", "ACCOUNT_LOCKED", "ACCOUNT_DISABLED", "ACCOUNT_EXPIRED", "ACCOUNT_RESTRICTED", "PASSWORD_EXPIRED",
    "PASSWORD_MUST_CHANGE", "LOGON_HOURS", "WORKSTATION", "LOGON_TYPE", "TRUST_BROKEN", "NO_LOGON_SERVERS", "NETLOGON",
    "AUTH_FIREWALL", "SMARTCARD_REQUIRED", "KRB_REVOKED", "KRB_REALM", "KRB_SPN",
    "KRB_ETYPE", "KRB_POLICY", "KDC_TIMEOUT", "KDC_DROPPED",
)  # fmt: skip
LOGIN = (
    "NTLM_DISABLED", "CLOCK_SKEW", "SSH_METHOD_NOT_OFFERED", "KEY_REFUSED", "TOO_MANY_AUTH_FAILURES", "MFA_REQUIRED",
    "KBDINT_PROMPT_UNKNOWN", "PARTIAL_SUCCESS", "AUTH_TIMEOUT", "AUTH_DROPPED", "AUTH_REFUSED", "GUEST_SESSION",
    "ANONYMOUS_SESSION", "AUTH_NOT_REQUIRED", "CERT_REFUSED", "KRB_TICKET_REFUSED",
)  # fmt: skip
OUR_CLOCK = ("KRB_SKEW",)
AUTHENTICATION = ("BAD_CREDENTIALS", *ACCOUNT, *LOGIN, *OUR_CLOCK)
PRIVILEGE = (
    "PRIV_SUDO_PASSWORD", "PRIV_NO_SUDO", "PRIV_NOT_ROOT", "PRIV_NO_SHELL", "PRIV_FORCED_COMMAND", "PRIV_TIMEOUT",
    "PRIV_SUDO_REFUSED", "PRIV_SU_REFUSED", "PRIV_NO_SU", "PRIV_PROMPT_UNKNOWN", "PRIV_NO_SECRET", "PRIV_NOT_TRIED",
    "PRIV_CHECK_FAILED", "PRIV_NOT_ADMIN", "PRIV_UAC_FILTERED", "PRIV_NO_SERVICES", "PRIV_NO_REGISTRY",
    "REMOTE_REGISTRY_OFF", "ADMIN_SHARE_OFF",
)  # fmt: skip
OURS = (
    "SOURCE_ADDRESS", "NO_RECORD", "RECORD_CONFLICT", "EXCLUDED", "SKIPPED_BREAKER", "LOCKOUT_BUDGET_SPENT",
    "WINDOW_CLOSED", "STOPPED", "CANCELLED", "APPLIANCE_LOST", "NO_PACER", "PERMIT_WAIT", "REFUSED_BY_POLICY",
    "OWN_OVERLOAD", "INTERNAL",
)  # fmt: skip
KDC = ("KDC_UNREACHABLE",)
NO_KDC = ("KDC_PROTOCOL",)


def codes(has: Callable[[Reason], bool]) -> set[str]:
    return {reason.code for reason in REASONS.values() if has(reason)}


def test_every_code_that_must_be_told_apart_is_there_and_no_other() -> None:
    listed = ("PASSED", *NETWORK, *JUMP, *NEGOTIATION, *VAULT, *AUTHENTICATION, *PRIVILEGE, *OURS, *KDC, *NO_KDC)
    assert len(listed) == len(set(listed))
    assert set(listed) == set(REASONS)


ENDS = {
    Status.PASSED: ("PASSED",),
    Status.PASSED_LIMITED: PRIVILEGE,
    Status.FAILED: (*VAULT, *AUTHENTICATION),
    Status.NOT_ATTEMPTED: (*NETWORK, *JUMP, *NEGOTIATION, *OURS, *KDC, *NO_KDC),
}


@pytest.mark.parametrize("status", Status)
def test_status_follows_from_where_the_attempt_ended(status: Status) -> None:
    assert codes(lambda reason: reason.status is status) == set(ENDS[status])


ROOT = ("PRIV_SUDO_REFUSED", "PRIV_SU_REFUSED", "PRIV_NO_SECRET")
"""Of the password of root delegation, which is put right where the login's is."""

OWNERS = {
    Owner.NOBODY: ("PASSED",),
    Owner.NETWORK: (*NETWORK, *JUMP_NETWORK, *KDC),
    Owner.HOST: (*JUMP_HOST, *NEGOTIATION, *LOGIN, *(set(PRIVILEGE) - {*ROOT, "PRIV_NOT_TRIED"})),
    Owner.DIRECTORY: (*ACCOUNT, *NO_KDC),
    # Vault and target disagree on the password, and the vault is where it is put right.
    Owner.VAULT: (*VAULT, "BAD_CREDENTIALS", "JUMP_REFUSED", *ROOT),
    Owner.US: (*OURS, *OUR_CLOCK, "JUMP_SKIPPED", "PRIV_NOT_TRIED"),
}


@pytest.mark.parametrize("owner", Owner)
def test_the_owner_can_settle_it(owner: Owner) -> None:
    assert codes(lambda reason: reason.owner is owner) == set(OWNERS[owner])


COUNTED = (
    "BAD_CREDENTIALS", "UNKNOWN_USER", "GUEST_SESSION", "STALE_IN_VAULT", "ROTATED_MID_SCAN",
    "PRIV_SUDO_REFUSED", "PRIV_SU_REFUSED",
)  # fmt: skip
"""Name or password was wrong, and the host or its directory has said so."""
PERHAPS_COUNTED = (
    # Something was sent, and no verdict came back:
    "TCP_TIMEOUT", "BANNER_TIMEOUT", "KEX_TIMEOUT", "AUTH_TIMEOUT", "CONNECTION_RESET", "AUTH_DROPPED",
    "APPLIANCE_LOST", "OWN_OVERLOAD", "KDC_TIMEOUT", "KDC_DROPPED", "JUMP_LOST",
    # or one that says nothing of the password:
    "SSH_PROTOCOL", "SMB_PROTOCOL", "SESSION_LIMIT", "SERVER_BUSY", "NTLM_DISABLED", "TOO_MANY_AUTH_FAILURES",
    "AUTH_REFUSED", "INTERNAL", "KDC_PROTOCOL",
    # or one that lets anybody in, whatever its directory made of the password:
    "ANONYMOUS_SESSION", "AUTH_NOT_REQUIRED",
)  # fmt: skip


@pytest.mark.parametrize("lockout", Lockout)
def test_what_counts_towards_lock_out(lockout: Lockout) -> None:
    expected = {Lockout.YES: set(COUNTED), Lockout.IF_SUBMITTED: set(PERHAPS_COUNTED)}
    expected[Lockout.NO] = set(REASONS) - expected[Lockout.YES] - expected[Lockout.IF_SUBMITTED]
    assert codes(lambda reason: reason.lockout is lockout) == expected[lockout]


TRIED_AGAIN = (
    *NETWORK, *JUMP_NETWORK, *KDC, "SOURCE_ADDRESS",
    # The host has too much to do, or is still starting:
    "BANNER_TIMEOUT", "KEX_TIMEOUT", "SSH_THROTTLED", "SSH_PENALTY", "SESSION_LIMIT", "SERVER_BUSY",
    "TRUST_BROKEN", "NO_LOGON_SERVERS", "NETLOGON",
    # the vault has, or somebody is at the secret:
    "VAULT_UNREACHABLE", "VAULT_TIMEOUT", "VAULT_TOKEN_EXPIRED", "VAULT_RATE_LIMITED", "VAULT_BAD_RESPONSE",
    "VAULT_ERROR", "SECRET_CHECKED_OUT_BY", "SECRET_RPC_PENDING", "ROTATED_MID_SCAN",
    # and what was never the target's fault:
    "WINDOW_CLOSED", "APPLIANCE_LOST", "NO_PACER", "PERMIT_WAIT", "OWN_OVERLOAD",
)  # fmt: skip


def test_what_passes_by_itself_is_tried_again_and_nothing_else() -> None:
    assert codes(lambda reason: reason.transient) == set(TRIED_AGAIN)


def test_an_account_that_no_password_opens_breaks() -> None:
    """Whatever host is asked: what a host or its policy refuses may be another one's welcome."""
    assert codes(lambda reason: reason.breaks) == {
        "ACCOUNT_LOCKED",
        "ACCOUNT_DISABLED",
        "ACCOUNT_EXPIRED",
        "ACCOUNT_RESTRICTED",
        "PASSWORD_EXPIRED",
        "PASSWORD_MUST_CHANGE",
        "LOGON_HOURS",
        "KRB_REVOKED",
    }


def test_only_what_was_submitted_counts() -> None:
    may_count = {*COUNTED, *PERHAPS_COUNTED}
    assert codes(lambda reason: counts_towards_lockout(reason, submitted=True)) == may_count
    assert codes(lambda reason: counts_towards_lockout(reason, submitted=False)) == set()


def test_each_qid_says_how_sure_it_is() -> None:
    """IG: information gathered. The first two have the vendor's own number and title; no severity is known."""
    unsure = "severity not confirmed"
    assert {number: astuple(qid) for number, qid in QIDS.items()} == {
        105015: (105015, "Windows Authentication Failed", "IG", 1, f"vendor (number, title); {unsure}"),
        105053: (105053, "Unix Authentication Failed", "IG", 1, f"vendor (number, title); {unsure}"),
        105052: (105052, "Windows Scan Account Locked Out", "IG", 1, f"third party; {unsure}"),
    }


def test_the_words_that_programs_read() -> None:
    assert [*Status] == ["Passed", "Passed*", "Failed", "Not Attempted"]
    assert [*Owner] == ["network", "host", "directory", "vault", "us", "nobody"]
    assert [*Lockout] == ["no", "yes", "if-submitted"]

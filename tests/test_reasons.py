"""The reason table is well-formed, complete against the list of what must be told apart, and keeps its own rules."""

from __future__ import annotations

import re

import pytest

from appliance.contract import Technology
from appliance.reasons import (
    QIDS,
    REASONS,
    Lockout,
    Owner,
    Reason,
    Status,
    counts_towards_lockout,
    qids,
)

NETWORK = ("DNS_FAILED", "HOST_UNREACHABLE", "PORT_CLOSED", "PORT_FILTERED", "TCP_TIMEOUT", "CONNECTION_RESET")
NEGOTIATION = (
    "NOT_SSH", "NOT_SMB", "BANNER_TIMEOUT", "KEX_TIMEOUT", "KEX_NO_MATCH", "SSH_THROTTLED", "SSH_PENALTY",
    "SSH_PROTOCOL", "HOST_KEY_UNKNOWN", "HOST_KEY_CHANGED", "HOST_KEY_REVOKED", "SMB1_ONLY", "SIGNING_MISMATCH",
    "ENCRYPTION_REQUIRED", "SMB_PROTOCOL", "SESSION_LIMIT", "SERVER_BUSY",
)  # fmt: skip
VAULT = (
    "VAULT_UNREACHABLE", "VAULT_TIMEOUT", "VAULT_TLS", "VAULT_LOGIN_REFUSED", "VAULT_TOKEN_EXPIRED",
    "VAULT_RATE_LIMITED", "VAULT_BAD_RESPONSE", "VAULT_ERROR", "VAULT_IP_BLOCKED", "VAULT_FORBIDDEN",
    "SECRET_NOT_FOUND", "SECRET_AMBIGUOUS_NAME", "SECRET_ACCESS_DENIED", "SECRET_INACTIVE", "SECRET_FIELD_MISSING",
    "SECRET_KEY_UNREADABLE", "SECRET_PASSPHRASE_WRONG", "SECRET_NEEDS_APPROVAL", "SECRET_NEEDS_COMMENT",
    "SECRET_NEEDS_CHECKOUT", "SECRET_DOUBLELOCK", "SECRET_CHECKED_OUT_BY", "SECRET_RPC_PENDING",
    "STALE_IN_VAULT", "ROTATED_MID_SCAN",
)  # fmt: skip
AUTHENTICATION = (
    "BAD_CREDENTIALS", "UNKNOWN_USER", "ACCOUNT_LOCKED", "ACCOUNT_DISABLED", "ACCOUNT_EXPIRED", "ACCOUNT_RESTRICTED",
    "PASSWORD_EXPIRED", "PASSWORD_MUST_CHANGE", "LOGON_HOURS", "WORKSTATION", "LOGON_TYPE", "TRUST_BROKEN",
    "NO_LOGON_SERVERS", "NETLOGON", "AUTH_FIREWALL", "SMARTCARD_REQUIRED", "NTLM_DISABLED", "CLOCK_SKEW", "KRB_SPN",
    "KRB_ETYPE", "KRB_POLICY", "SSH_METHOD_NOT_OFFERED", "KEY_REFUSED", "TOO_MANY_AUTH_FAILURES", "MFA_REQUIRED",
    "KBDINT_PROMPT_UNKNOWN", "PARTIAL_SUCCESS", "AUTH_TIMEOUT", "AUTH_DROPPED", "AUTH_REFUSED", "GUEST_SESSION",
    "ANONYMOUS_SESSION", "AUTH_NOT_REQUIRED",
)  # fmt: skip
PRIVILEGE = (
    "PRIV_SUDO_PASSWORD", "PRIV_NO_SUDO", "PRIV_NOT_ROOT", "PRIV_NO_SHELL", "PRIV_FORCED_COMMAND", "PRIV_TIMEOUT",
    "PRIV_CHECK_FAILED", "PRIV_NOT_ADMIN", "PRIV_UAC_FILTERED", "REMOTE_REGISTRY_OFF", "ADMIN_SHARE_OFF",
)  # fmt: skip
OURS = (
    "SOURCE_ADDRESS", "NO_RECORD", "RECORD_CONFLICT", "EXCLUDED", "SKIPPED_BREAKER", "LOCKOUT_BUDGET_SPENT",
    "WINDOW_CLOSED", "STOPPED", "APPLIANCE_LOST", "NO_PACER", "PERMIT_WAIT", "REFUSED_BY_POLICY", "OWN_OVERLOAD",
    "INTERNAL",
)  # fmt: skip
KDC = ("KDC_UNREACHABLE",)

ALL = pytest.mark.parametrize("reason", REASONS.values(), ids=list(REASONS))


def test_every_code_that_must_be_told_apart_is_there_and_no_other() -> None:
    listed = ("PASSED", *NETWORK, *NEGOTIATION, *VAULT, *AUTHENTICATION, *PRIVILEGE, *OURS, *KDC)
    assert len(listed) == len(set(listed))
    assert set(listed) == set(REASONS)


@ALL
def test_a_row_is_well_formed(reason: Reason) -> None:
    assert REASONS[reason.code] is reason
    assert re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", reason.code)
    for sentence in (reason.meaning, reason.advice):
        assert re.fullmatch(r"[A-Za-z].{8,}\.", sentence), sentence
        assert sentence == sentence.strip()
        assert sentence.isprintable()
        assert sentence.isascii()


def test_no_two_rows_say_the_same() -> None:
    meanings = [r.meaning for r in REASONS.values()]
    assert len(set(meanings)) == len(meanings)


@ALL
def test_status_follows_from_where_the_attempt_ended(reason: Reason) -> None:
    if reason.code == "PASSED":
        expected = Status.PASSED
    elif reason.code in (*VAULT, *AUTHENTICATION):
        expected = Status.FAILED
    elif reason.code in PRIVILEGE:
        expected = Status.PASSED_LIMITED
    else:
        expected = Status.NOT_ATTEMPTED
    assert reason.status is expected


@ALL
def test_the_owner_can_settle_it(reason: Reason) -> None:
    expected: tuple[Owner, ...]
    if reason.code == "PASSED":
        expected = (Owner.NOBODY,)
    elif reason.code in (*NETWORK, *KDC):
        expected = (Owner.NETWORK,)
    elif reason.code in (*NEGOTIATION, *PRIVILEGE):
        expected = (Owner.HOST,)
    elif reason.code in VAULT:
        expected = (Owner.VAULT,)
    elif reason.code in OURS:
        expected = (Owner.US,)
    else:
        expected = (Owner.VAULT, Owner.DIRECTORY, Owner.HOST)
    assert reason.owner in expected


@ALL
def test_what_surely_counted_is_never_tried_again_but_for_a_rotation(reason: Reason) -> None:
    if reason.lockout is Lockout.YES and reason.code != "ROTATED_MID_SCAN":
        assert not reason.transient
        assert reason.status is Status.FAILED


@ALL
def test_what_a_human_must_settle_is_never_tried_again(reason: Reason) -> None:
    if reason.breaks or reason.status is Status.PASSED_LIMITED or reason.code in ("VAULT_LOGIN_REFUSED", "INTERNAL"):
        assert not reason.transient


@ALL
def test_only_the_directorys_own_word_breaks(reason: Reason) -> None:
    if reason.breaks:
        assert reason.status is Status.FAILED
        assert reason.owner is Owner.DIRECTORY
        # It refused without counting: the account's state came before the password.
        assert reason.lockout is Lockout.NO


def test_locked_disabled_and_expired_break() -> None:
    for code in ("ACCOUNT_LOCKED", "ACCOUNT_DISABLED", "ACCOUNT_EXPIRED", "PASSWORD_EXPIRED", "PASSWORD_MUST_CHANGE"):
        assert REASONS[code].breaks


@ALL
def test_a_verdict_that_may_be_missing_counts_once_something_was_sent(reason: Reason) -> None:
    assert not counts_towards_lockout(reason, submitted=False)
    silent = reason.code.endswith("_TIMEOUT") and reason.status is not Status.PASSED_LIMITED
    if (silent and not reason.code.startswith("VAULT_")) or reason.code in (
        "APPLIANCE_LOST",
        "AUTH_DROPPED",
        "INTERNAL",
    ):
        assert counts_towards_lockout(reason, submitted=True)


def test_a_wrong_password_counts_and_a_success_does_not() -> None:
    for code in ("BAD_CREDENTIALS", "UNKNOWN_USER", "STALE_IN_VAULT", "GUEST_SESSION", "ANONYMOUS_SESSION"):
        assert counts_towards_lockout(REASONS[code], submitted=True)
    assert not counts_towards_lockout(REASONS["PASSED"], submitted=True)


@ALL
@pytest.mark.parametrize("technology", Technology)
def test_a_failed_authentication_and_nothing_else_has_a_qid(reason: Reason, technology: Technology) -> None:
    numbers = [q.number for q in qids(reason, technology)]
    primary = {Technology.WINDOWS: 105015, Technology.UNIX: 105053}[technology]
    if reason.status is not Status.FAILED:
        assert numbers == []
    elif reason.code == "ACCOUNT_LOCKED" and technology is Technology.WINDOWS:
        assert numbers == [105015, 105052]
    else:
        assert numbers == [primary]


def test_each_qid_says_how_sure_it_is() -> None:
    assert QIDS[105015].title == "Windows Authentication Failed"
    assert QIDS[105053].title == "Unix Authentication Failed"
    for number, qid in QIDS.items():
        assert qid.number == number
        assert qid.certainty
        assert 1 <= qid.severity <= 5

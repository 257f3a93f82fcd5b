"""Outcomes beside the truth: which reason is right for which fault, and when a skipped host is right."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.score import EXPECTED, ScoreError, right_reason, score
from targets.faults import HOST_FAULTS


def host(
    number: int, fault: str = "none", technology: str = "unix", account: str = "local", login: str = "password"
) -> dict[str, Any]:
    return {
        "login": login,
        "address": f"127.0.1.{number}",
        "technology": technology,
        "fault": fault,
        "user": "scan",
        "account": account,
    }


def reasons(*codes: str, technology: str = "unix") -> dict[tuple[str, str], str]:
    return {(f"127.0.1.{number}", technology): code for number, code in enumerate(codes)}


RIGHT = {
    # fault: the right reason over SSH, and over SMB; None where a host of that kind cannot have it
    "none": ("PASSED", "PASSED"),
    "closed": ("PORT_CLOSED", "PORT_CLOSED"),
    "silent": ("BANNER_TIMEOUT", "BANNER_TIMEOUT"),
    "reset": ("CONNECTION_RESET", "CONNECTION_RESET"),
    "garbage": ("NOT_SSH", "NOT_SMB"),
    "ftp": ("NOT_SSH", "NOT_SMB"),
    "http": ("NOT_SSH", "NOT_SMB"),
    "tls": ("NOT_SSH", "NOT_SMB"),
    "drip": ("BANNER_TIMEOUT", None),
    "penalty": ("SSH_PENALTY", None),
    "throttled": ("PASSED", None),
    "reset_after_banner": ("CONNECTION_RESET", "CONNECTION_RESET"),
    "reset_at_login": ("AUTH_DROPPED", "AUTH_DROPPED"),
    "reset_at_command": ("PRIV_CHECK_FAILED", "PRIV_CHECK_FAILED"),
    "stalled_kex": ("KEX_TIMEOUT", "BANNER_TIMEOUT"),  # SMB has no key exchange before the login
    "drip_kex": ("KEX_TIMEOUT", "BANNER_TIMEOUT"),
    "half_close": ("CONNECTION_RESET", "CONNECTION_RESET"),
    "stalled_login": ("AUTH_TIMEOUT", "AUTH_TIMEOUT"),
    "stalled_command": ("PRIV_TIMEOUT", "PRIV_TIMEOUT"),
    "slow_banner": ("PASSED", "PASSED"),
    "slow_kex": ("PASSED", "PASSED"),
    "slow_login": ("PASSED", "PASSED"),
    "slow_command": ("PASSED", "PASSED"),
    "old_kex": ("KEX_NO_MATCH", None),
    "old_cipher": ("KEX_NO_MATCH", None),
    "sha1_host_key": ("KEX_NO_MATCH", None),
    "changed_host_key": ("HOST_KEY_CHANGED", None),
    "revoked_host_key": ("HOST_KEY_REVOKED", None),
    "certified": ("PASSED", None),
    "certificate_expired": ("HOST_KEY_UNKNOWN", None),
    "certificate_of_another": ("HOST_KEY_UNKNOWN", None),
    "certificate_unknown_ca": ("HOST_KEY_UNKNOWN", None),
    "certificate_missing": ("HOST_KEY_UNKNOWN", None),
    "key_only": ("SSH_METHOD_NOT_OFFERED", None),
    "mfa": ("MFA_REQUIRED", None),
    "smb1_only": (None, "SMB1_ONLY"),
    "signing": (None, "PASSED"),
    "encryption": (None, "PASSED"),
    "encryption_gcm": (None, "ENCRYPTION_REQUIRED"),
    "wrong_password": ("BAD_CREDENTIALS", "BAD_CREDENTIALS"),
    "slow_refusal": ("BAD_CREDENTIALS", None),
    "one_try": ("TOO_MANY_AUTH_FAILURES", None),
    "barred": ("AUTH_DROPPED", None),
    "old_password": ("BAD_CREDENTIALS", "BAD_CREDENTIALS"),
    "secret_stale": ("STALE_IN_VAULT", "STALE_IN_VAULT"),
    "unknown_user": ("BAD_CREDENTIALS", "BAD_CREDENTIALS"),
    "no_such_user": (None, "UNKNOWN_USER"),
    "locked": ("BAD_CREDENTIALS", "ACCOUNT_LOCKED"),  # sshd tells it in front of a keyboard-interactive prompt alone
    "two_methods": ("PARTIAL_SUCCESS", None),
    "sudo_one_command": ("PRIV_NOT_ROOT", None),
    "expired": ("ACCOUNT_EXPIRED", "ACCOUNT_EXPIRED"),
    "password_expired": ("PASSWORD_EXPIRED", "PASSWORD_EXPIRED"),
    "must_change": ("PASSWORD_EXPIRED", "PASSWORD_MUST_CHANGE"),  # over SSH the two look alike
    "disabled": (None, "ACCOUNT_DISABLED"),
    "logon_hours": (None, "LOGON_HOURS"),
    "workstation": (None, "WORKSTATION"),
    "logon_type": (None, "LOGON_TYPE"),
    "guest": (None, "GUEST_SESSION"),
    "anonymous": ("AUTH_NOT_REQUIRED", "ANONYMOUS_SESSION"),
    "no_sudo": ("PRIV_SUDO_PASSWORD", None),
    "no_sudoer": ("PRIV_NO_SUDO", None),
    "sudo_missing": ("PRIV_NO_SUDO", None),
    "no_session": ("PRIV_NO_SHELL", None),
    "sudo_tty": ("PASSED", None),
    "sudo_refuses": ("PRIV_SUDO_REFUSED", None),
    "root_asks_code": ("PRIV_PROMPT_UNKNOWN", None),
    "root_wrong_password": ("PRIV_SU_REFUSED", None),
    "root_secret_missing": ("PRIV_NO_SECRET", None),
    "su_denied": ("PRIV_NO_SU", None),
    "nologin": ("PRIV_NO_SHELL", None),
    "forced_command": ("PRIV_FORCED_COMMAND", None),
    "network_device": ("PRIV_NO_SHELL", None),
    "no_admin": (None, "PRIV_NOT_ADMIN"),
    "no_admin_share": (None, "ADMIN_SHARE_OFF"),
    "keepalive_login": (None, "AUTH_TIMEOUT"),
    "pending_login": (None, "AUTH_TIMEOUT"),
    "pending_command": (None, "PRIV_TIMEOUT"),
    "restricted": (None, "ACCOUNT_RESTRICTED"),
    "smartcard": (None, "SMARTCARD_REQUIRED"),
    "auth_firewall": (None, "AUTH_FIREWALL"),
    "ntlm_disabled": (None, "NTLM_DISABLED"),
    "ntlm_blocked": (None, "NTLM_DISABLED"),
    "ntlm_refused": (None, "NTLM_DISABLED"),
    "kerberos_only": (None, "NTLM_DISABLED"),
    "no_logon_servers": (None, "NO_LOGON_SERVERS"),
    "trust_broken": (None, "TRUST_BROKEN"),
    "netlogon": (None, "NETLOGON"),
    "clock_skew": (None, "CLOCK_SKEW"),
    "session_limit": (None, "SESSION_LIMIT"),
    "server_busy": (None, "SERVER_BUSY"),
    "uac_filtered": (None, "PRIV_UAC_FILTERED"),
    "uac_hidden": (None, "PRIV_NOT_ADMIN"),
    "no_services": (None, "PRIV_NO_SERVICES"),
    "no_registry": (None, "PRIV_NO_REGISTRY"),
    "registry_off": (None, "REMOTE_REGISTRY_OFF"),
    "registry_starting": (None, "PASSED"),
    "registry_stuck": (None, "REMOTE_REGISTRY_OFF"),
    "secret_missing": ("SECRET_NOT_FOUND", "SECRET_NOT_FOUND"),
    "secret_inactive": ("SECRET_INACTIVE", "SECRET_INACTIVE"),
    "secret_ambiguous": ("SECRET_AMBIGUOUS_NAME", "SECRET_AMBIGUOUS_NAME"),
    "secret_forbidden": ("SECRET_ACCESS_DENIED", "SECRET_ACCESS_DENIED"),
    "secret_comment": ("PASSED", "PASSED"),  # the appliance always says why
    "secret_503": ("VAULT_ERROR", "VAULT_ERROR"),
    "secret_slow": ("VAULT_TIMEOUT", "VAULT_TIMEOUT"),
}


def test_every_fault_of_an_estate_has_its_right_reason() -> None:
    assert EXPECTED.keys() == {"unix", "windows"}
    for which, technology in enumerate(("unix", "windows")):
        assert EXPECTED[technology] == {fault: pair[which] for fault, pair in RIGHT.items() if pair[which] is not None}
        assert EXPECTED[technology].keys() == {f.name for f in HOST_FAULTS.values() if technology in f.technologies}


def test_what_a_host_does_at_times_is_right_beside_what_it_always_does() -> None:
    at_times = {"at_times": ["silent", "stalled_login"]}
    truth = [host(n) | at_times for n in range(4)] + [host(4)]
    result = score(truth, reasons("PASSED", "BANNER_TIMEOUT", "AUTH_TIMEOUT", "CONNECTION_RESET", "BANNER_TIMEOUT"))
    assert [(cell.reason, cell.right, cell.number) for cell in result.cells] == [
        ("AUTH_TIMEOUT", True, 1),
        ("BANNER_TIMEOUT", True, 1),
        ("PASSED", True, 1),
        ("BANNER_TIMEOUT", False, 1),
        ("CONNECTION_RESET", False, 1),
    ]


def test_an_account_that_is_guilty_at_times_excuses_who_was_skipped_for_it() -> None:
    rows = [host(n, account="CORP") | {"at_times": ["wrong_password"]} for n in range(2)]
    assert score(rows, reasons("BAD_CREDENTIALS", "SKIPPED_BREAKER")).right == 2
    innocent = [host(n, account="CORP") for n in range(2)]
    assert score(innocent, reasons("PASSED", "SKIPPED_BREAKER")).right == 1


@pytest.mark.parametrize(
    ("name", "reason", "right"),
    [
        ("vault", "VAULT_ERROR", True),
        ("vault", "VAULT_TIMEOUT", True),
        ("vault", "BANNER_TIMEOUT", False),
        ("overrun", "SSH_THROTTLED", True),
        ("overrun", "SSH_PENALTY", False),
        ("rotated", "ROTATED_MID_SCAN", True),
        ("penalty", "SSH_PENALTY", True),
    ],
)
def test_times_that_are_no_fault_of_a_host(name: str, reason: str, right: bool) -> None:
    assert score([host(0) | {"at_times": [name]}], reasons(reason)).right == right


def test_a_time_that_is_not_known_is_told() -> None:
    with pytest.raises(ScoreError, match="'eclipse'"):
        score([host(0) | {"at_times": ["eclipse"]}], reasons("PASSED"))


def test_the_table_counts_what_is_right_and_what_is_not() -> None:
    truth = [host(0), host(1, "closed"), host(2, "closed"), host(3, "wrong_password")]
    result = score(truth, reasons("PASSED", "PORT_CLOSED", "PORT_FILTERED", "BAD_CREDENTIALS"))
    assert (result.right, result.total) == (3, 4)
    assert [(cell.fault, cell.reason, cell.right, cell.number) for cell in result.cells] == [
        ("none", "PASSED", True, 1),
        ("closed", "PORT_CLOSED", True, 1),
        ("closed", "PORT_FILTERED", False, 1),
        ("wrong_password", "BAD_CREDENTIALS", True, 1),
    ]
    assert [cell.expected for cell in result.wrong] == ["PORT_CLOSED"]


@pytest.mark.parametrize(
    ("login", "fault", "reason"),
    [
        ("password", "wrong_password", "BAD_CREDENTIALS"),
        ("key", "wrong_password", "KEY_REFUSED"),
        ("password", "locked", "BAD_CREDENTIALS"),
        ("keyboard-interactive", "locked", "ACCOUNT_LOCKED"),
        ("keyboard-interactive", "wrong_password", "BAD_CREDENTIALS"),
        ("key", "closed", "PORT_CLOSED"),
    ],
)
def test_what_is_right_depends_on_the_way_of_logging_in(login: str, fault: str, reason: str) -> None:
    assert right_reason("unix", fault, login) == reason
    assert not score([host(0, fault, login=login)], reasons(reason)).wrong
    assert score([host(0, fault, login=login)], reasons("PASSED")).wrong


@pytest.mark.parametrize(
    ("fault", "account", "right"),
    [
        ("wrong_password", "corp", True),
        ("wrong_password", "CORP", True),
        ("wrong_password", "other", False),
        ("wrong_password", "local", False),
        ("locked", "corp", True),
        ("closed", "corp", False),
        ("none", "corp", False),
    ],
)
@pytest.mark.parametrize("skipped", ["SKIPPED_BREAKER", "LOCKOUT_BUDGET_SPENT"])
def test_a_host_that_was_left_out_is_right_if_its_account_has_a_cause(
    fault: str, account: str, right: bool, skipped: str
) -> None:
    truth = [host(0, account="corp"), host(1, fault, account=account)]
    result = score(truth, reasons(skipped, EXPECTED["unix"][fault]))
    assert (not result.wrong) is right


def test_a_local_account_is_its_hosts_own() -> None:
    truth = [host(0, "wrong_password"), host(1)]
    result = score(truth, reasons("SKIPPED_BREAKER", "SKIPPED_BREAKER"))
    assert [(cell.fault, cell.right) for cell in result.cells] == [("wrong_password", True), ("none", False)]


def test_a_guilty_account_excuses_no_wrong_reason() -> None:
    truth = [host(0, account="corp"), host(1, "wrong_password", account="corp")]
    assert score(truth, reasons("PORT_CLOSED", "BAD_CREDENTIALS")).right == 1


def test_hosts_that_a_sample_left_out_do_not_count() -> None:
    assert score([host(0), host(1), host(2)], reasons("PASSED")).total == 1


def test_another_estates_truth_is_refused() -> None:
    with pytest.raises(ScoreError, match=r"does not know 127\.0\.1\.1 \(unix\)"):
        score([host(0)], reasons("PASSED", "PASSED"))
    with pytest.raises(ScoreError, match="does not know"):
        score([host(0)], reasons("PASSED", technology="windows"))
    with pytest.raises(ScoreError, match="'gremlins', for which no right reason is known"):
        score([host(0, "gremlins")], reasons("PASSED"))

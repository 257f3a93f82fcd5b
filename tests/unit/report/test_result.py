"""A row of a report: what the table of reasons adds to an outcome, and the RESULT under the QID."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.contract import DEADLINE, Phase, Reread, Signal, SignalKind, Target, Technology, kerberos_error, ntstatus
from appliance.reasons import Owner, Status
from orchestrator.report.rows import report_row
from tests.unit.report.report_rows import HOSTILE, outcome


def test_the_vaults_own_error_stands_under_the_qid_of_the_technology_it_hit() -> None:
    for technology, qid, title in (
        (Technology.WINDOWS, 105015, "Windows Authentication Failed"),
        (Technology.UNIX, 105053, "Unix Authentication Failed"),
    ):
        text = "Access Denied: secret 42"
        row = report_row(outcome("SECRET_ACCESS_DENIED", technology=technology, phase=Phase.VAULT, text=text))
        assert [(q.number, q.title) for q in row.findings] == [(qid, title)]
        assert row.result.text() == (
            "Login\tscan\n"
            "Vault title\tVault\n"
            "Vault type\tThycotic Secret Server\n"
            "Secret name\troot\n"
            "Stage\tvault\n"
            "Cause\tSECRET_ACCESS_DENIED: The vault denies access to the secret.\n"
            "Evidence\tAccess Denied: secret 42\n"
            "Advice\tShare the secret (View) with the vault user; a missing secret looks the same."
        )


def test_a_locked_windows_account_has_two_findings() -> None:
    row = report_row(outcome("ACCOUNT_LOCKED", technology=Technology.WINDOWS))
    assert [q.number for q in row.findings] == [105015, 105052]


@pytest.mark.parametrize("reason", ["PASSED", "PRIV_NO_SUDO", "PORT_CLOSED", "SKIPPED_BREAKER"])
def test_only_a_failed_authentication_has_a_qid(reason: str) -> None:
    assert report_row(outcome(reason)).findings == ()


def test_a_login_that_stands_says_how_it_was_let_in_and_where() -> None:
    facts = {
        "auth_method": "publickey",
        "hostname": "web1",
        "os": "Debian GNU/Linux 12 (bookworm)",
        "uid": "1000",
        "groups": "scan,sudo",
        "sudo": "all",
        "sudo_rules": "(ALL) NOPASSWD: ALL",
    }
    row = report_row(outcome("PASSED", facts=facts))
    assert row.os == "Debian GNU/Linux 12 (bookworm)"
    assert row.result.text().splitlines()[8:] == [
        "Authentication Scheme\tpublickey",
        "Using sudo\tYes",
        "Host name\tweb1",
        "Operating system\tDebian GNU/Linux 12 (bookworm)",
        "User ID\t1000",
        "Groups\tscan,sudo",
        "sudo rules\t(ALL) NOPASSWD: ALL",
    ]
    limited = report_row(outcome("PRIV_NO_SHELL", facts={"auth_method": "password"}))
    assert limited.result.text().splitlines()[8:] == ["Authentication Scheme\tpassword", "Using sudo\tNo"]
    assert len(report_row(outcome("BAD_CREDENTIALS", facts=facts)).result.text().splitlines()) == 8


def test_the_raw_signal_is_shown_where_it_says_more_than_the_reason() -> None:
    signals = {
        ntstatus(0xC000006D): "words [0xc000006d]",
        DEADLINE: "words [deadline expired]",
        Signal(kind=SignalKind.ERRNO, name="ECONNREFUSED"): "words [ECONNREFUSED]",
        Signal(kind=SignalKind.NAMED, name="BAD_CREDENTIALS"): "words",
        kerberos_error(24): "words [Kerberos 24]",
        kerberos_error(18, 0xC0000072): "words [Kerberos 18/0xc0000072]",
    }
    for signal, evidence in signals.items():
        assert report_row(outcome("BAD_CREDENTIALS", signal=signal, text="words")).result.evidence == evidence


def test_after_a_second_look_the_vaults_word_stands_beside_the_targets() -> None:
    def says(reread: Reread, **facts: str) -> str:
        row = report_row(outcome("STALE_IN_VAULT", text="Permission denied", reread=reread, facts=facts))
        return row.result.evidence.removeprefix("Permission denied")

    known = {"secret_changed": "2026-11-25T10:00:00Z", "heartbeat": "Failed", "heartbeat_at": "2026-11-26T09:00:00Z"}
    assert says(Reread.UNCHANGED, **known, out_of_sync="Heartbeat failed") == (
        "; still the same in the vault, last changed 2026-11-25T10:00:00Z, heartbeat Failed 2026-11-26T09:00:00Z"
    )
    assert says(Reread.UNCHANGED, out_of_sync="Heartbeat failed") == "; still the same in the vault, Heartbeat failed"
    assert says(Reread.UNCHANGED) == "; still the same in the vault"
    assert says(Reread.CHANGED, heartbeat="Pending") == "; changed in the vault meanwhile, heartbeat Pending"
    assert says(Reread.FAILED) == says(Reread.NOT_DONE, heartbeat="Failed") == ""


def test_where_ntlm_took_kerberos_place_the_result_says_why() -> None:
    facts = {"authentication": "NTLMv2", "kerberos": "KRB_SPN: the directory knows no cifs/x"}
    row = report_row(outcome("BAD_CREDENTIALS", text="words", facts=facts))
    assert row.result.evidence == "words; NTLMv2 in place of Kerberos (KRB_SPN: the directory knows no cifs/x)"
    for scheme in ("NTLMv2", "Kerberos"):
        row = report_row(outcome("BAD_CREDENTIALS", text="words", facts={"authentication": scheme}))
        assert row.result.evidence == "words"


def test_what_there_is_not_is_said() -> None:
    row = report_row(outcome("NO_RECORD", user="", vault="", vault_type="", secret=""))
    assert row.result.text().splitlines()[:4] == [
        "Login\t(none)",
        "Vault title\t(none)",
        "Vault type\t(none)",
        "Secret name\t(none)",
    ]
    assert "Evidence\t(none)" in row.result.text()


def test_a_hostile_text_adds_no_line_and_no_column() -> None:
    text = report_row(outcome("BAD_CREDENTIALS", text=HOSTILE, user=HOSTILE, secret=HOSTILE)).result.text()
    assert [line.count("\t") for line in text.split("\n")] == [1] * 8
    assert all(c.isprintable() or c in "\t\n" for c in text)


def test_a_skip_names_what_opened_the_breaker() -> None:
    row = report_row(outcome("SKIPPED_BREAKER", facts={"cause": "STALE_IN_VAULT"}))
    assert row.blocked_by == "STALE_IN_VAULT"
    assert row.result.cause.endswith("Opened by STALE_IN_VAULT.")
    assert report_row(outcome("BAD_CREDENTIALS", facts={"cause": "x"})).blocked_by == ""


def test_a_target_given_by_name_has_the_ip_that_was_dialled_and_one_given_by_address_has_its_name() -> None:
    by_name = report_row(outcome(address="db1.corp.example"))
    assert (by_name.ip, by_name.dns, by_name.host) == ("", "db1.corp.example", "db1.corp.example")
    facts = {"address": "10.0.0.5", "addresses": "10.0.0.5 connected"}
    dialled = report_row(outcome(address="db1.corp.example", facts=facts))
    assert (dialled.ip, dialled.dns, dialled.host) == ("10.0.0.5", "db1.corp.example", "db1.corp.example")
    address = Target(address="2001:db8::1", host="db1", fqdn="db1.corp.example")
    by_address = report_row(replace(outcome(), target=address))
    assert (by_address.ip, by_address.dns, by_address.host) == ("2001:db8::1", "db1.corp.example", "2001:db8::1")


def test_a_reason_of_another_release_keeps_its_stored_status() -> None:
    unknown = report_row(replace(outcome(), reason="FROM_THE_FUTURE", status=Status.FAILED))
    assert (unknown.reason.code, unknown.reason.status, unknown.reason.owner) == (
        "FROM_THE_FUTURE",
        Status.FAILED,
        Owner.US,
    )
    moved = report_row(replace(outcome("PORT_CLOSED"), status=Status.FAILED))
    assert moved.reason.status is Status.FAILED
    assert [q.number for q in moved.findings] == [105053]

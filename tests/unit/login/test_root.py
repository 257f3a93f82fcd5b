from __future__ import annotations

import pytest

from appliance.contract import Account, CredentialRef, RootBy, RootPassword, SecretLookup
from appliance.login import root as rules
from appliance.login.privilege import CommandResult
from appliance.login.ssh_prompts import Ask

OURS = b"[keymuster] password of scan: "
FRAMED = b"[sudo: [keymuster] password of scan: ] Password: "
"""By sudo-rs."""


def delegation(by: RootBy, user: str = "") -> RootPassword:
    ref = CredentialRef(vault="v", by=SecretLookup.NAME, key="s")
    user = user or ("root" if by is RootBy.SU else "scan")
    return RootPassword(by=by, user=user, account=Account(authority="host:192.0.2.1", user=user), secret=ref)


SUDO, SU = delegation(RootBy.SUDO), delegation(RootBy.SU)


@pytest.mark.parametrize(
    ("output", "asked"),
    [
        (b"", None),
        (b"We trust you have received the usual lecture.\n\n", None),
        (b"[keymuster] password of sc", None),
        (b"[keymuster] password of scan:", None),  # its end is on the way
        (OURS, Ask.PASSWORD),
        (FRAMED, Ask.PASSWORD),
        (FRAMED.replace(b"scan", b"root"), Ask.UNKNOWN),
        (b"[sudo: authenticate] Password: ", None),  # as one says it that takes no question from us
        (b"lecture about your password:\r\n\r\n" + OURS, Ask.PASSWORD),
        (b"[keymuster] password of scan@corp.example: ", Ask.PASSWORD),
        (b"[keymuster] password of root: ", Ask.UNKNOWN),
        (b"Verification code: ", Ask.SECOND_FACTOR),
        (b"Current password: ", Ask.NEW_PASSWORD),
        (b"The account is locked due to 3 failed logins.\n(10 minutes left to unlock)\nPassword: ", Ask.LOCKED),
        (b"Password: ", None),  # not the question that it was told: it stands there until it counts as unknown
        (b"sudo: ", None),
    ],
)
def test_what_sudo_asks(output: bytes, asked: Ask | None) -> None:
    assert rules.question(SUDO, output) is asked


@pytest.mark.parametrize(
    ("output", "asked"),
    [
        ("", None),
        ("Passw", None),
        ("Password", None),
        ("Password: ", Ask.PASSWORD),
        ("Password for root@EXAMPLE.COM: ", Ask.PASSWORD),
        ("Passwort: ", Ask.PASSWORD),
        ("Mot de passe : ", Ask.PASSWORD),
        ("Contraseña: ", Ask.PASSWORD),
        ("Senha: ", Ask.PASSWORD),
        ("Parola: ", Ask.PASSWORD),
        ("パスワード：", Ask.PASSWORD),  # noqa: RUF001 - as it is written there
        ("Password: \r\n", None),
        ("One-time password: ", Ask.SECOND_FACTOR),
        ("New password: ", Ask.NEW_PASSWORD),
        ("Favourite colour: ", None),
    ],
)
def test_what_su_asks(output: str, asked: Ask | None) -> None:
    assert rules.question(SU, output.encode()) is asked


def test_another_user_is_asked_for_where_the_record_says_so() -> None:
    assert rules.question(delegation(RootBy.SUDO, "root"), b"[keymuster] password of root: ") is Ask.PASSWORD


def test_sudo_refuses_by_asking_again() -> None:
    assert rules.refused(SUDO, b"\r\nSorry, try again.\r\n" + OURS)
    assert rules.refused(SUDO, b"What, what, what?\n" + OURS)  # an insult
    assert rules.refused(SUDO, b"\nsudo: Authentication failed, try again.\n" + FRAMED)
    assert rules.refused(SUDO, b"\n" + FRAMED)
    assert rules.refused(SUDO, b"\nsudo: Maximum 3 incorrect authentication attempts\n")
    assert not rules.refused(SUDO, b"\r\n0\r\n")
    assert not rules.refused(SUDO, b"] Password: \n0\n")  # the end of the question that has been answered
    assert not rules.refused(SU, b"Sorry, try again.")


@pytest.mark.parametrize(
    ("by", "output", "accepted", "reason"),
    [
        (SUDO, b"0\n", True, None),
        (SUDO, b"\r\n0\r\n", True, None),
        (SUDO, b"scan is not in the sudoers file.  This incident will be reported.\n", True, "PRIV_NO_SUDO"),
        (SUDO, b"Sorry, user scan may not run sudo on web1.\n", True, "PRIV_NO_SUDO"),
        (
            SUDO,
            b"Sorry, user scan is not allowed to execute '/usr/bin/id -u' as root on web1.\n",
            True,
            "PRIV_NOT_ROOT",
        ),
        (SUDO, b"sudo: 1 incorrect password attempt\n", False, "PRIV_SUDO_REFUSED"),
        (SUDO, b"sudo: Incorrect authentication attempt\n", False, "PRIV_SUDO_REFUSED"),
        (SUDO, b"] Password: \n0\n", True, None),
        (SUDO, b"sudo: I'm sorry scan. I'm afraid I can't do that\n", True, "PRIV_NO_SUDO"),
        (SUDO, b"sudo: account validation failure, is your account locked?\n", None, "PRIV_CHECK_FAILED"),
        (SUDO, b"10\n", None, "PRIV_CHECK_FAILED"),
        (SU, b"\r\n0\r\n", True, None),
        (SU, b"\r\nsu: Authentication failure\r\n", False, "PRIV_SU_REFUSED"),
        (SU, b"\r\nsu: Permission denied\r\n", False, "PRIV_SU_REFUSED"),
        (SU, b"\r\nsu: Fehler bei Authentifizierung\r\n", False, "PRIV_SU_REFUSED"),
        (SU, b"\r\nThis account is currently not available.\r\n", True, "PRIV_NO_SU"),
    ],
)
def test_what_comes_after_the_answer(
    by: RootPassword, output: bytes, accepted: bool | None, reason: str | None
) -> None:
    taken, missing = rules.after_answer(by, CommandResult(1, output))
    assert taken is accepted
    assert (missing.signal.name if missing else None) == reason


def test_a_command_that_asks_nothing() -> None:
    assert rules.without_question(SU, CommandResult(0, b"0\n")) is None  # pam_wheel's trust, say
    for by, output, reason in (
        (SU, b"env: 'su': No such file or directory\n", "PRIV_NO_SU"),
        (SUDO, b"scan is not in the sudoers file.\n", "PRIV_NO_SUDO"),
        (SUDO, b"", "PRIV_CHECK_FAILED"),
    ):
        missing = rules.without_question(by, CommandResult(1, output))
        assert missing is not None
        assert missing.signal.name == reason


def test_no_user_name_is_more_than_a_word_of_the_command() -> None:
    assert rules.command(delegation(RootBy.SU, "x; reboot")) == "env LC_ALL=C su 'x; reboot' -c 'id -u'"

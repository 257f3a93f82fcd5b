from __future__ import annotations

import pytest

from appliance.login.ssh_prompts import Ask, account_state, demands_change, judge


@pytest.mark.parametrize(
    "prompt",
    [
        "Password: ",
        "(good@host) Password:",
        "Password for good@host:",
        "Passwort: ",
        "Kennwort:",
        "Mot de passe : ",
        "Contraseña: ",
        "Palavra-passe: ",
        "Senha:",
        "Hasło: ",
        "Heslo:",
        "Пароль: ",
        "密码: ",
        "パスワード: ",
        "비밀번호: ",
    ],
)
def test_password_in_many_languages(prompt: str) -> None:
    assert judge("", "", [(prompt, False)]) is Ask.PASSWORD


@pytest.mark.parametrize(
    "prompt",
    [
        "Verification code: ",
        "One-time password (OATH) for `good': ",
        "Enter PASSCODE: ",
        "Token: ",
        "Enter your PIN:",
        "Passcode or option (1-3): ",
        "YubiKey for `good': ",
        "Einmalpasswort: ",
        "Código de verificación: ",
        "Password & verification code: ",
        "Введите код: ",
    ],
)
def test_second_factors_are_never_answered(prompt: str) -> None:
    assert judge("", "", [(prompt, False)]) is Ask.SECOND_FACTOR


@pytest.mark.parametrize(
    ("instructions", "prompt"),
    [
        ("", "New password: "),
        ("", "Current password: "),
        ("", "Retype new password: "),
        ("", "(current) UNIX password: "),
        ("You are required to change your password immediately (administrator enforced).", "Password: "),
        ("", "Neues Passwort: "),
        ("", "Nouveau mot de passe : "),
        ("", "Новый пароль: "),
    ],
)
def test_demands_for_a_new_password(instructions: str, prompt: str) -> None:
    assert judge("", instructions, [(prompt, False)]) is Ask.NEW_PASSWORD


@pytest.mark.parametrize(
    ("prompt", "ask"),
    [
        ("The account is locked due to 3 failed logins.\n(10 minutes left to unlock)\nPassword: ", Ask.LOCKED),
        ("The account is locked due to 1 failed login.\nPassword: ", Ask.LOCKED),
        ("Account temporarily locked due to 5 failed logins\n(9 minutes left to unlock)\nPassword: ", Ask.LOCKED),
        ("Account temporarily locked (599 seconds left)\nPassword: ", Ask.LOCKED),
        ("Note: an account is locked after 3 failed logins.\nPassword: ", Ask.PASSWORD),
        ("Accounts that are not used get locked.\nPassword: ", Ask.PASSWORD),
    ],
)
def test_what_stands_in_front_of_a_prompt(prompt: str, ask: Ask) -> None:
    assert judge("", "", [(prompt, False)]) is ask


@pytest.mark.parametrize(
    "prompts",
    [
        [("Password: ", True)],  # it would be shown
        [("Password: ", False), ("Password: ", False)],
        [("login: ", True)],
        [("What is your quest?", False)],
        [("", False)],
    ],
)
def test_anything_else_is_unknown(prompts: list[tuple[str, bool]]) -> None:
    assert judge("", "", prompts) is Ask.UNKNOWN


def test_a_message_asks_nothing() -> None:
    assert judge("", "Your account has expired; please contact your system administrator.", []) is Ask.NOTHING


@pytest.mark.parametrize(
    ("notice", "state"),
    [
        ("Your account has expired; please contact your system administrator.", "ACCOUNT_EXPIRED"),
        ("The account is locked due to 3 failed logins.", "ACCOUNT_LOCKED"),
        ("Your account has been temporarily locked", "ACCOUNT_LOCKED"),
        ("Account locked due to 4 failed logins", "ACCOUNT_LOCKED"),
        ("Welcome to the accounting department", None),
    ],
)
def test_notices_about_the_account(notice: str, state: str | None) -> None:
    assert account_state(notice) == state


def test_notices_about_the_password() -> None:
    assert demands_change("WARNING: Your password has expired.")
    assert not demands_change("Your password will expire in 5 days.")


@pytest.mark.parametrize("word", ["new ", "password ", "account ", "change your password "])
def test_a_quarter_of_a_megabyte_of_words_holds_nobody_up(word: str) -> None:
    """What backtracks over all of it takes longer than a test may."""
    words = word * ((1 << 18) // len(word))
    assert judge("", words, [("quest? ", False)]) in (Ask.UNKNOWN, Ask.NEW_PASSWORD)
    assert judge(words, "", [(words, True)]) in (Ask.UNKNOWN, Ask.NEW_PASSWORD)
    assert account_state(words) is None

from __future__ import annotations

import pytest

from appliance.login import ssh_words
from appliance.login.ssh_prompts import LONGEST, Ask, account_state, demands_change, judge
from tests.unit.login.pam_prompts import OTHERS, PASSWORD


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
        "Contrasenya:",
        "Parola: ",
        "Wachtwoord:",
        "Lösenord:",
        "Passord:",
        "Adgangskode:",
        "Kodeord:",
        "Salasana:",
        "Lykilorð:",
        "Jelszó:",
        "Lozinka:",
        "Geslo:",
        "Slaptažodis:",
        "Parool:",
        "Şifre:",
        "Парола:",
        "Κωδικός πρόσβασης:",
        "密碼:",
        "口令:",
        "암호:",
        "Mật khẩu:",
        "Kata sandi:",
        "كلمة المرور:",
        "סיסמה:",
        "รหัสผ่าน:",
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
        # Each word by itself is enough.
        "OTP: ",
        "TOTP: ",
        "HOTP: ",
        "2FA: ",
        "MFA: ",
        "PUK: ",
        "Duo: ",
        "Code: ",
        "Verification: ",
        "Authenticator: ",
        "First Factor: ",  # SSSD's, of two
        "Second factor: ",
        "Two-factor: ",
        "Challenge: ",
        "Response: ",
        "Sicherheitscode: ",
        "Prüfcode: ",
        "Bestätigungscode: ",
        "Codigo: ",
        "Codice: ",
        "Jeton : ",
        "Mot de passe à usage unique : ",
        "Одноразовый пароль: ",
        "验证码: ",
        "驗證碼: ",
        "認証コード: ",
        "確認コード: ",
        "ワンタイムパスワード: ",
        "인증번호: ",
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
        ("", "Old password: "),
        ("", "Retype password: "),
        ("", "Re-enter password: "),
        ("", "Password (again): "),
        ("", "Password change: "),
        ("", "Please change your password: "),
        ("", "Altes Passwort: "),
        ("", "Aktuelles Passwort: "),
        ("", "Derzeitiges Kennwort: "),
        ("", "Ancien mot de passe : "),
        ("", "Mot de passe actuel : "),
        ("", "Nueva contraseña: "),
        ("", "Antigua contraseña: "),
        ("", "Contraseña actual: "),
        ("", "Nova senha: "),
        ("", "Senha atual: "),
        ("", "新密码: "),
        ("", "新しいパスワード: "),
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
        # A site's greeting, in front of PAM's prompt.
        ("Welcome to the new server\nPassword: ", Ask.PASSWORD),
        ("Only current employees may use this system.\r\nPassword: \r\n", Ask.PASSWORD),
        ("The current time is 12.30\nPassword: ", Ask.PASSWORD),
        ("Welcome back.\nNew password: ", Ask.NEW_PASSWORD),
        # A question of several lines: today's password must not go out as the new one.
        ("Enter a new password\n(8 to 16 characters): ", Ask.NEW_PASSWORD),
        ("Retype new password\n: ", Ask.NEW_PASSWORD),
        ("New password:\n(It will not be shown) ", Ask.NEW_PASSWORD),
        ("(current) UNIX password\r\n> :", Ask.NEW_PASSWORD),
        ("Neues Passwort\r\nbitte eingeben: ", Ask.NEW_PASSWORD),
        ("Your password must be changed\nEnter it: ", Ask.NEW_PASSWORD),
        ("Please choose a new password.\nPassword: ", Ask.NEW_PASSWORD),
        ("You must set your new password now.\nPassword: ", Ask.NEW_PASSWORD),
        ("Welcome back.\nCurrent password: \n\n", Ask.NEW_PASSWORD),
        ("You are required to change your password immediately (root enforced).\nPassword: ", Ask.NEW_PASSWORD),
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


@pytest.mark.parametrize(
    ("notice", "demand"),
    [
        ("WARNING: Your password has expired.", True),
        ("You must change your password now and log in again!", True),
        ("Password change required but no TTY available.", True),
        ("Your password will expire in 5 days.", False),
        ("Your account has expired; please contact your system administrator.", False),
    ],
)
def test_notices_about_the_password(notice: str, demand: bool) -> None:
    assert demands_change(notice) is demand


def test_what_ends_a_login_is_a_reason() -> None:
    assert Ask.SECOND_FACTOR.value == "MFA_REQUIRED"
    assert Ask.NEW_PASSWORD.value == "PASSWORD_MUST_CHANGE"
    assert Ask.UNKNOWN.value == "KBDINT_PROMPT_UNKNOWN"


@pytest.mark.parametrize("word", ["new ", "password ", "account ", "change your password "])
def test_a_quarter_of_a_megabyte_of_words_holds_nobody_up(word: str) -> None:
    """What backtracks over all of it takes longer than a test may."""
    words = word * ((1 << 18) // len(word))
    assert judge("", words, [("quest? ", False)]) in (Ask.UNKNOWN, Ask.NEW_PASSWORD)
    assert judge(words, "", [(words, True)]) in (Ask.UNKNOWN, Ask.NEW_PASSWORD)
    assert account_state(words) is None


@pytest.mark.parametrize("prompt", PASSWORD)
def test_pams_own_word_for_a_password_in_each_language(prompt: str) -> None:
    assert judge("", "", [(prompt, False)]) is Ask.PASSWORD
    assert judge("", "", [(f"(nova@new.example) {prompt}", False)]) is Ask.PASSWORD


@pytest.mark.parametrize("prompt", OTHERS)
def test_pams_own_words_for_a_new_or_an_old_password_are_never_answered(prompt: str) -> None:
    assert judge("", "", [(prompt, False)]) in (Ask.NEW_PASSWORD, Ask.UNKNOWN)


@pytest.mark.parametrize("said", ssh_words.LOCKED)
def test_a_lock_out_in_each_language(said: str) -> None:
    notice = said.replace("%u", "3")
    assert judge("", "", [(f"{notice}\n(10 minutes left to unlock)\nPassword: ", False)]) is Ask.LOCKED
    assert account_state(notice) == "ACCOUNT_LOCKED"


@pytest.mark.parametrize("said", ssh_words.EXPIRED)
def test_an_expired_account_in_each_language(said: str) -> None:
    assert account_state(said) == "ACCOUNT_EXPIRED"


@pytest.mark.parametrize("said", ssh_words.MUST_CHANGE)
def test_an_expired_password_in_each_language(said: str) -> None:
    assert demands_change(said)
    assert judge("", "", [(f"{said}\nPassword: ", False)]) is Ask.NEW_PASSWORD


def test_a_name_in_a_prompt_is_no_word_of_it() -> None:
    for prompt in ("(code@token.example) Password: ", "Password for duo@new.example: ", "Passwort für otp@neue: "):
        assert judge("", "", [(prompt, False)]) is Ask.PASSWORD


def test_what_is_longer_than_any_prompt_is_none() -> None:
    assert judge("", "x" * LONGEST, [("Password: ", False)]) is Ask.UNKNOWN

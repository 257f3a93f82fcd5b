"""What an SSH server's keyboard-interactive prompt asks for.

Only one question is ever answered: a single prompt, without echo, that asks for the password of the account. Everything
else ends the login with a reason: a second factor, a demand for a new password, a lock-out, or a prompt that nobody
knows. Words for a second factor win over words for a password, since `one-time password` holds both.

sshd puts what PAM has to say in front of PAM's prompt, so that `The account is locked due to 3 failed logins.` comes as
the first line of a prompt for the password. An answer could only be refused, and would count as one more failure. A
greeting comes there, too, and may hold any word: what is new or current is told by the last line alone, where that asks
for a password.

A server may send a quarter of a megabyte here, so no pattern looks further than 200 characters ahead: without such a
bound the time grows with the square of the length, and one hostile server holds up every other login of its process.
What is longer than any prompt is none, and is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

from appliance.login import ssh_words as words

LONGEST = 16_384
"""Characters of a challenge; of PAM's messages each has 512 bytes at most."""


class Ask(StrEnum):
    """What a challenge wants. The values of all but two are reason codes."""

    PASSWORD = "password"  # noqa: S105 - a kind of prompt, not a secret
    NOTHING = "nothing"
    """A message only: no prompt at all."""
    SECOND_FACTOR = "MFA_REQUIRED"
    NEW_PASSWORD = "PASSWORD_MUST_CHANGE"  # noqa: S105 - a reason code
    LOCKED = "ACCOUNT_LOCKED"
    UNKNOWN = "KBDINT_PROMPT_UNKNOWN"


_PASSWORD = re.compile(
    "kennwort|palavra[- ]passe|kodeord|lykilorð|geslo|slaptažodis|şifre|κωδικός πρόσβασης|口令|비밀번호|kata sandi|"
    "كلمة المرور|סיסמה|รหัสผ่าน|" + "|".join(map(re.escape, words.PASSWORD)),
    re.IGNORECASE,
)
_DECORATION = re.compile(r"^\([^()\s@]{1,255}@[^()\s]{1,255}\) |\b(?:for|für|pour|para|per) \S{1,255}")
"""Whose password it is: sshd's `(user@host) ` in front, `for user@host` behind. A name may be any of the words here."""
_SECOND_FACTOR = re.compile(
    r"one[- ]?time|\b(otp|totp|hotp|2fa|mfa|pin|puk|duo)\b|token|passcode|yubi ?key|authenticator|\bcode\b|"
    r"verification|(first|second) factor|two[- ]factor|challenge|response|"
    r"einmal|sicherheitscode|prüfcode|bestätigungscode|"
    r"código|codigo|codice|jeton|usage unique|одноразов|\bкод\b|验证码|驗證碼|認証コード|確認コード|ワンタイム|인증",  # noqa: RUF001 - the Russian word for code
    re.IGNORECASE,
)
_NEW_PASSWORD = re.compile(
    r"\b(new|old|current|retype|re-enter)\b[^:]{0,200}password|password[^:]{0,200}\b(again|change)|"
    r"change your password|"
    r"(neues|altes|aktuelles|derzeitiges) (passwort|kennwort)|(nouveau|ancien) mot de passe|mot de passe actuel|"
    r"(nueva|antigua) contraseña|contraseña actual|"
    + words.any_word(words.CHANGE)
    + "|"
    + "|".join(words.CHANGE_PARTS),
    re.IGNORECASE,
)
_CHOOSE = re.compile(r"\b(choose|enter|set|type|create) (a|your) new password", re.IGNORECASE)
_MUST_CHANGE = re.compile(
    r"change your password|password[^.]{0,200}\bhas expired|password change required|"
    + words.any_of(words.MUST_CHANGE),
    re.IGNORECASE,
)
_ACCOUNT_EXPIRED = re.compile(r"account[^.]{0,200}\bhas expired|" + words.any_of(words.EXPIRED), re.IGNORECASE)
_ACCOUNT_LOCKED = re.compile(r"account[^.]{0,200}\b(is|has been)( temporarily)? locked", re.IGNORECASE)
_LOCKED_OUT = re.compile(
    r"account[^.\n]{0,200}\blocked (due to \d+ failed|\(\d+ seconds? left)|" + words.any_of(words.LOCKED), re.IGNORECASE
)
"""pam_faillock's and pam_tally2's words, and no less: a site's own greeting may well say when accounts are locked."""


def judge(name: str, instructions: str, prompts: Sequence[tuple[str, bool]]) -> Ask:
    """What a challenge asks for; `prompts` are (text, echo)."""
    if not prompts:
        return Ask.NOTHING
    if len(name) + len(instructions) + sum(len(prompt) for prompt, _ in prompts) > LONGEST:
        return Ask.UNKNOWN
    asked = [_DECORATION.sub("", prompt) for prompt, _ in prompts]
    text = " ".join((name, instructions, *asked))
    # Before the words for a new password: a notice of a lock-out may hold any word.
    if any(_LOCKED_OUT.search(prompt) for prompt in asked):
        return Ask.LOCKED
    if demands_change(instructions) or any(map(_wants_new, asked)):
        return Ask.NEW_PASSWORD
    if _SECOND_FACTOR.search(text):
        return Ask.SECOND_FACTOR
    if len(prompts) == 1 and not prompts[0][1] and _PASSWORD.search(asked[0]):
        return Ask.PASSWORD
    return Ask.UNKNOWN


def _wants_new(prompt: str) -> bool:
    """A password that is not the account's own of today. Where the last line asks for one by itself, what stands before
    it is a notice; else the question is all of it.
    """
    if demands_change(prompt) or _CHOOSE.search(prompt):
        return True
    question = prompt.rstrip().rpartition("\n")[2]
    return bool(_NEW_PASSWORD.search(question if _PASSWORD.search(question) else prompt))


def demands_change(notice: str) -> bool:
    """Does the server's notice say that the password has run out?"""
    return bool(_MUST_CHANGE.search(notice))


def account_state(notice: str) -> str | None:
    """The reason code of an account's state that a server's notice spells out, if it does."""
    if _ACCOUNT_EXPIRED.search(notice):
        return "ACCOUNT_EXPIRED"
    if _ACCOUNT_LOCKED.search(notice) or _LOCKED_OUT.search(notice):
        return "ACCOUNT_LOCKED"
    return None

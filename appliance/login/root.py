"""What sudo and su ask and answer on the way to root. Pure: output in, the next step or a finding out.

Rules, stated here and nowhere else:
1. Least privilege first: `sudo -n -l` says whether a password is wanted at all, at no cost for anybody (measured: PAM
   is not asked, so nothing counts it). Only then is one fetched. su has no such way, so it is asked by being run.
2. A password is typed at a question that is recognised, and at nothing else. sudo is told its question (SUDO_PROMPT),
   and names in it whose password it wants; another user's is not given. It is told so by the environment and not by
   `-p`, which would put it over the questions of all PAM modules, that for a code too. What su asks goes by the rules
   of `ssh_prompts`.
3. One answer, then no more: sudo asks up to three times, and a second question is the refusal of the first answer.
   `-k` with a command has it neither use nor leave behind a time stamp.
4. Proof of root is `id -u` printing 0.
"""

from __future__ import annotations

import re
import shlex

from appliance.contract import Failure, Phase, RootBy, RootPassword, account_key, named, peer_text
from appliance.login.privilege import CommandResult, proves_root
from appliance.login.ssh_prompts import Ask, judge

PROOF = "id -u"
SUDO_LIST, SUDO_PROOF = (f"env LC_ALL=C sudo -n {what}" for what in ("-l", PROOF))
_OURS = "[keymuster] password of "
_SUDO_ASKED = f"env LC_ALL=C SUDO_PROMPT='{_OURS}%p: ' sudo -k -S {PROOF}"

_QUESTION = re.compile(rb"\[keymuster\] password of ([^\r\n:]{1,256}): ")
"""sudo-rs puts it in a frame: `[sudo: [keymuster] password of scan: ] Password: `."""
_ENDS_AS_QUESTION = re.compile(r"[:\uff1a]\s*$")  # the full-width colon of Japanese and Chinese
_SUDO_REFUSES = re.compile(rb"try again|incorrect (password|authentication) attempt", re.IGNORECASE)
_NOT_ALLOWED = re.compile(rb"is not allowed to execute", re.IGNORECASE)
_NO_SUDOER = re.compile(rb"not in the sudoers file|may not run sudo|I'm afraid I can't do that", re.IGNORECASE)
_NO_SHELL = re.compile(rb"account is currently not available", re.IGNORECASE)


def command(root: RootPassword) -> str:
    """What makes the host ask. The password is no part of it."""
    return _SUDO_ASKED if root.by is RootBy.SUDO else f"env LC_ALL=C su {shlex.quote(root.user)} -c '{PROOF}'"


def open_question(output: bytes) -> str:
    """The line at the end that is not ended, which is how questions are asked; empty where there is none."""
    return re.split(rb"[\r\n]", output)[-1].decode("utf-8", "replace").strip()


def question(root: RootPassword, output: bytes) -> Ask | None:
    """What is asked so far; None: nothing yet that would be known. PASSWORD is the one that may be answered."""
    if root.by is RootBy.SUDO and (ours := _QUESTION.search(output)):
        asked_for = ours[1].decode("utf-8", "replace")
        return Ask.PASSWORD if account_key("", asked_for) == account_key("", root.user) else Ask.UNKNOWN
    if not _ENDS_AS_QUESTION.search(open_question(output)):
        return None
    # All that came before belongs to it: PAM says that an account is locked in front of its prompt.
    ask = judge("", "", [(output.decode("utf-8", "replace"), False)])
    if ask is Ask.PASSWORD and root.by is RootBy.SU:
        return ask
    return ask if ask not in (Ask.PASSWORD, Ask.UNKNOWN) else None


def refused(root: RootPassword, output: bytes) -> bool:
    """Of what comes after the answer: does sudo refuse it? It goes on asking, so its end is not waited for."""
    return root.by is RootBy.SUDO and bool(_SUDO_REFUSES.search(output) or _QUESTION.search(output))


def without_question(root: RootPassword, result: CommandResult) -> Failure | None:
    """What a command that has ended without asking says; None: it has made us root."""
    if proves_root(result.output):
        return None
    code = "PRIV_NO_SU" if root.by is RootBy.SU else _sudo_code(result.output)
    return Failure(Phase.PRIVILEGE, named(code), peer_text(result.output))


def after_answer(root: RootPassword, result: CommandResult) -> tuple[bool | None, Failure | None]:
    """Of a command that has ended after the answer: whether the password was accepted (None: nobody knows), and what
    stands in the way of root, if anything does.
    """
    if proves_root(result.output):
        return True, None
    text = peer_text(result.output)
    if root.by is RootBy.SU:
        if _NO_SHELL.search(result.output):
            return True, Failure(Phase.PRIVILEGE, named("PRIV_NO_SU"), text)
        return False, Failure(Phase.PRIVILEGE, named("PRIV_SU_REFUSED"), text)
    if _SUDO_REFUSES.search(result.output):
        return False, Failure(Phase.PRIVILEGE, named("PRIV_SUDO_REFUSED"), text)
    code = _sudo_code(result.output)
    return (None if code == "PRIV_CHECK_FAILED" else True), Failure(Phase.PRIVILEGE, named(code), text)


def _sudo_code(output: bytes) -> str:
    if _NO_SUDOER.search(output):
        return "PRIV_NO_SUDO"
    return "PRIV_NOT_ROOT" if _NOT_ALLOWED.search(output) else "PRIV_CHECK_FAILED"

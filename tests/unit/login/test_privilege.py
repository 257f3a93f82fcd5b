from __future__ import annotations

import pytest

from appliance.contract import PEER_TEXT_LIMIT, Failure, named
from appliance.login.privilege import CommandResult, Identity, judge_identity, judge_sudo


@pytest.mark.parametrize(
    ("output", "uid"),
    [
        (b"uid=1000(scan) gid=1000(scan) groups=1000(scan)\n", 1000),
        (b"uid=0(root) gid=0(wheel)\r\n", 0),
        (b"Last login: never\nuid=7(x) gid=7(x)\n", 7),
    ],
)
def test_identity(output: bytes, uid: int) -> None:
    identity = judge_identity(CommandResult(0, output))
    assert isinstance(identity, Identity)
    assert identity.uid == uid
    assert identity.facts["id"].startswith(f"uid={uid}(")
    assert "\n" not in identity.facts["id"]


@pytest.mark.parametrize(
    ("status", "output", "reason"),
    [
        (1, b"This account is currently not available.\n", "PRIV_NO_SHELL"),
        (1, b"", "PRIV_NO_SHELL"),
        (None, b"", "PRIV_NO_SHELL"),
        (1, b"Sorry, no login for this account.\n", "PRIV_NO_SHELL"),
        (1, b"Interactive sessions are not allowed.\n", "PRIV_NO_SHELL"),
        (1, b"Hi! You've successfully authenticated, but we do not provide shell access.\n", "PRIV_NO_SHELL"),
        (126, b"sh: /usr/bin/id: Permission denied\n", "PRIV_NO_SHELL"),
        (127, b"sh: id: not found\n", "PRIV_NO_SHELL"),
        (0, b"                ^\r\n% Invalid input detected at '^' marker.\r\n", "PRIV_NO_SHELL"),  # Cisco IOS
        (0, b"unknown command: id\n", "PRIV_NO_SHELL"),
        (0, b"syntax error, expecting <command>.\n", "PRIV_NO_SHELL"),  # Junos
        (0, b"            ^\n% Unrecognized command found at '^' position.\n", "PRIV_NO_SHELL"),  # Comware
        (0, b"% Incomplete command.\n", "PRIV_NO_SHELL"),
        (0, b'% Ambiguous command:  "sh -c"\n', "PRIV_NO_SHELL"),
        (0, b"bad command name sh (line 1 column 1)\n", "PRIV_NO_SHELL"),  # RouterOS
        (1, b"csh: sh: Command not found.\n", "PRIV_NO_SHELL"),
        (0, b"\r\nLine has invalid autocommand \"sh -c 'exec 2>&1; id'\"", "PRIV_NO_SHELL"),  # IOS, told what to run
        (1, b"error: unknown command: sh\n", "PRIV_NO_SHELL"),  # Junos
        (1, b"error: syntax error, expecting <command>: sh\n", "PRIV_NO_SHELL"),
        (0, b"           ^\r\nError: Unrecognized command found at '^' position.\r\n", "PRIV_NO_SHELL"),  # Huawei
        (0, b"Unknown action 0\n\nCommand fail. Return code -1\n", "PRIV_NO_SHELL"),  # FortiOS
        # Windows' own sshd, with cmd and with PowerShell of both kinds.
        (1, b"'sh' is not recognized as an internal or external command,\r\noperable program", "PRIV_NO_SHELL"),
        (1, b"sh : The term 'sh' is not recognized as the name of a cmdlet, function,\r\n", "PRIV_NO_SHELL"),
        (1, b"\x1b[31;1msh: \x1b[31;1mThe term 'sh' is not recognized as a name of a cmdlet,\r\n", "PRIV_NO_SHELL"),
        (0, b"Command not recognized\n", "PRIV_NO_SHELL"),
        (0, b"Invalid command\n", "PRIV_NO_SHELL"),
        (0, b"rsync: unknown command given\n", "PRIV_FORCED_COMMAND"),
        (
            1,
            b"WARNING: Your password has expired.\nPassword change required but no TTY available.\n",
            "PASSWORD_EXPIRED",
        ),
        (1, b"Your password has expired.\n", "PASSWORD_EXPIRED"),
        (1, b"Password change required but no TTY available.\n", "PASSWORD_EXPIRED"),
        (1, b"You must change your password now and login again!\n", "PASSWORD_EXPIRED"),
        (0, b"this host is looked after\n", "PRIV_FORCED_COMMAND"),
        (0, b"fluid=3", "PRIV_FORCED_COMMAND"),
    ],
)
def test_sessions_that_are_not_proven(status: int | None, output: bytes, reason: str) -> None:
    judged = judge_identity(CommandResult(status, output))
    assert isinstance(judged, Failure)
    assert judged.signal == named(reason)


def test_hostile_output_is_cut_and_escaped() -> None:
    judged = judge_identity(CommandResult(0, b"\x1b]0;pwned\x07" * 400))
    assert isinstance(judged, Failure)
    assert len(judged.text.encode()) <= PEER_TEXT_LIMIT
    assert judged.text.isprintable()


LISTING = b"User scan may run the following commands on host:\n    %s\n"


@pytest.mark.parametrize(
    "rule",
    [
        b"(ALL) NOPASSWD: ALL",
        b"(ALL : ALL) NOPASSWD: ALL",
        b"(root) NOPASSWD: ALL",
        b"(root) NOPASSWD: /bin/ls, ALL",
        b"(ALL) NOPASSWD: ALL, !/usr/bin/su",
        b"(ALL) NOEXEC: NOPASSWD: ALL",
        b"(ALL) NOPASSWD: NOEXEC: ALL",
        b"(ALL) ALL\n    (ALL) NOPASSWD: ALL",
        b"(ALL) ROLE=sysadm_r TYPE=sysadm_t NOPASSWD: ALL",
        b"(ALL) CWD=/ TIMEOUT=3600 NOPASSWD: ALL",
        b"(root) NOPASSWD: /bin/ls, CWD=* ALL",
        b"(#0) NOPASSWD: ALL",
        b"(oracle, root) NOPASSWD: ALL",
        b"(oracle, root : oracle) NOPASSWD: ALL",
        b"(!root, ALL) NOPASSWD: ALL",
    ],
)
def test_sudo_gives_root(rule: bytes) -> None:
    assert judge_sudo(CommandResult(0, LISTING % rule)) == {"sudo": "all"}


@pytest.mark.parametrize(
    ("status", "output", "reason"),
    [
        (1, b"sudo: a password is required\n", "PRIV_SUDO_PASSWORD"),
        (1, b"sudo: a terminal is required to read the password\n", "PRIV_SUDO_PASSWORD"),
        (1, b"sudo: no tty present and no askpass program specified\n", "PRIV_SUDO_PASSWORD"),
        (1, b"sudo: interactive authentication is required\n", "PRIV_SUDO_PASSWORD"),  # sudo-rs, and a newer one
        (1, b"sudo: Interaction is required\n", "PRIV_SUDO_PASSWORD"),
        (0, LISTING % b"(ALL) ALL", "PRIV_SUDO_PASSWORD"),
        (0, LISTING % b"(root) NOPASSWD: /bin/ls, PASSWD: ALL", "PRIV_SUDO_PASSWORD"),
        (0, LISTING % b"(root) NOPASSWD: /bin/ls", "PRIV_NOT_ROOT"),
        (0, LISTING % b"(ALL) ROLE=sysadm_r TYPE=sysadm_t ALL", "PRIV_SUDO_PASSWORD"),
        (0, LISTING % b"(postgres) NOPASSWD: ALL", "PRIV_NOT_ROOT"),
        (0, LISTING % b"(ALL, !root) NOPASSWD: ALL", "PRIV_NOT_ROOT"),
        (0, LISTING % b"(ALL, !#0) NOPASSWD: ALL", "PRIV_NOT_ROOT"),
        (0, LISTING % b"(scan : root) NOPASSWD: ALL", "PRIV_NOT_ROOT"),
        (0, LISTING % b"(rooter, #01) NOPASSWD: ALL", "PRIV_NOT_ROOT"),
        (1, b"Sorry, user scan may not run sudo on host.\n", "PRIV_NO_SUDO"),
        (127, b"env: 'sudo': No such file or directory\n", "PRIV_NO_SUDO"),
    ],
)
def test_sudo_does_not_give_root(status: int, output: bytes, reason: str) -> None:
    judged = judge_sudo(CommandResult(status, output))
    assert isinstance(judged, Failure)
    assert judged.signal == named(reason)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (b"(ALL) ALL", None),  # Defaults !authenticate
        (b"(postgres) NOPASSWD: ALL\n    (ALL : ALL) ALL", None),
        # What has run was `id`, and these may be why.
        (b"(ALL) ALL\n    (root) NOPASSWD: /usr/bin/id", "PRIV_SUDO_PASSWORD"),
        (b"(root) NOPASSWD: /usr/bin/i?, PASSWD: ALL", "PRIV_SUDO_PASSWORD"),
        (b"(root) /usr/bin/id", "PRIV_NOT_ROOT"),
    ],
)
def test_what_it_proves_that_sudo_runs_a_command(rules: bytes, reason: str | None) -> None:
    judged = judge_sudo(CommandResult(0, LISTING % rules), ran=True)
    assert (judged.signal if isinstance(judged, Failure) else judged) == (named(reason) if reason else {"sudo": "all"})

"""What a Unix session is worth, judged from `id` and `sudo -n -l`. Pure: command results in, a finding out.

Rules, stated here and nowhere else:
1. A session is proven by `id` printing a uid. A shell that prints something else is a forced command; one that prints
   nothing, says that the account is unavailable, or knows no such command is no shell.
2. sshd lets a user with an expired password in, and refuses every command with a notice. That login is no success.
3. Where sudo is expected, uid 0 is as good. Otherwise an entry that runs ALL as root (or ALL) without a password is
   needed: `sudo -n` is never given one. One that wants a password by its words will do where `sudo -n` runs a command
   as root all the same, and no other entry lets it: sudo has been told to authenticate nobody (`!authenticate`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from appliance.contract import Failure, Phase, named, peer_text

OUTPUT_LIMIT = 32_768
"""Bytes of a command's output, both streams together, that are read: a user of a directory may have hundreds of groups,
and a sudoer as many entries.
"""


@dataclass(frozen=True, slots=True)
class CommandResult:
    status: int | None
    """The exit status; None if the command was killed, or the server gave none."""
    output: bytes
    """Standard output and error, as they came, at most OUTPUT_LIMIT bytes."""


@dataclass(frozen=True, slots=True)
class Identity:
    uid: int
    facts: dict[str, str] = field(default_factory=dict)


_UID = re.compile(rb"^uid=(\d+)\(?", re.MULTILINE)
_EXPIRED = re.compile(rb"password has expired|password change required|change your password", re.IGNORECASE)
_UNAVAILABLE = re.compile(
    rb"account is currently not available|no login|not allowed|shell access|\bsh: command not found", re.IGNORECASE
)
_DEVICE = re.compile(
    rb"^\s*%?\s*(?:error: )?(?:invalid input|unknown (?:command|action)|unrecognized command|ambiguous command|"
    rb"incomplete command|bad command name|syntax error, expecting|command not recognized|invalid command|"
    rb"line has invalid autocommand)|"
    rb"'sh' is not recognized as ",
    re.IGNORECASE | re.MULTILINE,
)
"""How the command lines of switches, routers and appliances say that they know no such command, and Windows' shells."""
_NO_COMMAND = frozenset((126, 127))

_ROOT = re.compile(rb"^0\r?$", re.MULTILINE)
_SUDO_PASSWORD = re.compile(
    rb"password is required|a terminal is required|no tty present|interactive authentication is required|"
    rb"interaction is required",
    re.IGNORECASE,
)
"""The last two are sudo-rs's, the older and the newer."""
_ENTRY = re.compile(r"^\s+\((?P<runas>[^)]*)\)\s+(?P<rule>.+)$", re.MULTILINE)
_OPTIONS = re.compile(r"^\s*(?:[A-Z_]+=\S*\s+)+")
_ALL = "ALL"
_ROOTS = (_ALL, "root", "#0")
"""How an entry says whom it runs commands as, where that takes in root."""


def judge_identity(result: CommandResult) -> Identity | Failure:
    """Who the session is, from the output of `id`."""
    text = peer_text(result.output)
    found = _UID.search(result.output)
    if found:
        line = result.output[found.start() :].split(b"\n", 1)[0]
        return Identity(int(found[1]), {"id": peer_text(line)})
    if _EXPIRED.search(result.output):
        return Failure(Phase.PRIVILEGE, named("PASSWORD_EXPIRED"), text)
    unable = _UNAVAILABLE.search(result.output) or _DEVICE.search(result.output)
    if not result.output.strip() or result.status in _NO_COMMAND or unable:
        return Failure(Phase.PRIVILEGE, named("PRIV_NO_SHELL"), text)
    return Failure(Phase.PRIVILEGE, named("PRIV_FORCED_COMMAND"), text)


def proves_root(output: bytes) -> bool:
    """Has `id -u` printed that we are root?"""
    return bool(_ROOT.search(output))


def judge_sudo(result: CommandResult, *, ran: bool = False) -> dict[str, str] | Failure:
    """Whether sudo gives root without a password, from the output of `sudo -n -l`: facts, or what is missing. `ran`:
    `sudo -n` has run a command as root.
    """
    text = peer_text(result.output)
    if _SUDO_PASSWORD.search(result.output):
        return Failure(Phase.PRIVILEGE, named("PRIV_SUDO_PASSWORD"), text)
    if result.status != 0:
        return Failure(Phase.PRIVILEGE, named("PRIV_NO_SUDO"), text)
    listed = result.output.decode("utf-8", "replace").replace("\r", "")
    rules = [entry["rule"] for entry in _ENTRY.finditer(listed) if _as_root(entry["runas"])]
    commands = [command for rule in rules for command in _commands(rule)]
    if (_ALL, True) in commands:
        return {"sudo": "all"}
    if (_ALL, False) not in commands:
        return Failure(Phase.PRIVILEGE, named("PRIV_NOT_ROOT"), text)
    if ran and not any(free for _, free in commands):
        return {"sudo": "all"}
    return Failure(Phase.PRIVILEGE, named("PRIV_SUDO_PASSWORD"), text)


def _as_root(runas: str) -> bool:
    """`(users : groups)`: of the users the last that fits decides."""
    users = [user.strip() for user in runas.partition(":")[0].split(",")]
    return next((not user.startswith("!") for user in reversed(users) if user.removeprefix("!") in _ROOTS), False)


def _commands(rule: str) -> Iterator[tuple[str, bool]]:
    """Of a rule each command, and whether NOPASSWD is in force for it: a tag holds for the commands after it until its
    opposite. Options (`ROLE=sysadm_r`, `CWD=/`) stand before the tags.
    """
    free = False
    for command in rule.split(","):
        *tags, what = [part.strip() for part in _OPTIONS.sub("", command).split(":")]
        for tag in tags:
            if tag in ("NOPASSWD", "PASSWD"):
                free = tag == "NOPASSWD"
        yield what, free

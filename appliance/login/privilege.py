"""What a Unix session is worth, judged from `id` and `sudo -n -l`. Pure: command results in, a finding out.

Rules, stated here and nowhere else:
1. A session is proven by `id` printing a uid. A shell that prints something else is a forced command; one that prints
   nothing, says that the account is unavailable, or knows no such command is no shell.
2. sshd lets a user with an expired password in, and refuses every command with a notice. That login is no success.
3. Where sudo is expected, uid 0 is as good. Otherwise an entry that runs ALL as root (or ALL) without a password is
   needed: `sudo -n` is never given one.
"""

from __future__ import annotations

import re
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
    rb"^\s*%?\s*(invalid input|unknown command|unrecognized command|ambiguous command|incomplete command|"
    rb"bad command name|syntax error, expecting|command not recognized|invalid command)",
    re.IGNORECASE | re.MULTILINE,
)
"""How the command lines of switches, routers and appliances say that they know no `id`."""
_NO_COMMAND = frozenset((126, 127))

_ROOT = re.compile(rb"^0\r?$", re.MULTILINE)
_SUDO_PASSWORD = re.compile(rb"password is required|a terminal is required|no tty present", re.IGNORECASE)
_ENTRY = re.compile(r"^\s+\((?P<runas>[^)]*)\)\s+(?P<rule>.+)$", re.MULTILINE)


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


def judge_sudo(result: CommandResult) -> dict[str, str] | Failure:
    """Whether sudo gives root without a password, from the output of `sudo -n -l`: facts, or what is missing."""
    text = peer_text(result.output)
    if _SUDO_PASSWORD.search(result.output):
        return Failure(Phase.PRIVILEGE, named("PRIV_SUDO_PASSWORD"), text)
    if result.status != 0:
        return Failure(Phase.PRIVILEGE, named("PRIV_NO_SUDO"), text)
    entries = [
        (m["runas"], m["rule"]) for m in _ENTRY.finditer(result.output.decode("utf-8", "replace").replace("\r", ""))
    ]
    root = [rule for runas, rule in entries if re.match(r"\s*(ALL|root)\b", runas)]
    if any(_without_password(rule) for rule in root):
        return {"sudo": "all"}
    missing = "PRIV_SUDO_PASSWORD" if any(_is_all(rule) for rule in root) else "PRIV_NOT_ROOT"
    return Failure(Phase.PRIVILEGE, named(missing), text)


def _is_all(rule: str) -> bool:
    return any(command.split(":")[-1].strip() == "ALL" for command in rule.split(","))


def _without_password(rule: str) -> bool:
    """Does the rule run ALL with NOPASSWD in force? A tag holds for the commands after it until its opposite."""
    free = False
    for command in rule.split(","):
        *tags, what = [part.strip() for part in command.split(":")]
        for tag in tags:
            if tag in ("NOPASSWD", "PASSWD"):
                free = tag == "NOPASSWD"
        if free and what == "ALL":
            return True
    return False

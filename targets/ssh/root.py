"""The way to root on a simulated host: what sudo and su ask, and what they make of an answer. Pure.

sudo asks in the words of SUDO_PROMPT, unless a PAM module asks for something else; refused, it asks once more.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Literal

from targets.estate import Host
from targets.faults import Session

SUDO_PROMPT = "[sudo] password for %p: "


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before the command is run."""

    by: Literal["sudo", "su"]
    user: str
    """Whose password is wanted."""
    prompt: str
    run: str
    """The command that root runs."""


def question(host: Host, user: str, command: str) -> Question | None:
    """None: the command asks nothing."""
    if host.fault.session is not Session.SHELL:
        return None
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    assigned: dict[str, str] = {}
    while words and (words[0] == "env" or "=" in words[0]):
        name, _, value = words.pop(0).partition("=")
        assigned[name] = value
    match words:
        case ["sudo", *rest] if host.root == "own" and "-n" not in rest and host.fault.sudo_installed:
            prompt = host.fault.root_asks or assigned.get("SUDO_PROMPT", SUDO_PROMPT).replace("%p", user)
            while rest and rest[0].startswith("-"):
                rest.pop(0)
            return Question("sudo", user, prompt, " ".join(rest))
        case ["su", name, "-c", run] if host.root == "su" and host.fault.su_admits:
            return Question("su", name, host.fault.root_asks or "Password: ", run)
    return None

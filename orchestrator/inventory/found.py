"""What readers of inventories find."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class InventoryFormat(StrEnum):
    """Lists of targets that are read."""

    LIST = "list"
    CSV = "csv"
    NMAP = "nmap"
    ANSIBLE_INI = "ansible-ini"
    ANSIBLE_YAML = "ansible-yaml"


@dataclass(frozen=True, slots=True)
class Found:
    """A target as a list names it, not yet checked. `host` is a short name, `fqdn` a full one."""

    line: int
    address: str
    host: str = ""
    fqdn: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that is no target, or of which something is ignored; `why` says what to do about it."""

    line: int
    why: str
    ignored: bool = False


class InventoryError(ValueError):
    """A list that cannot be read at all."""

    def __init__(self, why: str, line: int = 0) -> None:
        super().__init__(why)
        self.line = line
        """0: none in particular."""


def named(line: int, name: str, address: str = "") -> Found:
    """A target with a name, and its address where that is known."""
    if not address or address == name:
        return Found(line, name)
    return Found(line, address, fqdn=name) if "." in name.strip(".") else Found(line, address, host=name)


SECRETS = frozenset(
    {
        "ansible_password",
        "ansible_ssh_pass",
        "ansible_ssh_password",
        "ansible_pass",
        "ansible_become_pass",
        "ansible_become_password",
        "ansible_sudo_pass",
        "ansible_su_pass",
        "ansible_winrm_password",
        "ansible_ssh_passphrase",
    }
)
"""Variables of Ansible's whose values are never looked at."""


def ignored_secret(line: int, variable: str) -> Refusal:
    why = f"{variable} is ignored: credentials come from the vault; take it out of the file"
    return Refusal(line, why, ignored=True)

"""estate.toml: what an estate file may say. Unknown keys are refused; errors name file, line and key.

The vault's part is in `vault_spec`.

seed = 7
[vault]
user = "svc_scan"
[[directories]]
name = "CORP"
threshold = 5
[[hosts]]
count = 9
network = "127.20.0.0/16"
faults = { none = 8, silent = 1 }
[[secrets]]
name = "win_scan_secret"
template = "windows"
user = "vm_scan_account"
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections import Counter
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, ValidationError, ValidationInfo, model_validator

from targets.conduct import Conduct
from targets.faults import HOST_FAULTS, Port, SecretState, Stage
from targets.parts import Network, NetworkText, Part, Seconds, known_keys
from targets.secret_server.templates import TEMPLATES, TemplateName
from targets.systems import DEFAULT, UNIX_SYSTEMS, WINDOWS_SYSTEMS
from targets.timeline import TimelineSpec
from targets.vault_spec import SecuritySpec, VaultSpec

LOOPBACK = IPv4Network("127.0.0.0/8")
OF_THIS_MACHINE = tuple(map(IPv6Network, ("::1/128", "fc00::/7", "2001:db8::/32")))
"""IPv6 networks that lead nowhere else: itself, local ones, and those of documentation."""
PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
"""What hosts may have besides, where others are to reach them."""


class EstateError(Exception):
    """An estate file that cannot be used; the text says where and what to write instead."""


def _known_host_fault(name: str) -> str:
    if name not in HOST_FAULTS:
        raise ValueError(f"unknown fault {name!r}; known are {', '.join(HOST_FAULTS)}")
    return name


HostFaultName = Annotated[str, BeforeValidator(_known_host_fault)]
SecretName = Annotated[str, Field(min_length=1, pattern=r"^[^\\]+$")]
Folder = Annotated[str, Field(pattern=r"^\\[^\\]+(\\[^\\]+)*$")]
"""An absolute folder path, `\\Scan\\Linux`."""


_REACH = "reach"
"""A group of hosts is judged by what the file says of the whole estate: the key of that in pydantic's context."""
_HEADER = r"\s*\[+\s*([\w.-]+)\s*\]"


class Reach(StrEnum):
    """From where hosts and vault take connections."""

    LOOPBACK = "loopback"
    NETWORKS = "networks"
    """From every network that the machine is on: for a container or a network namespace of its own."""


class Sharing(StrEnum):
    """How the hosts of a group come by their secret."""

    PER_HOST = "per-host"
    SHARED = "shared"


class DirectorySpec(Part):
    """Lock-out policy of a directory: `threshold` failures within `window` lock an account for `lockout`."""

    name: Annotated[str, Field(min_length=1)]
    threshold: Annotated[int, Field(ge=0)] = 5
    """0: never locks."""
    window: Seconds = 1800.0
    lockout: Seconds = 1800.0
    history: Annotated[int, Field(ge=0)] = 2
    """So many previous passwords of an account are refused without counting as failures."""
    accounts: dict[str, HostFaultName] = Field(default_factory=dict)
    """Faults by account, `{ svc_old = "disabled" }`: true on every host that asks this directory."""

    @property
    def account_faults(self) -> dict[str, str]:
        """`accounts`, by folded name."""
        return {name.casefold(): fault for name, fault in self.accounts.items()}

    @model_validator(mode="after")
    def _of_accounts(self) -> Self:
        for name, fault in self.accounts.items():
            known = HOST_FAULTS[fault]
            if known.shows is not Stage.LOGIN or known.trouble is not None or not known.judges:
                raise ValueError(f'fault "{fault}" of account {name!r} is none of an account, but of a host or secret')
        return self


def _within_reach(network: Network, reach: Reach) -> None:
    """Raises ValueError."""
    if isinstance(network, IPv4Network):
        if reach is Reach.NETWORKS:
            if not any(network.subnet_of(allowed) for allowed in (LOOPBACK, *PRIVATE)):
                raise ValueError(f"network {network} is no private one, which hosts of an estate never leave")
        elif not network.subnet_of(LOOPBACK):
            raise ValueError(f"network {network} is not within {LOOPBACK}: an estate never leaves the machine")
    elif not any(network.subnet_of(allowed) for allowed in OF_THIS_MACHINE):
        allowed = ", ".join(map(str, OF_THIS_MACHINE))
        raise ValueError(f"network {network} is within none of {allowed}: an estate never leaves the machine")


class HostGroup(Conduct):
    count: PositiveInt = 1
    technology: Literal["unix", "windows"] = "unix"
    network: NetworkText = IPv4Network("127.20.0.0/16")
    """Any but ::1/128 and those of 127.0.0.0/8 needs a route: `ip route add local PREFIX dev lo` (`ip -6`)."""
    fault: HostFaultName = "none"
    faults: dict[HostFaultName, PositiveInt] = Field(default_factory=dict)
    """A mix by weight, dealt exactly: 9 hosts of {none = 8, silent = 1} are 8 and 1."""
    user: Annotated[str, Field(min_length=1)] = "scan"
    account: str = "local"
    """`local`: an account on each host; else the name of the directory that all of them ask."""
    secret: Sharing = Sharing.PER_HOST
    secret_name: SecretName | None = None
    """May hold {address} and {user}; default `unix-{address}`, or `unix-shared-N` for the Nth group (`windows-`)."""
    named_by: Literal["name", "machine"] = "name"
    """How a campaign for the group is to name its secrets: by name, or by their Machine field, which is the address."""
    folder: Folder = "\\Scan"
    login: Literal["password", "keyboard-interactive", "key", "nt-hash"] = "password"
    """Keys and `keyboard-interactive` are of SSH; where it is `nt-hash`, the vault holds the password's NT hash."""
    root: Literal["free", "own", "su"] = "free"
    """How a login becomes root: by sudo without a password, by sudo with the user's own, or by su with root's, which is
    in a secret of its own, `unix-root-{address}`."""
    system: str = ""
    """What the hosts run; default debian or server-2019."""
    systems: dict[str, PositiveInt] = Field(default_factory=dict)
    """A mix by weight, dealt as `faults` are."""
    security: SecuritySpec = SecuritySpec()
    """Of the group's secrets."""

    @property
    def conduct(self) -> Conduct:
        return Conduct(**{name: getattr(self, name) for name in Conduct.model_fields})

    @property
    def weights(self) -> dict[str, int]:
        return self.faults or {self.fault: 1}

    @property
    def system_weights(self) -> dict[str, int]:
        return self.systems or {self.system or DEFAULT[self.technology]: 1}

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Self:
        if self.faults and "fault" in self.model_fields_set:
            raise ValueError("give `fault` or `faults`, not both")
        _within_reach(self.network, (info.context or {}).get(_REACH, Reach.LOOPBACK))
        if self.sshd is not None and self.technology != "unix":
            raise ValueError("sshd is for unix hosts")
        self._faults_that_may_be()
        self._systems_that_may_be()
        other = {"nt-hash": "windows", "key": "unix", "keyboard-interactive": "unix"}.get(self.login, self.technology)
        if other != self.technology:
            raise ValueError(f'login = "{self.login}" is for {other} hosts')
        if self.technology == "windows" and self.root != "free":
            raise ValueError(f'root = "{self.root}" is for unix hosts')
        if self.login == "key" and (spared := [name for name in self.weights if HOST_FAULTS[name].spares_keys]):
            raise ValueError(f'fault "{spared[0]}" is none where login = "key"')
        if self.secret_name and self.secret is Sharing.PER_HOST and "{address}" not in self.secret_name:
            raise ValueError('secret = "per-host" needs {address} in secret_name')
        if self.named_by == "machine" and self.secret is Sharing.SHARED:
            raise ValueError('named_by = "machine" is for secret = "per-host": a shared secret is for no machine')
        if self.secret is Sharing.SHARED:
            self._one_shared_secret()
        return self

    def _faults_that_may_be(self) -> None:
        for name in self.weights:
            if self.account != "local" and (not HOST_FAULTS[name].known or HOST_FAULTS[name].former_secret):
                raise ValueError(f'"{name}" is true of an account: say so in [[directories]], accounts')
            if self.account != "local" and HOST_FAULTS[name].tells_members is not None:
                raise ValueError(f'"{name}" is of a local account: UAC filters no other\'s token')
            if self.technology not in HOST_FAULTS[name].technologies:
                raise ValueError(f'fault "{name}" is none that a {self.technology} host may have')
            if self.root not in HOST_FAULTS[name].roots:
                ways = " or ".join(f'"{way}"' for way in sorted(HOST_FAULTS[name].roots))
                raise ValueError(f'fault "{name}" is for hosts with root = {ways}')

    def _systems_that_may_be(self) -> None:
        known = UNIX_SYSTEMS if self.technology == "unix" else WINDOWS_SYSTEMS
        if self.systems and self.system:
            raise ValueError("give `system` or `systems`, not both")
        for name in self.system_weights:
            if name not in known:
                raise ValueError(f'"{name}" is no {self.technology} system; known are {", ".join(known)}')

    def _one_shared_secret(self) -> None:
        reached = [f for name in self.weights if (f := HOST_FAULTS[name]).port is Port.OPEN]
        if len({f.secret for f in reached}) > 1:
            raise ValueError("one shared secret cannot be in several states: give these faults groups of their own")
        if self.account != "local" and len({f.right_secret for f in reached}) > 1:
            raise ValueError(
                'one shared secret of one directory account is right or wrong for all: give "wrong_password" a group of'
                ' its own, or secret = "per-host"'
            )


class SecretSpec(Part):
    """A secret that belongs to no simulated host: for real servers that a test brings along, or for its own sake."""

    name: SecretName
    """May hold {n}, the number of the secret among its `count`."""
    count: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    template: TemplateName = "unix"
    user: str = "scan"
    machine: str = ""
    """May hold {n}."""
    domain: str = ""
    """Of an Active Directory Account."""
    folder: Folder = "\\Scan"
    """May hold {n}."""
    state: SecretState = SecretState.READABLE
    login: Literal["password", "key"] = "password"
    password: str = ""
    """Empty: a marker."""
    security: SecuritySpec = SecuritySpec()

    @model_validator(mode="after")
    def _has_key_field(self) -> Self:
        template = TEMPLATES[self.template]
        if self.login == "key" and template.field("private-key") is None:
            raise ValueError(f"the {template.name} template has no private key")
        return self

    @model_validator(mode="after")
    def _one_name_each(self) -> Self:
        if self.count > 1 and "{n}" not in self.name:
            raise ValueError("count needs {n} in name, or all of them would bear one name")
        return self


def _account_faults(groups: tuple[HostGroup, ...], directories: tuple[DirectorySpec, ...]) -> None:
    """Raises ValueError where a group cannot show what is wrong with its directory account."""
    faults = {d.name.casefold(): d.account_faults for d in directories}
    for group in groups:
        name = faults.get(group.account.casefold(), {}).get(group.user.casefold())
        if name is None:
            continue
        if group.technology not in HOST_FAULTS[name].technologies:
            raise ValueError(f'account {group.user} is "{name}", which a {group.technology} host cannot tell')
        if group.login == "key":
            raise ValueError(f'account {group.user} is "{name}", which a login by key does not meet')


class EstateSpec(Part):
    seed: int = 0
    reach: Reach = Reach.LOOPBACK
    vault: VaultSpec = VaultSpec()
    directories: tuple[DirectorySpec, ...] = ()
    hosts: tuple[HostGroup, ...] = ()
    secrets: tuple[SecretSpec, ...] = ()
    timeline: TimelineSpec = TimelineSpec()

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        for what, names in (
            ("directory", [d.name.casefold() for d in self.directories]),
            ("secret", [s.name.casefold() for s in self.secrets]),
        ):
            if twice := {name for name, number in Counter(names).items() if number > 1}:
                raise ValueError(f"{what} given twice: {', '.join(sorted(twice))}")
        _account_faults(self.hosts, self.directories)
        return self


def load(path: Path, *, seed: int | None = None) -> EstateSpec:
    """Read an estate file; `seed` overrides the file's. Raises EstateError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EstateError(f"{path}: cannot be read: {error}") from None
    return parse(text, name=str(path), seed=seed)


def parse(text: str, *, name: str = "estate.toml", seed: int | None = None) -> EstateSpec:
    """As `load`, from text. Raises EstateError with one line per fault."""
    try:
        data = tomllib.loads(text)
        everywhere = data.get(_REACH) == Reach.NETWORKS
        context = {_REACH: Reach.NETWORKS if everywhere else Reach.LOOPBACK}
        spec = EstateSpec.model_validate(data, context=context)
    except tomllib.TOMLDecodeError as error:
        raise EstateError(f"{name}: not TOML: {error}") from None
    except RecursionError:
        raise EstateError(f"{name}: not TOML that can be read: it is nested too deeply") from None
    except ValidationError as error:
        raise EstateError("\n".join(_fault(name, text, e) for e in error.errors(include_input=False))) from None
    except ValueError as error:  # of a number that Python refuses
        raise EstateError(f"{name}: not TOML that can be read: {error}") from None
    return spec if seed is None else spec.model_copy(update={"seed": seed})


def _fault(name: str, text: str, error: Any) -> str:
    location = tuple(error["loc"])
    key = ".".join(map(str, location)) or "estate"
    said = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = known_keys(EstateSpec, location[:-1])
        close = difflib.get_close_matches(str(location[-1]).lower(), known, n=1)
        said = f"unknown key; {f'did you mean {close[0]}? ' if close else ''}Known here: {', '.join(known)}"
    return f"{name}:{_line(text, location)}: {key}: {said}"


def _line(text: str, location: tuple[int | str, ...]) -> int:
    """The line of a key (`hosts.2.fault`), or of the table that lacks it; 1 where neither can be found."""
    headers = set(re.findall(_HEADER, text, re.MULTILINE))
    table, index, rest = "", 0, location
    for depth in range(len(location), 0, -1):
        names = [part for part in location[:depth] if isinstance(part, str)]
        if len(names) == depth and ".".join(names) in headers:
            table, rest = ".".join(names), location[depth:]
            if rest and isinstance(rest[0], int):
                index, rest = rest[0], rest[1:]
            break
    best, seen, inside = 1, -1, not table
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(_HEADER, line):
            seen += header[1] == table
            inside = header[1] == table and seen == index
            best = number if inside else best
        elif inside and rest and re.match(rf'\s*"?{re.escape(str(rest[0]))}"?\s*=', line):
            return number
    return best

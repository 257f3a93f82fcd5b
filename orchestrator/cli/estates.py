"""Estates ready made: the text of an estate file, by preset, number of hosts and seed.

A preset is groups of hosts, each with its share. Of faults they name what `score.EXPECTED` knows, so that a fault which
is added there is in them from then on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.cli.arguments import Preset
from orchestrator.cli.errors import Exit
from orchestrator.cli.output import written_to
from orchestrator.score import EXPECTED


@dataclass(frozen=True, slots=True)
class _Group:
    share: float
    technology: str
    network: str
    faults: Mapping[str, int]
    systems: Mapping[str, int] = field(default_factory=dict)
    user: str = "scan"
    account: str = "local"
    root: str = "free"
    more: str = ""
    """Lines of the group's table."""

    def text(self, count: int) -> str:
        systems = f"systems = {_mix(self.systems)}\n" if self.systems else ""
        shared = "" if self.account == "local" else 'secret = "shared"\n'
        return f"""
[[hosts]]
count = {count}
technology = "{self.technology}"
network = "{self.network}"
faults = {_mix(self.faults)}
{systems}user = "{self.user}"
account = "{self.account}"
root = "{self.root}"
{shared}{self.more}"""


_BY_PASSWORD = {
    "own": ("sudo_refuses", "root_asks_code"),
    "su": ("root_wrong_password", "root_secret_missing", "su_denied"),
}
"""Faults of hosts that want a password on the way to root, by that way."""
_UNIX_SYSTEMS = {"debian": 5, "rhel": 4}
_WINDOWS_SYSTEMS = {"server-2022": 4, "server-2019": 4, "server-2012-r2": 1}
_COMMON_UNIX = {
    "none": 8,
    "no_sudo": 2,
    "wrong_password": 2,
    "key_only": 2,
    "closed": 3,
    "silent": 1,
    "secret_missing": 2,
}
_COMMON_WINDOWS = {"none": 6, "no_admin": 2, "wrong_password": 2, "disabled": 1, "locked": 1, "guest": 1}
# Where many hosts ask for one account, what a single one does must not cast doubt on it.
_SHARED = {
    "unix": ("closed", "silent", "reset", "http", "no_sudo", "no_sudoer", "nologin", "old_kex", "slow_login"),
    "windows": ("closed", "silent", "reset", "no_admin", "no_admin_share", "smb1_only", "signing", "encryption"),
}
_STATES = {"svc_locked": "locked", "svc_expired": "expired", "svc_stale": "wrong_password"}
_CORP = f"""
[[directories]]
name = "CORP"
threshold = 5
accounts = {{ {", ".join(f'{user} = "{state}"' for user, state in _STATES.items())} }}
"""


def print_estate(preset: Preset, hosts: int, seed: int) -> Exit:
    """On stdout. Raises BadInput where that is full."""
    with written_to(None) as out:
        out.write(estate_text(preset, hosts, seed))
    return Exit.OK


def estate_text(preset: Preset, hosts: int, seed: int) -> str:
    """An estate file. Groups that come out with no host are left out."""
    groups, head = _PRESETS[preset]()
    counts = _dealt([group.share for group in groups], hosts)
    return f"seed = {seed}\n{head}" + "".join(g.text(n) for g, n in zip(groups, counts, strict=True) if n)


def _small() -> tuple[list[_Group], str]:
    return [_own("unix", 0.6, 20, _COMMON_UNIX), _own("windows", 0.4, 21, _COMMON_WINDOWS)], ""


def _enterprise() -> tuple[list[_Group], str]:
    groups = [
        _own("unix", 0.35, 20, _every("unix", 19), _UNIX_SYSTEMS),
        *_to_root(0.05, 19),
        _own("windows", 0.25, 21, _every("windows", 19), _WINDOWS_SYSTEMS),
        _Group(0.03, "unix", "127.22.0.0/16", {"none": 1}, {"busybox": 1}, "root"),
        _Group(0.02, "unix", "127.23.0.0/16", {"none": 1}, {"network-device": 1}, "netops"),
        _asking("unix", 0.1, 24, "svc_scan", 19, _UNIX_SYSTEMS),
        _asking("windows", 0.2, 25, "svc_scan", 19, _WINDOWS_SYSTEMS),
    ]
    return groups, _CORP


def _hostile() -> tuple[list[_Group], str]:
    groups = [
        _own("unix", 0.42, 20, _every("unix", 1), _UNIX_SYSTEMS),
        *_to_root(0.04, 1),
        _own("windows", 0.47, 21, _every("windows", 1), _WINDOWS_SYSTEMS),
    ]
    return [*groups, *_broken(0.07)], _CORP


def _domain() -> tuple[list[_Group], str]:
    well = [
        _asking("windows", 0.5, 25, "svc_scan", 9, _WINDOWS_SYSTEMS),
        _asking("unix", 0.2, 24, "svc_scan", 9, _UNIX_SYSTEMS),
    ]
    return [*well, *_broken(0.3)], _CORP


def _wan() -> tuple[list[_Group], str]:
    """A branch is near, a continent far, and a satellite is a satellite."""
    distances = (
        (0.5, 20, 'latency = "400ms"\njitter = "150ms"\n'),
        (0.4, 22, 'latency = "1500ms"\njitter = "500ms"\n'),
        (0.1, 24, 'latency = "3s"\njitter = "1s"\n'),
    )
    groups = []
    for share, net, more in distances:
        for technology, part, at, systems in (
            ("unix", 0.6, net, _UNIX_SYSTEMS),
            ("windows", 0.4, net + 1, _WINDOWS_SYSTEMS),
        ):
            own = _own(technology, share * part, at, _every(technology, 19), systems)
            groups.append(replace(own, more=more))
    return groups, ""


def _broken(share: float) -> list[_Group]:
    """Hosts that are well, and whose account in the directory is not."""
    return [
        _Group(share / len(_STATES), "windows", f"127.{net}.0.0/16", {"none": 1}, _WINDOWS_SYSTEMS, user, "CORP")
        for net, user in enumerate(_STATES, 26)
    ]


_PRESETS: Mapping[Preset, Callable[[], tuple[list[_Group], str]]] = {
    Preset.SMALL: _small,
    Preset.ENTERPRISE: _enterprise,
    Preset.HOSTILE: _hostile,
    Preset.DOMAIN: _domain,
    Preset.WAN: _wan,
}


def _own(
    technology: str, share: float, net: int, faults: Mapping[str, int], systems: Mapping[str, int] | None = None
) -> _Group:
    """Hosts with accounts of their own."""
    return _Group(share, technology, f"127.{net}.0.0/16", faults, systems or {})


def _asking(
    technology: str, share: float, net: int, user: str, well_per_fault: int, systems: Mapping[str, int]
) -> _Group:
    """Hosts that ask a directory for one account."""
    faults = _mixed(_SHARED[technology], well_per_fault)
    return _Group(share, technology, f"127.{net}.0.0/16", faults, systems, user, "CORP")


def _to_root(share: float, well_per_fault: int) -> list[_Group]:
    """Hosts that want a password on the way to root."""
    return [
        _Group(share / 2, "unix", f"127.{net}.0.0/16", _mixed(faults, well_per_fault), _UNIX_SYSTEMS, root=root)
        for net, (root, faults) in enumerate(_BY_PASSWORD.items(), 40)
    ]


def _every(technology: str, well_per_fault: int) -> dict[str, int]:
    elsewhere = {"none", *(fault for faults in _BY_PASSWORD.values() for fault in faults)}
    return _mixed([fault for fault in EXPECTED[technology] if fault not in elsewhere], well_per_fault)


def _mixed(faults: Iterable[str], well_per_fault: int) -> dict[str, int]:
    """Each fault once, and so many hosts that are well for each."""
    names = list(faults)
    return {"none": well_per_fault * len(names), **dict.fromkeys(names, 1)}


def _mix(weights: Mapping[str, int]) -> str:
    return "{ " + ", ".join(f"{json.dumps(name)} = {weight}" for name, weight in weights.items()) + " }"


def _dealt(shares: list[float], total: int) -> list[int]:
    """`total` in these shares, exactly: what rounding leaves goes to the first."""
    counts = [int(total * share) for share in shares]
    counts[0] += total - sum(counts)
    return counts

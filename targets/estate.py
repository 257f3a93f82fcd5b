"""An estate: which hosts, accounts and secrets a specification and a seed make. Pure, and the same for the same seed.

Rules:
1. Addresses are dealt in order from each group's network, past those that an earlier group has taken; which host has
   which fault of a mix is dealt by the seed, in exact proportion.
2. An account is (authority, user): the host's own address, or a directory's name in lower case. What opens it is its
   material. A secret is *right* when it holds the material of its hosts' account.
3. A per-host secret belongs to one host. A shared one serves its whole group: with local accounts every host takes it
   but those with a wrong secret; with a directory account it is right or wrong for all.
"""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address
from itertools import chain
from typing import Literal

from targets.conduct import AT_ONCE, Conduct
from targets.faults import HOST_FAULTS, HostFault, Port, SecretState, foremost
from targets.material import Material, marker
from targets.parts import Network
from targets.secret_server.templates import TemplateName
from targets.spec import LOOPBACK, DirectorySpec, EstateError, EstateSpec, HostGroup, Reach, SecretSpec, Sharing
from targets.systems import UNIX_SYSTEMS, WINDOWS_SYSTEMS, UnixSystem, WindowsSystem
from targets.timeline import TimelineSpec
from targets.vault_spec import SecuritySpec, VaultSpec

Login = Literal["password", "keyboard-interactive", "key", "nt-hash"]
Technology = Literal["unix", "windows"]


@dataclass(frozen=True, slots=True)
class AccountKey:
    authority: str
    user: str


@dataclass(frozen=True, slots=True)
class Host:
    address: str
    technology: Technology
    fault: HostFault
    user: str
    secret: str
    """The name a scanner should ask for; the vault need not have it."""
    account: str
    """`local`, or the directory's name."""
    login: Login
    system: str
    """A name of UNIX_SYSTEMS or WINDOWS_SYSTEMS."""
    named_by: Literal["name", "machine"] = "name"
    """How a scanner should ask for the secret."""
    root: Literal["free", "own", "su"] = "free"
    """How a login becomes root."""
    conduct: Conduct = AT_ONCE

    @property
    def root_secret(self) -> str:
        """The name of the secret that holds root's password, for su."""
        return f"unix-root-{self.address}" if self.root == "su" else ""

    @property
    def root_key(self) -> AccountKey:
        """Root is every host's own."""
        return AccountKey(self.address, "root")

    @property
    def unix(self) -> UnixSystem:
        return UNIX_SYSTEMS[self.system]

    @property
    def windows(self) -> WindowsSystem:
        return WINDOWS_SYSTEMS[self.system]

    @property
    def name(self) -> str:
        """A NetBIOS name that no other address has; of IPv6, that none has but by a chance of 1 in 10**9."""
        address = ip_address(self.address)
        if isinstance(address, IPv4Address):
            return f"SRV{int(address) & 0xFFFFFF:06X}"
        return f"V6{base64.b32encode(hashlib.sha256(address.packed).digest())[:13].decode()}"

    @property
    def account_key(self) -> AccountKey:
        if self.account == "local":
            return AccountKey(self.address, self.user)
        return AccountKey(self.account.casefold(), self.user.casefold())


@dataclass(frozen=True, slots=True)
class Secret:
    name: str
    template: TemplateName
    folder: str
    user: str
    machine: str
    material: Material
    holds_key: bool
    state: SecretState
    security: SecuritySpec
    domain: str = ""
    """Of an Active Directory Account."""
    password_too: bool = False
    """Beside a key."""
    holds_hash: bool = False
    """In the place of the password: its NT hash."""


@dataclass(frozen=True, slots=True)
class Estate:
    seed: int
    vault: VaultSpec
    directories: Mapping[str, DirectorySpec]
    """Lock-out policy by directory name in lower case."""
    hosts: Mapping[str, Host]
    """By address, in the order of the estate file."""
    accounts: Mapping[AccountKey, Material]
    former: Mapping[AccountKey, Material]
    """What opened an account before its password was changed, where an estate begins that way."""
    secrets: Mapping[str, Secret]
    """By name. A missing secret is here too, in that state."""

    networks: Sequence[Network]
    """Those whose addresses the machine does not take for its own unless it is told to."""
    timeline: TimelineSpec
    reach: Reach = Reach.LOOPBACK

    @property
    def vault_password(self) -> str:
        """Of the scanner's user."""
        return self.vault.all_users[0].password or self.password_of(self.vault.user)

    def password_of(self, user: str) -> str:
        """Of a vault user to whom the estate file gives none."""
        return marker(self.seed, "vault", user)

    @property
    def user_ca(self) -> Material:
        """Its key signs certificates that every SSH host takes for any of its users."""
        return Material(self.seed, "user CA")


def build(spec: EstateSpec) -> Estate:
    """Raises EstateError when a network is too small, a secret's name comes up twice, or an event's not at all."""
    made = _Builder(spec)
    for number, group in enumerate(spec.hosts, start=1):
        made.add_group(number, group)
    made.add_own_secrets()
    _check_secrets(spec.timeline, made.secrets)
    networks = tuple(dict.fromkeys(group.network for group in spec.hosts if not _is_loopback(group.network)))
    return Estate(
        spec.seed,
        spec.vault,
        made.directories,
        made.hosts,
        made.accounts,
        made.former,
        made.secrets,
        networks,
        spec.timeline,
        spec.reach,
    )


def _is_loopback(network: Network) -> bool:
    return isinstance(network, IPv4Network) and network.subnet_of(LOOPBACK)


def _check_secrets(timeline: TimelineSpec, secrets: Mapping[str, Secret]) -> None:
    """Raises EstateError for an event of a secret that there is not."""
    for number, event in enumerate(timeline.events):
        for field, names in (("rotate", [event.rotate] if event.rotate else []), ("secrets", list(event.secrets))):
            for name in names:
                if name not in secrets:
                    raise EstateError(f'timeline.events.{number}.{field}: the estate has no secret "{name}"')


_NO_HOSTS = frozenset({"127.0.0.0", "127.0.0.1", "127.255.255.255"})
"""127.0.0.1 is where the vault and the metrics answer; a host there could not be told from them. The others no
connection can be made to.
"""


class _Builder:
    def __init__(self, spec: EstateSpec) -> None:
        self._spec = spec
        self._free: dict[Network, Iterator[IPv4Address | IPv6Address]] = {}
        self.directories = {d.name.casefold(): d for d in spec.directories}
        self.hosts: dict[str, Host] = {}
        self.accounts: dict[AccountKey, Material] = {}
        self.former: dict[AccountKey, Material] = {}
        self.secrets: dict[str, Secret] = {}
        self._names: set[str] = set()

    def add_group(self, number: int, group: HostGroup) -> None:
        if group.account != "local":
            self.directories.setdefault(group.account.casefold(), DirectorySpec(name=group.account))
        faults = deal(group.weights, group.count, random.Random(f"{self._spec.seed}|faults|{number}"))
        systems = deal(group.system_weights, group.count, random.Random(f"{self._spec.seed}|systems|{number}"))
        conduct = group.conduct
        hosts = [self._host(number, group, HOST_FAULTS[f], s, conduct) for f, s in zip(faults, systems, strict=True)]
        if group.secret is Sharing.SHARED:
            reached = next((h.fault for h in hosts if h.fault.port is Port.OPEN), HOST_FAULTS["none"])
            self._add_secret(hosts[0], group, self._account_fault(group) or reached, machine="")
        for host in hosts:
            if group.secret is Sharing.PER_HOST:
                self._add_secret(host, group, host.fault, machine=host.address)
            self._add_account(host)
            if host.root == "su":
                self._add_root(host, group)

    def add_own_secrets(self) -> None:
        for own in self._spec.secrets:
            for number in range(1, own.count + 1):
                self._keep(self._own_secret(own, str(number)))

    def _own_secret(self, own: SecretSpec, number: str) -> Secret:
        name = own.name.replace("{n}", number)
        return Secret(
            name,
            own.template,
            own.folder.replace("{n}", number),
            own.user,
            own.machine.replace("{n}", number),
            Material(self._spec.seed, f"secret|{name}", own.password),
            own.login == "key",
            own.state,
            own.security,
            own.domain,
        )

    def _host(self, number: int, group: HostGroup, fault: HostFault, system: str, conduct: Conduct) -> Host:
        known = UNIX_SYSTEMS if group.technology == "unix" else WINDOWS_SYSTEMS
        implied = known[system].fault
        if implied is not None and group.user == "root" and not implied.sudo_installed:
            implied = None  # root needs none
        if implied is not None and group.root not in implied.roots:
            implied = None  # nor does su
        fault = foremost(fault, self._account_fault(group), implied)
        address = self._next_address(group.network)
        kind = group.technology
        default = f"{kind}-{{address}}" if group.secret is Sharing.PER_HOST else f"{kind}-shared-{number}"
        name = (group.secret_name or default).replace("{address}", address).replace("{user}", group.user)
        host = Host(
            address,
            group.technology,
            fault,
            group.user,
            name,
            group.account,
            group.login,
            system,
            group.named_by,
            group.root,
            conduct,
        )
        self.hosts[address] = host
        return host

    def _account_fault(self, group: HostGroup) -> HostFault | None:
        """The fault of the directory account that a group's hosts are logged in to with."""
        if group.account == "local":
            return None
        name = self.directories[group.account.casefold()].account_faults.get(group.user.casefold())
        return HOST_FAULTS[name] if name else None

    def _next_address(self, network: Network) -> str:
        for address in self._free.setdefault(network, _addresses(network)):
            text = str(address)
            if text not in self.hosts and text not in _NO_HOSTS:
                return text
        raise EstateError(f"network {network} has too few addresses for the hosts that are to be in it")

    def _add_secret(self, host: Host, group: HostGroup, fault: HostFault, *, machine: str) -> None:
        directory = host.account != "local"
        if fault.right_secret and directory:
            material = self._directory_material(host.account_key)
        else:
            material = Material(self._spec.seed, f"secret|{host.secret}")
        if fault.former_secret:
            self.former[host.account_key] = material
        self._keep(
            Secret(
                host.secret,
                group.technology,
                group.folder,
                host.user,
                machine,
                material,
                group.login == "key",
                fault.secret,
                group.security,
                password_too=group.root == "own",
                holds_hash=group.login == "nt-hash",
            )
        )

    def _add_account(self, host: Host) -> None:
        key = host.account_key
        if not host.fault.known:
            return
        if host.account != "local":
            self.accounts[key] = self._directory_material(key)
        elif host.fault.right_secret:
            self.accounts[key] = self.secrets[host.secret].material
        else:
            # A wrong secret is as good as one the host's account no longer has, shared or not.
            self.accounts[key] = Material(self._spec.seed, f"account|{key.authority}|{key.user}")

    def _add_root(self, host: Host, group: HostGroup) -> None:
        material = Material(self._spec.seed, f"secret|{host.root_secret}")
        right = host.fault.right_root
        self.accounts[host.root_key] = material if right else Material(self._spec.seed, f"account|{host.address}|root")
        self._keep(
            Secret(
                host.root_secret,
                "unix",
                group.folder,
                "root",
                host.address,
                material,
                holds_key=False,
                state=host.fault.root_secret,
                security=group.security,
            )
        )

    def _directory_material(self, key: AccountKey) -> Material:
        return Material(self._spec.seed, f"account|{key.authority}|{key.user}")

    def _keep(self, secret: Secret) -> None:
        # The vault would take both, but the estate could not say which of them is whose.
        if secret.name.casefold() in self._names:
            raise EstateError(f'two secrets are named "{secret.name}"; give the second group another secret_name')
        self._names.add(secret.name.casefold())
        self.secrets[secret.name] = secret


def _addresses(network: Network) -> Iterator[IPv4Address | IPv6Address]:
    """All of them in the end: the first and the last of an IPv4 network are as good as others on a loopback device."""
    if isinstance(network, IPv4Network) and network.prefixlen < 31:
        return chain(network.hosts(), (network.network_address, network.broadcast_address))
    return iter(network.hosts())


def deal(weights: Mapping[str, int], count: int, rng: random.Random) -> list[str]:
    """`count` names in proportion to their weights (largest remainders), in an order drawn from `rng`.

    A name whose share is below one may come out with none; of equal remainders the earlier name is served first.
    """
    total = sum(weights.values())
    shares = {name: divmod(weight * count, total) for name, weight in weights.items()}
    names = [name for name, (whole, _) in shares.items() for _ in range(whole)]
    by_remainder = sorted(shares, key=lambda name: -shares[name][1])
    names += by_remainder[: count - len(names)]
    rng.shuffle(names)
    return names

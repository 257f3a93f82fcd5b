"""An estate while it runs: accounts, vault and counters, and what changes in them on order.

A rotation gives a secret a new value in the vault, on its hosts, or both. Each side has a generation; sides of equal
generation hold equal values. So `hosts` and later `vault` is a rotation that a scan can fall into the middle of.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from targets.directory import Accounts
from targets.estate import Estate, Host
from targets.faults import Port, SecretState
from targets.host_world import HostWorld
from targets.material import Material
from targets.metrics import report
from targets.outages import Outage, lasting
from targets.parts import Network
from targets.secret_server.clock import VaultClock
from targets.secret_server.secrets import Heartbeat, StoredSecret
from targets.secret_server.service import Vault
from targets.secret_server.weather import Weather
from targets.servers import HostServers, InThisProcess
from targets.timeline import Begins, Timeline
from targets.vault_faults import VAULT_FAULTS
from targets.vault_spec import Where
from targets.vault_weather import WeatherSpec


@dataclass(slots=True)
class Generations:
    vault: int = 0
    hosts: int = 0


class World(HostWorld):
    """`servers` serve the hosts, where this process does not. What is ordered here is true of the vault and the
    directories at once, and of all hosts when `servers.settled()` has returned.
    """

    def __init__(
        self, estate: Estate, clock: Callable[[], float] = time.monotonic, servers: HostServers | None = None
    ) -> None:
        super().__init__(estate, Accounts(estate.accounts, estate.directories, clock, estate.former), clock)
        self.servers = servers or InThisProcess(self)
        self.service = Vault(estate, VaultClock(clock), self.metrics.vault, self._change_password, self._heartbeat)
        self.vault = self.service.store
        self.logins = self.service.logins
        self.weather = Weather(estate.vault.weather, estate.seed, self.service.clock)
        self._hosts: defaultdict[str, list[Host]] = defaultdict(list)
        self._generations: defaultdict[str, Generations] = defaultdict(Generations)
        self._given: dict[tuple[str, int], str] = {}
        """Passwords that were given rather than made, by secret and generation."""
        for host in estate.hosts.values():
            self._hosts[host.secret].append(host)
        self.vault_faults: frozenset[str] = frozenset()
        self.order_vault_faults(frozenset(estate.vault.faults))
        self.order_weather(estate.vault.weather)
        self.timeline = Timeline(estate.timeline, self)
        if estate.timeline.begins is Begins.FIRST_LOGON:
            self.metrics.at_first_logon = self.timeline.begin

    def order_vault_faults(self, names: frozenset[str]) -> None:
        """These faults and no others from now on; those that are events happen now."""
        self.vault_faults = names
        faults = [VAULT_FAULTS[name] for name in names]
        if any(fault.loses_tokens for fault in faults):
            self.logins.tokens.forget_all()
        if any(fault.expires_tokens for fault in faults):
            self.logins.tokens.expire_all()
        self.service.mode.read_only = any(fault.read_only for fault in faults)

    def add_vault_faults(self, names: frozenset[str]) -> Callable[[], None]:
        """These too; returns the way to take back those that it has not had before."""
        new = names - self.vault_faults
        self.order_vault_faults(self.vault_faults | names)
        return lambda: self.order_vault_faults(self.vault_faults - new)

    def order_secret_states(self, states: Mapping[str, SecretState]) -> Callable[[], None]:
        """Returns the way back to the states before. Raises KeyError for a secret that the estate does not have."""
        before = {name: self.vault.named(name).state for name in states}
        for name, state in states.items():
            self.vault.set_state(name, state)

        def back() -> None:
            for name, state in before.items():
                self.vault.set_state(name, state)

        return back

    def order_weather(self, weather: WeatherSpec) -> None:
        """This weather from now on, and this reliability of the audit."""
        self.weather.set(weather)
        self.service.audit.faults = weather.audit

    def rotate(self, secret: str, where: Where, password: str = "") -> Generations:
        """A new password, the given one or a fresh marker. Raises KeyError for a secret the estate does not have."""
        self.estate.secrets[secret]
        side = self._generations[secret]
        if where is Where.BOTH:
            side.vault = side.hosts = max(side.vault, side.hosts) + 1
        elif where is Where.VAULT:
            side.vault += 1
        else:
            side.hosts += 1
        if password:
            self._given[secret, side.hosts if where is Where.HOSTS else side.vault] = password
        if where is not Where.HOSTS:
            self.vault.change(secret, self._material(secret, side.vault))
            self.vault.named(secret).changed_at = self.service.clock.now()
        if where is not Where.VAULT:
            material = self._material(secret, side.hosts)
            accounts = {host.account_key for host in self._hosts[secret]}
            for account in accounts:
                self.accounts.change(account, material)
            self.servers.change([(account, material) for account in accounts])
        return side

    def silence(self, network: Network, seconds: float | None) -> None:
        """The hosts of a network say nothing more for so long; None: until it is ordered for 0 seconds."""
        outage = Outage(network, lasting(seconds, self.clock))
        self.outages.order(outage)
        self.servers.outage(outage)

    async def begin(self) -> None:
        """From now on the lab is there for others."""
        self.began = self.clock()
        await self.servers.begin(self.began)
        if self.estate.timeline.begins is Begins.START:
            self.timeline.begin()

    async def report(self) -> dict[str, Any]:
        """metrics.json, over all processes that serve hosts."""
        return report(self.metrics, self.estate.hosts, await self.servers.tallies())

    def _change_password(self, secret: StoredSecret, where: Where, password: str, *, follows: bool) -> None:
        """As the vault orders it: whatever the sides had before, in the end they are equal."""
        if not self.vault.is_original(secret):
            return
        side = self._generations[secret.name]
        latest = max(side.vault, side.hosts) - follows
        if where is Where.VAULT:
            side.vault = latest
        elif where is Where.HOSTS:
            side.hosts = latest
        self.rotate(secret.name, where, password)

    def _heartbeat(self, secret: StoredSecret) -> Heartbeat:
        """Does the secret's password or key open its first host's account? No logon is counted for it."""
        host = next(iter(self._hosts.get(secret.name, ())), None) if self.vault.is_original(secret) else None
        if host is None or host.fault.port is not Port.OPEN:
            return Heartbeat.UNABLE_TO_CONNECT
        if host.fault.locked or self.accounts.locked(host.account_key):
            return Heartbeat.ACCOUNT_LOCKED
        password = secret.template.field("password")
        if secret.holds_key or password is None:
            opened = self.accounts.public_key(host, host.user, secret.material.public_blob)
        else:
            opened = self.accounts.opens(host.account_key, secret.text(password))
        return Heartbeat.SUCCESS if opened else Heartbeat.FAILED

    def _material(self, secret: str, generation: int) -> Material:
        fixed = self._given.get((secret, generation), "")
        return Material(self.estate.seed, f"secret|{secret}|generation {generation}", fixed)

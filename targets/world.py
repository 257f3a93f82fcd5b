"""An estate while it runs: accounts, vault and counters, and what changes in them on order.

A rotation gives a secret a new value in the vault, on its hosts, or both. Each side has a generation; sides of equal
generation hold equal values. So `hosts` and later `vault` is a rotation that a scan can fall into the middle of.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from targets.directory import Accounts
from targets.estate import AccountKey, Estate
from targets.material import Material
from targets.metrics import Metrics
from targets.secret_server.store import VaultStore
from targets.secret_server.tokens import VaultLogins


class Where(StrEnum):
    VAULT = "vault"
    HOSTS = "hosts"
    BOTH = "both"


@dataclass(slots=True)
class Generations:
    vault: int = 0
    hosts: int = 0


class World:
    def __init__(self, estate: Estate, clock: Callable[[], float] = time.monotonic) -> None:
        self.estate = estate
        self.metrics = Metrics(estate.hosts)
        self.accounts = Accounts(estate.accounts, estate.directories, clock, estate.former)
        self.vault = VaultStore(estate.seed, estate.secrets.values())
        self.logins = VaultLogins(estate.vault, estate.vault_password, clock)
        self.vault_faults: frozenset[str] = frozenset(estate.vault.faults)
        self._served: defaultdict[str, set[AccountKey]] = defaultdict(set)
        self._generations: defaultdict[str, Generations] = defaultdict(Generations)
        for host in estate.hosts.values():
            self._served[host.secret].add(host.account_key)

    def order_vault_faults(self, names: frozenset[str]) -> None:
        """These faults and no others from now on; `expire_tokens` among them kills the tokens there are."""
        self.vault_faults = names
        if "expire_tokens" in names:
            self.logins.expire_all()

    def rotate(self, secret: str, where: Where) -> Generations:
        """Raises KeyError for a secret that the estate does not have."""
        self.estate.secrets[secret]
        side = self._generations[secret]
        if where is Where.BOTH:
            side.vault = side.hosts = max(side.vault, side.hosts) + 1
        elif where is Where.VAULT:
            side.vault += 1
        else:
            side.hosts += 1
        if where is not Where.HOSTS:
            self.vault.change(secret, self._material(secret, side.vault))
        if where is not Where.VAULT:
            for account in self._served[secret]:
                self.accounts.change(account, self._material(secret, side.hosts))
        return side

    def _material(self, secret: str, generation: int) -> Material:
        return Material(self.estate.seed, f"secret|{secret}|generation {generation}")

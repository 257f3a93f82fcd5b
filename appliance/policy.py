"""What this appliance allows, whatever a job says. Fixed locally; no message on the bus can change it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Self

from appliance.contract import HostKeyPolicy, Job, Technology

_STRICTNESS = {HostKeyPolicy.ANY: 0, HostKeyPolicy.TOFU: 1, HostKeyPolicy.PINNED: 2}


@dataclass(frozen=True, slots=True)
class Policy:
    """Allowed target networks, the weakest host-key policy a job may ask for, and the vaults by title and URL."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    host_keys: HostKeyPolicy = HostKeyPolicy.ANY
    vault_urls: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, networks: list[str], host_keys: str, vault_urls: dict[str, str]) -> Self:
        """From plain data. Raises ValueError for a bad network or policy."""
        return cls(
            tuple(ip_network(n, strict=False) for n in networks),
            HostKeyPolicy(host_keys),
            tuple(sorted(vault_urls.items())),
        )

    def allows_address(self, address: str) -> bool:
        """Is this IP literal inside the allowed networks? Asked after DNS, of every address before it is dialled."""
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        return any(ip.version == network.version and ip in network for network in self.networks)

    def allows_vault(self, title: str, url: str) -> bool:
        return (title, url) in self.vault_urls

    def refusal(self, job: Job) -> str:
        """Why this job is refused before anything is dialled, or an empty string."""
        known = {title for title, _ in self.vault_urls}
        for candidate in job.candidates:
            if candidate.secret.vault not in known:
                return f"this appliance knows no vault titled {candidate.secret.vault!r}"
            weaker = _STRICTNESS[candidate.host_keys] < _STRICTNESS[self.host_keys]
            if job.technology is Technology.UNIX and weaker:
                return f"host-key policy {candidate.host_keys} is weaker than this appliance's {self.host_keys}"
        return ""

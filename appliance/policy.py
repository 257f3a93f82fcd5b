"""What this appliance allows, whatever a job says. Fixed locally; no message on the bus can change it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Self

from appliance.contract import HostKeyPolicy, Job, Technology

_STRICTNESS = {HostKeyPolicy.ANY: 0, HostKeyPolicy.TOFU: 1, HostKeyPolicy.PINNED: 2}


_Address = tuple[int, int]
"""IP version and number: one order for both families."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Allowed target networks, the weakest host-key policy a job may ask for, and the vaults by title and URL."""

    spans: tuple[tuple[_Address, _Address], ...]
    """First and last address of each allowed network, sorted and disjoint: a campaign may list 65,536 single hosts."""
    host_keys: HostKeyPolicy = HostKeyPolicy.ANY
    vault_urls: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, networks: Iterable[str], host_keys: str, vault_urls: dict[str, str]) -> Self:
        """From plain data. Raises ValueError for a bad network or policy."""
        return cls(_spans(networks), HostKeyPolicy(host_keys), tuple(sorted(vault_urls.items())))

    def allows_address(self, address: str) -> bool:
        """Is this IP literal inside the allowed networks? Asked after DNS, of every address before it is dialled."""
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        key = _key(ip)
        index = bisect_right(self.spans, key, key=lambda span: span[0]) - 1
        return index >= 0 and key <= self.spans[index][1]

    def allows_vault(self, title: str, url: str) -> bool:
        return (title, url) in self.vault_urls

    def refusal(self, job: Job) -> str:
        """Why this job is refused before anything is dialled, or an empty string."""
        known = {title for title, _ in self.vault_urls}
        for candidate in job.candidates:
            for secret in candidate.secrets:
                if secret.vault not in known:
                    return f"this appliance knows no vault titled {secret.vault!r}"
            weaker = _STRICTNESS[candidate.host_keys] < _STRICTNESS[self.host_keys]
            if job.technology is Technology.UNIX and weaker:
                return f"host-key policy {candidate.host_keys} is weaker than this appliance's {self.host_keys}"
        return ""


def _key(ip: IPv4Address | IPv6Address) -> _Address:
    """An IPv4-mapped IPv6 address is the IPv4 address: no rule is got round by spelling."""
    plain = (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip
    return plain.version, int(plain)


def _spans(networks: Iterable[str]) -> tuple[tuple[_Address, _Address], ...]:
    blocks = (ip_network(text, strict=False) for text in networks)
    merged: list[tuple[_Address, _Address]] = []
    for first, last in sorted((_key(block[0]), _key(block[-1])) for block in blocks):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)

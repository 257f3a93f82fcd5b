"""What is said of one SSH host besides its keys: whose certificates it may show, and which keys it must not."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.contract import HostAuthority


@dataclass(slots=True)
class Marked:
    """By the `@cert-authority` and `@revoked` lines of a known_hosts file (`known_hosts`)."""

    authorities: list[HostAuthority] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    """Fingerprints, `SHA256:...`."""

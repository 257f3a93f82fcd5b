"""What a vault knows of a secret beside its values: when it changed it last, and what its own heartbeat found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.contract import OUT_OF_SYNC, peer_text

FAILED = "Failed"
"""The heartbeat's verdict that its target refused the password. All others leave it open, or say that it is right."""


@dataclass(frozen=True, slots=True)
class Standing:
    changed_at: float | None = None
    """When the vault last changed the password, or tried to, in Unix seconds; None: never, or it does not say."""
    heartbeat: str = ""
    """The last heartbeat's verdict in the vault's own word (`Success`, `Failed`, `UnableToConnect`, ...)."""
    heartbeat_at: float | None = None
    out_of_sync: str = ""
    """The vault's words for why it takes the secret to differ from its target; empty where it does not."""

    @property
    def refuted(self) -> str:
        """By what the vault itself knows this password to be wrong; empty where it does not.

        A heartbeat from before the last change was about another password.
        """
        if self.changed_at is not None and self.heartbeat_at is not None and self.heartbeat_at < self.changed_at:
            return ""
        if self.heartbeat:
            return (self.out_of_sync or "heartbeat failed") if self.heartbeat == FAILED else ""
        return self.out_of_sync

    def facts(self) -> dict[str, str]:
        """For the evidence of a refused login."""
        facts: dict[str, str] = {}
        if self.changed_at is not None:
            facts["secret_changed"] = _moment(self.changed_at)
        if self.heartbeat:
            facts["heartbeat"] = peer_text(self.heartbeat)
        if self.heartbeat_at is not None:
            facts["heartbeat_at"] = _moment(self.heartbeat_at)
        if self.refuted:
            facts[OUT_OF_SYNC] = peer_text(self.refuted)
        return facts


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

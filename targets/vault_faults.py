"""What a vault as a whole may do wrong, by name: orders that can be given and withdrawn while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """Which requests a vault fault meets."""

    ALL = "all"
    GRANT = "grant"
    API = "api"


@dataclass(frozen=True, slots=True)
class Reply:
    """A canned answer that takes the place of the real one."""

    scope: Scope
    status: int
    body: str
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class VaultFault:
    name: str
    meaning: str
    replies: tuple[Reply, ...] = ()
    slow: bool = False
    """Answers are held back by the estate's `vault.slow` seconds."""
    throttled: bool = False
    """Replies carry `Retry-After` with the estate's `vault.retry_after` seconds."""
    expires_tokens: bool = False
    """An event rather than a state: at the order, every token issued so far is dead."""


EXPIRED = '{"message": "Authentication failed or expired token."}'
REFUSED = '{"error": "Login failed."}'
_HTML = "<!DOCTYPE html><html><head><title>Secret Server</title></head><body>{}</body></html>"
UNAVAILABLE = _HTML.format("Unavailable")

VAULT_FAULTS = {
    f.name: f
    for f in (
        VaultFault("down", "503 to everything", (Reply(Scope.ALL, 503, UNAVAILABLE, "text/html"),)),
        VaultFault("error", "500 to every API call", (Reply(Scope.API, 500, '{"message": "An error has occurred."}'),)),
        VaultFault("slow", "answers late", slow=True),
        VaultFault("refuse", "refuses every login", (Reply(Scope.GRANT, 400, REFUSED),)),
        VaultFault("expire_tokens", "tokens issued so far are dead; new ones live", expires_tokens=True),
        VaultFault("dead_tokens", "every token counts as expired", (Reply(Scope.API, 403, EXPIRED),)),
        VaultFault(
            "ip_blocked",
            "this source address is not allowed",
            (
                Reply(Scope.GRANT, 400, REFUSED),
                Reply(Scope.API, 403, '{"message": "Access is not allowed from this IP address."}'),
            ),
        ),
        VaultFault(
            "forbidden",
            "the user's role has no right to the API",
            (Reply(Scope.API, 403, '{"message": "You do not have permission to perform this operation."}'),),
        ),
        VaultFault("html", "200 with a web page", (Reply(Scope.ALL, 200, _HTML.format("Log in"), "text/html"),)),
        VaultFault(
            "throttled",
            "429 with Retry-After",
            (Reply(Scope.ALL, 429, '{"message": "Too many requests."}'),),
            throttled=True,
        ),
    )
}

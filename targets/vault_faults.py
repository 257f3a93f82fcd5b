"""What a vault as a whole may do wrong, by name: orders that can be given and withdrawn while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """Which requests a vault fault meets."""

    ALL = "all"
    GRANT = "grant"
    API = "api"


class Mangle(StrEnum):
    """How an answer comes wrong, whatever it is. What it tells has happened all the same."""

    HTML = "html"
    """200 with a web page in its place."""
    TRUNCATED = "truncated"
    """Half of what its Content-Length says; then the connection ends."""
    OVERSIZED = "oversized"
    """Behind more white space than any client should read."""
    DRIP = "drip"
    """A byte at a time, slower than anybody waits."""
    RESET = "reset"
    """The connection is reset in its place."""


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
    loses_tokens: bool = False
    """An event too: at the order, every token issued so far is unknown, refresh tokens and SDK clients' ones too."""
    read_only: bool = False
    mangles: Mangle | None = None


EXPIRED = '{"message": "Authentication failed or expired token."}'
REFUSED = '{"error": "Login failed."}'
HTML = "<!DOCTYPE html><html><head><title>Secret Server</title></head><body>{}</body></html>"
UNAVAILABLE = HTML.format("Unavailable")

VAULT_FAULTS = {
    f.name: f
    for f in (
        VaultFault("down", "503 to everything", (Reply(Scope.ALL, 503, UNAVAILABLE, "text/html"),)),
        VaultFault("error", "500 to every API call", (Reply(Scope.API, 500, '{"message": "An error has occurred."}'),)),
        VaultFault("slow", "answers late", slow=True),
        VaultFault("refuse", "refuses every login", (Reply(Scope.GRANT, 400, REFUSED),)),
        VaultFault("expire_tokens", "tokens issued so far are dead; new ones live", expires_tokens=True),
        VaultFault("restart", "tokens issued so far are unknown; new ones live", loses_tokens=True),
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
        VaultFault("html", "200 with a web page", (Reply(Scope.ALL, 200, HTML.format("Log in"), "text/html"),)),
        VaultFault(
            "throttled",
            "429 with Retry-After",
            (Reply(Scope.ALL, 429, '{"message": "Too many requests."}'),),
            throttled=True,
        ),
        VaultFault("read_only", "nothing is written: no check-out, change or request", read_only=True),
        VaultFault("truncated", "answers break off in the middle", mangles=Mangle.TRUNCATED),
        VaultFault("oversized", "answers of many megabytes", mangles=Mangle.OVERSIZED),
        VaultFault("drip", "answers come a byte at a time", mangles=Mangle.DRIP),
        VaultFault("reset", "connections are reset instead of an answer", mangles=Mangle.RESET),
    )
}

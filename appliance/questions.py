"""What the orchestrator asks of a vault, and has an appliance ask: the vault may admit only appliances.

Frozen, typed and versioned as all of the contract is; no answer holds a secret's value.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from appliance.contract import CredentialRef, Ticket, Wire


class VaultQueryKind(StrEnum):
    CHECK = "check"
    """Can the vault be reached, and does it take the login?"""
    SECRET = "secret"  # noqa: S105 - a kind of question, not a secret
    """Does this secret resolve, and is it readable? No value is fetched."""
    CHECK_OUT = "check-out"
    """Check this secret (named by its id) out for the vault's user. Facts of the answer: `minutes`, how long it is
    held; `already`, where the user had it before; or `needless`, where it is no secret that is checked out."""
    EXTEND = "extend"
    """Hold it for so many `minutes` more. Facts: `minutes`, how long it is held from now."""
    CHECK_IN = "check-in"
    """Check it in again; ok also where it is not checked out (any more). Fact `already` then."""
    WHO = "who"
    """Whom the vault takes us for, and what its clock says. Facts: `user`, `display_name`, `permissions` (one a line);
    `offset`, by how many seconds its clock is ahead of the appliance's, `offset_error`, the most that this may be
    wrong, and `local`, by how many seconds its local time is ahead of its UTC; these three where it tells the time."""
    AUDIT = "audit"
    """What the vault has written down about this secret (named by its id), newest first: `rows` from `skip` on."""
    APPROVAL = "approval"
    """Is an approval needed before this secret (named by its id) may be viewed? Nothing is filed. Facts: `needed`,
    `yes` or `no`; `approved_until`, where the vault says it; and where it is needed, of the `request` that counts (that
    of the query, or else the user's own newest one that is open, or the newest): its id, `status` (the vault's word,
    folded), `requested`, `by` (who has answered) and `said` (with which words); `newest`, the user's highest id."""
    REQUEST = "request"
    """File an access request for it, from now on for so many `minutes`. Facts: as of the request that counts."""
    CANCEL = "cancel"
    """Take the access request back."""
    RIGHTS = "rights"
    """What the vault's user may do with this secret, and what its template asks for. Facts: `secret_id`, `role` (the
    vault's word), `folder`, and `hides_password`, `yes` or `no`, where the vault tells it; `approval`, `needed` or
    `approved`, where somebody has to approve access."""


class VaultQuery(Wire):
    """A question that only an appliance may put to a vault, since the vault may admit only appliances."""

    v: Literal[1] = 1
    run: str
    """The run (or ephemeral question) whose vaults are meant: two campaigns may use one title for two vaults."""
    kind: VaultQueryKind
    vault: str
    secret: CredentialRef | None = None
    comment: str = ""
    """Why a secret is checked out, for a vault that wants to know."""
    told: bool = False
    """The comment is the campaign's own, and goes with every order; else only where the vault asks for one."""
    ticket: Ticket | None = None
    minutes: int = 0
    skip: int = 0
    request: int = 0
    """An access request by its id, where it is known."""


class AuditRow(Wire):
    """A row of a secret's audit, as the vault has it. Its texts are the vault's own, each cut at PEER_TEXT_LIMIT."""

    id: int
    at: float
    """Its date, taken for UTC, in Unix seconds."""
    action: str
    user: str
    """The user's name; the display name where the vault gives no other."""
    notes: str = ""
    """The comment of who did it."""
    ticket: str = ""


class VaultAnswer(Wire):
    v: Literal[1] = 1
    ok: bool
    reason: str = ""
    """A reason code when not ok."""
    text: str = ""
    facts: dict[str, str] = Field(default_factory=dict)
    rows: tuple[AuditRow, ...] = ()
    """At most a hundred: a message has at most 1 MiB."""
    more: bool = False
    """There are further rows behind them."""

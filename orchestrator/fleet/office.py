"""Machines become appliances here: an invitation is made into a token, and a request that comes by it into a user.

The invitation's subject says which one it is, and the server lets only its token's holder publish there. How often and
until when it serves, the store decides, in the same step in which it notes the new appliance: a token that is played
again enrols nobody more.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from appliance.bus.claims import user_token
from appliance.bus.users import appliance_permissions, enrolment_permissions, new_user
from appliance.contract import EnrolmentAnswer, EnrolmentRequest, EnrolmentToken
from orchestrator.fleet.keys import FleetKeys
from orchestrator.fleet.roster import FleetRows, Invitation, Member

VALID_S = 900.0
"""How long an invitation serves."""
MOST_ENROLMENTS = 1000

_WHY = {
    "unknown": "the invitation is none of this fleet's; `keymuster fleet add` makes one",
    "expired": "the invitation has expired; `keymuster fleet add` makes a new one",
    "used up": "the invitation has been used as often as it may be; `keymuster fleet add` makes a new one",
    "taken": "an appliance of this name has enrolled; choose another name, or `keymuster fleet revoke` it first",
}

log = structlog.get_logger()


async def invite(rows: FleetRows, keys: FleetKeys, zone: str, enrolments: int, now: float) -> EnrolmentToken:
    """Raises StoreError; ValueError for a zone that cannot be one."""
    appliance_permissions(zone, "any")
    invitation = Invitation(secrets.token_hex(8), zone, enrolments, now + VALID_S)
    user = new_user()
    word = user_token(
        keys.signing,
        keys.account,
        user.public,
        name=f"invitation {invitation.id}",
        permissions=enrolment_permissions(invitation.id),
        now=now,
        expires_at=invitation.expires_at,
    )
    await rows.invite(invitation)
    return EnrolmentToken(
        id=invitation.id,
        zone=zone,
        url=keys.url,
        ca=keys.ca,
        seed=user.seed,
        user=word,
        expires_at=invitation.expires_at,
    )


@dataclass(frozen=True, slots=True)
class EnrolmentOffice:
    rows: FleetRows
    keys: FleetKeys
    clock: Callable[[], float]

    async def answer(self, request: EnrolmentRequest, invitation: str) -> EnrolmentAnswer:
        """Raises StoreError."""
        now = self.clock()
        known = await self.rows.invitation(invitation)
        if known is None:
            return EnrolmentAnswer(ok=False, text=_WHY["unknown"])
        member = Member(request.name, request.public, known.zone, request.release, invitation, now)
        if why := await self.rows.enrol(member, now):
            log.warning("enrolment refused", appliance=request.name, zone=known.zone, why=why)
            return EnrolmentAnswer(ok=False, text=_WHY[why])
        log.info("appliance enrolled", appliance=request.name, zone=known.zone)
        word = user_token(
            self.keys.signing,
            self.keys.account,
            request.public,
            name=request.name,
            permissions=appliance_permissions(known.zone, request.name),
            now=now,
        )
        return EnrolmentAnswer(ok=True, zone=known.zone, user=word)

"""Machines become appliances here: an invitation is made into a token, and a request that comes by it into a user.

The invitation's subject says which one it is, and the server lets only its token's holder publish there. How often and
until when it serves, the store decides, in the same step in which it notes the new appliance: a token that is played
again enrols nobody more.

Vault logins are sent here, too: sealed for each member, whenever one comes, one changes, or they would expire. So is
who is drained, which the store knows and a bus may forget.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import anyio

from appliance.bus import BusError, FleetBus
from appliance.bus.claims import user_token
from appliance.bus.users import appliance_permissions, enrolment_permissions, new_user
from appliance.contract import ZONE, EnrolmentAnswer, EnrolmentRequest, EnrolmentToken, ZoneOrders
from appliance.logs import get_logger
from orchestrator.fleet.keys import FleetKeys, decrypted
from orchestrator.fleet.roster import Drain, FleetRows, Invitation, Member, StoredLogin
from orchestrator.fleet.sealing import can_be_sealed_to, seal_logins, voice_public

VALID_S = 900.0
"""How long an invitation serves."""
MOST_ENROLMENTS = 1000
RESEND_S, RETRY_S = 600.0, 10.0

_WHY = {
    "unknown": "the invitation is none of this fleet's; `keymuster fleet add` makes one",
    "expired": "the invitation has expired; `keymuster fleet add` makes a new one",
    "used up": "the invitation has been used as often as it may be; `keymuster fleet add` makes a new one",
    "known": "this key has enrolled already, under another name or before it was revoked; enrol with a new file",
    "taken": "an appliance of this name has enrolled; choose another name, or `keymuster fleet revoke` it first",
}

log = get_logger()


async def invite(rows: FleetRows, keys: FleetKeys, zone: str, enrolments: int, now: float) -> EnrolmentToken:
    """Raises StoreError; ValueError for a zone that cannot be one."""
    if re.fullmatch(ZONE, zone) is None:
        raise ValueError(f"{zone!r} is no name of a zone; use up to 32 lower-case letters, digits, '-' and '_'")
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


async def put_orders(bus: FleetBus, zone: str, drains: Sequence[Drain]) -> bool:
    """Tell a zone's appliances which of them are drained; False where the bus did not take it."""
    own = [drain for drain in drains if drain.zone == zone]
    names = tuple(drain.appliance for drain in own if drain.appliance)
    try:
        await bus.put_orders(ZoneOrders(zone=zone, all=any(not drain.appliance for drain in own), appliances=names))
    except BusError as error:
        log.warning("orders not sent", zone=zone, error=str(error))
        return False
    return True


@dataclass(frozen=True, slots=True)
class FleetOffice:
    """`key`: what the keys and vault logins are encrypted under at rest."""

    rows: FleetRows
    keys: FleetKeys
    key: str = field(repr=False)
    bus: FleetBus
    clock: Callable[[], float]

    async def run(self) -> None:
        """Answer machines, and send all members their vault logins, again and again: they expire, and a bus may lose
        them. For ever. Raises StoreError, FleetError.
        """
        async with self.bus.enrolments(self.answer):
            while True:
                failed = [*await self.send_logins(), *await self.send_orders()]
                await anyio.sleep(RETRY_S if failed else RESEND_S)

    async def send_logins(self) -> list[str]:
        """To all members; those whose logins the bus did not take. Raises StoreError, FleetError."""
        while True:
            sent = await self.rows.logins()
            logins, now = self._opened(sent), self.clock()
            members = [member for member in await self.rows.members() if member.revoked_at is None]
            failed = [member.name for member in members if not await self._send(member, logins, now)]
            if await self.rows.logins() == sent:  # else somebody has changed one meanwhile, and sent it before us
                return failed

    async def send_orders(self) -> list[str]:
        """Who is drained, to each zone that has members; the zones whose orders the bus did not take. Raises
        StoreError.
        """
        while True:
            zones = {member.zone for member in await self.rows.members() if member.revoked_at is None}
            drains = await self.rows.drains()
            wanted = sorted(zones | {drain.zone for drain in drains})
            failed = [zone for zone in wanted if not await put_orders(self.bus, zone, drains)]
            if await self.rows.drains() == drains:  # else somebody has given an order meanwhile, and sent it before us
                return failed

    def _opened(self, logins: Sequence[StoredLogin]) -> list[dict[str, object]]:
        return [json.loads(decrypted(login.encrypted, self.key)) for login in logins]

    async def _send(self, member: Member, logins: Sequence[Mapping[str, object]], now: float) -> bool:
        sealed = seal_logins(logins, appliance=member.name, sealing=member.sealing, voice=self.keys.voice, now=now)
        try:
            await self.bus.put_logins(member.zone, member.name, sealed)
        except BusError as error:
            log.warning("vault logins not sent", appliance=member.name, error=str(error))
            return False
        return True

    async def answer(self, request: EnrolmentRequest, invitation: str) -> EnrolmentAnswer:
        """Raises StoreError."""
        now = self.clock()
        known = await self.rows.invitation(invitation)
        if known is None:
            return EnrolmentAnswer(ok=False, text=_WHY["unknown"])
        if not can_be_sealed_to(request.sealing):
            return EnrolmentAnswer(ok=False, text="the key that logins are to be sealed to is none; enrol again")
        member = Member(request.name, request.public, request.sealing, known.zone, request.release, invitation, now)
        if why := await self.rows.enrol(member, now):
            log.warning("enrolment refused", appliance=request.name, zone=known.zone, why=why)
            return EnrolmentAnswer(ok=False, text=_WHY[why])
        log.info("appliance enrolled", appliance=request.name, zone=known.zone)
        await self._send(member, self._opened(await self.rows.logins()), now)
        word = user_token(
            self.keys.signing,
            self.keys.account,
            request.public,
            name=request.name,
            permissions=appliance_permissions(known.zone, request.name),
            now=now,
        )
        return EnrolmentAnswer(ok=True, zone=known.zone, user=word, voice=voice_public(self.keys.voice))

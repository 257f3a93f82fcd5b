"""Appliances that have enrolled, invitations, the vault logins that they are sent, and which of them are drained."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, select, update
from sqlalchemy.exc import IntegrityError

from orchestrator.fleet.roster import Drain, Invitation, Member, StoredLogin
from orchestrator.store.database import Database
from orchestrator.store.schema import appliances, drains, invitations, vault_logins


class FleetTable:
    """Implements `FleetRows`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def invite(self, invitation: Invitation) -> None:
        of = invitation
        row = {"id": of.id, "zone": of.zone, "enrolments": of.enrolments, "used": of.used, "expires_at": of.expires_at}
        insert = self._database.insert(invitations)
        await self._database.write(lambda connection: connection.execute(insert, row))

    async def invitation(self, invitation: str) -> Invitation | None:
        return await self._database.read(lambda connection: _invitation(connection, invitation))

    async def enrol(self, member: Member, now: float) -> str:
        insert = self._database.insert(appliances)

        def step(connection: Connection) -> str:
            invitation = _invitation(connection, member.invitation, lock=True)
            if invitation is None:
                return "unknown"
            mine, same = _alike(connection, member)
            if mine:
                again = mine.name == member.name and mine.invitation == member.invitation and mine.revoked_at is None
                return "" if again else "known"
            if invitation.expires_at <= now:
                return "expired"
            if same:
                return "taken"
            used = (
                update(invitations)
                .where(invitations.c.id == invitation.id, invitations.c.used < invitations.c.enrolments)
                .values(used=invitations.c.used + 1)
            )
            if connection.execute(used).rowcount == 0:
                return "used up"
            connection.execute(insert, _row(member))
            return ""

        try:
            return await self._database.write(step)
        except IntegrityError:  # by another invitation, at the same moment
            return "taken"

    async def members(self) -> list[Member]:
        return await self._database.read(_members)

    async def revoke(self, name: str, at: float) -> list[Member]:
        def step(connection: Connection) -> list[Member]:
            alive = [m for m in _members(connection) if m.name == name and m.revoked_at is None]
            found, of = [m.public for m in alive], appliances.c
            void = update(invitations).where(invitations.c.id.in_([m.invitation for m in alive]))
            connection.execute(void.values(used=invitations.c.enrolments))
            connection.execute(update(appliances).where(of.name == name, of.revoked_at.is_(None)).values(revoked_at=at))
            return [m for m in _members(connection) if m.name == name and m.public in found]

        return await self._database.write(step)

    async def keep_login(self, login: StoredLogin) -> None:
        row = {"title": login.title, "encrypted": login.encrypted, "changed_at": login.changed_at}
        insert = self._database.insert(vault_logins)
        put = insert.on_conflict_do_update(
            index_elements=["title"],
            set_={"encrypted": insert.excluded.encrypted, "changed_at": insert.excluded.changed_at},
        )
        await self._database.write(lambda connection: connection.execute(put, row))

    async def drop_login(self, title: str) -> bool:
        query = delete(vault_logins).where(vault_logins.c.title == title)
        return await self._database.write(lambda connection: connection.execute(query).rowcount > 0)

    async def drain(self, drain: Drain) -> None:
        row = {"zone": drain.zone, "appliance": drain.appliance, "since": drain.since, "by": drain.by, "why": drain.why}
        put = self._database.insert(drains).on_conflict_do_nothing()
        await self._database.write(lambda connection: connection.execute(put, row))

    async def undrain(self, zone: str, appliance: str) -> bool:
        query = delete(drains).where(drains.c.zone == zone, drains.c.appliance == appliance)
        return await self._database.write(lambda connection: connection.execute(query).rowcount > 0)

    async def drains(self) -> list[Drain]:
        query = select(drains).order_by(drains.c.zone, drains.c.appliance)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [Drain(row.zone, row.appliance, row.since, row.by, row.why) for row in rows]

    async def logins(self) -> list[StoredLogin]:
        query = select(vault_logins).order_by(vault_logins.c.title)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [StoredLogin(row.title, row.encrypted, row.changed_at) for row in rows]


def _alike(connection: Connection, member: Member) -> tuple[Member | None, Member | None]:
    """Who has its key, and who bears its name now."""
    members = _members(connection)
    mine = next((m for m in members if m.public == member.public), None)
    return mine, next((m for m in members if m.name == member.name and m.revoked_at is None), None)


def _invitation(connection: Connection, invitation: str, *, lock: bool = False) -> Invitation | None:
    query = select(invitations).where(invitations.c.id == invitation)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else Invitation(row.id, row.zone, row.enrolments, row.expires_at, row.used)


def _members(connection: Connection) -> list[Member]:
    query = select(appliances).order_by(appliances.c.name, appliances.c.enrolled_at)
    return [_member(row) for row in connection.execute(query)]


def _member(row: Row[Any]) -> Member:
    return Member(
        row.name, row.public, row.sealing, row.zone, row.release, row.invitation, row.enrolled_at, row.revoked_at
    )


def _row(member: Member) -> dict[str, Any]:
    return {
        "name": member.name,
        "public": member.public,
        "sealing": member.sealing,
        "zone": member.zone,
        "release": member.release,
        "invitation": member.invitation,
        "enrolled_at": member.enrolled_at,
        "revoked_at": member.revoked_at,
    }

"""SSH host keys: the first one seen of a host, port and algorithm is the known one until it is forgotten.

A second key of the same algorithm is never added: it would make a changed key a known one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, select

from orchestrator.store.database import Database, portions
from orchestrator.store.records import SeenKey
from orchestrator.store.schema import host_keys


class HostKeys:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, addresses: Iterable[str]) -> dict[str, list[str]]:
        """The known keys of those addresses that have any, as OpenSSH public key lines."""

        def look(connection: Connection) -> dict[str, list[str]]:
            found: dict[str, list[str]] = defaultdict(list)
            for some in portions(list(addresses)):
                query = select(host_keys.c.address, host_keys.c.key).where(host_keys.c.address.in_(some))
                for address, key in connection.execute(query.order_by(*host_keys.primary_key.columns)):
                    found[address].append(key)
            return dict(found)

        return await self._database.read(look)

    async def learn(self, keys: Sequence[SeenKey]) -> None:
        """Note keys of hosts that had none of that algorithm on that port; the others stay as they are."""
        if not keys:
            return
        values = [
            {"address": address, "port": port, "algorithm": key.split(" ", 1)[0], "key": key, "run": run}
            for address, port, key, run in keys
        ]
        query = self._database.insert(host_keys).on_conflict_do_nothing()
        await self._database.write(lambda connection: connection.execute(query, values))

    async def pin(self, keys: Sequence[SeenKey]) -> None:
        """Note keys that somebody vouches for: they take the place of those that were seen."""
        if not keys:
            return
        values = [
            {"address": address, "port": port, "algorithm": key.split(" ", 1)[0], "key": key, "run": run}
            for address, port, key, run in keys
        ]
        insert = self._database.insert(host_keys)
        own = [column.name for column in host_keys.primary_key.columns]
        changed = {"key": insert.excluded.key, "run": insert.excluded.run}
        query = insert.on_conflict_do_update(index_elements=own, set_=changed)
        await self._database.write(lambda connection: connection.execute(query, values))

    async def forget(self, address: str) -> int:
        """Forget every key of a host, after a rebuild; how many there were."""
        query = delete(host_keys).where(host_keys.c.address == address)
        return await self._database.write(lambda connection: connection.execute(query).rowcount)

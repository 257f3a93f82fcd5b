"""The grantors of a supervisor: one per vault login, made when it is first used.

What goes wrong here in a way that nobody expected costs one answer, never the supervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus

from appliance.contract import Failure
from appliance.questions import VaultAnswer, VaultQuery
from appliance.vault.definition import VaultLogin
from appliance.vault.tokens import Token
from appliance.vault.unforeseen import unforeseen

if TYPE_CHECKING:
    from appliance.vault.grantor import Grantor


@dataclass(frozen=True, slots=True)
class GrantorState:
    refused: bool = False
    """The vault has refused the login, which is not sent again."""
    away: bool = False
    """The vault is left alone, or in doubt."""


class Grantors:
    """One grantor per vault login, shared by every run and scan process that uses it."""

    def __init__(self, owner: TaskGroup) -> None:
        self._owner = owner
        self._grantors: list[tuple[VaultLogin, Grantor]] = []
        self._opening = anyio.Lock()

    async def token(self, login: VaultLogin, stale: int | None) -> Token | Failure:
        """As of the login's grantor."""
        try:
            return await (await self._grantor(login)).token(stale)
        except Exception as error:  # noqa: BLE001 - the boundary
            return unforeseen(error, "token", login.access.title)

    async def answer(self, login: VaultLogin, query: VaultQuery) -> VaultAnswer:
        """As of the login's grantor."""
        try:
            return await (await self._grantor(login)).answer(query)
        except Exception as error:  # noqa: BLE001 - the boundary
            failure = unforeseen(error, query.kind, login.access.title)
            return VaultAnswer(ok=False, reason=failure.signal.name, text=failure.text)

    async def _grantor(self, login: VaultLogin) -> Grantor:
        async with self._opening:
            for known, grantor in self._grantors:
                if known == login:
                    return grantor
            name = f"vault {login.access.title}"
            opened: Grantor = await self._owner.start(self._hold, login, name=name)
            self._grantors.append((login, opened))
            return opened

    def states(self) -> Mapping[str, GrantorState]:
        found: dict[str, GrantorState] = {}
        for login, grantor in self._grantors:
            state, before = grantor.state, found.get(login.access.title, GrantorState())
            found[login.access.title] = GrantorState(before.refused or state.refused, before.away or state.away)
        return found

    @staticmethod
    async def _hold(login: VaultLogin, *, task_status: TaskStatus[Grantor]) -> None:
        open_grantor = await anyio.to_thread.run_sync(_load)
        async with open_grantor(login) as grantor:
            task_status.started(grantor)
            await anyio.sleep_forever()


def _load() -> Callable[[VaultLogin], AbstractAsyncContextManager[Grantor]]:
    """In a thread: the vault's client takes a tenth of a second to load. The first question to a vault is asked before
    anything of a run goes out; whoever stands by for another appliance asks none.
    """
    from appliance.vault.grantor import open_grantor  # noqa: PLC0415

    return open_grantor

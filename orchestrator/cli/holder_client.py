"""The second command line's side of `control`: what it asks of whoever has a run, or the state directory, in hand."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from appliance.bus import BusError
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from appliance.reasons import Status
from orchestrator.approval_watch import Unapproved
from orchestrator.cli.asking import at_once
from orchestrator.cli.errors import BadInput, CommandError, Incomplete, NothingToDo, Unreachable
from orchestrator.cli.given import Given
from orchestrator.cli.sealing import seal
from orchestrator.run_plan import Progress
from orchestrator.stops import Selector, Stop
from orchestrator.vault_watch import Away

if TYPE_CHECKING:  # an order to a run loads nothing of what makes one
    from appliance.bus.control import ControlClient
    from orchestrator.assembly import Selection
    from orchestrator.campaign_model import Campaign
    from orchestrator.cli.appliance_child import Login
    from orchestrator.state_dir import HolderInfo

KEY_S = 10.0
"""A holder that is alive gives its key, and says how far a run is, at once: one that does not is stopped, or hangs, or
has ended with the last of its runs.
"""
ALIVE_S = 3.0
ANSWER_S = 120.0
"""A submission is answered when the vaults have been checked."""
ORDER_S = 15.0
"""An order is a write to the store, which may wait for a busy disk."""
GONE_S = 30.0
"""A holder that says nothing of a run's progress for so long has ended."""
TAKEN_OVER_S = 9.0
"""The same on the user's bus, where another orchestrator may have the run by then: `leases.LOST_S`, whose module loads
the store.
"""
POLL_S = 0.5
PORTION = 200
"""Queries in one message to the holder, but for audits: one page of rows may fill a good part of a message."""


_ERRORS = {e.code: e for e in (BadInput, Unreachable, Incomplete, NothingToDo)}


class UnansweredError(Unreachable):
    """The holder has not answered: it may have done what it was asked, or be at it."""


class Client:
    """The second command line's side."""

    def __init__(self, control: ControlClient, holder: HolderInfo) -> None:
        self._control = control
        self._holder = holder

    async def submit(
        self,
        run: str,
        campaign: Campaign,
        logins: tuple[Login, ...],
        selection: Selection,
        parent: str | None = None,
        priority: int | None = None,
    ) -> str:
        """The id of the run that the holder has begun; `run` was drawn for it (an older release draws another). Raises
        the CommandError that the holder answered, or UnansweredError.
        """
        what = {"run": run, "selection": selection.data(), "parent": parent, "priority": priority}
        message = {**await self._sealed(campaign, logins), **what}
        return str((await self._ask("submit", message))["run"])

    async def resume(self, run: str, given: Given, campaign: Campaign, logins: tuple[Login, ...]) -> str:
        message = {**await self._sealed(campaign, logins), "run": run, "given": given.data()}
        return str((await self._ask("resume", message))["run"])

    async def prefer(self, run: str, priority: int) -> None:
        await self._ask("priority", {"run": run, "priority": priority}, ORDER_S)

    async def order(self, run: str, given: Given) -> str | None:
        """How the run stands now; None where it is not in the holder's hands. Raises the CommandError answered."""
        answer = await self._ask("order", {"run": run, "given": given.data()})
        return str(answer["state"]) if answer["open"] else None

    async def alive(self) -> None:
        """Raises Unreachable where it does not answer."""
        await self._ask("key", {}, ALIVE_S)

    async def vault(self, campaign: Campaign, logins: tuple[Login, ...], title: str, secret: str) -> VaultAnswer:
        answer = await self._ask("vault", {**await self._sealed(campaign, logins), "title": title, "secret": secret})
        return VaultAnswer.model_validate(answer["answer"])

    async def put(
        self, campaign: Campaign, logins: tuple[Login, ...], queries: Sequence[VaultQuery]
    ) -> Sequence[VaultAnswer]:
        """Have these queries put to vaults, in messages whose answers the bus can carry."""

        async def some(portion: Sequence[VaultQuery]) -> list[VaultAnswer]:
            listed = [query.model_dump(mode="json") for query in portion]
            answer = await self._ask("put", {**await self._sealed(campaign, logins), "queries": listed})
            return [VaultAnswer.model_validate(one) for one in answer["answers"]]

        async def one(query: VaultQuery) -> VaultAnswer:
            return (await some([query]))[0]

        if any(query.kind is VaultQueryKind.AUDIT for query in queries):
            return await at_once(queries, one)
        answers: list[VaultAnswer] = []
        for begin in range(0, len(queries), PORTION):
            answers += await some(queries[begin : begin + PORTION])
        return answers

    async def progress(self, run: str) -> Progress | None:
        """How far the run is; None once it has ended, and the holder perhaps with it (the store says how)."""
        try:
            answer = await self._ask("progress", {"run": run}, TAKEN_OVER_S if self._holder.orchestrator else GONE_S)
        except Unreachable:
            return None
        if not answer["open"]:
            return None
        by = {Status(status): number for status, number in answer.get("by_status", {}).items()}
        away = tuple(Away(**vault) for vault in answer.get("away", ()))
        unapproved = tuple(Unapproved(**secret) for secret in answer.get("unapproved", ()))
        note = answer.get("note", "")
        return Progress(answer.get("planned", 0), answer.get("in_flight", 0), by, away, unapproved, note)

    async def stop(self, run: str) -> None:
        await self._ask("stop", {"run": run}, ORDER_S)

    async def forbid(self, stop: Stop) -> tuple[Stop, int]:
        """The stop that stands now, in force and durable, and how many runs of the holder it meets."""
        answer = await self._ask("forbid", {"stop": stop.data()}, ORDER_S)
        return Stop.of(answer["stop"]), int(answer["runs"])

    async def allow(self, selector: Selector | None) -> Sequence[Stop]:
        """What was lifted."""
        wanted = None if selector is None else selector.data()
        answer = await self._ask("allow", {"selector": wanted}, ORDER_S)
        return [Stop.of(stop) for stop in answer["lifted"]]

    async def kept_in(self) -> str | None:
        """Where the holder keeps its runs, as `Home.kept_in`; None: an older release, which does not say."""
        told = (await self._introduced()).get("store")
        return None if told is None else str(told)

    async def _introduced(self) -> Mapping[str, Any]:
        try:
            return await self._ask("key", {}, KEY_S)
        except Unreachable as error:
            raise Unreachable(
                f"{error}; let {self._holder.who} go on, end it, or name another directory with --state"
            ) from None

    async def _sealed(self, campaign: Campaign, logins: tuple[Login, ...]) -> dict[str, Any]:
        public = b64decode((await self._introduced())["key"])
        return {
            "campaign": campaign.snapshot(),
            "logins": b64encode(seal(logins, campaign.name, public)).decode(),
        }

    async def _ask(self, verb: str, message: Mapping[str, Any], wait: float = ANSWER_S) -> Mapping[str, Any]:
        try:
            answer = json.loads(await self._control.ask(verb, json.dumps(message).encode(), wait))
        except BusError as error:
            raise UnansweredError(str(error)) from None
        if "error" in answer:
            raise _ERRORS.get(answer["code"], CommandError)(answer["error"])
        return dict(answer)

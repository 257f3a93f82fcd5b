"""Questions to vaults, put by an appliance: through an engine of our own, or through the holder of the state directory.

The question that a query belongs to (`VaultQuery.run`) is made and ended here; who asks leaves it empty.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from appliance.questions import VaultAnswer, VaultQuery
from orchestrator.cli.errors import CommandError

if TYPE_CHECKING:
    from orchestrator.audit.pulling import Put
    from orchestrator.campaign_model import Campaign
    from orchestrator.cli.appliance_child import Login
    from orchestrator.cli.engine import Engine

AT_ONCE = 16
"""Questions on the bus at once; the vault's own limit on requests is the appliance's."""


@asynccontextmanager
async def put_by(engine: Engine, campaign: Campaign, logins: tuple[Login, ...]) -> AsyncIterator[Put]:
    """An engine's appliance as the one that asks. Raises Incomplete, Unreachable when it cannot."""
    question = f"look-{secrets.token_hex(4)}"
    await engine.admit(question, campaign, logins)
    try:
        vaults = {} if engine.stand_in else await to_thread.run_sync(vaults_of_campaign, campaign)
        await engine.check_vaults(question, campaign, vaults)

        async def ask(query: VaultQuery) -> VaultAnswer:
            return await engine.ask_vault(
                query.model_copy(update={"run": question}), engine.zone_to_ask(query.vault, vaults)
            )

        async def put(queries: Sequence[VaultQuery]) -> Sequence[VaultAnswer]:
            return await at_once(queries, ask)

        yield put
    finally:
        if engine.appliance is not None:
            with anyio.CancelScope(shield=True):
                await engine.appliance.dismiss(question)


def vaults_of_campaign(campaign: Campaign) -> Mapping[str, Sequence[str]]:
    """By zone, the titles of the campaign's vaults that its targets there may need; those that no target needs are of
    its own zone. Takes a while for a campaign with zones and many records.
    """
    titles = tuple(vault.title for vault in campaign.vaults)
    needed: dict[str, list[str]] = {}
    if campaign.zones:
        from orchestrator.assembly import Selection, prepare, zoning  # noqa: PLC0415 - most who ask have no zones
        from orchestrator.plan import NothingSelected  # noqa: PLC0415
        from orchestrator.zone_vaults import vaults_by_zone  # noqa: PLC0415

        prepared = prepare(campaign, Selection(), run="", seed=0, now=0.0)
        if not isinstance(prepared, NothingSelected):
            found = vaults_by_zone(prepared.plan, campaign, zoning(prepared))
            # Records may name vaults that a command has left out.
            needed = {zone: some for zone, named in found.items() if (some := [one for one in named if one in titles])}
    if spare := [one for one in titles if not any(one in some for some in needed.values())]:
        home = campaign.pace.zone if campaign.pace.zone in needed or not needed else next(iter(needed))
        needed[home] = [*needed.get(home, ()), *spare]
    return needed


async def at_once(
    queries: Sequence[VaultQuery], ask: Callable[[VaultQuery], Awaitable[VaultAnswer]]
) -> Sequence[VaultAnswer]:
    """The answers in the order of the queries, AT_ONCE of them in the making. The first CommandError ends it."""
    answers: dict[int, VaultAnswer] = {}
    failures: list[CommandError] = []
    limit = anyio.CapacityLimiter(AT_ONCE)

    async with anyio.create_task_group() as tasks:

        async def one(number: int, query: VaultQuery) -> None:
            async with limit:
                try:
                    answers[number] = await ask(query)
                except CommandError as error:
                    failures.append(error)  # by itself: a group of errors is no answer that the holder can give
                    tasks.cancel_scope.cancel()

        for number, query in enumerate(queries):
            tasks.start_soon(one, number, query, name=f"ask the vault: {query.kind}")
    if failures:
        raise failures[0]
    return [answers[number] for number in range(len(queries))]

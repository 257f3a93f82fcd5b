"""Who asks a vault for a command: an appliance of this process's own engine, or one of the holder's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from appliance.questions import VaultAnswer, VaultQuery
from orchestrator.audit.pulling import Put
from orchestrator.campaign_model import Campaign
from orchestrator.cli.acquiring import acquire
from orchestrator.cli.arguments import Where
from orchestrator.cli.asking import put_by
from orchestrator.cli.holder_client import Client
from orchestrator.cli.holding import engine_of, logins
from orchestrator.cli.reaching import reach
from orchestrator.state_dir import HolderInfo


@asynccontextmanager
async def asker(where: Where, campaign: Campaign) -> AsyncIterator[Put]:
    """Every vault of the campaign answers and takes its login by then, as far as its zones have appliances. Raises
    Unreachable, Incomplete, BadInput.
    """
    held = await acquire(where)
    if isinstance(held, HolderInfo):
        async with await reach(held, where) as control:
            client, brought = Client(control, held), logins(where, campaign)

            async def put(queries: Sequence[VaultQuery]) -> Sequence[VaultAnswer]:
                return await client.put(campaign, brought, queries)

            yield put
        return
    with held:
        brought = logins(where, campaign)
        async with engine_of(held, where, campaign) as engine, put_by(engine, campaign, brought) as asked:
            yield asked

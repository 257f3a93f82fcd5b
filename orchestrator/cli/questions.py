"""`plan`, with or without `--capacity`, and `vault test`: commands that only ask."""

from __future__ import annotations

from orchestrator.campaign_model import Campaign
from orchestrator.cli.acquiring import acquire
from orchestrator.cli.arguments import Sizing, Where
from orchestrator.cli.asker import asker
from orchestrator.cli.errors import Exit, NothingToDo
from orchestrator.cli.holder_client import Client
from orchestrator.cli.holding import engine_of, logins
from orchestrator.cli.output import written_to
from orchestrator.cli.planning import write_plan
from orchestrator.cli.reaching import reach
from orchestrator.cli.sizing import costs_in, size
from orchestrator.cli.vault_check import SecretCheck, check_secrets
from orchestrator.cli.vaults import ask, document, known_vault, told
from orchestrator.plan import NothingSelected, Plan, build_plan
from orchestrator.records import RecordBook
from orchestrator.report.documents import dumps
from orchestrator.state_dir import HolderInfo


async def plan(where: Where, campaign: Campaign, limit: int, check_vault: bool, json: bool) -> Exit:
    """With `check_vault` the vault is asked for every secret too; exit 1 when one cannot be read, unless it waits for
    an approval that a run asks for.
    """
    built = _planned(campaign)
    costs = await costs_in(where.home, campaign.name)
    checks = await _looked_at(where, campaign, built) if check_vault else None
    with written_to(None) as out:
        write_plan(built, campaign, limit, costs, checks, out, json=json)
    return Exit.OK if checks is None or not any(check.fault for check in checks) else Exit.GATE_FAILED


async def capacity(where: Where, campaign: Campaign, asked: Sizing, json: bool) -> Exit:
    return await size(where.home, campaign, _planned(campaign), asked, json=json)


def _planned(campaign: Campaign) -> Plan:
    book = RecordBook(campaign.records, campaign.vaults)
    built = build_plan(campaign, book, run="plan", seed=0)
    if isinstance(built, NothingSelected):
        raise NothingToDo(built.text)
    return built


async def _looked_at(where: Where, campaign: Campaign, built: Plan) -> list[SecretCheck]:
    async with asker(where, campaign) as put:
        return await check_secrets(built, campaign, put)


async def vault_test(where: Where, campaign: Campaign, title: str, secret: str, json: bool) -> Exit:
    known_vault(campaign, title)
    held = await acquire(where)
    if isinstance(held, HolderInfo):
        async with await reach(held, where) as control:
            answer = await Client(control, held).vault(campaign, logins(where, campaign), title, secret)
    else:
        with held:
            brought = logins(where, campaign)
            async with engine_of(held, where, campaign) as engine:
                answer = await ask(engine, campaign, brought, title, secret)
    with written_to(None) as out:
        print(dumps(document(title, secret, answer)) if json else told(title, answer), file=out)
    return Exit.OK if answer.ok else Exit.VAULT

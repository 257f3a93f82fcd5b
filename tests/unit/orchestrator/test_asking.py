"""Many questions at once: answers in their order, and one failure by itself."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from orchestrator.cli.asking import AT_ONCE, at_once
from orchestrator.cli.errors import Unreachable

QUERIES = [VaultQuery(run="r", kind=VaultQueryKind.AUDIT, vault="V", skip=n) for n in range(3 * AT_ONCE)]


async def test_answers_come_in_the_order_of_the_questions_and_not_all_are_asked_at_once() -> None:
    asking = most = 0

    async def ask(query: VaultQuery) -> VaultAnswer:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        for _ in range(len(QUERIES) - query.skip):
            await anyio.lowlevel.checkpoint()
        asking -= 1
        return VaultAnswer(ok=True, text=str(query.skip))

    answers = await at_once(QUERIES, ask)
    assert [answer.text for answer in answers] == [str(query.skip) for query in QUERIES]
    assert most == AT_ONCE


async def test_a_failure_ends_the_others_and_is_no_group() -> None:
    """The holder of a state directory answers with it; a group would end the holder, and its runs."""

    async def ask(query: VaultQuery) -> VaultAnswer:
        if query.skip == 2:
            raise Unreachable("no appliance")
        await anyio.sleep_forever()
        raise AssertionError

    with pytest.raises(Unreachable, match="no appliance"):
        await at_once(QUERIES, ask)

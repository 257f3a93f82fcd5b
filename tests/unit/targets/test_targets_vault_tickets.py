"""Secrets that want a ticket: which numbers are taken, by REST and by SOAP, and that the audit holds them."""

from __future__ import annotations

from typing import Any

import pytest

from targets.secret_server.gate import Ask, refused_words
from targets.secret_server.refusal import Why
from targets.spec import EstateError, parse
from tests.unit.targets.targets_lab import Vault, vault

ESTATE = """
[vault]
comment_interval = 0
[[secrets]]
name = "ticketed"
security = { ticket = 'CHG-[0-9]{4}', ticket_system = 3 }
[[secrets]]
name = "both"
security = { ticket = 'CHG-[0-9]{4}', checkout = true }
"""
GOOD = {"comment": "why", "ticketNumber": "CHG-4711", "ticketSystemId": 3}


async def refused(v: Vault, what: str, **body: Any) -> str:
    status, answer = await v.post(f"v1/{what}", **body)
    assert status in (200, 400)
    return "" if status == 200 else str(answer["message"])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "The requested Secret requires a comment when viewed."),
        ({"comment": "why"}, "The requested Secret requires a ticket number when viewed."),
        ({**GOOD, "ticketNumber": "CHG-47111"}, "The ticket number is not valid."),
        ({**GOOD, "ticketSystemId": 4}, "The ticket number is not valid."),
        ({**GOOD, "ticketSystemId": None}, "The ticket number is not valid."),
        (GOOD, ""),
    ],
)
async def test_a_view_needs_a_ticket_that_is_taken(body: dict[str, Any], says: str) -> None:
    async with vault(ESTATE) as v:
        await v.login()
        where = v.id("ticketed")
        assert await refused(v, f"secrets/{where}/restricted", **body) == says
        state = (await v.ask(f"v1/secrets/{where}/state"))[1]["secretState"]
        assert state == "RequiresComment"
        rows = (await v.ask(f"v1/secrets/{where}/audits"))[1]["records"]
        assert [row["ticketNumber"] for row in rows] == ([] if says else ["CHG-4711"])


async def test_a_comment_ahead_of_a_check_out_needs_it_too() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        where = v.id("both")
        ahead = f"secret-access-requests/secrets/{where}/view-comment"
        assert await refused(v, ahead, comment="why") == "The requested Secret requires a ticket number when viewed."
        assert await refused(v, ahead, **GOOD) == ""
        assert await refused(v, f"secrets/{where}/check-out", **GOOD) == ""
        assert await refused(v, f"secrets/{where}/check-in", **GOOD) == ""
        rows = (await v.ask(f"v1/secrets/{where}/audits"))[1]["records"]
        assert {row["ticketNumber"] for row in rows} == {"CHG-4711"}


async def test_soap_takes_it_as_the_additional_comment() -> None:
    async with vault(ESTATE) as v:
        secret = v.world.vault.named("ticketed")
        assert (wrong := refused_words(secret, Ask(comment="why"))) is not None
        assert wrong.why is Why.TICKET_REQUIRED
        assert refused_words(secret, Ask(comment="why", ticket="CHG-0001", ticket_system=3)) is None


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(EstateError, match="is no pattern"):
        parse("[[secrets]]\nname = 'x'\nsecurity = { ticket = '(' }\n")

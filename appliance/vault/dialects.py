"""The two dialects by name, and which of them a vault speaks."""

from __future__ import annotations

from appliance.contract import Failure
from appliance.vault.definition import Api
from appliance.vault.dialect import Dialect
from appliance.vault.exchange import Exchange
from appliance.vault.failures import bad_response
from appliance.vault.messages import Answer
from appliance.vault.rest_dialect import RestDialect
from appliance.vault.soap_dialect import SoapDialect
from appliance.vault.trip import Trip

_ALL: tuple[Dialect, ...] = (RestDialect(), SoapDialect())
"""In the order in which a vault is tried: REST tells more of a secret before it is viewed."""


def of(api: Api) -> Dialect:
    return next(dialect for dialect in _ALL if dialect.api == api)


async def detect(exchange: Exchange, trip: Trip) -> Dialect | Failure:
    """The first that the vault answers in, by a question without a password.

    Fails with what keeps the vault from answering, or with VAULT_BAD_RESPONSE where it answers in neither.
    """
    answer = Answer(0)
    for dialect in _ALL:
        reply = await exchange.send(dialect.health(), trip)
        if isinstance(reply, Failure):
            return reply
        answer = reply
        if (ill := dialect.ill(answer)) is not None:
            return ill
        if dialect.is_spoken(answer):
            return dialect
    return bad_response(answer, "Secret Server by REST or SOAP")

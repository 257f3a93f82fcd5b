"""What is told of an exception that nobody expected where a vault was asked."""

from __future__ import annotations

from appliance.contract import Failure, Phase
from appliance.logs import get_logger
from appliance.unforeseen import told_of

log = get_logger()


def unforeseen(error: Exception, asked: str, vault: str) -> Failure:
    """`asked`: what for."""
    signal, text = told_of(error)
    log.error("vault not asked", asked=asked, vault=vault, reason=signal.name, text=text)
    return Failure(Phase.VAULT, signal, text)

"""Where an arrival's time can go: our own stages around an attempt, and the attempt's phases; who each belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from appliance.contract import Phase


class Party(StrEnum):
    """Who may be what holds a load test back."""

    DISPATCH = "dispatch"
    BUS = "bus"
    APPLIANCE = "appliance"
    PERMITS = "permits"
    VAULT = "vault"
    HOST = "host"


WAIT, DEFERRED, BUS, REPORT = "wait", "deferred", "bus", "report"
"""Due and not sent yet; between an attempt that was put off and the last one; sent and not begun (in the stream, where
it lies as long as no slot is free); ended and not heard of yet.
"""

PARTIES: Mapping[str, Party] = {
    WAIT: Party.DISPATCH,
    DEFERRED: Party.DISPATCH,
    BUS: Party.BUS,
    Phase.LEASE: Party.APPLIANCE,
    Phase.JUMP: Party.HOST,
    Phase.DNS: Party.HOST,
    Phase.TCP: Party.HOST,
    Phase.NEGOTIATE: Party.HOST,
    Phase.KEX: Party.HOST,
    Phase.KDC: Party.HOST,
    Phase.PERMIT: Party.PERMITS,
    Phase.VAULT: Party.VAULT,
    Phase.AUTH: Party.HOST,
    Phase.PRIVILEGE: Party.HOST,
    Phase.LOGOFF: Party.HOST,
    REPORT: Party.BUS,
}
"""Every stage, in order."""

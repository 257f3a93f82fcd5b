"""A Kerberos ticket in place of an answer to NTLM's challenge: given to the host, and what the host makes of it.

The directory has taken the password by then. So no refusal here says anything of it: not even the status that a wrong
password has with NTLM.
"""

from __future__ import annotations

from appliance.contract import Failure, Phase, named
from appliance.login.kerberos_messages import KerberosProtocolError, Refusal, Ticket, ap_request, read_ap_reply
from appliance.login.smb_session import STATUS_MORE_PROCESSING_REQUIRED, SmbSession, UnprovenSessionError, Verdict

_NO_WORD_ON_THE_PASSWORD = frozenset((
    STATUS_MORE_PROCESSING_REQUIRED,  # it wants another mechanism
    0xC000000D,  # INVALID_PARAMETER
    0xC0000064,  # NO_SUCH_USER
    0xC000006A,  # WRONG_PASSWORD
    0xC000006D,  # LOGON_FAILURE: most hosts, for a ticket that was made for another key than theirs
    0xC00000BB,  # NOT_SUPPORTED
))  # fmt: skip
_CLOCK = (32, 33, 34, 37)
"""Kerberos errors of a host whose clock differs: expired, not yet valid, seen before, skew."""


class UnprovenHostError(Exception):
    """The host has taken the ticket, and could not show that it had read it."""


def present(session: SmbSession, ticket: Ticket, now: float) -> Verdict:
    """Blocks: run it through the bridge. Raises UnprovenHostError."""

    def proof(token: bytes) -> bytes:
        try:
            key = read_ap_reply(token, ticket, now)
        except KerberosProtocolError as error:
            raise UnprovenHostError(str(error)) from None
        if isinstance(key, Refusal):
            raise UnprovenHostError(f"it answers with Kerberos error {key.code}")
        return key

    try:
        return session.present(ap_request(ticket, now), proof)
    except UnprovenSessionError as error:
        raise UnprovenHostError(str(error)) from None


def refusal(verdict: Verdict, ticket: Ticket, now: float) -> Failure | None:
    """Why the host refuses the ticket, where that is another reason than its status has with NTLM."""
    if verdict.status not in _NO_WORD_ON_THE_PASSWORD:
        return None
    status = f"0x{verdict.status & 0xFFFFFFFF:08x}"
    said = _said(verdict.token, ticket, now)
    if said is None:
        return Failure(Phase.AUTH, named("KRB_TICKET_REFUSED"), status)
    reason = "CLOCK_SKEW" if said.code in _CLOCK else "KRB_TICKET_REFUSED"
    return Failure(Phase.AUTH, named(reason), f"{status}, Kerberos error {said.code}")


def _said(token: bytes, ticket: Ticket, now: float) -> Refusal | None:
    try:
        said = read_ap_reply(token, ticket, now) if token else None
    except KerberosProtocolError:
        return None
    return said if isinstance(said, Refusal) else None

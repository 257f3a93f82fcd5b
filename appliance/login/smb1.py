"""Is a host that hangs up on SMB 2 one that speaks SMB 1 only? Asked with one old negotiation, never with a login."""

from __future__ import annotations

import struct

from appliance.contract import Failure
from appliance.login.bridge import NotSmbError, Smb1Error, open_session
from appliance.login.dial import Sources, dial
from appliance.phases import PhaseLedger

_NEGOTIATE = 0x72
_FLAGS2_UNICODE_STATUS = 0xC001
_DIALECT = b"\x02NT LM 0.12\x00"

_HEADER = struct.pack("<4sBLBH12sHHHH", b"\xffSMB", _NEGOTIATE, 0, 0x18, _FLAGS2_UNICODE_STATUS, b"", 0xFFFF, 0, 0, 0)
REQUEST = _HEADER + struct.pack("<BH", 0, len(_DIALECT)) + _DIALECT
"""SMB_COM_NEGOTIATE with the one dialect `NT LM 0.12` (MS-CIFS 2.2.4.52)."""


async def answers_smb1(address: str, port: int, source: str, ledger: PhaseLedger) -> bool:
    """Dial once more, from the same source address, and offer SMB 1. The time is booked under the ledger's phase."""
    phase = ledger.current
    sock = await dial(address, port, ledger, sources=Sources(source, source))
    ledger.enter(phase)
    if isinstance(sock, Failure):
        return False
    session = await open_session(sock)
    try:
        session.send_packet(REQUEST)
        await session.receive()
    except Smb1Error:
        return True
    except (NotSmbError, OSError, EOFError):
        return False
    finally:
        await session.abandon()
    return False

"""NTLM's challenge and last message: whom the one names, and how the other is put together (MS-NLMP 2.2).

impacket answers a challenge only where it names the host in DNS. Storage boxes and printers leave that out, or say
nothing of themselves at all, and take an answer that does the same (MS-NLMP 3.3.2).
"""

from __future__ import annotations

import hmac
import os
import struct
import time
from itertools import accumulate, chain

from impacket import ntlm

from appliance.contract import peer_text

_SIGNATURE = b"NTLMSSP\0"
_TYPE3 = struct.Struct("<8sI" + "HHI" * 6 + "I")
_NEGOTIABLE = (
    ntlm.NTLMSSP_NEGOTIATE_EXTENDED_SESSIONSECURITY
    | ntlm.NTLMSSP_NEGOTIATE_128
    | ntlm.NTLMSSP_NEGOTIATE_KEY_EXCH
    | ntlm.NTLMSSP_NEGOTIATE_SEAL
    | ntlm.NTLMSSP_NEGOTIATE_SIGN
    | ntlm.NTLMSSP_NEGOTIATE_ALWAYS_SIGN
)
_EPOCH = 116444736000000000
"""1970 as a FILETIME."""
_HEAD = b"\x01\x01" + bytes(6)

_NAMES = {
    "netbios_host": ntlm.NTLMSSP_AV_HOSTNAME,
    "netbios_domain": ntlm.NTLMSSP_AV_DOMAINNAME,
    "dns_host": ntlm.NTLMSSP_AV_DNS_HOSTNAME,
    "dns_domain": ntlm.NTLMSSP_AV_DNS_DOMAINNAME,
}

Response = tuple[bytes, bytes, bytes]
"""NT, LM and the session's base key."""


def names_host(info: bytes) -> bool:
    """Does a challenge's target information name the host in DNS? Raises struct.error where it is cut off."""
    return bool(info) and ntlm.NTLMSSP_AV_DNS_HOSTNAME in ntlm.AV_PAIRS(info)


def names(target_info: bytes) -> dict[str, str]:
    """The names of the server in its challenge (MS-NLMP 2.2.2.1), safe to print."""
    found: dict[str, str] = {}
    if target_info:
        pairs = ntlm.AV_PAIRS(target_info)
        for name, kind in _NAMES.items():
            if pairs[kind] is not None:
                found[name] = peer_text(pairs[kind][1].decode("utf-16le", "replace"))
    return found


def nameless_response(nonce: bytes, info: bytes, user: str, nt_hash: bytes, domain: str) -> Response:
    """3.3.2, as impacket makes it of what there is, without saying which service of which host is meant."""
    pairs, mine = ntlm.AV_PAIRS(info or None), os.urandom(8)
    if pairs[ntlm.NTLMSSP_AV_TIME] is None:
        pairs[ntlm.NTLMSSP_AV_TIME] = struct.pack("<Q", _EPOCH + int(time.time()) * 10**7)
    now = pairs[ntlm.NTLMSSP_AV_TIME][1]
    key = ntlm.NTOWFv2(user, "", domain, nt_hash)
    said = _HEAD + now + mine + bytes(4) + pairs.getData()
    proof = hmac.digest(key, nonce + said, "md5")
    return proof + said, hmac.digest(key, nonce + mine, "md5") + mine, hmac.digest(key, proof, "md5")


def last_message(offered: int, flags: int, user: bytes, domain: bytes, response: Response) -> tuple[bytes, bytes]:
    """And the session key. `offered`: the flags of the first message; `flags`: those of the challenge."""
    nt, lm, key = response
    sealed = b""
    if flags & ntlm.NTLMSSP_NEGOTIATE_KEY_EXCH:
        base, key = key, os.urandom(16)
        sealed = ntlm.generateEncryptedSessionKey(base, key)
    # impacket's rule: of these, what the server takes, too; of the others, what was offered.
    agreed = offered & (flags | ~_NEGOTIABLE)
    return _type3(agreed, domain, user, b"", lm, nt, sealed), key


def _type3(flags: int, domain: bytes, user: bytes, host: bytes, lm: bytes, nt: bytes, key: bytes) -> bytes:
    """MS-NLMP 2.2.1.3, without version and MIC. The payload is in the order of the arguments, the fields are not."""
    payload = (domain, user, host, lm, nt, key)
    places = accumulate(map(len, payload), initial=_TYPE3.size)
    fields = [(len(part), len(part), at) for part, at in zip(payload, places, strict=False)]
    in_order = (*fields[3:5], *fields[:3], fields[5])
    return _TYPE3.pack(_SIGNATURE, 3, *chain.from_iterable(in_order), flags) + b"".join(payload)

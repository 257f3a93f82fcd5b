"""The same SMB session for less CPU: impacket's state machine with other codecs.

impacket describes a message by strings, and goes through them field by field, searching and evaluating, each time it
writes or reads one; that is most of what a login costs. Here the messages that a login is made of are written and read
by compiled `struct` formats, to the same bytes. What is done, each measured by itself (docs/performance.md):
1. The SMB 2 header (`Packet`), which goes in by impacket's `SMB_PACKET`.
2. NEGOTIATE and SESSION_SETUP, and the messages of NTLM; the one that is the same in every login is written once.
3. AES-CMAC by OpenSSL.
An answer that does not look as expected is left to impacket's own reading, so what is made of it is the same.

For the versions in VERSIONS alone: with any other, and with `--no-fast-path`, the plain `SmbSession` is used.
"""

from __future__ import annotations

import os
import struct
from functools import cache
from importlib.metadata import version
from typing import Any

from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from impacket import ntlm, smb3
from impacket.nt_errors import STATUS_SUCCESS
from impacket.smb3structs import (
    SMB2_DIALECT_30,
    SMB2_DIALECT_311,
    SMB2_GLOBAL_CAP_ENCRYPTION,
    SMB2_NEGOTIATE,
    SMB2_NEGOTIATE_SIGNING_ENABLED,
    SMB2_NEGOTIATE_SIGNING_REQUIRED,
    SMB2Negotiate_Response,
    SMB2Packet,
)

from appliance.login.smb_ntlm import last_message, nameless_response, names_host
from appliance.login.smb_session import SmbSession

VERSIONS = ("0.13.1",)
"""Of impacket, whose inside is known."""
USABLE = version("impacket") in VERSIONS

_SMB2 = b"\xfeSMB"
_HEADER = struct.Struct("<4sHHIHHIIQIIQ16s")
_FIELDS = (
    "ProtocolID",
    "StructureSize",
    "CreditCharge",
    "Status",
    "Command",
    "CreditRequestResponse",
    "Flags",
    "NextCommand",
    "MessageID",
    "Reserved",
    "TreeID",
    "SessionID",
    "Signature",
)
"""MS-SMB2 2.2.1.2, in impacket's names."""
_BLANK: dict[str, Any] = dict.fromkeys(_FIELDS, 0) | {
    "ProtocolID": _SMB2,
    "StructureSize": _HEADER.size,
    "Signature": bytes(16),
}


class Packet:
    """impacket's SMB2Packet and SMB3Packet, as far as its client and ours use one."""

    __slots__ = ("fields", "rawData")

    def __init__(self, message: bytes | None = None) -> None:
        self.fields: dict[str, Any]
        if message is None:
            self.fields, self.rawData = {"TreeID": 0}, b""
            return
        self.fields = dict(zip(_FIELDS, _HEADER.unpack_from(message), strict=True))
        self.fields["Data"] = message[_HEADER.size :]
        self.rawData = message

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.fields[name] = value

    def getData(self) -> bytes:  # noqa: N802 - impacket's name
        fields = _BLANK | self.fields
        data = fields.get("Data", b"")
        return _HEADER.pack(*(fields[name] for name in _FIELDS)) + (data if type(data) is bytes else data.getData())

    def isValidAnswer(self, status: int) -> bool:  # noqa: N802 - impacket's name
        if self.fields["Status"] != status:
            raise smb3.SessionError(self.fields["Status"], self)
        return True


_DIALECTS = (0x0202, 0x0210, 0x0300, 0x0302, 0x0311)
_NEGOTIATE = struct.Struct("<HHHHI16sIHH5H2s")
_NEGOTIATED = struct.Struct("<HHHH16sIIIIQQHHI")
_CONTEXT = struct.Struct("<HHI")
_HASHES = struct.Struct("<HHH32s")
_CIPHERS = struct.Struct("<HH")
_PREAUTH, _ENCRYPTION = 1, 2
_SHA512, _AES_CCM = 1, 1
_PADDING = b"\xff\xff"
"""As impacket has it."""
_SET_UP = struct.Struct("<HBBIIHHQ")
_SET_UP_ANSWER = struct.Struct("<HHHH")
_CHALLENGE = struct.Struct("<8sIHHII8s8sHHI")
_SIGNATURE = b"NTLMSSP\0"


class FastSmbSession(SmbSession):
    @property
    def SMB_PACKET(self) -> type[Packet]:  # noqa: N802 - impacket's name
        """What messages are made by. impacket sets it, too: its two kinds are one to us."""
        return Packet

    @SMB_PACKET.setter
    def SMB_PACKET(self, _kind: object) -> None:  # noqa: N802 - impacket's name
        return

    def read_packet(self, message: bytes) -> Packet | SMB2Packet:
        return Packet(message) if message.startswith(_SMB2) else super().read_packet(message)

    def signature(self, message: bytes) -> bytes:
        if self._Connection["Dialect"] < SMB2_DIALECT_30:
            return super().signature(message)
        mac = CMAC(AES(self._Session["SigningKey"]))
        mac.update(message)
        return mac.finalize()

    # -- NEGOTIATE (MS-SMB2 2.2.3, 2.2.4, 3.2.5.2) ---------------------------------------------------------------------

    def negotiateSession(self, preferredDialect: None = None, negSessionResponse: None = None) -> None:  # noqa: N802, N803, ARG002 - impacket's names
        connection = self._Connection
        connection["SequenceWindow"] = 0
        connection["ClientSecurityMode"] = SMB2_NEGOTIATE_SIGNING_ENABLED
        connection["Capabilities"] = SMB2_GLOBAL_CAP_ENCRYPTION
        packet = Packet()
        packet["Command"] = SMB2_NEGOTIATE
        packet["Data"] = _negotiate(self.ClientGuid.encode())
        answer = self.recvSMB(self.sendSMB(packet))
        answer.isValidAnswer(STATUS_SUCCESS)
        told = _read_negotiated(answer["Data"])
        dialect, mode, capabilities = told["DialectRevision"], told["SecurityMode"], told["Capabilities"]
        if dialect == SMB2_DIALECT_311:
            self._SMB3__UpdateConnectionPreAuthHash(answer.rawData)
        connection["GSSNegotiateToken"] = told["Buffer"]
        connection["Dialect"] = dialect
        if dialect == SMB2_DIALECT_311 or mode & SMB2_NEGOTIATE_SIGNING_REQUIRED:
            connection["RequireSigning"] = True
        if dialect == SMB2_DIALECT_311 and told["NegotiateContextCount"] > 0:
            self.processContextList(told["NegotiateContextCount"], told["NegotiateContextList"])
        if dialect >= SMB2_DIALECT_30:
            if capabilities & SMB2_GLOBAL_CAP_ENCRYPTION:
                connection["SupportsEncryption"] = True
            connection["ServerCapabilities"], connection["ServerSecurityMode"] = capabilities, mode

    def processContextList(self, contextCount: int, contextList: bytes) -> None:  # noqa: N802, N803 - impacket's names
        cipher = _read_contexts(contextCount, contextList)
        if cipher is None:
            super().processContextList(contextCount, contextList)
        elif cipher:
            self._Connection["CipherId"], self._Connection["SupportsEncryption"] = cipher, True

    # -- SESSION_SETUP (MS-SMB2 2.2.5, 2.2.6) --------------------------------------------------------------------------

    def set_up(self, token: bytes) -> bytes:
        at = _HEADER.size + _SET_UP.size
        return _SET_UP.pack(25, 0, SMB2_NEGOTIATE_SIGNING_ENABLED, 0, 0, at, len(token), 0) + token

    def read_set_up(self, body: bytes) -> tuple[int, bytes]:
        if len(body) < _SET_UP_ANSWER.size:
            return super().read_set_up(body)
        size, flags, at, length = _SET_UP_ANSWER.unpack_from(body)
        begin = at - _HEADER.size
        if size != 9 or begin != _SET_UP_ANSWER.size or begin + length > len(body):
            return super().read_set_up(body)
        return flags, body[begin : begin + length]

    # -- NTLM (MS-NLMP 2.2.1) ------------------------------------------------------------------------------------------

    @staticmethod
    @cache
    def ntlm_offer() -> tuple[ntlm.NTLMAuthNegotiate, bytes]:
        """It names nobody, so that it is the same in every login; nobody writes to it."""
        return SmbSession.ntlm_offer()

    def target_info(self, challenge: bytes) -> bytes:
        read = _read_challenge(challenge)
        return super().target_info(challenge) if read is None else read[2]

    def ntlm_answer(
        self, type1: ntlm.NTLMAuthNegotiate, challenge: bytes, user: str, nt_hash: bytes, domain: str
    ) -> tuple[bytes, bytes]:
        read = _read_challenge(challenge)
        try:
            names = user.encode("utf-16le"), domain.encode("utf-16le")
        except UnicodeEncodeError:
            read = None
        if read is None:
            return super().ntlm_answer(type1, challenge, user, nt_hash, domain)
        flags, nonce, info = read
        if names_host(info):
            response = ntlm.computeResponse(
                flags, nonce, os.urandom(8), info, domain, user, "", "", nt_hash, use_ntlmv2=True
            )
        else:
            response = nameless_response(nonce, info, user, nt_hash, domain)
        return last_message(type1["flags"], flags, *names, response)


def _negotiate(guid: bytes) -> bytes:
    """All dialects, SHA-512 for the preauthentication, and the one cipher that impacket has."""
    contexts_at = _HEADER.size + _NEGOTIATE.size
    hashes = _CONTEXT.pack(_PREAUTH, _HASHES.size, 0) + _HASHES.pack(1, 32, _SHA512, os.urandom(32)) + _PADDING
    ciphers = _CONTEXT.pack(_ENCRYPTION, _CIPHERS.size, 0) + _CIPHERS.pack(1, _AES_CCM)
    count, mode = len(_DIALECTS), SMB2_NEGOTIATE_SIGNING_ENABLED
    head = (36, count, mode, 0, SMB2_GLOBAL_CAP_ENCRYPTION, guid, contexts_at, 2, 0)
    return _NEGOTIATE.pack(*head, *_DIALECTS, _PADDING) + hashes + ciphers


def _read_negotiated(body: bytes) -> dict[str, Any] | SMB2Negotiate_Response:
    """What of an answer we use, by impacket's names."""
    if len(body) < _NEGOTIATED.size:
        return SMB2Negotiate_Response(body)
    size, mode, dialect, count, _, capabilities, _, _, _, _, _, at, length, contexts_at = _NEGOTIATED.unpack_from(body)
    begin, contexts = at - _HEADER.size, contexts_at - _HEADER.size
    end = begin + length
    if size != 65 or begin != _NEGOTIATED.size or not end <= (contexts if contexts_at else end) <= len(body):
        return SMB2Negotiate_Response(body)
    return {
        "DialectRevision": dialect,
        "SecurityMode": mode,
        "Capabilities": capabilities,
        "Buffer": body[begin:end],
        "NegotiateContextCount": count,
        "NegotiateContextList": body[contexts:] if contexts_at else b"",
    }


def _read_contexts(count: int, data: bytes) -> int | None:
    """The cipher that the server has chosen, 0 for none; None where they are not the one or two that we asked for."""
    at, cipher = 0, 0
    for wanted in (_PREAUTH, _ENCRYPTION)[:count]:
        if len(data) < at + _CONTEXT.size:
            return None
        kind, length, _ = _CONTEXT.unpack_from(data, at)
        begin = at + _CONTEXT.size
        if kind != wanted or begin + length > len(data) or data[begin : begin + 2] != b"\1\0":
            return None
        if kind == _PREAUTH and length < 6:
            return None
        if kind == _ENCRYPTION:
            if length != _CIPHERS.size:
                return None
            cipher = _CIPHERS.unpack_from(data, begin)[1]
        at = begin + length + -length % 8
    return cipher if 1 <= count <= 2 else None


def _read_challenge(challenge: bytes) -> tuple[int, bytes, bytes] | None:
    """Flags, nonce and what is said of the server; None for what is no plain challenge."""
    if len(challenge) < _CHALLENGE.size:
        return None
    signature, kind, _, _, _, flags, nonce, _, length, _, at = _CHALLENGE.unpack_from(challenge)
    if signature != _SIGNATURE or kind != 2 or not _CHALLENGE.size <= at <= at + length <= len(challenge):
        return None
    return flags, nonce, challenge[at : at + length]

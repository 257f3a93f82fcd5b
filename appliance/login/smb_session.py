"""impacket's SMB 2/3 client with its session set-up cut in two, and no credential on it afterwards.

impacket's own `login` does challenge and answer in one call and keeps user and password on the object. Here the
challenge comes first, so that the target's names are known before there is a credential, and the answer takes the
credential as an argument that ends with the call. NTLMv2, or a Kerberos token that was made elsewhere; the SMB 1
negotiation is never sent. All methods block: run them through the bridge.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from Cryptodome.Cipher import AES
from Cryptodome.Hash import CMAC
from impacket import ntlm, smb3
from impacket.smb3structs import (
    SMB2_DIALECT_30,
    SMB2_DIALECT_311,
    SMB2_FLAGS_SERVER_TO_REDIR,
    SMB2_FLAGS_SIGNED,
    SMB2_NEGOTIATE_SIGNING_ENABLED,
    SMB2_NEGOTIATE_SIGNING_REQUIRED,
    SMB2_SESSION_SETUP,
    SMB2_TRANSFORM_HEADER,
    SMB2Packet,
    SMB2SessionSetup,
    SMB2SessionSetup_Response,
)
from impacket.spnego import SPNEGO_NegTokenInit, SPNEGO_NegTokenResp, TypesMech

from appliance.login.bridge import ENCRYPTED, NotSmbError, StreamSession
from appliance.login.smb_keys import derived
from appliance.login.smb_ntlm import last_message, nameless_response, names, names_host
from appliance.login.smb_requests import SHARE_ENCRYPTS, Answer, Request, share_flags, tree_connect

STATUS_SUCCESS = 0x00000000
STATUS_PENDING = 0x00000103
STATUS_MORE_PROCESSING_REQUIRED = 0xC0000016
STATUS_ACCESS_DENIED = 0xC0000022

SESSION_IS_GUEST = 0x0001
SESSION_IS_NULL = 0x0002
SESSION_ENCRYPTS = 0x0004

_NOBODYS = SESSION_IS_GUEST | SESSION_IS_NULL
"""Sessions without a key."""
_SIGNATURE = slice(48, 64)
"""Of an SMB 2 header (MS-SMB2 2.2.1.2)."""
_DIALECTS = {0x0202: "2.0.2", 0x0210: "2.1", 0x0300: "3.0", 0x0302: "3.0.2", 0x0311: "3.1.1"}
_KEYS = ("SessionKey", "SigningKey", "EncryptionKey", "DecryptionKey", "ApplicationKey", "PreauthIntegrityHashValue")
_MS_KERBEROS = TypesMech["MS KRB5 - Microsoft Kerberos 5"]
_NTLMSSP = TypesMech["NTLMSSP - Microsoft NTLM Security Support Provider"]
_SPNEGO = b"\x60"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The status of a request; `flags` are those of the session, once it stands."""

    status: int
    flags: int = 0
    token: bytes = b""
    """What the server says to a ticket in the mechanism's own words, where it says something."""


class UnprovenSessionError(Exception):
    """The host goes on in a session as who does not know its key; the text says what is wrong with its answer."""


class SmbSession(smb3.SMB3):  # type: ignore[misc]  # impacket ships no types
    """One SMB connection: the constructor negotiates; then `challenge` and `answer`, or `present`; `ask`, `logoff`;
    `forget` at last.
    """

    def __init__(self, session: StreamSession, address: str) -> None:
        self._type1: ntlm.NTLMAuthNegotiate | None = None
        self._challenge = b""
        self._unanswered: set[int] = set()
        self._credits = 1
        """Requests that the server takes before it has answered one (MS-SMB2 3.2.4.1.2)."""
        self._ipc: Answer | None = None
        self.address = address
        self.submitted = False
        """An answer to a challenge has been sent."""
        super().__init__(address, address, my_name="", session=session, timeout=None)

    def negotiateSession(self, preferredDialect=None, negSessionResponse=None):  # type: ignore[no-untyped-def]  # noqa: N802, N803 - impacket's names
        """SMB 2 at once. Given a session, impacket believes that message 0 was an SMB 1 negotiation; there was none."""
        self._Connection["SequenceWindow"] = 0
        return super().negotiateSession(preferredDialect, negSessionResponse)

    def signSMB(self, packet: SMB2Packet) -> None:  # noqa: N802 - impacket's name
        packet["Signature"] = bytes(16)
        if self._Session["SessionKey"]:
            packet["Signature"] = self.signature(packet.getData())

    def sendSMB(self, packet: SMB2Packet) -> int:  # noqa: N802 - impacket's name
        number = int(super().sendSMB(packet))
        self._unanswered.add(number)
        self._credits -= 1
        return number

    def recvSMB(self, packetID: int | None = None) -> SMB2Packet:  # noqa: N802, N803 - impacket's names
        """The answer to a request. impacket recurses for what answers another one, and keeps all of it, however much
        comes; here an answer that nobody waits for is the end. What is encrypted is authenticated too, and so is what
        is signed (MS-SMB2 3.2.5.1.3). Raises UnprovenSessionError where it is neither, and should be.
        """
        held = self._Connection["OutstandingResponses"]
        while packetID not in held:
            message = self._NetBIOSSession.recv_packet().get_trailer()
            packet = self._opened(message)
            self._credits += packet["CreditRequestResponse"]
            if packet["Status"] == STATUS_PENDING:
                continue  # for as long as the deadline lets it
            number = packet["MessageID"]
            if number not in self._unanswered:
                raise NotSmbError("an answer to what was not asked")
            self._unanswered.discard(number)
            if self._Session["SessionKey"] and not message.startswith(ENCRYPTED):
                self._authentic(packet)
            held[number] = packet
        return held.pop(packetID)

    def _opened(self, message: bytes) -> SMB2Packet:
        if not message.startswith(ENCRYPTED):
            return self.read_packet(message)
        head = message[: len(SMB2_TRANSFORM_HEADER())]
        fields = SMB2_TRANSFORM_HEADER(head)
        cipher = AES.new(self._Session["DecryptionKey"], AES.MODE_CCM, fields["Nonce"][:11])
        cipher.update(head[20:])
        try:
            opened = cipher.decrypt_and_verify(message[len(head) :], fields["Signature"])
        except ValueError:
            raise UnprovenSessionError("an answer is encrypted with another key") from None
        return self.read_packet(opened)

    def _authentic(self, packet: SMB2Packet) -> None:
        session = self._Session
        if self._is_signed(packet) or not (session["SigningActivated"] or session["SessionFlags"] & SESSION_ENCRYPTS):
            return
        raise UnprovenSessionError(f"an answer (0x{packet['Status']:08x}) is not signed")

    def _is_signed(self, packet: SMB2Packet) -> bool:
        """With the session's key. Raises UnprovenSessionError where it is with another."""
        if not packet["Flags"] & SMB2_FLAGS_SIGNED:
            return False
        message = packet.rawData
        blank = message[: _SIGNATURE.start] + bytes(16) + message[_SIGNATURE.stop :]
        if not hmac.compare_digest(self.signature(blank), message[_SIGNATURE]):
            raise UnprovenSessionError("an answer is signed with another key")
        if not packet["Flags"] & SMB2_FLAGS_SERVER_TO_REDIR:  # both sides sign with one key
            raise UnprovenSessionError("an answer is our own request, sent back")
        return True

    def ask(self, *requests: Request) -> list[Answer]:
        """Send them all at once, or as many as the server takes; their answers, in the order of the requests."""
        answers: list[Answer] = []
        while left := requests[len(answers) :]:
            answers += self._asked_at_once(left[: max(1, self._credits)])
        return answers

    def _asked_at_once(self, requests: Sequence[Request]) -> list[Answer]:
        numbers = []
        with self._NetBIOSSession.together():
            for request in requests:
                packet = self.SMB_PACKET()
                packet["Command"] = request.command
                packet["TreeID"] = request.tree
                packet["Data"] = request.body
                numbers.append(self.sendSMB(packet))
        answers = [self.recvSMB(number) for number in numbers]
        return [Answer(int(a["Status"]), bytes(a["Data"]), int(a["TreeID"])) for a in answers]

    def ipc(self) -> Answer:
        """The share that every login begins with, connected once."""
        if self._ipc is None:
            [self._ipc] = self.ask(tree_connect(self.address, "IPC$"))
        return self._ipc

    def connected(self, answer: Answer) -> int:
        """Make a tree known that was connected: impacket looks up there whether messages to it are encrypted."""
        encrypts = self.can_encrypt and bool(share_flags(answer) & SHARE_ENCRYPTS)
        self._Session["TreeConnectTable"][answer.tree] = {"EncryptData": encrypts}
        return answer.tree

    def forget(self) -> None:
        """Drop the keys, and what they could be made from. Nothing can be sent after it."""
        self._type1, self._challenge = None, b""
        self._Session.update(dict.fromkeys(_KEYS, b""))
        self._Connection["OutstandingResponses"].clear()

    def facts(self) -> dict[str, str]:
        """What the negotiation settled: dialect and the server's signing state."""
        dialect = self._Connection["Dialect"]
        mode = self._Connection.get("ServerSecurityMode", 0)
        required = self._Connection["RequireSigning"] and (
            dialect < SMB2_DIALECT_30 or mode & SMB2_NEGOTIATE_SIGNING_REQUIRED
        )
        facts = {
            "dialect": _DIALECTS.get(dialect, f"0x{dialect:04x}"),
            "signing": "required" if required else "enabled",
        }
        if self._Session["SessionFlags"] & SESSION_ENCRYPTS:
            facts["encryption"] = "required"
        return facts

    @property
    def can_encrypt(self) -> bool:
        """Was a cipher agreed on that impacket has? It has AES-128-CCM alone."""
        return self._Connection["Dialect"] >= SMB2_DIALECT_30 and self._Connection["SupportsEncryption"] is True

    @property
    def offers_ntlm(self) -> bool:
        """Is NTLM among the mechanisms that the server has listed? One that lists none takes what it is given."""
        listed = bytes(self._Connection["GSSNegotiateToken"] or b"")
        return not listed.startswith(_SPNEGO) or _NTLMSSP in listed

    def challenge(self) -> Verdict | dict[str, str]:
        """Send the NTLM negotiation: the names that the server's challenge holds, or the status that refused it."""
        self._type1, init = self.ntlm_offer()
        self._Session["PreauthIntegrityHashValue"] = self._Connection["PreauthIntegrityHashValue"]
        answer = self._set_up(init)
        if answer["Status"] != STATUS_MORE_PROCESSING_REQUIRED:
            return Verdict(answer["Status"])
        if self._Connection["Dialect"] == SMB2_DIALECT_311:
            # impacket hashes requests as it sends them; the response with the challenge is hashed here.
            so_far = self._Session["PreauthIntegrityHashValue"]
            self._Session["PreauthIntegrityHashValue"] = hashlib.sha512(so_far + answer.rawData).digest()
        self._Session["SessionID"] = answer["SessionID"]
        self._Session["SigningRequired"] = self._Connection["RequireSigning"]
        _, token = self.read_set_up(answer["Data"])
        self._challenge = SPNEGO_NegTokenResp(token)["ResponseToken"]
        return names(self.target_info(self._challenge))

    def answer(self, user: str, nt_hash: bytes, domain: str) -> Verdict:
        """Answer the challenge, once. Raises UnprovenSessionError where the host makes a session of it, and cannot show
        that it knows the password. Neither user nor hash stay on this object, and impacket never sees a password:
        given one, it would make its LM hash and answers of NTLM's first version besides, and leave them behind.
        """
        type1, challenge = self._type1, self._challenge
        self._type1, self._challenge = None, b""
        if type1 is None:
            raise ValueError("a challenge is answered once")
        type3, key = self.ntlm_answer(type1, challenge, user, nt_hash, domain)
        response = SPNEGO_NegTokenResp()
        response["ResponseToken"] = type3
        number = self._send_set_up(response.getData())
        self.submitted = True
        packet = self.recvSMB(number)
        if packet["Status"] != STATUS_SUCCESS:
            return Verdict(packet["Status"])
        flags, _ = self.read_set_up(packet["Data"])
        if not self._stand(packet, flags, key) and not flags & _NOBODYS:
            self._prove()
        return Verdict(STATUS_SUCCESS, flags)

    def _prove(self) -> None:
        """Have a host that has not signed its acceptance show that it knows the session's key, and so the password:
        what is asked signed is answered signed, or encrypted (MS-SMB2 3.3.4.1.1).
        """
        session = self._Session
        if self._Connection["Dialect"] == SMB2_DIALECT_311:  # where that is signed always (3.3.5.5.3)
            raise UnprovenSessionError("its answer to the login is not signed")
        session["SigningActivated"] = True
        try:
            self.ipc()
        finally:
            session["SigningActivated"] = session["SigningRequired"]

    def present(self, token: bytes, proof: Callable[[bytes], bytes]) -> Verdict:
        """Open a session with a Kerberos token. From the server's own token `proof` makes the session key, or raises:
        that is what proves the host, and a wrong signature disproves it.

        A session of its own: where the server has been asked for a challenge, that one stays unanswered.
        """
        init = SPNEGO_NegTokenInit()
        init["MechTypes"] = [_MS_KERBEROS]
        init["MechToken"] = token
        self._type1, self._challenge = None, b""
        self._Session["SessionID"] = 0
        self._Session["PreauthIntegrityHashValue"] = self._Connection["PreauthIntegrityHashValue"]
        self._Session["SigningRequired"] = self._Connection["RequireSigning"]
        packet = self._set_up(init.getData())
        if packet["Status"] == STATUS_MORE_PROCESSING_REQUIRED:
            return Verdict(packet["Status"], token=self._response(packet))
        if packet["Status"] != STATUS_SUCCESS:
            return Verdict(packet["Status"])
        flags, _ = self.read_set_up(packet["Data"])
        # MS-SMB2 3.2.5.3.1: the first 16 bytes; a session that is nobody's has no key.
        key = b"" if flags & _NOBODYS else proof(self._response(packet))[:16]
        self._stand(packet, flags, key)
        return Verdict(STATUS_SUCCESS, flags)

    def _set_up(self, token: bytes) -> SMB2Packet:
        return self.recvSMB(self._send_set_up(token))

    def _send_set_up(self, token: bytes) -> int:
        packet = self.SMB_PACKET()
        packet["Command"] = SMB2_SESSION_SETUP
        packet["Data"] = self.set_up(token)
        return self.sendSMB(packet)

    def _response(self, packet: SMB2Packet) -> bytes:
        """The mechanism's token in a session set-up's answer; empty where there is none, which impacket cannot read."""
        try:
            _, token = self.read_set_up(packet["Data"])
            return bytes(SPNEGO_NegTokenResp(token)["ResponseToken"])
        except Exception:  # noqa: BLE001 - whatever its parser raises: then the host has said nothing of the ticket
            return b""

    # -- messages as impacket writes and reads them, which `smb_fast` does otherwise -----------------------------------

    def signature(self, message: bytes) -> bytes:
        """Of a message whose own is blank (MS-SMB2 3.1.4.1). CMAC in C: in Python it is a third of a login's CPU."""
        if self._Connection["Dialect"] < SMB2_DIALECT_30:
            return hmac.digest(self._Session["SessionKey"], message, "sha256")[:16]
        return CMAC.new(self._Session["SigningKey"], ciphermod=AES).update(message).digest()

    def read_packet(self, message: bytes) -> SMB2Packet:
        return SMB2Packet(message)

    def set_up(self, token: bytes) -> SMB2SessionSetup | bytes:
        request = SMB2SessionSetup()
        request["SecurityMode"] = SMB2_NEGOTIATE_SIGNING_ENABLED
        request["Flags"] = 0
        request["SecurityBufferLength"] = len(token)
        request["Buffer"] = token
        return request

    def read_set_up(self, body: bytes) -> tuple[int, bytes]:
        """The session's flags, and the token."""
        answer = SMB2SessionSetup_Response(body)
        return int(answer["SessionFlags"]), answer["Buffer"]

    @staticmethod
    def ntlm_offer() -> tuple[ntlm.NTLMAuthNegotiate, bytes]:
        """NTLM's first message, and the token that it goes out in."""
        init = SPNEGO_NegTokenInit()
        init["MechTypes"] = [_NTLMSSP]
        type1 = ntlm.getNTLMSSPType1("", "", signingRequired=True, use_ntlmv2=True)
        init["MechToken"] = type1.getData()
        return type1, init.getData()

    def target_info(self, challenge: bytes) -> bytes:
        """What NTLM's challenge says of the server (MS-NLMP 2.2.1.2): AV_PAIRs, or nothing."""
        fields = ntlm.NTLMAuthChallenge(challenge)
        info = bytes(fields["TargetInfoFields"])
        if fields["TargetInfoFields_len"] and not info:
            raise struct.error("a challenge that points out of its message")
        return info

    def ntlm_answer(
        self, type1: ntlm.NTLMAuthNegotiate, challenge: bytes, user: str, nt_hash: bytes, domain: str
    ) -> tuple[bytes, bytes]:
        """NTLM's last message, and the session key."""
        info = self.target_info(challenge)
        if not names_host(info):
            fields = ntlm.NTLMAuthChallenge(challenge)
            response = nameless_response(fields["challenge"], info, user, nt_hash, domain)
            spelt = user.encode("utf-16le"), domain.encode("utf-16le")
            return last_message(type1["flags"], fields["flags"], *spelt, response)
        type3, key = ntlm.getNTLMSSPType3(type1, challenge, user, "", domain, nthash=nt_hash, use_ntlmv2=True)
        return type3.getData(), key

    def _stand(self, packet: SMB2Packet, flags: int, key: bytes) -> bool:
        """Has the host signed its acceptance with the session's key? Raises UnprovenSessionError where it has used
        another.
        """
        self._Session["SessionID"] = packet["SessionID"]
        self._Session["SessionFlags"] = flags
        self._Session["CalculatePreAuthHash"] = False
        if flags & _NOBODYS:
            return False
        self._derive_keys(key)
        return self._is_signed(packet)

    def _derive_keys(self, key: bytes) -> None:
        """Signing, and encryption where it may be asked for."""
        session = self._Session
        session["SessionKey"] = key
        session["SigningActivated"] = session["SigningRequired"]
        session.update(derived(self._Connection["Dialect"], key, session["PreauthIntegrityHashValue"]))

"""One client's connection to an SMB host, without a socket: a frame in, frames out (MS-SMB2 3.3.5).

What the host is and whom it lets in, its `House` says; of a logon it may say so later, and `steps` waits in its middle.
Whatever is no SMB makes `WireError`, which ends the connection.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from targets.faults import Stage
from targets.smb import ntlm, spnego, wire
from targets.smb.ntlm import Answer, Names
from targets.smb.sealing import AES_128_CCM, TRANSFORMED, Sealer, session_of
from targets.smb.signing import Signer, preauth
from targets.smb.status import Status
from targets.smb.trees import Rooms, Trees
from targets.smb.wire import Command, Header, Negotiate, WireError
from targets.smb.wire_tree import negotiate_info

GUEST, ANONYMOUS, ENCRYPTS = 1, 2, 4
_PREFERENCE = (wire.SMB_3_1_1, wire.SMB_3_0_2, wire.SMB_3_0, wire.SMB_2_1, wire.SMB_2_0_2)
_SESSIONS_MAX = 64
_SMB1 = b"NT LM 0.12"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a host says to an answer."""

    status: int
    base_key: bytes = b""
    """NTLM's, where the proof was good."""
    flags: int = 0
    """Of the session: GUEST, ANONYMOUS; ENCRYPTS is the conversation's to set."""


class House(Rooms, Protocol):
    """What the conversation must know of its host."""

    @property
    def names(self) -> Names: ...

    @property
    def guid(self) -> bytes: ...

    @property
    def signing_required(self) -> bool: ...

    @property
    def encryption_required(self) -> bool: ...

    @property
    def ciphers(self) -> Sequence[int]:
        """Those it encrypts with, best first."""
        ...

    @property
    def dialects(self) -> frozenset[int]:
        """Those it speaks, of 2.0.2 to 3.1.1; none: it knows SMB 1 alone."""
        ...

    @property
    def offers_ntlm(self) -> bool: ...

    @property
    def ntlm(self) -> int:
        """SUCCESS, or the status that every beginning with NTLM is refused with."""
        ...

    def judge(self, answer: Answer, nonce: bytes) -> Verdict | asyncio.Future[Verdict]: ...


_Answer = Generator[asyncio.Future[Verdict], Verdict, bytes]
"""Yields what must be waited for, is sent what came of it, and returns a frame."""


@dataclass(slots=True)
class _Session:
    number: int
    hashed: bytes
    trees: Trees
    nonce: bytes = b""
    first: bytes = b""
    """The client's NTLM negotiate message, and then our challenge after it."""
    bare: bool = False
    mechanisms: bytes = b""
    signer: Signer | None = None
    sealer: Sealer | None = None
    """Where a cipher was agreed on: what comes encrypted is answered so."""
    stands: bool = False


class Conversation:
    """`now` gives FILETIME; `nonce` 8 bytes that nobody can foresee."""

    def __init__(
        self, house: House, now: Callable[[], int], nonce: Callable[[], bytes] = lambda: secrets.token_bytes(8)
    ) -> None:
        self._house = house
        self._now = now
        self._nonce = nonce
        self._dialect = 0
        self._cipher: int | None = None
        self._hashed = bytes(64)
        self._sessions: dict[int, _Session] = {}
        self._numbers = 0
        """Given out so far: each session, tree and file has one of its own."""
        self._mode = wire.SIGNING_ENABLED | (wire.SIGNING_REQUIRED if house.signing_required else 0)

    def steps(self, frame: bytes) -> Generator[asyncio.Future[Verdict], Verdict, list[bytes]]:
        """Returns the frames that answer a frame. A verdict that its host has not given yet is yielded, to be sent in
        when it is known; no other frame may come before that. Raises WireError.
        """
        if frame.startswith(wire.SMB1_PROTOCOL):
            return [self._smb1(frame)]
        if not self._house.dialects:
            raise WireError("SMB 2 is not known here")
        if not frame.startswith(TRANSFORMED):
            return (yield from self._answers(frame))
        session = self._sessions.get(session_of(frame))
        if session is None or session.sealer is None:
            raise WireError("an encrypted message of no encrypted session")
        answers = yield from self._answers(session.sealer.open(frame), within=session)
        return [session.sealer.seal(answer) for answer in answers]

    @property
    def stage(self) -> Stage:
        """What the client's next message is about to get."""
        if any(session.stands for session in self._sessions.values()):
            return Stage.COMMAND
        if any(session.nonce for session in self._sessions.values()):
            return Stage.LOGIN
        return Stage.KEX if self._dialect else Stage.BANNER

    def _answers(
        self, frame: bytes, within: _Session | None = None
    ) -> Generator[asyncio.Future[Verdict], Verdict, list[bytes]]:
        """`within`: the session that the frame was encrypted for."""
        before: Header | None = None
        answers = []
        for request in wire.requests(frame):
            header = wire.read_header(request)
            if header.flags & wire.RESPONSE:
                raise WireError("a response where a request belongs")
            if header.flags & wire.RELATED and before is not None:
                header = _related(header, before)
            if header.command == Command.CANCEL:
                continue
            if header.command == Command.SESSION_SETUP and self._dialect:
                answer = yield from self._session_setup(header, request)
            else:
                answer = self._one(header, request, within)
            before = wire.read_header(answer)
            answers.append(answer)
        return answers

    def _one(self, header: Header, request: bytes, within: _Session | None) -> bytes:
        """Whatever is no logon."""
        if header.command == Command.NEGOTIATE:
            return self._negotiate(header, request)
        if not self._dialect:
            raise WireError("a request before a dialect was negotiated")
        if header.command == Command.ECHO and not header.session:
            return wire.bare(header)
        session = self._sessions.get(header.session)
        if session is None or not session.stands:
            return wire.error(header, Status.USER_SESSION_DELETED)
        if within is not None or (session.sealer is not None and self._house.encryption_required):
            # An encrypted message is not signed besides (3.1.4.3); one that is not encrypted is not taken (3.3.5.2.5).
            is_sealed = within is session
            return self._within(session, header, request) if is_sealed else wire.error(header, Status.ACCESS_DENIED)
        signer = session.signer
        if signer is not None and (header.signed or self._house.signing_required):
            if not header.signed or not signer.is_right(request):
                return wire.error(header, Status.ACCESS_DENIED)
            return signer.sign(self._within(session, header, request))
        return self._within(session, header, request)

    # -- negotiate -----------------------------------------------------------------------------------------------------

    def _smb1(self, frame: bytes) -> bytes:
        """A client that tries everything at once is told to begin anew with SMB 2 (3.3.5.3.1), where that is known."""
        offered = wire.smb1_dialects(frame)
        if not self._house.dialects and _SMB1 in offered:
            return wire.smb1_negotiated(frame, offered.index(_SMB1), self._now())
        if self._dialect or not {b"SMB 2.???", b"SMB 2.002"} & set(offered):
            raise WireError("SMB 1 only")
        if b"SMB 2.???" in offered:
            return self._negotiated(Header(Command.NEGOTIATE), wire.SMB_2_WILDCARD)
        if wire.SMB_2_0_2 not in self._house.dialects:
            return wire.error(Header(Command.NEGOTIATE), Status.NOT_SUPPORTED)
        self._dialect = wire.SMB_2_0_2
        return self._negotiated(Header(Command.NEGOTIATE), wire.SMB_2_0_2)

    def _negotiate(self, header: Header, request: bytes) -> bytes:
        if self._dialect:
            raise WireError("a second negotiation")
        asked = wire.read_negotiate(request)
        usable = self._house.dialects & set(asked.dialects)
        if not asked.has_preauth:
            usable -= {wire.SMB_3_1_1}
        chosen = next((dialect for dialect in _PREFERENCE if dialect in usable), 0)
        if not chosen:
            return wire.error(header, Status.NOT_SUPPORTED)
        self._dialect = chosen
        self._cipher = self._common_cipher(asked)
        answer = self._negotiated(header, chosen)
        self._hashed = preauth(preauth(self._hashed, request), answer)
        return answer

    def _common_cipher(self, asked: Negotiate) -> int | None:
        """None: the client does not ask for encryption; 0: it knows none of the host's ciphers."""
        if self._dialect == wire.SMB_3_1_1:
            common = [cipher for cipher in self._house.ciphers if cipher in asked.ciphers]
            return (common or [0])[0] if asked.ciphers else None
        if self._dialect < wire.SMB_3_0 or not asked.capabilities & wire.CAN_ENCRYPT:
            return None
        return AES_128_CCM if AES_128_CCM in self._house.ciphers else None

    def _negotiated(self, header: Header, dialect: int) -> bytes:
        return wire.negotiated(
            header,
            dialect=dialect,
            mode=self._mode,
            guid=self._house.guid,
            now=self._now(),
            token=spnego.offer(ntlm=self._house.offers_ntlm),
            salt=secrets.token_bytes(32),
            cipher=self._cipher,
        )

    # -- session setup -------------------------------------------------------------------------------------------------

    def _session_setup(self, header: Header, request: bytes) -> _Answer:
        asked = wire.read_setup(request)
        session = self._sessions.get(header.session) if header.session else self._new_session()
        if asked.binding or session is None:
            return wire.error(header, Status.REQUEST_NOT_ACCEPTED if asked.binding else Status.USER_SESSION_DELETED)
        header = replace(header, session=session.number)
        token = spnego.read(asked.token)
        if not session.stands:
            session.hashed = preauth(session.hashed, request)
        if token.mechanisms:
            session.mechanisms = token.mechanisms
        if not token.ntlm and not session.nonce:
            return self._go_on(header, session, spnego.answer(spnego.ACCEPT_INCOMPLETE, names_mechanism=True))
        if not session.nonce:
            return self._challenge(header, session, token)
        return (yield from self._decide(header, session, token))

    def _new_session(self) -> _Session | None:
        if len(self._sessions) >= _SESSIONS_MAX:
            raise WireError("more sessions than a client has use for")
        number = secrets.randbits(32) << 16 | self._number()
        trees = Trees(self._house, self._number, self._negotiate_info)
        session = self._sessions[number] = _Session(number, self._hashed, trees)
        return session

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _negotiate_info(self) -> bytes:
        return negotiate_info(guid=self._house.guid, mode=self._mode, dialect=self._dialect, cipher=self._cipher)

    def _challenge(self, header: Header, session: _Session, token: spnego.Token) -> bytes:
        flags = ntlm.client_flags(token.ntlm)
        if self._house.ntlm != Status.SUCCESS:
            return self._refuse(header, session, self._house.ntlm)
        session.nonce, session.bare = self._nonce(), token.bare
        message = ntlm.challenge(self._house.names, session.nonce, flags, self._now())
        session.first = token.ntlm + message
        if not token.bare:
            message = spnego.answer(spnego.ACCEPT_INCOMPLETE, message, names_mechanism=True)
        return self._go_on(header, session, message)

    def _go_on(self, header: Header, session: _Session, token: bytes) -> bytes:
        answer = wire.set_up(header, Status.MORE_PROCESSING_REQUIRED, flags=0, token=token)
        session.hashed = preauth(session.hashed, answer)
        return answer

    def _decide(self, header: Header, session: _Session, token: spnego.Token) -> _Answer:
        answer = ntlm.read_answer(token.ntlm)
        verdict = self._house.judge(answer, session.nonce)
        session.nonce = b""
        if not isinstance(verdict, Verdict):
            verdict = yield verdict
        if verdict.status != Status.SUCCESS:
            return self._refuse(header, session, verdict.status)
        if self._house.encryption_required and not self._cipher:
            return self._refuse(header, session, Status.ACCESS_DENIED)  # 3.3.5.5.3, RejectUnencryptedAccess
        done, key = b"", b""
        if verdict.base_key:
            key = ntlm.exported_key(answer, verdict.base_key)
            if not ntlm.mic_is_right(answer, key, session.first):
                return self._refuse(header, session, Status.INVALID_PARAMETER)
        if not session.bare:
            mic = b""
            if token.mic and key:
                sealed = bool(answer.flags & ntlm.KEY_EXCHANGE)
                if token.mic != ntlm.signature(key, session.mechanisms, by_client=True, sealed=sealed):
                    return self._refuse(header, session, Status.INVALID_PARAMETER)
                mic = ntlm.signature(key, session.mechanisms, by_client=False, sealed=sealed)
            done = spnego.answer(spnego.ACCEPT_COMPLETED, mic=mic)
        session.stands = True
        own = bool(key) and not verdict.flags
        encrypts = ENCRYPTS if own and self._house.encryption_required else 0
        response = wire.set_up(header, Status.SUCCESS, flags=verdict.flags | encrypts, token=done)
        if not own:
            return response
        session.signer = Signer.of(self._dialect, key, session.hashed)
        if self._cipher:
            session.sealer = Sealer.of(self._dialect, session.number, key, session.hashed, self._cipher)
        return session.signer.sign(response)

    def _refuse(self, header: Header, session: _Session, status: int) -> bytes:
        del self._sessions[session.number]
        return wire.error(header, status)

    # -- within a session ----------------------------------------------------------------------------------------------

    def _within(self, session: _Session, header: Header, request: bytes) -> bytes:
        match header.command:
            case Command.LOGOFF:
                del self._sessions[session.number]
                return wire.bare(header)
            case Command.ECHO:
                return wire.bare(header)
        return session.trees.answer(header, request)


def _related(header: Header, before: Header) -> Header:
    """A request of a compound goes on in the session and tree of the one before it (3.3.5.2.7.2)."""
    return replace(header, session=before.session, tree=before.tree)

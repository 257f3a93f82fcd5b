"""A login over SMB 2/3 with NTLMv2: dialect and challenge first, one answer, then IPC$ as proof and ADMIN$ as right.

impacket does the protocol, on the event loop (`bridge`). Its exceptions are translated here and nowhere else. A guest
or anonymous session is a failed login: the server took us in without taking the credential.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from socket import socket
from typing import TypeVar

import anyio
from impacket import smb3

from appliance.contract import Candidate, Failure, Job, Phase, Selection, named, ntstatus, raised
from appliance.login import AskRoot, Authenticated, Elevation, Login, Negotiated, Privileges
from appliance.login.bridge import CLOSE_S, NotSmbError, Smb1Error, StreamSession, open_session, run_blocking
from appliance.login.dial import os_error
from appliance.login.smb1 import answers_smb1
from appliance.login.smb_session import (
    SESSION_IS_GUEST,
    SESSION_IS_NULL,
    STATUS_ACCESS_DENIED,
    STATUS_SUCCESS,
    NtlmSession,
    Verdict,
)
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential

T = TypeVar("T")

PROOF_SHARE = "IPC$"
RIGHTS_SHARE = "ADMIN$"


@asynccontextmanager
async def smb_login(sock: socket, job: Job, ledger: PhaseLedger) -> AsyncIterator[Login]:
    """A `LoginFactory`."""
    login = _SmbLogin(sock, job, ledger)
    try:
        yield login
        await login.log_off()
    finally:
        await login.close()


class _SmbLogin:
    def __init__(self, sock: socket, job: Job, ledger: PhaseLedger) -> None:
        self._sock = sock
        self._job = job
        self._ledger = ledger
        self._stream: StreamSession | None = None
        self._session: NtlmSession | None = None
        self._names: dict[str, str] = {}
        self._submitted = False
        self._stands = False

    @property
    def submitted(self) -> bool:
        return self._submitted

    async def greet(self) -> Failure | None:
        """SMB's client speaks first, so the greeting is the negotiation of a dialect."""
        self._ledger.enter(Phase.NEGOTIATE)
        try:
            address, port = self._sock.getpeername()[:2]
        except OSError:  # cut between the dial and now
            return Failure(Phase.NEGOTIATE, named("CONNECTION_RESET"), "the connection was cut at once")
        stream = self._stream = await open_session(self._sock)
        session = await self._call(Phase.NEGOTIATE, lambda: NtlmSession(stream, address))
        if isinstance(session, Failure):
            if not stream.heard and await answers_smb1(address, port, self._ledger):
                return Failure(Phase.NEGOTIATE, named("SMB1_ONLY"))
            return session
        self._session = session
        return None

    async def negotiate(self) -> Negotiated | Failure:
        if self._session is None and (refused := await self.greet()) is not None:
            return refused
        session = self._session
        assert session is not None  # noqa: S101 - `greet` has set it
        self._ledger.enter(Phase.NEGOTIATE)
        challenge = await self._call(Phase.NEGOTIATE, session.challenge)
        if isinstance(challenge, Failure):
            return challenge
        if isinstance(challenge, Verdict):
            return self._refused(Phase.NEGOTIATE, challenge)
        self._names = challenge
        return Negotiated(challenge.get("netbios_domain", ""), self._facts())

    async def authenticate(self, candidate: Candidate, credential: Credential) -> Authenticated | Failure:
        self._ledger.enter(Phase.AUTH)
        session = self._session
        assert session is not None  # noqa: S101 - the steps come in order
        if not credential.password or not candidate.user:
            # An empty user or password would make an anonymous session, which answers no question about the secret.
            return Failure(Phase.VAULT, named("SECRET_FIELD_MISSING"), "the secret's password is empty")
        user, domain = identity(candidate, self._names)
        self._submitted = True
        verdict = await self._call(Phase.AUTH, lambda: session.answer(user, credential.password, domain))
        if isinstance(verdict, Failure):
            return verdict
        if verdict.status == STATUS_ACCESS_DENIED and not session.can_encrypt:
            # So a server refuses whom it shares no cipher with, whatever the password (MS-SMB2 3.3.5.5.3).
            refused = self._refused(Phase.AUTH, verdict)
            return Failure(Phase.AUTH, named("ENCRYPTION_REQUIRED"), refused.text, refused.facts)
        if verdict.status != STATUS_SUCCESS:
            return self._refused(Phase.AUTH, verdict)
        if verdict.flags & SESSION_IS_GUEST:
            return Failure(Phase.AUTH, named("GUEST_SESSION"), "the session carries the guest flag", self._facts())
        if verdict.flags & SESSION_IS_NULL:
            return Failure(Phase.AUTH, named("ANONYMOUS_SESSION"), "the session carries the null flag", self._facts())
        self._stands = True
        return Authenticated(session.facts())  # only now is it known whether the session is encrypted

    async def privileges(self, ask_root: AskRoot | None = None) -> Privileges | Failure:  # noqa: ARG002 - Unix's
        self._ledger.enter(Phase.PRIVILEGE)
        session = self._session
        assert session is not None  # noqa: S101 - the steps come in order
        proof = await self._call(Phase.PRIVILEGE, lambda: session.connectTree(PROOF_SHARE))
        if isinstance(proof, Failure):
            return Failure(Phase.PRIVILEGE, named("PRIV_CHECK_FAILED"), f"{PROOF_SHARE}: {proof.text}")
        rights = await self._call(Phase.PRIVILEGE, lambda: session.connectTree(RIGHTS_SHARE))
        if isinstance(rights, Failure):
            return rights
        return Privileges({"admin_share": "yes"})

    @property
    def elevation(self) -> Elevation:
        return Elevation.UNTRIED

    async def log_off(self) -> None:
        """End the session politely, within CLOSE_S: a host counts sessions that were only dropped against its limit."""
        session = self._session
        if self._stands and session is not None:
            with anyio.move_on_after(CLOSE_S):
                await self._call(Phase.LOGOFF, session.logoff)

    async def close(self) -> None:
        if self._stream is None:
            self._sock.close()
        else:
            await self._stream.abandon()

    async def _call(self, phase: Phase, function: Callable[[], T]) -> T | Failure:
        """Run a step of impacket's, and translate what it raises."""
        try:
            return await run_blocking(function)
        except NotSmbError as error:
            reason = "NOT_SMB" if self._session is None else "SMB_PROTOCOL"
            return Failure(phase, named(reason), str(error), self._facts())
        except Smb1Error:
            return Failure(phase, named("SMB1_ONLY"), "", self._facts())
        except smb3.SessionError as error:
            status = int(error.get_error_code())
            if self._session is None:  # a refused dialect; in a session set-up the same status means something else
                return Failure(phase, named("SMB_PROTOCOL"), f"negotiation refused: 0x{status:08x}")
            return Failure(phase, ntstatus(status), f"0x{status & 0xFFFFFFFF:08x}", self._facts())
        except OSError as error:
            return Failure(phase, os_error(error), error.strerror or "", self._facts())
        except EOFError as error:
            return Failure(phase, raised(error), "the connection was closed", self._facts())
        except Exception as error:  # noqa: BLE001 - impacket's parser raises anything at all on bytes it cannot read
            # The class is the evidence; the text of an encoding error could quote what was being sent.
            signal = raised(error) if phase is Phase.PRIVILEGE else named("SMB_PROTOCOL")
            return Failure(phase, signal, f"unreadable answer ({type(error).__name__})", self._facts())

    def _refused(self, phase: Phase, verdict: Verdict) -> Failure:
        text = f"0x{verdict.status & 0xFFFFFFFF:08x}"
        return Failure(phase, ntstatus(verdict.status), text, self._facts())

    def _facts(self) -> dict[str, str]:
        return {**(self._session.facts() if self._session else {}), **self._names}


def identity(candidate: Candidate, names: dict[str, str]) -> tuple[str, str]:
    r"""User and domain as NTLM wants them.

    A local account is named with the host's own name: with an empty domain, a member server may try a directory account
    of the same name, and count the failure there. A `DOMAIN\user` record brings its domain along, `user@realm` none.
    """
    prefix, _, user = candidate.user.rpartition("\\")
    if candidate.selection is Selection.LOCAL:
        return user, names.get("netbios_host") or "."
    return user, candidate.domain or prefix

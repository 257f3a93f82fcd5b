"""A login over SMB 2/3 with NTLMv2 or Kerberos: dialect first, one answer or ticket, then a look at its rights
(`smb_rights`).

Which of the two is the record's to say (`Candidate.kerberos`). With `required` the host sees no message of NTLM, unless
its domain has to choose the record. Otherwise NTLM takes the place of Kerberos where no domain controller can be
reached or none knows the host's name, never where one has refused something, and the evidence says so.

impacket does the protocol, on the event loop (`bridge`). Its exceptions are translated here and nowhere else. A guest
or anonymous session is a failed login: the server took us in without taking the credential. So is a session whose key
the server does not know.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from socket import socket
from typing import TypeVar

import anyio
from impacket import smb3

from appliance.contract import (
    Candidate,
    Failure,
    Job,
    KdcPlace,
    KerberosTerms,
    Phase,
    Selection,
    Signal,
    SignalKind,
    named,
    ntstatus,
    raised,
)
from appliance.login import AskRoot, Authenticated, Elevation, Login, Negotiated, NextAnswer, Privileges, smb_fast
from appliance.login.bridge import CLOSE_S, NotSmbError, Smb1Error, StreamSession, open_session, run_blocking
from appliance.login.dial import ANY_SOURCE, Sources, anywhere, os_error
from appliance.login.kerberos import Tickets
from appliance.login.kerberos_kdc import Kdc
from appliance.login.resolver import Resolver
from appliance.login.smb1 import answers_smb1
from appliance.login.smb_hash import answering_key
from appliance.login.smb_rights import Look
from appliance.login.smb_session import (
    SESSION_IS_GUEST,
    SESSION_IS_NULL,
    STATUS_ACCESS_DENIED,
    STATUS_SUCCESS,
    SmbSession,
    UnprovenSessionError,
    Verdict,
)
from appliance.login.smb_ticket import UnprovenHostError, present, refusal
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential

T = TypeVar("T")

NTLM_HINT = ", at the first NTLM message: so does Server 2025 where it does not accept NTLM"
"""Nobody can tell that from a cut connection, which stays the reason."""

_NO_KERBEROS_HERE = (named("KDC_UNREACHABLE"), named("KRB_SPN"))
"""What NTLM may take Kerberos' place for, in a record that allows it. A refusal is never among them."""


@asynccontextmanager
async def smb_login(
    sock: socket,
    job: Job,
    ledger: PhaseLedger,
    *,
    allow: Callable[[str], bool] = anywhere,
    sources: Sources = ANY_SOURCE,
    resolver: Resolver | None = None,
    clock: Callable[[], float] = time.time,
    fast: bool = True,
) -> AsyncIterator[Login]:
    """A `LoginFactory`. `allow` judges addresses of domain controllers, which are dialled from `sources` and found by
    `resolver`; `clock` is what tickets are made by. `fast`: by `smb_fast`.
    """
    controllers = partial(Kdc, allow=allow, sources=sources, resolver=resolver)
    kind = smb_fast.FastSmbSession if fast and smb_fast.USABLE else SmbSession
    login = _SmbLogin(sock, job, ledger, controllers, clock, kind)
    try:
        yield login
        await login.log_off()
    finally:
        await login.close()


class _SmbLogin:
    def __init__(
        self,
        sock: socket,
        job: Job,
        ledger: PhaseLedger,
        controllers: Callable[[Sequence[KdcPlace]], Kdc],
        clock: Callable[[], float],
        kind: type[SmbSession] = SmbSession,
    ) -> None:
        self._sock = sock
        self._job = job
        self._ledger = ledger
        self._controllers = controllers
        self._clock = clock
        self._kind = kind
        self._tickets: Tickets | None = None
        self._instead_of_kerberos: dict[str, str] = {}
        """The fact that NTLM is used in its place, and why."""
        self._stream: StreamSession | None = None
        self._session: SmbSession | None = None
        self._names: dict[str, str] = {}
        self._challenged = False
        self._scheme: dict[str, str] = {}
        """How the session is authenticated, as facts."""
        self._local_account = ("", "")
        self._stands = False

    @property
    def submitted(self) -> bool:
        answered = self._session is not None and self._session.submitted
        return answered or (self._tickets is not None and self._tickets.submitted)

    @property
    def proven(self) -> bool:
        return self._tickets is not None and self._tickets.accepted

    async def greet(self) -> Failure | None:
        """SMB's client speaks first, so the greeting is the negotiation of a dialect."""
        self._ledger.enter(Phase.NEGOTIATE)
        try:
            address, port = self._sock.getpeername()[:2]
            source = self._sock.getsockname()[0]
        except OSError:  # cut between the dial and now
            return Failure(Phase.NEGOTIATE, named("CONNECTION_RESET"), "the connection was cut at once")
        stream = self._stream = await open_session(self._sock)
        session = await self._call(Phase.NEGOTIATE, lambda: self._kind(stream, address))
        if isinstance(session, Failure):
            if not stream.heard and await answers_smb1(address, port, source, self._ledger):
                return Failure(Phase.NEGOTIATE, named("SMB1_ONLY"))
            return session
        self._session = session
        return None

    async def negotiate(self) -> Negotiated | Failure:
        if self._session is None and (refused := await self.greet()) is not None:
            return refused
        first = next(c for c in self._job.candidates if c.record not in self._job.tried)
        if first.kerberos is None or first.selection is Selection.SERVICE_SELECTED:
            refused = await self._challenge()
            if refused is not None:
                return refused
        return Negotiated(domain=self._names.get("netbios_domain", ""), facts=self._facts())

    async def prepare(self, candidate: Candidate) -> Failure | None:
        terms = candidate.kerberos
        if terms is None:
            return None
        self._ledger.enter(Phase.KDC)
        self._tickets = Tickets(candidate.user, terms, self._controllers(terms.kdcs), self._clock)
        if not terms.host:
            unfit: Failure | None = Failure(Phase.KDC, named("KRB_SPN"), "the target list gives no name for the host")
        else:
            unfit = await self._tickets.ask()
        return None if unfit is None else await self._without_kerberos(terms, unfit)

    async def authenticate(
        self,
        candidate: Candidate,
        credential: Credential,
        following: NextAnswer | None = None,  # noqa: ARG002 - SSH's: a password is submitted once
    ) -> Authenticated | Failure:
        if not credential.password or not candidate.user:
            # An empty user or password would make an anonymous session, which answers no question about the secret.
            return Failure(Phase.VAULT, named("SECRET_FIELD_MISSING"), "the secret's password is empty")
        if candidate.kerberos is not None and self._tickets is not None and not self._instead_of_kerberos:
            verdict = await self._present(self._tickets, credential)
            if isinstance(verdict, Failure):
                unfit = await self._without_kerberos(candidate.kerberos, verdict)
                if unfit is not None:
                    return unfit
                verdict = await self._answer(candidate, credential)
        else:
            verdict = await self._answer(candidate, credential)
        return verdict if isinstance(verdict, Failure) else self._judge(verdict)

    async def _challenge(self) -> Failure | None:
        """Ask for NTLM's challenge, once. None: the server's names are known, and it waits for the answer."""
        if self._challenged:
            return None
        session = self._session
        assert session is not None  # noqa: S101 - `greet` has set it
        self._ledger.enter(Phase.NEGOTIATE)
        if not session.offers_ntlm:
            return Failure(Phase.NEGOTIATE, named("NTLM_DISABLED"), "the host does not offer it", self._facts())
        challenge = await self._call(Phase.NEGOTIATE, session.challenge)
        if isinstance(challenge, Failure):
            return replace(challenge, text=f"{challenge.text}{NTLM_HINT}") if _was_cut(challenge) else challenge
        if isinstance(challenge, Verdict):
            return self._refused(Phase.NEGOTIATE, challenge)
        self._names, self._challenged = challenge, True
        return None

    async def _answer(self, candidate: Candidate, credential: Credential) -> Verdict | Failure:
        self._ledger.enter(Phase.AUTH)
        session = self._session
        assert session is not None  # noqa: S101 - the steps come in order
        key = answering_key(candidate, credential)
        if isinstance(key, Failure):
            return key
        user, domain = identity(candidate, self._names)
        self._local_account = local_account(user, domain, self._names)
        self._scheme = {"authentication": "NTLMv2", **self._instead_of_kerberos}
        return await self._call(Phase.AUTH, lambda: session.answer(user, key, domain))

    async def _present(self, tickets: Tickets, credential: Credential) -> Verdict | Failure:
        self._ledger.enter(Phase.KDC)
        session = self._session
        assert session is not None  # noqa: S101 - the steps come in order
        ticket = await tickets.ticket(credential)
        self._scheme = tickets.facts()
        if isinstance(ticket, Failure):
            return ticket
        self._ledger.enter(Phase.AUTH)
        now = self._clock()
        verdict = await self._call(Phase.AUTH, lambda: present(session, ticket, now))
        if isinstance(verdict, Failure):
            return verdict
        unfit = refusal(verdict, ticket, now)
        return verdict if unfit is None else replace(unfit, facts=self._facts())

    async def _without_kerberos(self, terms: KerberosTerms, unfit: Failure) -> Failure | None:
        """NTLM instead, where the record allows it for such a failure: None, once the challenge is there."""
        if terms.required or unfit.signal not in _NO_KERBEROS_HERE:
            return unfit
        self._instead_of_kerberos = {"kerberos": f"{unfit.signal.name}: {unfit.text}"}
        self._scheme = {"authentication": "NTLMv2", **self._instead_of_kerberos}
        return await self._challenge()

    def _judge(self, verdict: Verdict) -> Authenticated | Failure:
        session = self._session
        assert session is not None  # noqa: S101 - there is a verdict of its
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
        return Authenticated(self._facts())  # only now is it known whether the session is encrypted

    async def privileges(self, ask_root: AskRoot | None = None) -> Privileges | Failure:  # noqa: ARG002 - Unix's
        self._ledger.enter(Phase.PRIVILEGE)
        session = self._session
        assert session is not None  # noqa: S101 - the steps come in order
        look = Look(session, *self._local_account)
        lacking = await self._call(Phase.PRIVILEGE, look.look)
        if lacking is None:
            return Privileges(dict(look.facts))
        return Failure(lacking.phase, lacking.signal, lacking.text, {**look.facts, **lacking.facts})

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
        if self._session is not None:
            self._session.forget()
        if self._stream is None:
            self._sock.close()
        else:
            await self._stream.abandon()

    async def _call(self, phase: Phase, function: Callable[[], T]) -> T | Failure:
        """Run a step of impacket's, and translate what it raises."""
        try:
            return await run_blocking(function)
        except NotSmbError as error:
            return Failure(phase, self._strange(phase, "NOT_SMB"), str(error), self._facts())
        except Smb1Error:
            return Failure(phase, self._strange(phase, "SMB1_ONLY"), "an SMB 1 message", self._facts())
        except smb3.SessionError as error:
            status = int(error.get_error_code())
            if self._session is None:  # a refused dialect; in a session set-up the same status means something else
                return Failure(phase, named("SMB_PROTOCOL"), f"negotiation refused: 0x{status:08x}")
            return Failure(phase, ntstatus(status), f"0x{status & 0xFFFFFFFF:08x}", self._facts())
        except UnprovenHostError as error:
            text = f"the host accepts the ticket, but does not prove that it can read it: {error}"
            return Failure(phase, named("KRB_TICKET_REFUSED"), text, self._facts())
        except UnprovenSessionError as error:
            if phase in (Phase.PRIVILEGE, Phase.LOGOFF):
                return Failure(phase, named("PRIV_CHECK_FAILED"), str(error), self._facts())
            text = f"the host accepts the login and cannot prove that it knows the password: {error}"
            return Failure(phase, named("AUTH_NOT_REQUIRED"), text, self._facts())
        except OSError as error:
            return Failure(phase, os_error(error), error.strerror or "", self._facts())
        except EOFError as error:
            return Failure(phase, raised(error), "the connection was closed", self._facts())
        except Exception as error:  # noqa: BLE001 - impacket's parser raises anything at all on bytes it cannot read
            # The class is the evidence; the text of an encoding error could quote what was being sent.
            signal = raised(error) if phase is Phase.PRIVILEGE else named("SMB_PROTOCOL")
            return Failure(phase, signal, f"unreadable answer ({type(error).__name__})", self._facts())

    def _strange(self, phase: Phase, at_first: str) -> Signal:
        """What is no SMB 2 message means, by how far we have come: a login that stands goes on standing."""
        if phase in (Phase.PRIVILEGE, Phase.LOGOFF):
            return named("PRIV_CHECK_FAILED")
        return named(at_first if self._session is None else "SMB_PROTOCOL")

    def _refused(self, phase: Phase, verdict: Verdict) -> Failure:
        text = f"0x{verdict.status & 0xFFFFFFFF:08x}"
        return Failure(phase, ntstatus(verdict.status), text, self._facts())

    def _facts(self) -> dict[str, str]:
        return {**(self._session.facts() if self._session else {}), **self._names, **self._scheme}


def _was_cut(failure: Failure) -> bool:
    return failure.signal.kind in (SignalKind.ERRNO, SignalKind.EXCEPTION)


def identity(candidate: Candidate, names: dict[str, str]) -> tuple[str, str]:
    r"""User and domain as NTLM wants them.

    A local account is named with the host's own name: with an empty domain, a member server may try a directory account
    of the same name, and count the failure there. A `DOMAIN\user` record brings its domain along, `user@realm` none.
    """
    prefix, _, user = candidate.user.rpartition("\\")
    if candidate.selection is Selection.LOCAL:
        return user, names.get("netbios_host") or "."
    return user, candidate.domain or prefix


def local_account(user: str, domain: str, names: dict[str, str]) -> tuple[str, str]:
    """Host and user, where the account is sure to be the host's own: it was named so, or the host has no domain."""
    host = names.get("netbios_host", "")
    alone = names.get("netbios_domain", "").lower() == host.lower() and "@" not in user
    return (host, user) if host and (alone or domain.lower() in (host.lower(), ".")) else ("", "")

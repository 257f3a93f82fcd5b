"""A login over SSH: negotiate until the server asks for the credential, answer once, look who we are.

asyncssh does the protocol on a socket that we dialled; its callbacks end in the `Witness`, which holds the one question
open until permit and credential are there. All waiting is for the witness's news, so every step can be cancelled
anywhere, and leaving the context aborts the connection with all that asyncssh runs for it.
"""

from __future__ import annotations

import time
from asyncio import get_running_loop
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import socket

import anyio
import asyncssh
from asyncssh.public_key import SSHKeyPair, SSHLocalKeyPair

from appliance.contract import Candidate, Failure, Job, Phase, Signal, named, peer_text, raised
from appliance.login import AskRoot, Authenticated, Elevation, Login, Negotiated, NextAnswer, Privileges, ssh_fast
from appliance.login.adopt import adopt
from appliance.login.dial import os_error
from appliance.login.privilege import CommandResult
from appliance.login.ssh_certificate import CertificateError, UserCertificate, read_certificate
from appliance.login.ssh_channel import run
from appliance.login.ssh_connection import Connection, options
from appliance.login.ssh_host_keys import Expected, describe, key_line
from appliance.login.ssh_key import import_key
from appliance.login.ssh_root import ToRoot
from appliance.login.ssh_survey import command, judge
from appliance.login.ssh_witness import Answer, Witness
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential

CLOSE_S = 1.0
"""Seconds that closing may take; it only waits for our own loop, never for the peer."""


@asynccontextmanager
async def ssh_login(sock: socket, job: Job, ledger: PhaseLedger, *, fast: bool = True) -> AsyncIterator[Login]:
    """A `LoginFactory`. The user of the job's first untried record is the one that logs in. `fast`: by `ssh_fast`."""
    login = SshLogin(sock, job, ledger, fast=fast)
    try:
        yield login
    finally:
        await login.close()


class SshLogin:
    def __init__(self, sock: socket, job: Job, ledger: PhaseLedger, *, fast: bool = False) -> None:
        self._fast = fast and ssh_fast.USABLE
        self._sock = sock
        self._ledger = ledger
        self._candidate: Candidate = next(c for c in job.candidates if c.record not in job.tried)
        self._job = job
        expected = Expected.of(job, self._candidate.host_keys, self._candidate.crypto)
        self._witness = Witness(expected, [answer.private_key for answer in self._candidate.answers])
        self._connection: Connection | None = None
        self._banner = ""
        self._certificate: UserCertificate | None = None
        self._to_root = ToRoot(self._candidate)

    @property
    def submitted(self) -> bool:
        return self._witness.submitted

    @property
    def proven(self) -> bool:
        return False  # no one but the host has a say

    async def greet(self) -> Failure | None:
        self._ledger.enter(Phase.NEGOTIATE)
        try:
            make = ssh_fast.fast_options if self._fast else options
            opts = make(self._candidate, self._job, self._witness)
        except ValueError:  # SSH user names are prepared strings (RFC 4013), which this one cannot be
            return Failure(Phase.NEGOTIATE, named("UNKNOWN_USER"), "SSH cannot carry this user name")
        kind = ssh_fast.FastConnection if self._fast else Connection
        connection = kind(get_running_loop(), opts, self._witness, self._identified)
        await adopt(self._sock, lambda: connection)
        self._connection = connection
        await self._witness.turn()
        return None if self._banner else self._failure()

    async def negotiate(self) -> Negotiated | Failure:
        if self._connection is None and (refused := await self.greet()) is not None:
            return refused
        assert self._connection is not None  # noqa: S101 - `greet` has set it
        self._ledger.enter(Phase.KEX)
        self._connection.proceed()
        if not self._witness.ended:  # else there will be no more news
            await self._witness.turn()
        if self._witness.ended or self._witness.accepted:
            return self._failure()
        return Negotiated(asked=self._witness.asked or 0, facts=self._facts())

    async def prepare(self, candidate: Candidate) -> Failure | None:  # noqa: ARG002 - as the seam has it
        return None

    async def authenticate(
        self, candidate: Candidate, credential: Credential, following: NextAnswer | None = None
    ) -> Authenticated | Failure:
        if candidate.user != self._candidate.user:
            raise ValueError("an SSH login is bound to its user from the first message on")
        self._ledger.enter(Phase.AUTH)
        witness, answers = self._witness, candidate.answers
        while not witness.ended:
            answer = await self._answer(answers[witness.asked or 0], credential)
            if isinstance(answer, Failure):
                return answer
            if witness.ended:  # while a key was being decrypted
                break
            witness.hand(answer)
            await witness.turn()
            if witness.ended or witness.accepted or witness.asked is None or following is None:
                break
            had = await following(witness.asked)
            self._ledger.enter(Phase.AUTH)
            if isinstance(had, Failure):
                return had
            credential = had
        if witness.accepted and not witness.ended:
            shown = self._certificate.facts() if self._certificate is not None else {}
            return Authenticated({"auth_method": witness.method, **shown})
        return self._failure()

    async def _answer(self, candidate: Candidate, credential: Credential) -> Answer | Failure:
        self._certificate = None
        if not candidate.private_key:
            lacking = Failure(Phase.VAULT, named("SECRET_FIELD_MISSING"), "the secret's password is empty")
            return credential.password or lacking
        key = await import_key(credential)
        data = candidate.certificate.encode() or credential.certificate
        return key if isinstance(key, Failure) or not data else self._certified(key, data)

    def _certified(self, key: asyncssh.SSHKey, data: bytes) -> SSHKeyPair | Failure:
        """The key with its certificate. The key alone is not offered then: one answer per attempt."""
        try:
            found = read_certificate(data, key_line(key.convert_to_public()))
        except CertificateError as error:
            return Failure(Phase.VAULT, named("SECRET_CERTIFICATE_UNUSABLE"), str(error))
        self._certificate = found
        return SSHLocalKeyPair(key, None, found.certificate, None)

    async def privileges(self, ask_root: AskRoot | None = None) -> Privileges | Failure:
        self._ledger.enter(Phase.PRIVILEGE)
        result = await self._run(command(sudo=self._candidate.sudo))
        if isinstance(result, Failure):
            return result
        session = judge(result, sudo=self._candidate.sudo)
        if isinstance(session, Failure):
            return session
        assert self._connection is not None  # noqa: S101 - the steps come in order
        try:
            gained = await self._to_root.gain(self._connection, self._run, session, ask_root)
        except (asyncssh.Error, OSError, ValueError) as error:
            gained = self._broken(error)
        if isinstance(gained, Failure):
            return Failure(gained.phase, gained.signal, gained.text, {**session.facts, **gained.facts})
        return Privileges({**session.facts, **gained})

    @property
    def elevation(self) -> Elevation:
        return self._to_root.state

    async def close(self) -> None:
        if self._connection is None:
            self._sock.close()
            return
        self._connection.close()
        with anyio.move_on_after(CLOSE_S, shield=True):
            await self._connection.wait_closed()
        self._connection.let_go()
        self._witness.error = None  # whose traceback holds all of this

    async def _run(self, command: str, terminal: bool = False) -> CommandResult | Failure:
        assert self._connection is not None  # noqa: S101 - the steps come in order
        try:
            return await run(self._connection, command, terminal=terminal)
        except (asyncssh.Error, OSError, ValueError) as error:  # ValueError: an answer that cannot be decoded
            return self._broken(error)

    def _broken(self, error: Exception) -> Failure:
        if isinstance(error, asyncssh.ChannelOpenError) and error.reason == _GONE:
            error = asyncssh.ConnectionLost("the connection has ended")
        return Failure(Phase.PRIVILEGE, _signal(error), peer_text(self._witness.notices or str(error)))

    def _identified(self, banner: str) -> None:
        self._banner = banner
        self._witness.greeted()

    def _facts(self) -> dict[str, str]:
        """What the server has shown. A key is its host key once the exchange that it signed is done."""
        facts = {}
        if self._banner:
            facts = {"banner": self._banner, "version": self._banner.split("-", 2)[-1].split(" ")[0]}
        if self._witness.offers is not None:
            facts |= self._witness.offers.facts()
        shown, judgement = self._witness.host_key, self._witness.judgement
        if shown is not None:
            proven = bool(self._witness.offered) or self._witness.success_seen
            name = "host_key" if proven else "host_key_refused"
            if proven and self._witness.offers is not None:
                facts |= self._witness.offers.agreed(self._candidate.crypto)
            facts[name] = key_line(shown.key)
            facts[f"{name}_fingerprint"] = shown.key.get_fingerprint()
            if shown.certificate is not None:
                vouched = proven and judgement.certified
                facts["host_certificate" if vouched else "host_certificate_refused"] = describe(shown.certificate)
            if judgement.fault:
                facts["host_certificate_fault"] = peer_text(judgement.fault)
        if self._witness.offered:
            facts["methods"] = peer_text(",".join(self._witness.offered))
        return facts

    def _failure(self) -> Failure:
        """Why the server ended the login: what the witness knows first, then what asyncssh raised."""
        witness, error = self._witness, self._witness.error
        phase = Phase.AUTH if witness.offered or witness.success_seen else self._ledger.current
        signal, text = self._cause(error)
        return Failure(phase, signal, peer_text(text), self._facts())

    def _cause(self, error: Exception | None) -> tuple[Signal, str]:
        witness = self._witness
        if witness.refusal is not None:
            reason, text = witness.refusal
            return named(reason), text
        if witness.success_seen:
            return named("AUTH_NOT_REQUIRED"), "the server accepts the login without checking a credential"
        if (state := witness.account_state()) is not None:
            return named(state), witness.notices
        if error is None:
            error = asyncssh.ConnectionLost("the connection has ended")
        text = witness.notices or str(error)
        if witness.unsigned:
            return named("KEY_REFUSED"), witness.unsigned
        if isinstance(error, asyncssh.PermissionDenied):
            if not witness.submitted:
                return named("SSH_METHOD_NOT_OFFERED"), f"offered: {', '.join(witness.offered) or 'nothing'}"
            if self._certificate is not None:
                code, known = self._certificate.why_refused(self._candidate.user, time.time())
                return named(code), f"{known}: {text}"
            return (named("KEY_REFUSED") if witness.method == "publickey" else raised(error)), text
        if isinstance(error, asyncssh.DisconnectError) and "Too many authentication failures" in error.reason:
            return named("TOO_MANY_AUTH_FAILURES"), text
        offers = witness.offers
        if not witness.offered and offers is not None and (mismatch := offers.mismatch(self._candidate.crypto)):
            return named("KEX_NO_MATCH"), mismatch  # a server may hang up where we would have said so
        if isinstance(error, asyncssh.KeyExchangeFailed) and not error.reason.startswith("No matching"):
            return named("SSH_PROTOCOL"), text  # a wrong signature or hash, not a missing algorithm
        return _signal(error), text


_GONE = "SSH connection closed"
"""asyncssh's word for a session that is asked for on a connection that has ended: the host has not refused it."""


def _signal(error: Exception) -> Signal:
    return os_error(error) if isinstance(error, OSError) else raised(error)

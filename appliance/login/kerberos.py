"""A login's tickets: ask without a password first, submit it once, then ask for a ticket for the host.

The rules, stated here and nowhere else:
1. The first question holds nothing of the password. Whether a controller is there, knows the account and lets it log on
   is known before a permit is asked for or the vault is read.
2. The password is used in one message, to one controller, once; `submitted` is true from the moment that it may leave.
   Nothing is tried again, neither with another encryption nor at another controller.
3. `accepted` is true once a controller has proven that it knows the password too: what comes after that is no failed
   logon of the account, whatever it is.
4. Password, tickets and keys are arguments and results: none of them stays on an object that outlives the step. There
   is no cache, no file, no environment.
5. The name that a ticket is for is the record's and the target list's, never the host's own word: a hostile host would
   name another, and pass our ticket on to it.

The clock that goes into messages is the appliance's own, not corrected by what a controller says; where the two differ
too much is for the controller to say (KRB_SKEW), and the difference is a fact of the evidence.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from appliance.contract import Failure, KerberosTerms, Phase, Signal, kerberos_error, named
from appliance.login.kerberos_kdc import Kdc
from appliance.login.kerberos_messages import (
    PREAUTH_REQUIRED,
    SERVICE_UNKNOWN,
    Client,
    KerberosProtocolError,
    NoCommonKeyError,
    Refusal,
    Salt,
    Ticket,
    as_request,
    is_refusal,
    key_of,
    new_nonce,
    read_as_reply,
    read_refusal,
    read_tgs_reply,
    salt_of,
    tgs_request,
    timestamp,
)
from appliance.vault.credential import Credential

SERVICE = "cifs"
SKEW_SHOWN_S = 2.0
"""A smaller difference of clocks is the network's and the second's: no fact."""


class Tickets:
    """The tickets of one login at one host: `ask`, then `ticket`, once each."""

    def __init__(self, user: str, terms: KerberosTerms, kdc: Kdc, clock: Callable[[], float] = time.time) -> None:
        self._client = Client(user.rpartition("\\")[2], terms.realm.upper())
        self._service = (SERVICE, terms.host)
        self._kdc = kdc
        self._clock = clock
        self._salt: Salt | None = None
        self._offset = 0.0
        self.submitted = False
        self.accepted = False

    def facts(self) -> dict[str, str]:
        service = "/".join(self._service)
        facts = {"authentication": "Kerberos", "realm": self._client.realm, "service": service}
        if self._kdc.where:
            facts["kdc"] = self._kdc.where
        if abs(self._offset) >= SKEW_SHOWN_S:
            facts["clock_offset_s"] = f"{self._offset:+.0f}"
        return facts

    async def ask(self) -> Failure | None:
        """Is there a controller that would take this account's password?"""
        answer = await self._exchange(as_request(self._client, new_nonce()))
        if isinstance(answer, Failure):
            return answer
        if isinstance(answer, Refusal):
            self._offset = answer.clock - self._clock()
            if answer.code != PREAUTH_REQUIRED:
                return self._refused(answer)
        try:
            self._salt = salt_of(answer, self._client)
        except (KerberosProtocolError, NoCommonKeyError) as error:
            return self._unusable(error)
        return None

    async def ticket(self, credential: Credential) -> Ticket | Failure:
        """Submit the password, and have a ticket for the host. `ask` comes first."""
        granting = await self._granting(credential)
        if isinstance(granting, Failure):
            return granting
        nonce = new_nonce()
        answer = await self._exchange(tgs_request(granting, self._service, nonce, self._clock()))
        if isinstance(answer, Failure):
            return answer
        if isinstance(answer, Refusal):
            if answer.code == SERVICE_UNKNOWN:
                return self._failure(named("KRB_SPN"), f"the directory knows no {'/'.join(self._service)}")
            return self._refused(answer)
        try:
            return read_tgs_reply(answer, granting, self._service, nonce)
        except (KerberosProtocolError, NoCommonKeyError) as error:
            return self._unusable(error)

    async def _granting(self, credential: Credential) -> Ticket | Failure:
        salt = self._salt
        assert salt is not None  # noqa: S101 - `ask` has set it
        key, nonce = key_of(credential.password, salt), new_nonce()
        proof = timestamp(key, self._clock())
        answer = await self._exchange(as_request(self._client, nonce, (proof,), (salt.etype,)), proof=True)
        if isinstance(answer, Failure):
            return answer
        if isinstance(answer, Refusal):
            return self._refused(answer)
        try:
            granting = read_as_reply(answer, self._client, key, nonce)
        except (KerberosProtocolError, NoCommonKeyError) as error:
            return self._unusable(error)
        self.accepted = True
        return granting

    async def _exchange(self, message: bytes, *, proof: bool = False) -> bytes | Refusal | Failure:
        def sending() -> None:
            self.submitted = self.submitted or proof

        answer = await self._kdc.ask(message, sending=sending, proof=proof)
        if isinstance(answer, Failure):
            return self._failure(answer.signal, answer.text)
        if not is_refusal(answer):
            return answer
        try:
            return read_refusal(answer)
        except KerberosProtocolError as error:
            return self._unusable(error)

    def _refused(self, refusal: Refusal) -> Failure:
        text = f"Kerberos error {refusal.code}"
        if refusal.status is not None:
            text += f", status 0x{refusal.status & 0xFFFFFFFF:08x}"
        if abs(self._offset) >= SKEW_SHOWN_S:
            text += f", its clock {abs(self._offset):.0f} s {'ahead' if self._offset > 0 else 'behind'}"
        return self._failure(kerberos_error(refusal.code, refusal.status), f"{text}: {refusal.text}".removesuffix(": "))

    def _unusable(self, error: Exception) -> Failure:
        reason = "KRB_ETYPE" if isinstance(error, NoCommonKeyError) else "KDC_PROTOCOL"
        return self._failure(named(reason), str(error))

    def _failure(self, signal: Signal, text: str) -> Failure:
        return Failure(Phase.KDC, signal, text, self.facts())

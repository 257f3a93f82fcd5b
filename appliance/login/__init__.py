"""Logins as a scan sees them: negotiate until the target asks for a credential, authenticate once, look, log off.

One login object serves one connection. Every step returns what it learnt or a `Failure`; exceptions are bugs and
cancellation. A step may be cancelled at any await: leaving the context closes channel, session and socket.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from socket import socket
from typing import Protocol

from appliance.contract import Candidate, Failure, Job
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What a target said before it was given any credential."""

    domain: str = ""
    """Windows: the domain of the NTLM challenge (NetBIOS name), for service-selected records."""
    asked: int = 0
    """Which of the record's answers the target asks for first: it may take no keys."""
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The target has accepted the credential; not yet a success, since a session may be worth nothing."""

    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Privileges:
    """The session was proven by use (a command ran, a tree was connected) with all the rights that were expected."""

    facts: dict[str, str] = field(default_factory=dict)


class Elevation(StrEnum):
    """How far root delegation has come with its password."""

    UNTRIED = "untried"
    BEGUN = "begun"
    """It has been asked for; nothing was sent. PAM may count a conversation that ends so."""
    SENT = "sent"
    """No verdict yet."""
    REFUSED = "refused"
    ACCEPTED = "accepted"


AskRoot = Callable[[], Awaitable[str | Failure]]
"""The password that root delegation asks for: had at that moment, under a permit of its own. A Failure of phase
PRIVILEGE where there is none.
"""


NextAnswer = Callable[[int], Awaitable[Credential | Failure]]
"""The credential of one of the record's `answers`, asked for once the target has refused those before it. A Failure of
phase VAULT where there is none.
"""


class Login(Protocol):
    """The steps of one login, in order; each is called at most once."""

    async def greet(self) -> Failure | None:
        """Wait until the target has shown what it is, at next to no cost for us: phase NEGOTIATE. A silent target keeps
        nobody from working here; what follows takes CPU, and so a handshake slot.
        """
        ...

    async def negotiate(self) -> Negotiated | Failure:
        """Go as far as the target's request for a credential: phases NEGOTIATE and KEX (entered in the ledger). Greets
        first, if that has not been done.
        """
        ...

    async def prepare(self, candidate: Candidate) -> Failure | None:
        """Find out what can be found out without the credential, now that the record is known: with Kerberos, whether
        a domain controller is there and would take the account's password (phase KDC). Nothing is submitted.
        """
        ...

    async def authenticate(
        self, candidate: Candidate, credential: Credential, following: NextAnswer | None = None
    ) -> Authenticated | Failure:
        """Submit one answer, exactly once: phase AUTH, after KDC with Kerberos. `submitted` is true from the moment it
        may have been sent. Where the record has others, a refused key is followed by the next that the target takes,
        each submitted once; `submitted` is false while that is being had.
        """
        ...

    async def privileges(self, ask_root: AskRoot | None = None) -> Privileges | Failure:
        """Read-only proof of the session and its rights: phase PRIVILEGE. A Failure here is Passed* (PRIV_*) or one of
        the sessions that are no success (guest, anonymous). `ask_root` is called at most once, when the host has asked
        for the password of root delegation; it is answered once, and `elevation` says what came of it.
        """
        ...

    @property
    def elevation(self) -> Elevation: ...

    @property
    def submitted(self) -> bool: ...

    @property
    def proven(self) -> bool:
        """The account's directory itself has taken the password: whatever a host makes of it is no failed logon."""
        ...


class Dial(Protocol):
    async def __call__(
        self,
        address: str,
        port: int,
        ledger: PhaseLedger,
        /,
        *,
        allow: Callable[[str], bool],
        facts: dict[str, str],
    ) -> socket | Failure:
        """Connect to a literal or a name. Of a name, `facts` is told which addresses it has and what each said, also
        while being cancelled.
        """
        ...


class Gate(Login, Protocol):
    """A login at a jump host, which connects us to others once it stands."""

    async def reach(self, host: str, port: int) -> socket | Failure:
        """A connection from the jump host to a target, as a connected non-blocking socket of ours. Closing it closes
        the connection; where the jump host is lost, it ends. Fails as the jump host says: in phase TCP where the target
        cannot be reached, in phase JUMP where it is the jump host that will not, or is gone.
        """
        ...

    async def wait_ended(self) -> None:
        """Until the jump host, or the way to it, is gone. For one waiter."""
        ...

    @property
    def ended(self) -> bool: ...

    @property
    def open(self) -> int:
        """How many connections there are, those that are being made included."""
        ...


GateFactory = Callable[[socket, Job, PhaseLedger], AbstractAsyncContextManager[Gate]]
"""As a LoginFactory."""
LoginFactory = Callable[[socket, Job, PhaseLedger], AbstractAsyncContextManager[Login]]
"""Wraps a connected non-blocking socket (the login owns it from here on and closes it) in a login."""

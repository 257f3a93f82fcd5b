"""What a record logs in with, resolved for one target: accounts, references to secrets, and on which terms these are
asked for. Never a value.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from appliance.contract.wire import Wire


class SecretLookup(StrEnum):
    """How a secret is named in its vault."""

    NAME = "name"
    ID = "id"
    PATH = "path"
    MACHINE = "machine"
    """By the value of its template's Machine field."""


class HostKeyPolicy(StrEnum):
    """What an unknown SSH host key means. A *changed* key is refused under `pinned` and `tofu` alike, a revoked one
    always. A host for which a CA answers is not trusted on first use.
    """

    PINNED = "pinned"
    TOFU = "tofu"
    ANY = "any"


class CryptoProfile(StrEnum):
    """Which SSH algorithms may be offered: today's, OpenSSH's defaults with older ones added, or all that exist."""

    MODERN = "modern"
    COMPAT = "compat"
    LEGACY = "legacy"


class Selection(StrEnum):
    """How a record came to serve a target (Qualys: the domain type of a Windows record)."""

    SERVICE_SELECTED = "service-selected"
    USER_SELECTED = "user-selected"
    LOCAL = "local"
    ACTIVE_DIRECTORY = "active-directory"
    IP = "ip"


class Account(Wire):
    """What a directory locks: a user under an authority. Both are folded to lower case by `account_key`."""

    authority: str
    """`host:<address>` for an account of one host, else `dir:<name>` for a directory shared by many."""
    user: str

    @property
    def is_directory(self) -> bool:
        return self.authority.startswith("dir:")

    def __str__(self) -> str:
        return f"{self.user}@{self.authority}"


def account_key(authority: str, user: str) -> Account:
    r"""The one key under which `DOMAIN\u`, `u@realm` and `u` count as the same account of an authority."""
    bare = user.rsplit("\\", 1)[-1].split("@", 1)[0]
    return Account(authority=authority.strip().lower(), user=bare.strip().lower())


class CredentialRef(Wire):
    """Where a credential is, not what it is: a vault's title and the secret's resolved name, id, path or machine."""

    vault: str
    by: SecretLookup
    key: str
    template: str = ""
    """Of those of a machine, only the ones of the template of this name."""
    folder: str = ""
    """Of those of a machine, only the ones in the folder of this path, or below it."""

    @property
    def label(self) -> str:
        """What reports call the secret: its name, id or path; or the machine it is for."""
        if self.by is not SecretLookup.MACHINE:
            return self.key
        return ", ".join(filter(None, (f"machine {self.key}", self.narrowed_by)))

    @property
    def narrowed_by(self) -> str:
        narrowed = (("template", self.template), ("folder", self.folder))
        return ", ".join(f"{what} {text}" for what, text in narrowed if text)

    @property
    def described(self) -> str:
        """The same, and what that is."""
        return self.label if self.by is SecretLookup.MACHINE else f"{self.by} {self.key}"


class RootBy(StrEnum):
    """How a login becomes root where the host asks for a password."""

    SUDO = "sudo"
    SU = "su"


class RootPassword(Wire):
    """The password that root delegation may be asked for, and whose it is; resolved for one target, never the value."""

    by: RootBy
    user: str
    """Whose password it is. sudo names who it asks for; su is told who to become."""
    account: Account
    secret: CredentialRef
    """The login's own secret, where its password is meant."""


class Ticket(Wire):
    """What work it is done for, for a vault that asks or whose audit ought to say it."""

    number: str
    system: int | None = None
    """The ticket system's id in the vault; None: the vault's default."""


class Part(StrEnum):
    """The logins of one attempt. Each has its own account and secret, and so its own permit and view."""

    LOGIN = "login"
    JUMP = "jump"
    """At the jump host on the way."""
    ROOT = "root"
    """On the target, from its user to root."""


class AccessTerms(Wire):
    """How the secrets of one record are asked for."""

    record: str = ""
    comment: str = ""
    """What the vault is told with every request that takes a comment; empty: `Job.purpose`, and only where it asks."""
    ticket: Ticket | None = None
    approval: bool = False
    """An approval that lacks is asked for and waited for; else it is the reason why the secret cannot be had."""
    part: Part = Part.LOGIN
    """Which of the record's secrets these are of."""


class KdcPlace(Wire):
    """A domain controller: an IP literal, or a DNS name to be resolved by the appliance."""

    host: str
    port: int


class KerberosTerms(Wire):
    """How a record logs in with Kerberos: where the tickets come from, and for which host they are."""

    required: bool
    """False: NTLM is used where no domain controller can be reached, or none knows the host's name."""
    realm: str
    kdcs: tuple[KdcPlace, ...]
    """Tried in this order."""
    host: str
    """The target's name as the target list gives it, never as the target does; empty where the list gives none."""


class Jump(Wire):
    """The SSH host through which a record's targets are reached, and the login there."""

    address: str
    """An IP literal, or a DNS name that the appliance resolves."""
    port: int
    user: str
    account: Account
    secret: CredentialRef
    private_key: bool = False
    host_keys: HostKeyPolicy = HostKeyPolicy.TOFU
    crypto: CryptoProfile = CryptoProfile.COMPAT

    @property
    def place(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Fallback(Wire):
    """What a host is shown that has not taken what came before it."""

    secret: CredentialRef
    private_key: bool = False
    certificate: str = ""


class Candidate(Wire):
    """One authentication record, resolved for one target."""

    record: str
    user: str
    domain: str = ""
    account: Account
    secret: CredentialRef
    selection: Selection
    port: int
    private_key: bool = False
    """The secret holds a private key (and perhaps a passphrase); it is tried instead of the password."""
    fallbacks: tuple[Fallback, ...] = ()
    """In this order, keys before at most one password, in the same session and under the same permit."""
    certificate: str = ""
    """The OpenSSH user certificate of that key, which is public; empty where the secret has it, or there is none."""
    nt_hash: bool = False
    """The secret's password field holds an NT hash; what it looks like decides nothing."""
    sudo: bool = False
    """Root delegation by sudo is expected: its absence is Passed*, not Passed."""
    root: RootPassword | None = None
    """What sudo, or su, is answered with, once it has asked. None: nothing is."""
    host_keys: HostKeyPolicy = HostKeyPolicy.TOFU
    crypto: CryptoProfile = CryptoProfile.COMPAT
    kerberos: KerberosTerms | None = None
    """None: NTLMv2, for Windows."""
    jump: Jump | None = None

    @property
    def parts(self) -> tuple[tuple[Part, Account, CredentialRef], ...]:
        """Whom an attempt with this record may log in as, and with which secrets."""
        found = [(Part.LOGIN, self.account, secret) for secret in (self.secret, *(f.secret for f in self.fallbacks))]
        if self.jump is not None:
            found.append((Part.JUMP, self.jump.account, self.jump.secret))
        if self.root is not None:
            found.append((Part.ROOT, self.root.account, self.root.secret))
        return tuple(found)

    @property
    def accounts(self) -> tuple[Account, ...]:
        """Those of all parts, that of the login itself first."""
        return tuple(dict.fromkeys(account for _, account, _ in self.parts))

    @property
    def secrets(self) -> tuple[CredentialRef, ...]:
        """Those of all parts, that of the login itself first."""
        return tuple(dict.fromkeys(secret for _, _, secret in self.parts))

    @property
    def answers(self) -> tuple[Self, ...]:
        """What the login may be made with, in order, each in the form of a record with no other."""
        if not self.fallbacks:  # as nearly all are, and each scan asks several times
            return (self,)
        told = ({name: getattr(f, name) for name in Fallback.model_fields} for f in self.fallbacks)
        return tuple(self.model_copy(update={**update, "fallbacks": ()}) for update in ({}, *told))

    def as_root(self) -> Self:
        """Root delegation's password in the form of a record's, for whoever reads or paces one. Only where there is
        one.
        """
        assert self.root is not None  # noqa: S101 - see above
        root = self.root
        told = {"user": root.user, "account": root.account, "secret": root.secret}
        without = {"private_key": False, "fallbacks": (), "certificate": "", "root": None, "jump": None}
        return self.model_copy(update={**told, **without})

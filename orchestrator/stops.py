"""What an admin has stopped: accounts, secrets and vaults that nobody may use until somebody allows it. Pure.

The rules, stated here and nowhere else (what follows for permits is R10 of `pacing`, for dispatch D6 of `dispatch`):

 S1 reach      A stop binds every login whose account, secret or vault it names, in every run of the state directory. A
               secret is stopped in one vault or, where none is named, in all of them.
 S2 names      Names are compared as a directory or vault compares them, without case. `user@NAME` is the account of the
               directory NAME and of the host NAME. A secret is named as records name it (by name, id, path or machine,
               whatever its template and folder) or reports do; a name also stops the paths that end in it. In doubt
               more is stopped, not less.
 S3 choice     The record that applies to a target stays the one that is used: another one is never tried because the
               first is stopped.
 S4 vault      Nothing is asked of a stopped vault or about a stopped secret, but to check in what is checked out, at
               once, and to take back a request for access.
 S5 first      A second stop of the same thing changes nothing: since when, by whom and why stay, until it is lifted.
 S6 in flight  A password that has its permit already goes its way, within its attempt's deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from appliance.contract import Account, Candidate, CredentialRef, Part, SecretLookup, account_key, peer_text
from orchestrator.addresses import canonical_address, number_of

NAME_MAX = 256
WHY_MAX = 200
"""Characters, so that a stop's sentence fits into evidence."""


class StopKind(StrEnum):
    ACCOUNT = "account"
    SECRET = "secret"  # noqa: S105 - a kind of thing that can be stopped, not a secret
    VAULT = "vault"


@dataclass(frozen=True, slots=True)
class Selector:
    """What is stopped. Two that mean the same have the same `key`."""

    kind: StopKind
    name: str
    """An account as `user@authority`, a secret as records name it, a vault's title."""
    vault: str = ""
    """Of a secret: only in the vault of this title."""

    @classmethod
    def of_account(cls, text: str) -> Self:
        r"""`USER@AUTHORITY` or `DOMAIN\USER`. Raises ValueError with a text for the user."""
        user, at, authority = text.rpartition("@")
        if not at:
            authority, _, user = text.partition("\\")
        authority = authority.strip().removeprefix("dir:").removeprefix("host:")
        account = account_key(canonical_address(authority) if number_of(authority) is not None else authority, user)
        if not (account.user and account.authority):
            raise ValueError(
                f"{text!r} is no account; write USER@AUTHORITY (a directory, domain or host) or DOMAIN\\USER"
            )
        return cls(StopKind.ACCOUNT, _checked(str(account)))

    @classmethod
    def of_secret(cls, name: str, vault: str = "") -> Self:
        """Raises ValueError with a text for the user."""
        return cls(StopKind.SECRET, _checked(name), _checked(vault) if vault else "")

    @classmethod
    def of_vault(cls, title: str) -> Self:
        """Raises ValueError with a text for the user."""
        return cls(StopKind.VAULT, _checked(title))

    def data(self) -> dict[str, Any]:
        """Plain data; `of` reads it."""
        return {"kind": self.kind.value, "name": self.name, "vault": self.vault}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Raises KeyError, ValueError."""
        return cls(StopKind(data["kind"]), str(data["name"]), str(data["vault"]))

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.kind.value, _fold(self.name), _fold(self.vault))

    def binds_account(self, account: Account) -> bool:
        name = account.authority.partition(":")[2] or account.authority
        return self.kind is StopKind.ACCOUNT and _fold(f"{account.user}@{name}") == _fold(self.name)

    def binds_vault(self, title: str) -> bool:
        return self.kind is StopKind.VAULT and _fold(self.name) == _fold(title)

    def binds_secret(self, secret: CredentialRef) -> bool:
        """The secret itself, or all of its vault's."""
        if self.kind is not StopKind.SECRET:
            return self.binds_vault(secret.vault)
        if self.vault and _fold(self.vault) != _fold(secret.vault):
            return False
        return bool({_fold(self.name), _as_path(self.name)} & _names_of(secret))

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}" + (f" in {self.vault}" if self.vault else "")


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop that stands."""

    selector: Selector
    since: float
    """Unix seconds."""
    by: str
    why: str = ""

    @property
    def text(self) -> str:
        """The sentence that evidence and answers carry."""
        when = f"{datetime.fromtimestamp(self.since, UTC):%Y-%m-%d %H:%M:%S} UTC"
        return peer_text(f"{self.selector}: stopped since {when} by {self.by}" + (f": {self.why}" if self.why else ""))

    def data(self) -> dict[str, Any]:
        """Plain data; `of` reads it."""
        return {**self.selector.data(), "since": self.since, "by": self.by, "why": self.why}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Raises KeyError, ValueError."""
        return cls(Selector.of(data), float(data["since"]), str(data["by"]), str(data["why"]))


class Stops:
    """All that stand."""

    def __init__(self, standing: Iterable[Stop] = ()) -> None:
        self._standing: dict[tuple[str, str, str], Stop] = {}
        for stop in standing:
            self.put(stop)

    def put(self, stop: Stop) -> Stop:
        """The one that stands now: this one, or one that was there before it (S5)."""
        return self._standing.setdefault(stop.selector.key, stop)

    def get(self, selector: Selector) -> Stop | None:
        return self._standing.get(selector.key)

    def lift(self, stop: Stop) -> None:
        self._standing.pop(stop.selector.key, None)

    def on_login(self, candidate: Candidate) -> Stop | None:
        """What binds a login with this record, there or on the way, if anything does. What binds root's password alone
        leaves the login as it is.
        """
        return self._on(candidate, lambda part: part is not Part.ROOT)

    def on_root(self, candidate: Candidate) -> Stop | None:
        """What binds the password of this record's root delegation."""
        return self._on(candidate, lambda part: part is Part.ROOT)

    def _on(self, candidate: Candidate, meant: Callable[[Part], bool]) -> Stop | None:
        if not self._standing:
            return None
        parts = [(account, secret) for part, account, secret in candidate.parts if meant(part)]
        return next(
            (
                stop
                for stop in self._standing.values()
                if any(stop.selector.binds_account(a) or stop.selector.binds_secret(s) for a, s in parts)
            ),
            None,
        )

    def on_secret(self, secret: CredentialRef) -> Stop | None:
        return next((stop for stop in self._standing.values() if stop.selector.binds_secret(secret)), None)

    def on_vault(self, title: str) -> Stop | None:
        return next((stop for stop in self._standing.values() if stop.selector.binds_vault(title)), None)

    def __iter__(self) -> Iterator[Stop]:
        """The oldest first."""
        return iter(sorted(self._standing.values(), key=lambda stop: (stop.since, stop.selector.key)))


def checked_why(text: str) -> str:
    """Raises ValueError with a text for the user."""
    if len(text) > WHY_MAX or not text.isprintable():
        raise ValueError(f"the reason must be one line of at most {WHY_MAX} characters")
    return text.strip()


def _checked(name: str) -> str:
    if not name.strip() or len(name) > NAME_MAX or not name.isprintable():
        raise ValueError(f"{name[:NAME_MAX]!r} is no name; write one line of at most {NAME_MAX} characters")
    return name.strip()


def _fold(name: str) -> str:
    return name.strip().casefold()


def _as_path(name: str) -> str:
    return _fold(name).replace("/", "\\").strip("\\")


def _names_of(secret: CredentialRef) -> set[str]:
    if secret.by is not SecretLookup.PATH:
        return {_fold(secret.key), _fold(secret.label)}
    path = _as_path(secret.key)
    return {_fold(secret.key), path, path.rpartition("\\")[2]}

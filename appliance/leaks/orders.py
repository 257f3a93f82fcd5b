"""What a search is told, and what it tells: on the pipes between command line, supervisor and searcher. No values."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from appliance.contract import AccessTerms, CredentialRef, Wire
from appliance.vault.definition import VaultAccess


class Process(Wire):
    """A process of ours, and what it is."""

    pid: int
    what: str

    def __str__(self) -> str:
        return f"{self.what} (process {self.pid})"


class Wanted(Wire):
    """A secret that the run has read."""

    secret: CredentialRef
    private_key: bool = False


class Order(Wire):
    """The command line's order to the supervisor of a search; `logins` are in the form of `VaultLogin.to_pipe`."""

    kind: Literal["order"] = "order"
    logins: tuple[dict[str, Any], ...] = Field(repr=False)
    wanted: tuple[Wanted, ...]
    paths: tuple[str, ...]
    processes: tuple[Process, ...]
    since: float
    """When the run began: a secret that has changed later may have had another value then. Unix seconds."""
    purpose: str
    """Told to a vault that wants to know why a secret is read."""
    terms: dict[str, AccessTerms] = Field(default_factory=dict)
    """By vault, for those of which the run's campaign says more."""


class Search(Wire):
    """The supervisor's order to the searcher: the same, without the logins."""

    kind: Literal["search"] = "search"
    vaults: tuple[VaultAccess, ...]
    wanted: tuple[Wanted, ...]
    paths: tuple[str, ...]
    processes: tuple[Process, ...]
    since: float
    purpose: str
    terms: dict[str, AccessTerms] = Field(default_factory=dict)


class Found(Wire):
    """A secret where it must not be."""

    secret: str
    form: str
    place: str
    offset: int
    """In the place, in bytes; of a database's values and a process's memory, in what was read of them."""


class Skipped(Wire):
    """A place that could not be looked at."""

    place: str
    why: str


class Unread(Wire):
    """A secret that could not be read now, and so not looked for."""

    secret: str
    reason: str
    text: str


class Looked(Wire):
    """What was looked at, and what was found."""

    files: int = 0
    bytes: int = 0
    values: int = 0
    """Rows of databases."""
    processes: tuple[Process, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    found: tuple[Found, ...] = ()


class Searched(Wire):
    """The end of a search."""

    kind: Literal["searched"] = "searched"
    read: int
    """Secrets that were read from the vault, and looked for."""
    unread: tuple[Unread, ...] = ()
    short: tuple[str, ...] = ()
    """Secrets with a value that is too short to be told from chance; it was not looked for."""
    changed: tuple[str, ...] = ()
    """Secrets that have changed since the run began: the value of then may be another, which nobody can look for."""
    looked: Looked

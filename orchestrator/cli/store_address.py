"""Where the store is, as the command line and the environment say; and how the password of a server's user enters.

Never by argv, which every user of the machine can read: by KEYMUSTER_STORE (the whole URL), by PGPASSWORD (both are
dropped from the environment at once), from the file that KEYMUSTER_STORE_PASSWORD_FILE names and that holds nothing
else, from the keyring (`?keyring=SERVICE/USER` in the URL), or from the file that PGPASSFILE names or ~/.pgpass, which
the driver reads itself.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import typer

from orchestrator.cli.environment import readable, taken
from orchestrator.cli.errors import BadInput

VARIABLE, PASSWORD_VARIABLE = "KEYMUSTER_STORE", "PGPASSWORD"
PASSWORD_FILE_VARIABLE = "KEYMUSTER_STORE_PASSWORD_FILE"  # noqa: S105 - the name of a variable
_SERVER = ("postgresql", "postgres")


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """A URL or a path without a password, and the password."""

    where: str
    password: str | None = field(default=None, repr=False)
    keyring: str = ""
    """SERVICE/USER; read when the store is opened."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment says of the store; made once, when a command begins."""

    store: str = field(repr=False)
    password: str = field(repr=False)
    password_file: str = ""

    @classmethod
    def taken(cls) -> Environment:
        return cls(taken(VARIABLE), taken(PASSWORD_VARIABLE), os.environ.get(PASSWORD_FILE_VARIABLE, ""))


def store_address(given: StoreAddress | None, environment: Environment) -> StoreAddress | None:
    """What --store says (its whole text is `where`), or else the environment; None where neither says anything. Raises
    BadParameter.
    """
    told = given.where if given is not None else _readable(VARIABLE, environment.store)
    if not told:
        return None
    try:
        parts = urlsplit(told)
        password = parts.password
    except ValueError:
        raise typer.BadParameter("the store's URL cannot be read; give postgresql://USER@HOST/DATABASE") from None
    query = dict(parse_qsl(parts.query))
    if given is not None and (password is not None or "password" in query):
        raise typer.BadParameter(
            "a password on the command line can be read by every user of this machine: leave it out, and put the whole "
            f"URL into {VARIABLE}, or the password into {PASSWORD_VARIABLE}, the file that {PASSWORD_FILE_VARIABLE} "
            "names, ~/.pgpass or the keyring; and change it"
        )
    if parts.scheme not in _SERVER:
        return StoreAddress(told)
    keyring = query.get("keyring", "")
    left = [(key, value) for key, value in parse_qsl(parts.query) if key not in {"keyring", "password"}]
    place = parts.netloc.rpartition("@")[2]
    who = "" if parts.username is None else f"{quote(unquote(parts.username), safe='')}@"
    where = urlunsplit((parts.scheme, who + place, parts.path, urlencode(left, safe="/"), ""))
    own = query.get("password") if password is None else unquote(password)
    told = own or _readable(PASSWORD_VARIABLE, environment.password)
    return StoreAddress(where, told or _from_file(environment.password_file), keyring)


def _readable(name: str, value: str) -> str:
    """Raises BadParameter."""
    try:
        return readable(name, value)
    except BadInput as error:
        raise typer.BadParameter(str(error)) from None


def _from_file(file: str) -> str | None:
    """Raises BadParameter."""
    if not file:
        return None
    try:
        password = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
        raise typer.BadParameter(f"cannot read {PASSWORD_FILE_VARIABLE}, {file}: {why}") from None
    if not password:
        raise typer.BadParameter(f"{PASSWORD_FILE_VARIABLE}: {file} is empty")
    return password

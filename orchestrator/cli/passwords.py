"""How vault logins enter: environment, file, prompt or keyring. Never argv, never the campaign file.

It is dropped from the environment at once, and never written anywhere from here.
"""

from __future__ import annotations

import ctypes
import getpass
import os
import sys
from pathlib import Path

from orchestrator.campaign_model import Campaign, PasswordReference, Vault
from orchestrator.cli.appliance_child import Login
from orchestrator.cli.errors import BadInput


def logins_of(campaign: Campaign) -> tuple[Login, ...]:
    """The campaign's vault logins, with their passwords. Raises BadInput."""
    return tuple(_login(vault, campaign.pace.vault_requests) for vault in campaign.vaults)


def _login(vault: Vault, requests: int) -> Login:
    access = {
        "title": vault.title,
        "url": vault.url,
        "user": vault.user,
        "api": vault.api,
        "tls": {"ca": _authorities(vault), "verify": vault.tls.verify},
        "proxy": vault.proxy or "",
        "requests": requests,
        "fetch": vault.fetch,
        "max_age": vault.max_age,
    }
    return Login(access, vault.domain or "", read_password(vault))


def _authorities(vault: Vault) -> str:
    if vault.tls.ca is None:
        return ""
    try:
        return Path(str(vault.tls.ca)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise BadInput(f"vault {vault.title!r}: cannot read the CA file {vault.tls.ca}") from None


def read_password(vault: Vault) -> str:
    """The password that a vault's reference stands for. Raises BadInput, which says what to do."""
    reference = vault.password
    match reference.kind:
        case "env":
            return _from_environment(vault, reference)
        case "file":
            return _from_file(vault, reference)
        case "prompt":
            return _from_prompt(vault)
        case "keyring":
            return _from_keyring(vault, reference)


def _from_environment(vault: Vault, reference: PasswordReference) -> str:
    name = str(reference.env)
    _wipe(name)
    value = os.environ.pop(name, "")
    if not value:
        raise BadInput(f"vault {vault.title!r}: the environment has no {name}; set it for this command")
    return value


def _wipe(name: str) -> None:
    """Blank the value where the kernel keeps it: /proc/PID/environ shows a process's first environment for ever.

    Python has made its own copy of it, which `os.environ` is.
    """
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    place = libc.getenv(os.fsencode(name))
    if place:
        ctypes.memset(place, 0, len(ctypes.string_at(place)))


def _from_file(vault: Vault, reference: PasswordReference) -> str:
    path = Path(str(reference.file))
    try:
        value = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise BadInput(f"vault {vault.title!r}: cannot read the password file {path}: {why}") from None
    if not value:
        raise BadInput(f"vault {vault.title!r}: the password file {path} is empty")
    return value


def _from_prompt(vault: Vault) -> str:
    if not sys.stdin.isatty():
        raise BadInput(f"vault {vault.title!r}: cannot ask for the password without a terminal; use env or file")
    try:
        value = getpass.getpass(f"Password of {vault.user} at {vault.title}: ", stream=sys.stderr)
    except EOFError:
        value = ""
    if not value:
        raise BadInput(f"vault {vault.title!r}: no password was entered; nothing was sent to the vault")
    return value


def _from_keyring(vault: Vault, reference: PasswordReference) -> str:
    import keyring.errors  # noqa: PLC0415 - it looks for backends when imported, which few campaigns need

    service, _, user = str(reference.keyring).partition("/")
    try:
        value = keyring.get_password(service, user)
    except keyring.errors.KeyringError as error:
        raise BadInput(f"vault {vault.title!r}: the keyring cannot be read: {error}") from None
    if not value:
        raise BadInput(f"vault {vault.title!r}: the keyring has no password for {service}/{user}")
    return value

"""How the secrets of a vault's login enter: environment, file, prompt or keyring. Never argv, never the campaign file.

Each is dropped from the environment at once, and never written anywhere from here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from orchestrator.campaign_model import PasswordReference
from orchestrator.cli import dialog
from orchestrator.cli.environment import readable, taken
from orchestrator.cli.errors import BadInput

Reader = Callable[[PasswordReference, str, str, str], str]
"""As `read_secret`."""


def read_secret(reference: PasswordReference, title: str, what: str, prompt: str = "") -> str:
    """What a reference stands for. `what` names it in messages, `prompt` asks for it. Raises BadInput, which says what
    to do.
    """
    match reference.kind:
        case "env":
            return _from_environment(reference, title)
        case "file":
            return _from_file(reference, title, what)
        case "prompt":
            return _from_prompt(title, what, prompt)
        case "keyring":
            return _from_keyring(reference, title, what)


def _from_environment(reference: PasswordReference, title: str) -> str:
    name = str(reference.env)
    try:
        value = readable(name, taken(name))
    except BadInput as error:
        raise BadInput(f"vault {title!r}: {error}") from None
    if not value:
        raise BadInput(f"vault {title!r}: the environment has no {name}; set it for this command")
    return value


def _from_file(reference: PasswordReference, title: str, what: str) -> str:
    path = Path(str(reference.file))
    try:
        value = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise BadInput(f"vault {title!r}: cannot read the {what} file {path}: {why}") from None
    if not value:
        raise BadInput(f"vault {title!r}: the {what} file {path} is empty")
    return value


def _from_prompt(title: str, what: str, prompt: str) -> str:
    if not dialog.somebody_is_there():
        raise BadInput(f"vault {title!r}: cannot ask for the {what} without a terminal; use env or file")
    value = dialog.secret(prompt)
    if not value:
        raise BadInput(f"vault {title!r}: no {what} was entered; nothing was sent to the vault")
    return value


def _from_keyring(reference: PasswordReference, title: str, what: str) -> str:
    return from_keyring(str(reference.keyring), f"vault {title!r}", what)


def from_keyring(entry: str, whose: str, what: str) -> str:
    """Of an entry SERVICE/USER. Raises BadInput."""
    import keyring.errors  # noqa: PLC0415 - it looks for backends when imported, which few campaigns need

    service, _, user = entry.partition("/")
    try:
        value = keyring.get_password(service, user)
    except keyring.errors.KeyringError as error:
        raise BadInput(f"{whose}: the keyring cannot be read: {error}") from None
    if not value:
        raise BadInput(f"{whose}: the keyring has no {what} for {service}/{user}")
    return value

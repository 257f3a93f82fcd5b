"""A bus of the user's own: where it is, and our login there, as the command line names them."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from appliance.bus.credentials import BusLogin, CredentialsError, read_credentials
from orchestrator.cli.arguments import Where
from orchestrator.cli.errors import BadInput


def bus_login(where: Where) -> BusLogin:
    """The user's own bus, and our login there. Raises BadInput."""
    if where.nats is None or where.nats_seed is None:
        raise BadInput("--nats needs --nats-seed FILE, the nkey seed or the credentials of the orchestrator's user")
    try:
        seed, token = read_credentials(_text(where.nats_seed))
    except CredentialsError as error:
        raise BadInput(f"{where.nats_seed} {error}") from None
    ca = "" if where.nats_ca is None else _text(where.nats_ca)
    login = BusLogin(url=where.nats, seed=SecretStr(seed), token=token, ca=ca)
    try:
        login.tls()
    except CredentialsError as error:
        raise BadInput(f"{where.nats_ca}: {error}") from None
    return login


def _text(file: Path) -> str:
    """Raises BadInput."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise BadInput(f"cannot read {file}: {why}") from None

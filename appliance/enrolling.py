"""`appliance enroll` and `appliance join`: this machine becomes an appliance of a fleet.

Its key is made here and stays here; the orchestrator hears of the public half. What it may dial is written down now, by
whoever enrols it: no job and no message changes that later.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

import anyio
from pydantic import SecretStr

from appliance.bus import BusError, BusRefused
from appliance.bus.credentials import BusLogin
from appliance.bus.enrolling import ask_for_enrolment
from appliance.bus.users import new_user
from appliance.contract import EnrolmentAnswer, EnrolmentRequest, EnrolmentToken
from appliance.logs import get_logger
from appliance.sealed_logins import new_sealing_key
from appliance.settings import Settings, SettingsError

TOKEN_IN = "KEYMUSTER_ENROLMENT_TOKEN"  # noqa: S105 - the name of a variable
AGAIN_S = 2.0

log = get_logger()

_FILE = """\
# A Keymuster appliance, enrolled in a fleet. Keep this file to yourself (mode 0600): it holds the appliance's key.
name = {name}
zone = {zone}
capacity = 256              # targets in flight
# processes = 2             # scan processes; default: one per core

# Only these networks are ever dialled, whatever a job asks for; the domain controllers of Kerberos records too.
networks = {networks}
host_keys = {host_keys}          # the weakest SSH host-key policy a job may ask for: pinned, tofu, any
# source = "10.0.0.5"       # the address of this machine that targets are dialled from; ["10.0.0.5", "2001:db8::5"]

[bus]
url = {url}
seed = {seed}
token = {token}
ca = {ca}

[fleet]
sealing = {sealing}
voice = {voice}

# The vaults that this appliance may read, by the titles that campaigns give them. Their logins are sent to it, sealed,
# and are good for these URLs alone (`keymuster fleet login`); or they are here, with `user` and
# `password = {{ env = "KEYMUSTER_VAULT_PASSWORD" }}`, and nobody sends them.
{vaults}"""


def read_token(file: str | None) -> EnrolmentToken:
    """From a file, the environment (dropped from it at once), a prompt or standard input; never from the command line.
    Raises SettingsError, ContractError.
    """
    if file is not None:
        try:
            return EnrolmentToken.of(Path(file).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not text"
            raise SettingsError(f"cannot read the token file {file}: {why}") from None
    if text := os.environ.pop(TOKEN_IN, ""):
        return EnrolmentToken.of(text)
    return EnrolmentToken.of(getpass.getpass("Enrolment token: ") if sys.stdin.isatty() else sys.stdin.read())


@dataclass(frozen=True, slots=True)
class Local:
    """What this machine's owner decides."""

    name: str
    networks: tuple[str, ...]
    host_keys: str
    vaults: tuple[str, ...]
    """`TITLE=URL` each."""


def own_name(zone: str) -> str:
    """A name for an appliance that nobody has named: its zone, and the machine's own name."""
    host = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in socket.gethostname())
    return f"{zone}-{host}"[:64]


def has_enrolled(path: str) -> bool:
    """Is the appliance's file there? What an enrolment has left that was killed is taken away."""
    file = Path(path)
    if file.is_file() and not file.stat().st_size:
        file.unlink()
    return file.exists()


async def enrol(token: EnrolmentToken, path: str, local: Local, patience: float = 0.0) -> str:
    """Writes the appliance's file; its zone. `patience`: so long a bus and an orchestrator are waited for that do not
    answer yet, seconds. Raises SettingsError, BusError, ContractError, CredentialsError.
    """
    pair, (private, sealing) = new_user(), new_sealing_key()
    own = {"seed": pair.seed, "sealing": private, "url": token.url, "ca": token.ca}
    draft = _text(local, {**own, "zone": token.zone, "token": "", "voice": ""})
    Settings.of(draft, path)  # whatever is wrong with what was given is told before anybody has enrolled
    login = BusLogin(url=token.url, seed=SecretStr(token.seed), token=token.user, ca=token.ca)
    request = EnrolmentRequest(name=local.name, public=pair.public, sealing=sealing, release=version("keymuster"))
    with _new_file(path) as file:
        answer = await _answer(token, request, login.tls(), patience)
        if not answer.ok:
            raise SettingsError(answer.text)
        file.write(_text(local, {**own, "zone": answer.zone, "token": answer.user, "voice": answer.voice}))
    return answer.zone


async def _answer(
    token: EnrolmentToken, request: EnrolmentRequest, tls: ssl.SSLContext | None, patience: float
) -> EnrolmentAnswer:
    """The same request each time: one whose answer was lost enrols nobody twice. Raises BusError."""
    end = anyio.current_time() + patience
    while True:
        try:
            return await ask_for_enrolment(token, request, tls=tls)
        except BusRefused as error:
            if (over := time.time() - token.expires_at) < 0:
                raise
            text = f"the token expired {over / 60:.0f} min ago; `keymuster fleet add` prints a new one ({error})"
            raise BusRefused(text) from None
        except BusError as error:
            if anyio.current_time() + AGAIN_S >= end:
                raise
            log.info("enrolment waits", appliance=request.name, why=str(error))
        await anyio.sleep(AGAIN_S)


def _text(local: Local, values: Mapping[str, str]) -> str:
    """Raises SettingsError."""
    told = {**values, "name": local.name, "networks": local.networks, "host_keys": local.host_keys}
    # A string or a list of strings in JSON is one in TOML too.
    return _FILE.format(**{key: json.dumps(value) for key, value in told.items()}, vaults=_vaults(local.vaults))


def _vaults(given: tuple[str, ...]) -> str:
    tables = []
    for one in given:
        title, equals, url = one.partition("=")
        if not equals or "://" not in url:
            raise SettingsError(f"--vault {one!r}: write TITLE=URL, as in the campaigns' [[vaults]]")
        tables.append(f"[[vaults]]\ntitle = {json.dumps(title)}\nurl = {json.dumps(url)}\n")
    return "\n".join(tables)


@contextmanager
def _new_file(path: str) -> Iterator[TextIO]:
    """Before anybody is asked, so that no key is enrolled that cannot be written down; gone again where that fails.
    Raises SettingsError.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise SettingsError(f"{path} is already there; it was left as it is") from None
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file
    except BaseException:
        os.unlink(path)  # noqa: PTH108 - a path is a string here
        raise

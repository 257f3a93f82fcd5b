"""`keymuster fleet`: found a fleet, invite machines into it, give it vault logins, cut one off."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
from anyio import to_thread
from pydantic import SecretStr

from appliance.bus import BusError
from appliance.bus.claims import BadKey, BadToken, KeyKind, KeyPair, public_of, user_token
from appliance.bus.credentials import BusLogin, CredentialsError
from appliance.bus.servers import is_loopback, servers_of
from appliance.bus.system import put_account, system_permissions
from appliance.bus.users import new_user
from appliance.contract import EnrolmentToken
from orchestrator.campaign import load_campaign
from orchestrator.cli.arguments import Home
from orchestrator.cli.errors import BadInput, Exit, Incomplete, Unreachable
from orchestrator.cli.fleet_bus import fleet_bus
from orchestrator.cli.fleet_keys import key_for_a_new_fleet, keys_in
from orchestrator.cli.output import written_to
from orchestrator.cli.passwords import logins_of
from orchestrator.cli.storing import opened
from orchestrator.fleet.errors import FleetError
from orchestrator.fleet.founding import Founded, account_word, found, joined
from orchestrator.fleet.keys import FILE, FleetKeys, encrypted, has_fleet, write_keys
from orchestrator.fleet.office import MOST_ENROLMENTS, VALID_S, FleetOffice, invite
from orchestrator.fleet.roster import Member, StoredLogin
from orchestrator.report.documents import SCHEMA_VERSION, dumps, instant
from orchestrator.store import Store

POLL_S = 0.5
PUSH_S = 60.0
"""How long the system user lives that hands out a revocation."""
SERVER_FILE, CREDENTIALS_FILE = "fleet.conf", "orchestrator.creds"


@dataclass(frozen=True, slots=True)
class Founding:
    """What `fleet init` was asked."""

    url: str
    ca: Path | None
    directory: Path
    """For what the servers and the orchestrator are to be given."""
    account: Path | None
    """The token of somebody else's account, and `signing` the seed of its signing key."""
    signing: Path | None


async def init(home: Home, asked: Founding) -> Exit:
    """Raises BadInput."""
    return await to_thread.run_sync(_init, home.state, asked)


def _init(state: Path, asked: Founding) -> Exit:
    if has_fleet(state):
        raise BadInput(f"{state / FILE} is there already: one state directory has one fleet")
    ca = _text(asked.ca) if asked.ca is not None else ""
    _usable(asked.url, ca)
    made = _founded(asked, ca)
    files = {CREDENTIALS_FILE: made.credentials} | ({SERVER_FILE: made.server} if made.server else {})
    for name in files:
        if (asked.directory / name).exists():
            raise BadInput(f"{asked.directory / name} is there already; name another directory with --directory")
    _write_all(asked.directory, files)  # first: a fleet whose files could not be written cannot be made a second time
    try:
        key, beside = key_for_a_new_fleet(state)
        write_keys(state, made.keys, key)
    except (FleetError, BadInput) as error:
        _take_away(asked.directory, files)
        raise BadInput(str(error)) from None
    _tell_founded(asked, made, beside)
    return Exit.OK


def _founded(asked: Founding, ca: str) -> Founded:
    if (asked.account is None) != (asked.signing is None):
        raise BadInput("--account and --signing-key go together: the account's token, and the seed that signs for it")
    now = time.time()
    if asked.account is None or asked.signing is None:
        return found(asked.url, ca, now)
    try:
        seed = _text(asked.signing).strip()
        signing = KeyPair(seed=seed, public=public_of(seed, KeyKind.ACCOUNT))
        return joined(_text(asked.account).strip(), signing, asked.url, ca, now)
    except BadKey as error:
        raise BadInput(f"{asked.signing}: {error}") from None
    except (BadToken, FleetError) as error:
        raise BadInput(f"{asked.account}: {error}") from None


def _usable(url: str, ca: str) -> None:
    servers = servers_of(url)
    if not servers or any(not one.startswith(("nats://", "tls://")) or one.count("/") > 2 for one in servers):
        raise BadInput(f"--url {url!r} is no address of a bus; write tls://HOST:PORT, with commas between several")
    try:
        tls = BusLogin(url=url, seed=SecretStr(""), ca=ca).tls()
    except CredentialsError as error:
        raise BadInput(str(error)) from None
    if tls is None and not is_loopback(url):
        raise BadInput(f"--url {url}: off this machine jobs and logins travel by TLS alone; write tls://HOST:PORT")


def _tell_founded(asked: Founding, made: Founded, beside: Path | None) -> None:
    say = sys.stderr.write
    if made.server:
        say(f"{asked.directory / SERVER_FILE}: include it in the configuration of each nats-server, and start them\n")
    say(f"{asked.directory / CREDENTIALS_FILE}: the orchestrator's login (--nats {asked.url} --nats-seed that file)\n")
    if beside is not None:
        say(
            f"{beside}: the key that the fleet's keys are encrypted under. Where it lies beside them it protects "
            "nothing but backups that leave it out: better keep it in the keyring, or in a file elsewhere "
            "(docs/fleet.md)\n"
        )


async def add(home: Home, zone: str, count: int, wait: bool, url: str | None, as_json: bool) -> Exit:
    """`wait`: answer the machines ourselves, until all have come or the invitation is over. Raises BadInput,
    Unreachable.
    """
    if not 1 <= count <= MOST_ENROLMENTS:
        raise BadInput(f"--count {count}: one invitation is for 1 to {MOST_ENROLMENTS} appliances")
    keys, key = await to_thread.run_sync(keys_in, home.state)
    async with opened(home) as store:
        try:
            token = await invite(store.fleet, keys, zone, count, time.time())
        except ValueError as error:
            raise BadInput(f"--zone: {error}") from None
        _tell(token, count, as_json)
        if wait:
            await _answer(store, keys, key, token, url or keys.url)
    return Exit.OK


def _tell(token: EnrolmentToken, count: int, as_json: bool) -> None:
    with written_to(None) as out:
        if as_json:
            told = {
                "schema_version": SCHEMA_VERSION,
                "token": token.text(),
                "zone": token.zone,
                "count": count,
                "expires_at": instant(token.expires_at),
            }
            out.write(dumps(told) + "\n")
        else:
            print(token.text(), file=out)
    machines = "1 machine" if count == 1 else f"{count} machines"
    sys.stderr.write(
        f"the token above lets {machines} become appliances of zone {token.zone!r} within {VALID_S / 60:.0f} minutes, "
        "while an orchestrator of this state directory is on the bus: `keymuster appliance enroll`\n"
    )


async def _answer(store: Store, keys: FleetKeys, key: str, token: EnrolmentToken, url: str) -> None:
    """Raises Unreachable."""
    async with fleet_bus(keys, url) as bus:
        office = FleetOffice(store.fleet, keys, key, bus, time.time)
        sys.stderr.write("waiting for them; Ctrl-C ends the waiting, not the invitation\n")
        async with bus.enrolments(office.answer):
            while (known := await store.fleet.invitation(token.id)) is not None and known.left > 0:
                if time.time() >= known.expires_at:
                    sys.stderr.write(f"the invitation is over; {known.used} of {known.enrolments} have enrolled\n")
                    return
                await anyio.sleep(POLL_S)
            await anyio.sleep(POLL_S)  # the last answer is on its way
    sys.stderr.write("all have enrolled\n")


async def login(home: Home, file: Path, titles: Sequence[str], url: str | None) -> Exit:
    """Keep the logins of a campaign's vaults, and send them to all members. Raises CampaignError, BadInput,
    Unreachable, Incomplete.
    """
    campaign = await to_thread.run_sync(load_campaign, file)
    keys, key = await to_thread.run_sync(keys_in, home.state)
    if unknown := sorted(set(titles) - {vault.title for vault in campaign.vaults}):
        raise BadInput(f"--vault {unknown[0]!r}: the campaign has no vault of this title")
    vaults = tuple(vault for vault in campaign.vaults if not titles or vault.title in titles)
    given = await to_thread.run_sync(logins_of, campaign.model_copy(update={"vaults": vaults}))
    now = time.time()
    async with opened(home) as store:
        for one in given:
            told = json.dumps({**one.message(), "version": f"{now:.3f}"})
            await store.fleet.keep_login(StoredLogin(str(one.access["title"]), encrypted(told, key), now))
        await _send(store, keys, key, url or keys.url)
    return Exit.OK


async def forget(home: Home, title: str, url: str | None) -> Exit:
    """Raises BadInput, Unreachable, Incomplete."""
    keys, key = await to_thread.run_sync(keys_in, home.state)
    async with opened(home) as store:
        if not await store.fleet.drop_login(title):
            raise BadInput(f"the fleet has no login for a vault {title!r}")
        await _send(store, keys, key, url or keys.url)
    return Exit.OK


async def _send(store: Store, keys: FleetKeys, key: str, url: str) -> None:
    """Raises Unreachable, Incomplete."""
    members = [member for member in await store.fleet.members() if member.revoked_at is None]
    if not members:
        sys.stderr.write("done; no appliance has enrolled yet\n")
        return
    async with fleet_bus(keys, url) as bus:
        failed = await FleetOffice(store.fleet, keys, key, bus, time.time).send_logins()
    if failed:
        raise Incomplete(f"kept, but the bus did not take them for {', '.join(failed)}; repeat the command")
    sys.stderr.write(f"done, and sent to {len(members)} appliance{'s' * (len(members) != 1)}\n")


async def revoke(home: Home, name: str, url: str | None) -> Exit:
    """Raises BadInput, Unreachable."""
    keys, key = await to_thread.run_sync(keys_in, home.state)
    now = time.time()
    async with opened(home) as store:
        known = [member for member in await store.fleet.members() if member.name == name]
        if not known:
            raise BadInput(f"no appliance {name!r} has enrolled; `keymuster fleet list` shows them")
        await store.fleet.revoke(name, now)
        for member in known:
            await store.fleet.undrain(member.zone, name)  # else the next one of this name would begin drained
        every = await store.fleet.members()
    # All that were ever revoked: somebody else may have revoked one meanwhile, or one has not reached the servers.
    gone = {member.public: member.revoked_at for member in every if member.revoked_at is not None}
    keys = replace(keys, revoked=keys.revoked | gone)
    try:
        await to_thread.run_sync(write_keys, home.state, keys, key)
    except FleetError as error:
        raise BadInput(str(error)) from None
    if keys.revokes:
        await _push(keys, url or keys.url, now)
        sys.stderr.write(f"{name} is cut off\n")
    await _forget_logins(keys, url or keys.url, known)
    if keys.revokes:
        return Exit.OK
    sys.stderr.write(
        f"{name} is on no list any more, but its user is known to servers whose operator is somebody else. Revoke it "
        "there, for example:\n"
        + "".join(
            f"  nsc revocations add-user --account {keys.account} --user-public-key {member.public}\n"
            for member in known
        )
        + "  nsc push\n"
    )
    return Exit.INCOMPLETE


async def _forget_logins(keys: FleetKeys, url: str, members: Sequence[Member]) -> None:
    """What was sealed for a key that is worth nothing any more: better away, though only that key opens it."""
    try:
        async with fleet_bus(keys, url) as bus:
            for member in members:
                await bus.put_logins(member.zone, member.name, None)
    except (BusError, Unreachable) as error:
        sys.stderr.write(f"its sealed vault logins are on the bus still: {error}\n")


async def _push(keys: FleetKeys, url: str, now: float) -> None:
    """Hand the account's new token to the servers. Raises Unreachable."""
    if keys.system is None:
        return
    user, permissions = new_user(), system_permissions()
    word = user_token(
        keys.system,
        keys.system.public,
        user.public,
        name="fleet",
        permissions=permissions,
        now=now,
        expires_at=now + PUSH_S,
    )
    login = BusLogin(url=url, seed=SecretStr(user.seed), ca=keys.ca)
    try:
        await put_account(url, account_word(keys, now), seed=user.seed, token=word, tls=login.tls())
    except BusError as error:
        raise Unreachable(
            f"the servers have not heard of it ({error}): the appliance is connected still. Repeat the command when "
            "the bus is there"
        ) from None


def _text(path: Path) -> str:
    """Raises BadInput."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise BadInput(f"cannot read {path}: {why}") from None


def _write_all(directory: Path, files: Mapping[str, str]) -> None:
    """All of them, or none. Raises BadInput."""
    try:
        for name, text in files.items():
            _write(directory / name, text)
    except BadInput:
        _take_away(directory, files)
        raise


def _take_away(directory: Path, names: Iterable[str]) -> None:
    for name in names:
        with suppress(OSError):
            (directory / name).unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}") from None

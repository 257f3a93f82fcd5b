"""What an SMB login leaves behind, however it ends: no greenlet, thread, socket or task, and in no object a secret."""

from __future__ import annotations

import gc
import hashlib
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from Cryptodome.Hash import MD4
from greenlet import greenlet  # type: ignore[import-untyped]  # ships no types
from impacket import crypto

from appliance.contract import Failure, Phase, Technology
from appliance.login.bridge import open_session, run_blocking
from appliance.login.dial import dial
from appliance.login.smb import smb_login
from appliance.login.smb_fast import FastSmbSession
from appliance.login.smb_hash import nt_hash
from appliance.login.smb_session import SmbSession
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential
from tests.cancellation.hanging import Stage, after_messages, relay
from tests.cancellation.test_login import Seen
from tests.peers.attempt import attempt, make_job
from tests.peers.smbd import Smbd
from tests.unit.targets.targets_lab import running

CANCELS = 200
MESSAGES = 12
"""Of a host, in a login that passes: two to negotiate, a verdict, a tree, four answers at once, four calls."""
GROUP = '[[hosts]]\ntechnology = "windows"\nnetwork = "127.95.0.0/24"\n'


def greenlets() -> list[greenlet]:
    gc.collect()
    return [thing for thing in gc.get_objects() if isinstance(thing, greenlet) and not thing.dead and thing.parent]


async def cancelled_somewhere(port: int, user: str, password: str, rng: random.Random) -> Phase:
    """A login whose host falls silent after any of its messages, cancelled then or a moment later."""
    seen, stage, messages = Seen(), Stage(), rng.randrange(MESSAGES + 1)
    async with relay(port, after_messages(messages), stage) as silent:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(seen.log_in, make_job(Technology.WINDOWS, user, silent), password)
            await stage.reached.wait()
            for _ in range(rng.choice((0, 1, 2, 5, 50))):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(30):
            await stage.released.wait()
    assert not seen.returned or messages == MESSAGES  # what is waited for last is the answer to the logoff
    return seen.ledger.current


@pytest.mark.peer
@pytest.mark.slow
async def test_hundreds_of_random_cancellations_leave_nothing(smbds: dict[str, Smbd]) -> None:
    smbd, rng = smbds["plain"], random.Random(7)  # noqa: S311 - the same places in every run
    password = smbd.passwords["smbadmin"]
    phases: Counter[Phase] = Counter()
    await cancelled_somewhere(smbd.port, "smbadmin", password, rng)  # what is made once, is made
    assert greenlets() == []
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - their number
    for _ in range(CANCELS):
        phases[await cancelled_somewhere(smbd.port, "smbadmin", password, rng)] += 1
    assert greenlets() == []
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) <= files + 1  # noqa: PTH208
    assert phases.keys() >= {Phase.NEGOTIATE, Phase.AUTH, Phase.PRIVILEGE}


# -- secrets -----------------------------------------------------------------------------------------------------------


def everything() -> Iterator[object]:
    """Every object that something refers to. The collector itself knows neither texts and bytes nor the tuples and
    dictionaries that hold nothing else.
    """
    gc.collect()
    seen: set[int] = set()
    todo: list[object] = gc.get_objects()
    while todo:
        thing = todo.pop()
        yield thing
        for inner in gc.get_referents(thing):
            if not gc.is_tracked(inner) and id(inner) not in seen:
                seen.add(id(inner))
                todo.append(inner)


def holding(*needles: str | bytes) -> list[object]:
    """Objects that hold one of these, besides the needles themselves."""
    wide = [needle.encode("utf-16-le") if isinstance(needle, str) else needle for needle in needles]
    plain = [needle.encode() if isinstance(needle, str) else needle for needle in needles]
    own = {id(thing) for thing in (*needles, *wide, *plain)}
    found: list[object] = []
    for thing in everything():
        if id(thing) in own:
            continue
        if isinstance(thing, str):
            hit = any(isinstance(needle, str) and needle in thing for needle in needles)
        else:
            hit = isinstance(thing, bytes | bytearray) and any(needle in thing for needle in (*wide, *plain))
        if hit:
            found.append(thing)
    return found


def marker() -> str:
    return f"KM-{os.urandom(12).hex()}"


def digest_of(password: str) -> bytes:
    return MD4.new(password.encode("utf-16-le")).digest()  # noqa: S303 - NTLM is made of it


def test_what_is_held_is_found() -> None:
    secret = marker()
    kept = {"a": [f"password={secret};"], "b": (secret.encode("utf-16-le") + b"\0",), "c": bytearray(digest_of(secret))}
    assert len(holding(secret, digest_of(secret))) == len(kept)


@pytest.mark.peer
@pytest.mark.parametrize("server", ["plain", "sealed"])
@pytest.mark.parametrize("as_hash", [False, True], ids=["password", "NT hash"])
async def test_a_refused_secret_is_in_no_object_afterwards(smbds: dict[str, Smbd], server: str, as_hash: bool) -> None:
    secret = marker()
    digest = digest_of(secret)

    async def refused() -> None:
        credential = Credential(password=digest.hex() if as_hash else secret)
        ended = await attempt(make_job(Technology.WINDOWS, "smbwrong", smbds[server].port, nt_hash=as_hash), credential)
        assert ended.reason == "BAD_CREDENTIALS"
        credential.forget()

    await refused()
    assert holding(secret, digest, digest.hex()) == []


@pytest.mark.peer
@pytest.mark.parametrize("as_hash", [False, True], ids=["password", "NT hash"])
async def test_a_cancelled_login_keeps_no_secret_either(smbds: dict[str, Smbd], as_hash: bool) -> None:
    secret = marker()
    digest = digest_of(secret)
    stage = Stage()

    async def log_in(port: int) -> None:
        credential = Credential(password=digest.hex() if as_hash else secret)
        await attempt(make_job(Technology.WINDOWS, "smbwrong", port, nt_hash=as_hash), credential)

    async with relay(smbds["plain"].port, after_messages(2), stage) as port:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log_in, port)
            await stage.reached.wait()
            tasks.cancel_scope.cancel()
        await stage.released.wait()
    assert holding(secret, digest, digest.hex()) == []


@pytest.mark.peer
@pytest.mark.parametrize("server", ["plain", "strict", "sealed", "smb302", "smb210"])
@pytest.mark.parametrize("held_on", [False, True], ids=["let go", "held on"])
@pytest.mark.parametrize("fast", [False, True], ids=["plain", "fast"])
async def test_no_key_of_a_session_outlives_it(
    smbds: dict[str, Smbd], server: str, held_on: bool, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the session's key, nor those that are derived from it, nor the hash that opened it: even where somebody
    still holds the session itself.
    """
    digests: set[bytes] = set()

    def noting(make: Callable[..., Any], key_of: Callable[[Any], bytes]) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            made = make(*args, **kwargs)
            digests.add(hashlib.sha256(key_of(made)).digest())
            return made

        return noted

    kind = FastSmbSession if fast else SmbSession
    monkeypatch.setattr(kind, "ntlm_answer", noting(kind.ntlm_answer, lambda made: made[1]))
    monkeypatch.setattr(crypto, "KDF_CounterMode", noting(crypto.KDF_CounterMode, lambda made: made))
    sessions: list[SmbSession] = []
    made = SmbSession.__init__

    def kept(session: SmbSession, *args: Any) -> None:
        sessions.extend([session] if held_on else [])
        made(session, *args)

    monkeypatch.setattr(SmbSession, "__init__", kept)
    password = smbds[server].passwords["smbhash"]

    async def passed() -> None:
        ended = await attempt(
            make_job(Technology.WINDOWS, "smbhash", smbds[server].port, nt_hash=True),
            Credential(password=digest_of(password).hex()),
            factory=partial(smb_login, fast=fast),
        )
        assert ended.reason == "PASSED"

    await passed()
    assert len(digests) == (1 if server == "smb210" else 5)
    digests.add(hashlib.sha256(digest_of(password)).digest())
    found = [thing for thing in everything() if isinstance(thing, bytes) and hashlib.sha256(thing).digest() in digests]
    assert found == []
    assert len(sessions) == int(held_on)


async def test_a_session_that_was_forgotten_signs_nothing_more(tmp_path: Path) -> None:
    async with running(GROUP, tmp_path) as (ready, world):
        [(address, host)] = world.estate.hosts.items()
        sock = await dial(address, ready.smb_port, PhaseLedger())
        assert not isinstance(sock, Failure)
        stream = await open_session(sock)
        session = await run_blocking(lambda: SmbSession(stream, address))
        await run_blocking(session.challenge)
        key = nt_hash(world.estate.secrets[host.secret].material.password)
        await run_blocking(lambda: session.answer("scan", key, ""))
        assert session._Session["SessionKey"]
        session.forget()
        assert not any(
            session._Session[name] for name in ("SessionKey", "SigningKey", "EncryptionKey", "DecryptionKey")
        )
        await stream.abandon()
